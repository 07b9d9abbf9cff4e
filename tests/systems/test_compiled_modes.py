"""Normal modes in machine code: torch's numbers to round-off, and bits that depend on nothing else."""

import shutil

import pytest
import torch
from test_springs import EPS, every_linear, linear, random, start, symmetric

from systems import PhaseSpace, Springs, simulate
from systems.closed_forms import compiled_modes

needs_compiler = pytest.mark.skipif(not any(map(shutil.which, ("cc", "gcc", "clang"))), reason="needs a C compiler")
GRIDS = {
    "even": torch.linspace(0, 5, 67, dtype=torch.float64),
    "backwards": torch.linspace(1, -4, 40, dtype=torch.float64),
    "in no order": torch.tensor([0.0, 1, 0.3, 2.5, 0.3], dtype=torch.float64),
    "one": torch.zeros(1, dtype=torch.float64),
}


def by_torch(monkeypatch, system, state, times):
    with monkeypatch.context() as patch:
        patch.setattr(compiled_modes, "_library", lambda compiler: None)
        return system.closed_form(state, times)


@needs_compiler
@every_linear
def test_torch_says_the_same(case, monkeypatch):
    system, state = linear(case, d=3)
    assert system.closed_form_backend == "native"
    for times in GRIDS.values():
        path, expected = system.closed_form(state, times), by_torch(monkeypatch, system, state, times)
        for a, b in zip(path, expected, strict=True):
            assert torch.isfinite(a).all()
            assert (
                a - b
            ).abs().max() <= 1000 * EPS * b.abs().max()  # phases of up to 20, and eigenvalues', are rounded


@needs_compiler
@pytest.mark.parametrize("machine_code", [True, False])
def test_what_grows_changes_no_bit_of_what_does_not(machine_code, monkeypatch):
    """Some systems of a batch are unstable, one beyond all numbers."""
    if not machine_code:
        monkeypatch.setattr(compiled_modes, "_library", lambda compiler: None)
    k = torch.stack([symmetric(random(4, 4, seed=i, low=0.1)) for i in range(5)])
    k[1] -= 2
    k[3] *= -1e6
    system, state = Springs(mass=random(5, 4, low=0.5), spring_constant=k), start(4, 2, 5)
    path = system.closed_form(state, GRIDS["even"])
    assert path.q[:, [0, 2, 4]].isfinite().all()
    assert not path.q[:, 3].isfinite().all()
    for i in range(5):
        own = torch.tensor([i])
        alone = system.select(own).closed_form(PhaseSpace(*(x[own] for x in state)), GRIDS["even"])
        assert all(a[:, 0].equal(b[:, i]) for a, b in zip(alone, path, strict=True)), i


@pytest.mark.parametrize("command", [x for x in ("gcc", "clang") if shutil.which(x)])
def test_every_compiler_takes_the_file(command, monkeypatch):
    """Where one refuses it nobody is told: the closed form is torch's."""
    monkeypatch.setenv("CC", command)
    assert compiled_modes.machine_code(torch.ones(1, dtype=torch.float64)) is not None


def test_one_state_at_times_of_their_own():
    system, state = linear("paper", d=2)
    times = GRIDS["even"][:, None] * torch.tensor([1.0, 2.0, 3.0])
    path = system.closed_form(state, times)
    for i in range(3):
        alone = system.closed_form(state, times[:, i])
        assert (alone.q - path.q[:, i]).abs().max() <= 1000 * EPS * path.q.abs().max()


@needs_compiler
@pytest.mark.parametrize("n", [1, 2, 5, 8, 16])
def test_eigenvectors(n):
    """Of random matrices, equal ones, graded ones, of zero and of what is diagonal."""
    general = symmetric(random(4, n, n))
    scale = 10 ** torch.linspace(0, -12, n, dtype=torch.float64)
    special = [torch.zeros(n, n), torch.ones(n, n), torch.diag(random(n)), general[0] * scale * scale[:, None]]
    matrix = torch.stack([*general, *(x.double() for x in special), *general[:3]])
    library = compiled_modes.machine_code(matrix)
    assert library is not None
    values, vectors = compiled_modes.diagonalised(library, matrix)
    size = matrix.abs().amax((-2, -1), keepdim=True)
    assert ((matrix @ vectors - vectors * values[:, None]).abs() <= 20 * n * EPS * size).all()
    assert (vectors.mT @ vectors - torch.eye(n)).abs().max() <= 20 * n * EPS
    for i in range(len(matrix)):  # whatever is beside it
        one = compiled_modes.diagonalised(library, matrix[i : i + 1])
        assert one[0][0].equal(values[i])
        assert one[1][0].equal(vectors[i])
    assert values[:3].equal(values[-3:])
    assert (values.diff(dim=1) >= 0).all()


@pytest.mark.parametrize("command", ["nothing", "false"])
def test_without_a_compiler_that_works_torch_computes(command, monkeypatch):
    system, state = Springs.sample(3, seed=0)
    before = simulate(system, state, GRIDS["even"])
    monkeypatch.setenv("CC", command)
    after = simulate(system, state, GRIDS["even"])
    assert after.attrs["backend"] == "eager"
    assert abs(after.q - before.q).max() <= 1000 * EPS * abs(before.q).max()
