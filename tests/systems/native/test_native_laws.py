"""Machine code takes the steps that torch takes."""

import math
import pkgutil
import shutil

import pytest
import torch

import systems
from systems import AbstractNewtonian, AbstractVectorField, PhaseSpace, Variable
from systems.integrators.registry import INTEGRATORS
from systems.native import Compiled, kernel
from systems.native.compiled import backend_of
from systems.native.methods import recipe_of
from systems.registry import SYSTEMS

pytestmark = pytest.mark.skipif(not any(map(shutil.which, ("cc", "gcc", "clang"))), reason="needs a C compiler")

METHODS = {name: pkgutil.resolve_name(target) for name, target in INTEGRATORS.items()}
STEP = 0.02


class Web(AbstractNewtonian):
    """An own potential that is no sum over pairs, with nothing but + - x /."""

    variables = (*AbstractNewtonian.variables, Variable("depth", (), "1", "depth"))

    def potential(self, q):
        i, j = torch.triu_indices(q.shape[-2], q.shape[-2], 1)
        square = q.square().sum((-2, -1)) + (q[..., i, :] * q[..., j, :]).sum(-1).square().sum(-1)
        return self.depth * square / (1 + square) + 0.1 * (q[..., 0, 0] * q[..., 1, 1] - q[..., 1, 0] * q[..., 0, 1])


class Driven(AbstractVectorField):
    """An own field that depends on time, and is no Hamiltonian."""

    variables = (Variable("friction", ("body",), "1", "friction"),)

    def forward(self, t, state):
        time = t.reshape(*t.shape, *(1,) * (state.q.ndim - t.ndim))
        return PhaseSpace(state.p, -(state.q**3) - self.friction[..., None] * state.p + 0.3 * torch.cos(2 * time))


def case(name, dtype, count=5):
    generator = torch.Generator().manual_seed(1)
    draw = lambda *shape: torch.rand(*shape, generator=generator, dtype=torch.float64).to(dtype)  # noqa: E731
    if name == "own":
        field = Web(mass=draw(count, 3) + 0.5, depth=draw(count))
        return field, PhaseSpace(draw(count, 3, 2), draw(count, 3, 2))
    if name == "driven":
        return Driven(friction=draw(count, 2)), PhaseSpace(draw(count, 2, 2), draw(count, 2, 2))
    options = {"rest": {"rest_length": (0.1, 0.3), "bodies": (3, 5)}}.get(name, {})
    kind = getattr(systems, SYSTEMS.get(name, SYSTEMS["springs"]).partition(":")[2])
    return kind.sample(count, seed=1, dtype=dtype, **options)


FIELDS = [*SYSTEMS, "rest", "own", "driven"]
#: Only + - x / and the root of a reciprocal, in torch's own order.
EXACT = {"springs", "gravity", "charges", "henon_heiles", "own"}


#: One for each file of C; the others are these with other coefficients.
CODES = ("leapfrog", "rk4", "gauss4", "adaptive_gauss")


def fitting():
    """Every field with every code, and every method with one field; of float32 every field and every code once."""
    for name in FIELDS:
        field, _ = case(name, torch.float64)
        for method, kind in METHODS.items():
            native = recipe_of(kind(), field, torch.float64) is not None
            if native and isinstance(field, kind.requires) and (method in CODES or name == "own"):
                yield pytest.param(name, method, torch.float64, id=f"{name}-{method}-float64")
                if method == "rk4" or (method in CODES and name == "own"):
                    yield pytest.param(name, method, torch.float32, id=f"{name}-{method}-float32")


def both(method, field, state, times):
    fast = Compiled(method, "on").prepared(field, state, times)
    assert backend_of(fast) == "native"
    return method.integrate(field, state, times), fast.integrate(field, state, times)


@pytest.mark.usefixtures("quickly")
@pytest.mark.parametrize(("name", "method", "dtype"), [*fitting()])
def test_steps_are_those_of_torch(name, method, dtype):
    field, state = case(name, dtype)
    times = torch.tensor([0.0, 0.05, 0.13, 0.2], dtype=dtype)
    integrator = METHODS[method](step=STEP)
    slow, fast = both(integrator, field, state, times)
    chooses = method == "adaptive_gauss"
    if name in EXACT and dtype == torch.float64 and not chooses:
        assert all(torch.equal(a, b) for a, b in zip(slow, fast, strict=True))
    stages = len(getattr(integrator, "drifts", range(4)))
    bound = 4 * torch.finfo(dtype).eps * stages * math.ceil(0.2 / STEP)
    for a, b in zip(slow, fast, strict=True):
        assert (a - b).abs().max() <= bound * a.abs().max()
    assert not torch.equal(fast.q[0], fast.q[-1])


