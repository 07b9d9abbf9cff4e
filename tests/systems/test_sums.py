"""Fields that add up: the laws of a sum, and truth by scipy and by closed forms."""

import math
import pkgutil
import shutil

import numpy as np
import pytest
import torch
from scipy.integrate import solve_ivp

from systems import (
    AbstractForce,
    AbstractNewtonian,
    AbstractSeparable,
    AbstractVectorField,
    Charges,
    Clipped,
    Dashpots,
    Drive,
    Gravity,
    HarmonicTrap,
    LinearDamping,
    MagneticField,
    Pendulum,
    PhaseSpace,
    QuadraticDamping,
    SinusoidalDrive,
    Springs,
    UniformField,
    Variable,
    simulate,
    sum_of,
    system_of,
    trajectory_of,
)
from systems.integrators import INTEGRATORS, BlanesMoanS6, Leapfrog, SymplecticEuler
from systems.sums import HamiltonianSum, NewtonianSum, OpenSum, SeparableSum, SplitSum

D = torch.float64


class Quartic(AbstractNewtonian):
    """A potential of a user, with a value a body."""

    name = "quartic"
    variables = (*AbstractNewtonian.variables, Variable("strength", ("body",), "J / m^4", "quartic strength"))

    def potential(self, q):
        return (self.strength * q.square().sum(-1).square()).sum(-1)


class Bent(AbstractSeparable):
    """T of its own."""

    def kinetic(self, p):
        return (1 + p.square().sum(-1)).sqrt().sum(-1)

    def potential(self, q):
        return 0.1 * q.square().sum((-2, -1))


class Decay(AbstractVectorField):
    def forward(self, t, state):
        return PhaseSpace(state.p - state.q, -state.p)


def springs(count=4, bodies=3, **options):
    return Springs.sample(count, seed=0, bodies=bodies, **options)


def rates(field, state, t=0.0):
    return field(torch.tensor([[t]], dtype=state.q.dtype), state)


CASES = {
    "external": (lambda s: s + UniformField([0.0, -2.0]) + HarmonicTrap(0.7), NewtonianSum),
    "a user's": (lambda s: HarmonicTrap(0.7, centre=[1.0, 0.0]) + s + Quartic(mass=s.mass, strength=0.2), NewtonianSum),
    "magnetic": (lambda s: s + MagneticField(1.5, charge=-2.0) + HarmonicTrap(0.7), SplitSum),
    "own kinetic energy": (lambda s: Bent() + HarmonicTrap(0.7).to(s.mass.dtype), SeparableSum),
}


@pytest.mark.parametrize("case", CASES)
def test_a_sum_is_the_sum_and_has_the_least_structure(case, dtype):
    make, kind = CASES[case]
    system, state = springs(dtype=dtype)
    total = make(system)
    assert type(total) is kind
    gradient = torch.func.grad(lambda s: total.energy(s).sum())(state)
    size = 50 * torch.finfo(dtype).eps * max(x.abs().max() for x in gradient)
    for a, b in zip(rates(total, state), (gradient.p, -gradient.q), strict=True):
        assert a.dtype == dtype
        assert (a - b).abs().max() <= size
    some = total.select(slice(1, 3))
    for a, b in zip(rates(some, PhaseSpace(state.q[1:3], state.p[1:3])), rates(total, state), strict=True):
        assert (a - b[1:3]).abs().max() <= size
    double = total.double()
    assert {x.dtype for x in double.state_dict().values() if x.is_floating_point()} <= {D}


def test_energies_and_forces_add_up():
    system, state = springs()
    trap, field = HarmonicTrap(0.7, mass=system.mass), UniformField([0.0, -2.0], mass=system.mass)
    total = system + trap + field
    parts = system.potential(state.q) + trap.potential(state.q) + field.potential(state.q)
    assert torch.allclose(total.potential(state.q), parts, rtol=1e-14)
    assert torch.allclose(total.kinetic(state.p), system.kinetic(state.p), rtol=1e-14)
    turned = field + (trap + system)
    assert torch.allclose(turned.energy(state), total.energy(state), rtol=1e-14)


