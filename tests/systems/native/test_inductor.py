"""Fields of too many operations for C: their forces go through torch.compile, and one line says so."""

import shutil
import warnings

import pytest
import torch

from systems import AbstractNewtonian, AbstractVectorField, PhaseSpace, simulate, work
from systems.integrators import RK4, Gauss4, Leapfrog
from systems.native import compiled, inductor, trace
from systems.native.compiled import backend_of, machine_code

pytestmark = pytest.mark.skipif(not any(map(shutil.which, ("cc", "gcc", "clang"))), reason="needs a C compiler")
TIMES = torch.linspace(0, 0.4, 3, dtype=torch.float64)


class Own(AbstractNewtonian):
    def potential(self, q):
        apart = q[..., :, None, :] - q[..., None, :, :]
        product = self.mass[..., :, None] * self.mass[..., None, :]
        return -0.5 * (product / (apart.square().sum(-1) + 0.1).sqrt()).sum((-2, -1))


class Swirl(AbstractVectorField):
    """Neither autonomous nor separable."""

    variables = AbstractNewtonian.variables

    def forward(self, t, state):
        velocity = state.p / self.mass[..., None]
        return PhaseSpace(torch.cos(t) * velocity, -state.q - state.p.sin())


class Forgetful(Own):
    """What `select` makes of it has other constants than the whole, in tensors and in numbers."""

    def __init__(self, **values):
        super().__init__(**values)
        self.weak = {"each": [torch.linspace(0.5, 1.0, len(self.mass), dtype=torch.float64)]}
        self.strong = float(len(self.mass))

    def select(self, index):
        return type(self)(mass=self.mass[index])

    def potential(self, q):
        return self.strong * self.weak["each"][0] * super().potential(q)


def drawn(kind, seed=0, count=5):
    generator = torch.Generator().manual_seed(seed)
    mass, z = (torch.rand(*shape, generator=generator, dtype=torch.float64) for shape in ((count, 3), (2, count, 3, 2)))
    return kind(mass=0.5 + mass), PhaseSpace(*z)


@pytest.fixture(autouse=True)
def few(monkeypatch):
    """Few operations are too many, and nothing is known from the test before."""
    monkeypatch.setattr(trace, "MOST_OPERATIONS", 5)
    monkeypatch.setattr(inductor, "_known", {})


@pytest.fixture
def compilations(monkeypatch):
    """torch.compile in name only: the shapes that it is asked for."""
    asked = []

    def compile(module, **options):
        asked.append(options)
        return module

    monkeypatch.setattr(torch, "compile", compile)
    return asked


@pytest.mark.skipif(not shutil.which("g++"), reason="needs a C++ compiler")
def test_other_values_are_inputs_of_the_same_code():
    method, code = Leapfrog(step=0.1), None
    for seed in (0, 1):
        field, first = drawn(Own, seed)
        with pytest.warns(UserWarning, match="^compile: by torch.compile, because of .* more than 5$") as said:
            fast = machine_code(method, "on", field, first, TIMES)
        assert sum("compile:" in str(x.message) for x in said) == 1
        assert backend_of(fast) == "inductor"
        found, expected = fast.integrate(field, first, TIMES), method.integrate(field, first, TIMES)
        torch.testing.assert_close(found, expected, rtol=1e-13, atol=1e-14)
        code = code or [*inductor._known.values()]
        assert [*inductor._known.values()] == code
        assert len(code) == 1


def test_each_shape_of_blocks_is_compiled_once_and_the_file_keeps_to_it(compilations, monkeypatch, tmp_path):
    monkeypatch.setattr(work, "BLOCK_TRAJECTORIES", 2)
    field, first = drawn(Own, count=7)
    path = tmp_path / "own.nc"
    with warnings.catch_warnings(record=True) as said:
        warnings.simplefilter("always")
        found = simulate(field, first, TIMES, Leapfrog(step=0.01, compile="on"), path=path)
        off = simulate(field, first, TIMES, Leapfrog(step=0.01), compile="off")
    assert ["by torch.compile" in str(x.message) for x in said if "compile" in str(x.message)] == [True]
    assert found.attrs["backend"] == "inductor"
    assert len(compilations) == 2  # blocks of two, and the last one
    assert abs(found.q - off.q).max() < 1e-14
    with pytest.raises(ValueError, match="different backend"):
        simulate(field, first, TIMES, Leapfrog(step=0.01), compile="off", path=path)