@pytest.mark.parametrize("method", ["leapfrog", "blanes_moan_srkn11", "rk4"])
def test_compensated_sums(method):
    field, state = case("own", torch.float64)
    times = torch.tensor([0.0, 0.5, 1.0], dtype=torch.float64)
    slow, fast = both(METHODS[method](step=STEP, compensated=True), field, state, times)
    assert all(torch.equal(a, b) for a, b in zip(slow, fast, strict=True))
    plain, _ = both(METHODS[method](step=STEP), field, state, times)
    assert not torch.equal(plain.q, slow.q)


@pytest.mark.parametrize("method", CODES)
@pytest.mark.parametrize("name", ["rest"])
def test_a_trajectory_does_not_feel_its_batch(name, method):
    field, state = case(name, torch.float64, count=21)
    times = torch.linspace(0, -1, 4, dtype=torch.float64)
    whole = Compiled(METHODS[method](step=0.05), "on").integrate(field, state, times)
    for rows in (slice(3, 4), slice(2, 12), slice(20, 21)):
        part = PhaseSpace(state.q[rows], state.p[rows])
        alone = Compiled(METHODS[method](step=0.05), "on").integrate(field.select(rows), part, times)
        assert torch.equal(alone.q, whole.q[:, rows])
        assert torch.equal(alone.p, whole.p[:, rows])


@pytest.mark.parametrize("method", CODES)
def test_own_times_and_own_steps_of_each_trajectory(method):
    field, state = case("henon_heiles", torch.float64)
    scale = torch.linspace(0.5, 2, 5, dtype=torch.float64)
    times = torch.tensor([0.0, 0.3, 1.0], dtype=torch.float64)[:, None] * scale + 0.1 * scale
    for step in (0.1, 0.05 * scale):
        slow, fast = both(METHODS[method](step=step), field, state, times)
        assert torch.equal(slow.q, fast.q)
        assert torch.equal(slow.p, fast.p)


@pytest.mark.usefixtures("quickly")
def test_each_trajectory_may_start_at_a_time_of_its_own(dtype):
    """The start is an input: one library for all of them. Of equal states the drive makes unequal ones."""
    field, state = case("driven", dtype)
    field, state = field.select(slice(0, 1)), PhaseSpace(*(x[:1].expand(5, -1, -1) for x in state))
    times = torch.linspace(0, 0.4, 3, dtype=torch.float64)
    for starts in (torch.linspace(1, 4, 5, dtype=torch.float64), torch.tensor(2.5, dtype=torch.float64)):
        found, expected = (
            systems.simulate(
                field, state, starts + times.reshape(-1, *[1] * starts.ndim), METHODS["rk4"](0.1), compile=mode
            )
            for mode in ("on", "off")
        )
        assert (found.attrs["backend"], expected.attrs["backend"]) == ("native", "eager")
        assert abs(found.p - expected.p).max() <= 64 * torch.finfo(dtype).eps * abs(expected.p).max()
        assert (abs(found.p - found.p.isel(trajectory=0)).max() > 0.01) == bool(starts.ndim)
    assert len(kernel._known) == 1


def test_batches_of_any_shape_and_shared_values():
    field, _ = case("henon_heiles", torch.float64, count=1)
    _, state = systems.HenonHeiles.sample(6, seed=0)
    times = torch.tensor([0.0, 1.0], dtype=torch.float64)
    for shape in ((6,), (2, 3)):
        shaped = PhaseSpace(*(x.reshape(*shape, 1, 2) for x in state))
        slow, fast = both(METHODS["leapfrog"](step=0.1), field, shaped, times)
        assert torch.equal(slow.q, fast.q)
    one = PhaseSpace(*(x[0] for x in state))
    slow, fast = both(METHODS["leapfrog"](step=0.1), systems.HenonHeiles(mass=torch.ones(1).double()), one, times)
    assert slow.q.shape == (2, 1, 2)
    assert torch.equal(slow.q, fast.q)


def test_the_pendulum_is_as_accurate_as_it_was():
    field, state = systems.Pendulum.sample(8, seed=0, bodies=3)
    times = torch.linspace(0, 5, 11, dtype=torch.float64)
    slow, fast = both(METHODS["adaptive_gauss"](), field, state, times)
    energy = field.energy(fast)
    assert ((energy - energy[0]).abs().amax(0) / energy[0].abs()).median() < 1e-14
    assert (slow.q - fast.q).abs().amax((0, 2, 3)).median() < 1e-12


@pytest.mark.parametrize("method", ["gauss4", "adaptive_gauss"])
def test_a_singularity_is_told_in_the_same_words(method):
    field = systems.Gravity(mass=torch.ones(2).double(), gravitational_constant=1.0, softening=0.0)
    state = PhaseSpace(torch.tensor([[0.0, 0], [1, 0]]).double(), torch.zeros(2, 2).double())
    times = torch.linspace(0, 2, 9, dtype=torch.float64)
    integrator = METHODS[method](step=0.2)
    with pytest.raises(ValueError, match="ended early") as slow:
        integrator.integrate(field, state, times)
    with pytest.raises(ValueError, match="ended early") as fast:
        Compiled(integrator, "on").integrate(field, state, times)
    assert str(slow.value)[:40] == str(fast.value)[:40]