def test_a_steady_sum_is_the_same_to_the_last_bit():
    gravity, state = Gravity.sample(4, seed=0)
    whole = gravity + HarmonicTrap(2.0)
    steady = whole.steady()
    assert steady.parts is steady.parts
    for a, b, rows in (
        (steady, whole, slice(None)),
        (steady.select(slice(1, 3)), whole.select(slice(1, 3)), slice(1, 3)),
    ):
        assert a.force(state.q[rows]).equal(b.force(state.q[rows]))
        assert a.potential(state.q[rows]).equal(b.potential(state.q[rows]))


def test_other_structures():
    pendulum, state = Pendulum.sample(3, seed=0)

    class Torsion(HarmonicTrap):
        coordinates = "generalised"

    total = pendulum + Torsion(0.5)
    assert type(total) is HamiltonianSum
    assert total.coordinates == "generalised"
    gradient = torch.func.grad(lambda s: total.energy(s).sum())(state)
    assert (rates(total, state).p + gradient.q).abs().max() < 1e-13
    decay = Decay() + HarmonicTrap(2.0)
    assert decay.hamiltonian is None
    assert torch.equal(rates(decay, state).p, -state.p - 2 * state.q)


def test_what_is_conserved():
    system, _ = springs()
    assert system.conserved == ("energy", "momentum", "angular_momentum")
    assert (system + HarmonicTrap(1.0)).conserved == ("energy", "angular_momentum")
    assert (system + HarmonicTrap(1.0, centre=[1.0, 0.0])).conserved == ("energy",)
    assert (system + Dashpots(1.0)).conserved == ("momentum", "angular_momentum")
    assert (system + Dashpots(1.0) + Drive(lambda t, q: q)).conserved == ()


def test_values_reach_the_dataset_and_come_back():
    system, state = springs()
    total = system + HarmonicTrap([1.0, 2.0, 3.0, 4.0]) + HarmonicTrap(0.5, centre=[1.0, 0.0]) + LinearDamping(0.2)
    total += SinusoidalDrive([1.0, 0.0], 3.0)
    dataset = simulate(total, state, torch.linspace(0, 1, 3))
    assert dataset.attrs["system"] == ("springs + harmonic_trap + harmonic_trap + linear_damping + sinusoidal_drive")
    assert dataset["trap_constant"].dims == ("trajectory",)
    assert dataset["centre_2"].dims == ("space",)
    assert dataset["trap_constant_2"].attrs["long_name"] == "spring constant of the trap"
    again = system_of(dataset)
    assert type(again) is OpenSum
    for a, b in zip(rates(again, state, 0.3), rates(total, state, 0.3), strict=True):
        assert torch.equal(a, b)
    own = simulate(system + Quartic(mass=system.mass, strength=0.2), state, torch.linspace(0, 1, 3))
    assert own["strength"].attrs["units"] == "J / m^4"


@pytest.mark.skipif(not any(map(shutil.which, ("cc", "gcc", "clang"))), reason="needs a C compiler")
@pytest.mark.parametrize("method", ["leapfrog", "rk4"])
def test_machine_code_traces_a_sum(method):
    system, state = springs(bodies=2)
    total = system + UniformField([0.0, -2.0]) + HarmonicTrap(0.7, centre=[1.0, 0.0])
    if method == "rk4":
        total = total + LinearDamping(0.3) + SinusoidalDrive([1.0, 0.0], 2.0)
    times, integrator = torch.linspace(0, 0.2, 3, dtype=D), pkgutil.resolve_name(INTEGRATORS[method])(step=0.1)
    slow, fast = (simulate(total, state, times, integrator, compile=mode) for mode in ("off", "on"))
    assert (slow.attrs["backend"], fast.attrs["backend"]) == ("eager", "native")
    assert abs(fast.q - slow.q).max() < 1e-14
    assert abs(fast.q - slow.q.isel(time=0)).max() > 1e-3


def test_fingerprints_tell_functions_apart():
    def inputs(function):
        system, state = springs(dtype=D)
        times = torch.linspace(0, 1, 3)
        return simulate(system + Drive(function), state, times, "rk4", compile="off").attrs["configuration"]

    assert inputs(lambda t, q: 0.1 * torch.cos(t)) == inputs(lambda t, q: 0.1 * torch.cos(t))
    assert inputs(lambda t, q: 0.1 * torch.cos(t)) != inputs(lambda t, q: 0.1 * torch.cos(1.1 * t))