@pytest.mark.parametrize("method", [RK4(step=0.1), Gauss4(step=0.1)])
@pytest.mark.parametrize("kind", [Own, Swirl])
def test_every_law_and_method(compilations, method, kind):
    field, first = drawn(kind)
    with pytest.warns(UserWarning, match="by torch.compile"):
        fast = machine_code(method, "on", field, first, TIMES)
    expected = method.integrate(field, first, TIMES)
    torch.testing.assert_close(fast.integrate(field, first, TIMES), expected, rtol=1e-12, atol=1e-13)
    torch.testing.assert_close(fast.attempt(field, first, TIMES).trajectory, expected, rtol=1e-12, atol=1e-13)
    other = drawn(kind)[0]
    other.mass.mul_(2)
    expected = method.integrate(other, first, TIMES)
    torch.testing.assert_close(fast.integrate(other, first, TIMES), expected, rtol=1e-12, atol=1e-13)
    assert compilations


def test_a_law_that_knows_the_time_may_begin_late(compilations):
    field, first = drawn(Swirl)
    found, expected = (simulate(field, first, 1 + TIMES, RK4(step=0.1, compile=mode)) for mode in ("on", "off"))
    assert found.attrs["backend"] == "inductor"
    assert abs(found.q - expected.q).max() < 1e-13  # some hundred roundings of numbers up to 1
    starts = 1 + TIMES[:, None] + torch.linspace(0, 3, 5, dtype=torch.float64)
    found, expected = (simulate(field, first, starts, RK4(step=0.1, compile=mode)) for mode in ("on", "off"))
    assert abs(found.q - expected.q).max() < 1e-13
    assert len(compilations) == 2  # the start is an input: one for all, or one each


def test_what_stops_torch_compile_is_told_in_the_same_line(monkeypatch):
    def fail(module, **options):
        raise RuntimeError("no compiler\nat all")

    monkeypatch.setattr(torch, "compile", fail)
    field, first = drawn(Own)
    with pytest.warns(
        UserWarning, match="without .* more than 5; nor by torch.compile, because of no compiler$"
    ) as said:
        found = Leapfrog(step=0.1, compile="on").integrate(field, first, TIMES)
    assert len(said) == 1
    assert torch.equal(found.q, Leapfrog(step=0.1).integrate(field, first, TIMES).q)


def test_parts_that_compute_with_other_numbers_have_code_of_their_own(compilations):
    field, first = drawn(Forgetful)
    with pytest.warns(UserWarning, match="by torch.compile"):
        fast = machine_code(Leapfrog(step=0.1), "on", field, first, TIMES)
    for rows in (slice(0, 5), slice(1, 3)):
        part, own = field.select(rows), PhaseSpace(first.q[rows], first.p[rows])
        expected = Leapfrog(step=0.1).integrate(part, own, TIMES)
        torch.testing.assert_close(fast.integrate(part, own, TIMES), expected, rtol=1e-13, atol=1e-14)


def test_a_field_that_has_changed_without_a_trace_is_refused(compilations):
    field, first = drawn(Own)
    field.factors = {1.0}  # a set can change
    field.potential = lambda q: sum(field.factors) * Own.potential(field, q)
    with pytest.warns(UserWarning, match="by torch.compile"):
        fast = machine_code(Leapfrog(step=0.1), "on", field, first, TIMES)
    field.factors.add(2.0)
    with pytest.raises(ValueError, match="field: expected the Own that was compiled, got another"):
        fast.integrate(field, first, TIMES)


def test_gradients_and_auto_are_torchs(compilations, monkeypatch):
    field, first = drawn(Own)
    q = first.q.clone().requires_grad_()
    with pytest.warns(UserWarning, match="without machine code"):
        path = Leapfrog(step=0.1, compile="on").integrate(field, PhaseSpace(q, first.p), TIMES)
    assert torch.autograd.grad(path.q[-1].sum(), q)[0].abs().max() > 0
    monkeypatch.setattr(compiled, "_WORTH", 0)
    with pytest.warns(UserWarning, match="without machine code, because of .* more than 5$"):
        Leapfrog(step=0.1, compile="auto").integrate(field, first, TIMES)
    assert not compilations