def test_masks_and_fixed_bodies_are_those_of_all_parts():
    system, state = Springs.sample(4, seed=0, bodies=(2, 4))
    total = system + UniformField([1.0, 0.0])
    assert (rates(total, state).p[~system.mask] == 0).all()
    held = Springs(mass=[1.0, 1.0], stiffness=1.0, fixed=[True, False]) + UniformField([1.0, 0.0])
    assert (rates(held, PhaseSpace(*torch.ones(2, 2, 2, dtype=D))).q[0] == 0).all()
    assert held.conserved == ("energy",)
    stars = Gravity(mass=[1.0, 0.0], gravitational_constant=1.0, softening=0.1) + UniformField([0.0, -1.0])
    still = PhaseSpace(torch.tensor([[0.0, 0.0], [9e9, 0.0]], dtype=D), torch.zeros(2, 2, dtype=D))
    assert torch.allclose(rates(stars, still).p, torch.tensor([[0.0, -1.0], [0.0, -1.0]], dtype=D))  # both fall alike


def test_a_jump_is_still_stepped_to():
    pair = Springs(mass=[1.0, 1.0], spring_constant=[[0.0, 1.0], [1.0, 0.0]], rest_length=0.5)
    state = PhaseSpace.of([[0.3], [-0.4]], [[-1.0], [1.0]])
    times = torch.linspace(0, 3, 7, dtype=D)
    alone = simulate(pair, state, times)
    for nothing in (UniformField([0.0]), LinearDamping(0.0)):
        both = simulate(pair + nothing, state, times)
        assert abs(both.q - alone.q).max() < 1e-10


def moved(field, q, p):
    return simulate(field, PhaseSpace.of(q, p), [0.0, 1.0])


WRONG = {
    "mass: expected the same values in all parts": lambda: springs()[0] + Quartic(mass=[1.0, 1.0, 1.0], strength=1.0),
    "sum: expected one kinetic energy": lambda: Bent() + springs()[0],
    "coordinates: expected the same": lambda: Pendulum.sample(1, seed=0)[0] + HarmonicTrap(1.0),
    "damping: expected 3 bodies": lambda: springs()[0] + LinearDamping([1.0, 1.0]),
    "damping: expected values of at least 0": lambda: LinearDamping(-1.0),
    "acceleration: expected a vector": lambda: UniformField(9.8),
    "mass: HarmonicTrap without masses": lambda: moved(HarmonicTrap(1.0), [[0.0]], [[1.0]]),
    "field: LinearDamping is a force": lambda: moved(LinearDamping(1.0), [[0.0]], [[1.0]]),
    "mass: MagneticField needs one": lambda: moved(MagneticField(1.0), [[0.0, 0.0]], [[1.0, 0.0]]),
    "and dimensions of space as acceleration": lambda: moved(UniformField([0.0, 1.0], mass=1.0), [[0.0]], [[1.0]]),
}


@pytest.mark.parametrize("message", WRONG)
def test_what_does_not_add_up_is_named(message):
    with pytest.raises(ValueError, match=message):
        WRONG[message]()


@pytest.mark.parametrize("wrong", [lambda t, q: q[..., :1].expand(*q.shape[:-1], 5), lambda t, q: 3.0])
def test_a_drive_of_the_wrong_shape_is_named_before_a_step_is_taken(wrong, tmp_path):
    system, state = springs()
    with pytest.raises(ValueError, match=r"drive: expected a force of the shape of q \(1, 3, 2\)"):
        simulate(system + Drive(wrong), state, [0.0, 1.0], path=tmp_path / "x.nc")
    assert not list(tmp_path.iterdir())


# Truth from elsewhere.


def one(q, v):
    return PhaseSpace.of([[[q]]], [[[v]]])


TIMES = torch.linspace(0, 10, 41, dtype=D)


def test_the_damped_oscillator():
    b, k = 0.3, 2.0
    dataset = simulate(HarmonicTrap(k, mass=[1.0]) + LinearDamping(b), one(1.0, 0.5), TIMES)
    w = math.sqrt(k - b**2 / 4)
    t = TIMES.numpy()
    exact = np.exp(-b * t / 2) * (np.cos(w * t) + (0.5 + b / 2) / w * np.sin(w * t))
    assert abs(dataset.q[0, :, 0, 0] - exact).max() < 1e-9


def test_the_driven_damped_oscillator_settles():
    b, k, w, a = 1.0, 2.0, 1.3, 0.7
    driven = HarmonicTrap(k, mass=[1.0]) + LinearDamping(b) + SinusoidalDrive([a], w)
    phase, size = math.atan2(b * w, k - w**2), a / math.hypot(k - w**2, b * w)
    late = torch.linspace(60, 70, 21, dtype=D)  # the drive knows the time
    start = one(size * math.cos(w * 60 - phase), -w * size * math.sin(w * 60 - phase))
    dataset = simulate(driven, start, late)
    assert abs(dataset.q[0, :, 0, 0] - size * np.cos(w * late.numpy() - phase)).max() < 1e-9


def test_quadratic_damping_falls_to_its_final_speed():
    falling = UniformField([-9.8], mass=[2.0]) + QuadraticDamping(0.5)
    final = math.sqrt(2.0 * 9.8 / 0.5)
    dataset = simulate(falling, one(0.0, 0.0), TIMES)
    exact = -2.0 * final * np.tanh(9.8 * TIMES.numpy() / final)
    assert abs(dataset.p[0, :, 0, 0] - exact).max() < 1e-8


def test_the_cyclotron_and_the_drift_across_crossed_fields():
    """v_drift = E x B / B^2; the radius is m v / c B."""
    b, e, m, c = 2.0, 0.6, 1.5, 1.0
    field = MagneticField(b, charge=c, mass=[m])
    crossed = field + UniformField([e * c / m, 0.0])
    q = torch.zeros(1, 1, 2, dtype=D)
    still = PhaseSpace(q, field.momentum(q, torch.zeros_like(q)))
    w, t = c * b / m, TIMES.numpy()
    dataset = simulate(crossed, still, TIMES)
    radius = e / (b * w)
    assert abs(dataset.q[0, :, 0, 0] - radius * (1 - np.cos(w * t))).max() < 1e-9
    assert abs(dataset.q[0, :, 0, 1] + (e / b * t - radius * np.sin(w * t))).max() < 1e-9


def test_the_larmor_theorem():
    """Charges in a weak field do what they do without one, seen from a frame that turns with -c B / 2 m."""
    system = Charges(mass=[1.0, 1.0], charge=[1.0, 1.0], coulomb_constant=1.0, softening=0.0)
    state = PhaseSpace.of([[0.0, 1.0], [0.0, -1.0]], [[0.1, 0.0], [-0.1, 0.2]])
    b, times = 1e-5, torch.linspace(0, 3, 7, dtype=D)
    (_, with_field), (_, without) = (
        trajectory_of(simulate(x, state, times)) for x in (system + MagneticField(b), system)
    )
    angle = -b / 2 * times
    turn = torch.stack([torch.stack([angle.cos(), -angle.sin()], -1), torch.stack([angle.sin(), angle.cos()], -1)], -2)
    turned = without.q @ turn[:, None].mT
    apart = with_field.q - turned
    centre = apart.mean(-2, keepdim=True)
    assert (apart - centre).abs().max() < 1e-8 < (with_field.q - without.q).abs().max()


@pytest.mark.parametrize("dimension", [2, 3])
@pytest.mark.parametrize(("method", "order"), [(Leapfrog, 2), (BlanesMoanS6, 4)])
def test_exact_turns_and_kicks_have_their_order_and_keep_what_they_should(method, order, dimension):
    system, state = springs(count=3, dimension=dimension)
    field = system + MagneticField(3.0, charge=[1.0, -1.0, 0.5])
    times = torch.tensor([0.0, 1.0], dtype=D)
    exact = trajectory_of(simulate(field, state, times))[1]
    steps = (1 / 8, 1 / 16)
    errors = [(method(step=h).integrate(field, state, times).q - exact.q).abs().max().item() for h in steps]
    assert order - 0.3 < math.log2(errors[0] / errors[1]) < order + 0.6
    long = method(step=0.1).integrate(field, state, torch.linspace(0, 2, 3, dtype=D))
    x, y, u, v = long.q[..., 0], long.q[..., 1], long.p[..., 0], long.p[..., 1]
    spin = (x * v - y * u).sum(-1)
    assert (spin - spin[0]).abs().max() < 1e-11 * (long.q.norm(dim=-1) * long.p.norm(dim=-1)).sum(-1).max()
    energy = field.energy(long)
    assert (energy / energy[0] - 1).abs().max() < 0.5


def test_explicit_turns_are_symplectic():
    system, state = springs(count=1, bodies=2)
    field = system + MagneticField(3.0, charge=[1.0, -1.0])

    def step(z):
        q, p = z.reshape(2, 1, 2, 2)
        end = Leapfrog(step=0.3).integrate(field, PhaseSpace(q, p), torch.tensor([0.0, 0.3], dtype=D))
        return torch.stack([end.q[-1], end.p[-1]]).flatten()

    jacobian = torch.func.jacfwd(step)(torch.stack(list(state)).flatten())
    form = torch.kron(torch.tensor([[0.0, 1.0], [-1.0, 0.0]]), torch.eye(4)).to(D)
    assert (jacobian.mT @ form @ jacobian - form).abs().max() < 1e-13


def test_an_open_system_agrees_with_scipy():
    system, state = springs(count=1, bodies=2)
    total = system + QuadraticDamping(0.3) + Dashpots(0.2) + Drive(lambda t, q: torch.sin(3 * t) * q)
    c, m = system.stiffness[0].numpy(), system.mass[0].numpy()

    def derivative(t, z):
        q, v = z[:4].reshape(2, 2), z[4:].reshape(2, 2) / m[:, None]
        e = (q[0] - q[1]) / np.linalg.norm(q[0] - q[1])
        pull = -2 * c[0] * c[1] * (q[0] - q[1]) - 0.2 * ((v[0] - v[1]) @ e) * e
        force = np.stack([pull, -pull]) - 0.3 * np.linalg.norm(v, axis=1)[:, None] * v + np.sin(3 * t) * q
        return np.concatenate([v.ravel(), force.ravel()])

    start = np.concatenate([x.numpy().ravel() for x in state])
    found = solve_ivp(derivative, (0, 3), start, "DOP853", [0, 1, 3], rtol=1e-12, atol=1e-12)
    dataset = simulate(total, state, [0.0, 1.0, 3.0])
    assert abs(dataset.q[0].values.reshape(3, 4) - found.y[:4].T).max() < 1e-9


def test_sum_of_takes_any_order():
    trap, damping = HarmonicTrap(1.0, mass=[1.0]), LinearDamping(0.5)
    state = one(1.0, 2.0)
    first = rates(trap + damping, state)
    for total in (damping + trap, sum_of(damping, trap), (damping + LinearDamping(0.0)) + trap):
        assert all(torch.equal(a, b) for a, b in zip(rates(total, state), first, strict=True))
    assert isinstance(damping + LinearDamping(0.1), AbstractForce)


@pytest.mark.parametrize("compile", ["off", "on"])
def test_clipped_forces_are_those_of_a_generator(compile):
    """Step after step as a generator of data does it, in numpy; the clip stays in a sum, and a clip of none is none."""
    system, state = Charges.sample(4, seed=0, bodies=4, dimension=3, softening=0.0)
    times = torch.linspace(0, 0.2, 3, dtype=D)
    charge, q, p = system.charge.numpy(), *(x.numpy().copy() for x in state)
    for _ in range(100):
        apart = q[:, :, None] - q[:, None]
        cube = (apart**2).sum(-1) ** 1.5 + np.eye(4)
        force = ((charge[:, :, None] * charge[:, None] / cube)[..., None] * apart).sum(2)
        p += 0.002 * np.clip(force, -2, 2)
        q += 0.002 * p / system.mass.numpy()[..., None]
    clipped = Clipped(system, 2.0)
    method = SymplecticEuler(step=0.002, compile=compile)
    found = method.integrate(clipped, state, times)
    np.testing.assert_allclose(found.q[-1], q, rtol=0, atol=1e-12)
    np.testing.assert_allclose(found.p[-1], p, rtol=0, atol=1e-12)
    free = method.integrate(system, state, times)
    assert float((free.q - found.q).abs().max()) > 1e-3
    assert torch.equal(method.integrate(Clipped(system, 1e9), state, times).q, free.q)
    trapped = clipped + HarmonicTrap(1.0)
    assert torch.equal(trapped.force(state.q), clipped.force(state.q) - state.q)
    assert clipped.conserved == trapped.conserved == ()
    with pytest.raises(ValueError, match="largest: expected a positive number, got 0"):
        Clipped(system, 0.0)
