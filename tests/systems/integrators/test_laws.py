"""What the flows keep: symplecticity, reversibility, charges, and the independence of trajectories."""

import math

import pytest
import torch
from problems import CASES, METHODS, Central, distance, fitting, problem

from systems import HenonHeiles, PhaseSpace, Springs
from systems.integrators import RK4, AdaptiveGauss, Leapfrog, Recomputed, Torchdiffeq
from systems.integrators.kick_drift import AbstractKickDrift
from systems.integrators.stepping import AbstractFixedStep, AbstractStepping

INDEPENDENT = [(name, kind) for name, kind in CASES if METHODS[name] is not Torchdiffeq]
EXPLICIT = [name for name, method in METHODS.items() if method is RK4 or issubclass(method, AbstractKickDrift)]
STEPPING = [(name, kind) for name, kind in CASES if issubclass(METHODS[name], AbstractFixedStep)]


def made(name, **options):
    """A method that takes visible steps: the adaptive one is forced to."""
    method = METHODS[name]
    if method is AdaptiveGauss:
        options.setdefault("tolerance", 1e9)
    if method is Torchdiffeq:
        options["method"] = "rk4"
    return method(**options)


@pytest.mark.parametrize(("name", "kind"), STEPPING)
def test_symplecticity(name, kind, dtype):
    """J^T Omega J = Omega for the Jacobian J of the flow, at a step of half a radian; RK4 is the control."""
    field, state = problem(kind, dtype=dtype)
    times = torch.tensor([0.0, 1.0], dtype=dtype)

    def flow(z):
        there = PhaseSpace(*z.unflatten(-1, (2, *state.q.shape[1:])).unbind(-3))
        end = METHODS[name](step=0.5).integrate(field, there, times)
        return torch.cat([end.q[-1].flatten(1), end.p[-1].flatten(1)], 1)

    z = torch.cat([x.flatten(1) for x in state], 1)
    # A row of the sum over trajectories holds each trajectory's own derivatives.
    jacobian = torch.autograd.functional.jacobian(lambda z: flow(z).sum(0), z).transpose(0, 1)
    one = torch.eye(z.shape[1] // 2, dtype=dtype)
    zero = torch.zeros_like(one)
    omega = torch.cat([torch.cat([zero, one], 1), torch.cat([-one, zero], 1)])
    defect = (jacobian.mT @ omega @ jacobian - omega).abs().max().item()
    round_off = 100 * torch.finfo(dtype).eps  # entries of J are of order 1, and made by some 30 roundings
    assert defect < round_off if METHODS[name].symplectic else defect > 1e-4


@pytest.mark.parametrize(("name", "kind"), STEPPING)
def test_reversibility(name, kind, dtype):
    """There and back again with large steps: symmetric methods return to round-off, others by their order only."""
    field, state = problem(kind, dtype=dtype)
    times = torch.linspace(0, 2, 3, dtype=dtype)
    there = METHODS[name](step=0.5).integrate(field, state, times)
    back = METHODS[name](step=0.5).integrate(field, PhaseSpace(there.q[-1], there.p[-1]), times.flip(0))
    missed = distance(back, PhaseSpace(there.q.flip(0), there.p.flip(0)))
    assert missed < 100 * torch.finfo(dtype).eps if METHODS[name].symmetric else missed > 1e-5


@pytest.mark.parametrize(("name", "kind"), CASES)
def test_backward_in_time(name, kind, dtype):
    """With small steps every method comes back."""
    field, state = problem(kind, dtype=dtype)
    method = AdaptiveGauss() if METHODS[name] is AdaptiveGauss else made(name, step=0.01)
    times = torch.tensor([1.0, 0.6], dtype=dtype)
    there = method.integrate(field, state, times)
    back = method.integrate(field, PhaseSpace(there.q[-1], there.p[-1]), times.flip(0))
    bound = {1: 1e-2, 2: 1e-4}.get(METHODS[name].order, 1e-5 if dtype is torch.float32 else 1e-7)
    assert distance(there, PhaseSpace(there.q[:1], there.p[:1])) > 1e-2
    assert distance(back, PhaseSpace(there.q.flip(0), there.p.flip(0))) < bound


@pytest.mark.parametrize(("name", "kind"), INDEPENDENT)
@pytest.mark.parametrize("timing", ["shared", "times", "times and steps"])
def test_trajectories_do_not_feel_their_batch(name, kind, timing, dtype):
    """Bit for bit: alone, or among others with other times and steps, for a field that is elementwise in the batch."""
    field, state = problem(kind, count=4, dtype=dtype)
    times = torch.tensor([0.0, 0.3, 1.0], dtype=dtype)
    step = torch.tensor([0.3, 0.05, 0.11, 0.07], dtype=dtype)
    if timing != "shared":
        times = times[:, None] * torch.tensor([1.0, -0.4, 0.7, 0.1], dtype=dtype)
    together = METHODS[name](step=step if timing == "times and steps" else 0.1).integrate(field, state, times)
    for i in range(4):
        one = field.select(slice(i, i + 1)) if kind == "newtonian" else field
        method = METHODS[name](step=step[i].item() if timing == "times and steps" else 0.1)
        alone = method.integrate(
            one, PhaseSpace(*(x[i : i + 1] for x in state)), times[:, i] if times.ndim > 1 else times
        )
        assert torch.equal(alone.q[:, 0], together.q[:, i])
        assert torch.equal(alone.p[:, 0], together.p[:, i])


def test_those_that_need_more_steps_go_on_without_the_others():
    """AdaptiveGauss asks for half as many forces as if all waited; sums over bodies may round otherwise, no more."""
    asked = []

    class Counted(Springs):
        def force(self, q):
            asked.append(q.shape[-3])
            return super().force(q)

    system, state = Springs.sample(64, seed=0, bodies=2, rest_length=1.0)
    field = Counted(**system.values)
    times = torch.tensor([0.0, 3.0], dtype=torch.float64)
    some = AdaptiveGauss(compile="off").integrate(field, state, times)
    assert sum(asked) < 0.5 * 64 * len(asked)
    full, *_ = AdaptiveGauss(compile="off").attempt_in_pieces(field, state, times)
    assert distance(some, full.trajectory) < 1e-11


def test_torchdiffeq_lets_trajectories_disturb_each_other():
    """The control of the test before; the docstring says so."""
    field, state = problem("hamiltonian", count=4)
    times = torch.tensor([0.0, 1.0], dtype=torch.float64)
    together = Torchdiffeq().integrate(field, state, times)
    alone = Torchdiffeq().integrate(field, PhaseSpace(state.q[:1], state.p[:1]), times)
    assert not torch.equal(alone.q[:, 0], together.q[:, 0])


@pytest.mark.parametrize("name", METHODS)
def test_charges(name, dtype):
    """Linear, bilinear and quadratic charges are kept at coarse steps as declared, and the next kind is not.

    The linear one is P of springs with rest length, the bilinear one L, the quadratic one the energy of springs
    without, which mixes q q and p p.
    """
    times = torch.linspace(0, 1, 3, dtype=dtype)
    method = made(name, step=0.05)
    system, state = Springs.sample(4, seed=0, bodies=3, rest_length=1.0, centre_of_mass=True, dtype=dtype)
    path = method.integrate(system, state, times)
    momentum = path.p.sum(-2)
    spin = (path.q[..., 0] * path.p[..., 1] - path.q[..., 1] * path.p[..., 0]).sum(-1)
    linear = Springs(mass=system.mass, stiffness=system.stiffness)
    quadratic = linear.energy(method.integrate(linear, state, times))
    scales = state.p.abs().sum(), (state.q.abs() * state.p.abs()).sum(), quadratic[0].max()
    drifts = [
        ((charge - charge[0]).abs().max() / scale).item()
        for charge, scale in zip((momentum, spin, quadratic), scales, strict=True)
    ]
    kinds = ("linear", "bilinear", "quadratic")
    kept = kinds.index(METHODS[name].preserves) + 1
    # 20 steps, each with the rounding of forces times step that are about as large as the momenta.
    assert all(drift < 100 * torch.finfo(dtype).eps for drift in drifts[:kept])
    if kinds[kept:] not in ((), ("quadratic",) * METHODS[name].keeps_energy) and dtype is torch.float64:
        assert drifts[kept] > 1e-8  # float32's round-off hides the errors of high order


@pytest.mark.parametrize(("name", "kind"), STEPPING)
def test_energy(name, kind, dtype):
    """Of a nonlinear problem, at coarse steps: kept to round-off as declared, and by no other method."""
    field, state = problem(kind, dtype=dtype)
    path = METHODS[name](step=0.25).integrate(field, state, torch.linspace(0, 5, 6, dtype=dtype))
    energy = field.energy(PhaseSpace(path.q.double(), path.p.double()))
    drift = ((energy - energy[0]).abs().max() / energy.abs().max()).item()
    # 20 steps, whose stages are each found to some units in the last place.
    if METHODS[name].keeps_energy:
        assert drift < 50 * torch.finfo(dtype).eps
    elif dtype is torch.float64:  # float32's round-off hides the errors of high order
        assert drift > 1e-11


@pytest.mark.parametrize("name", [name for name, method in METHODS.items() if issubclass(method, AbstractStepping)])
def test_recomputation_is_the_method_that_it_wraps(name):
    """The same facts, the same step, the same trajectory to the last bit; and the same for some of the trajectories."""
    field, state = problem(fitting(METHODS[name])[0])
    times = torch.tensor([0.0, 0.3, 0.4], dtype=torch.float64)
    step = torch.tensor([0.1, 0.05, 0.2], dtype=torch.float64)
    method, wrapped = METHODS[name](step), Recomputed(METHODS[name](step))
    for fact in ("order", "symplectic", "requires", "preserves", "symmetric", "keeps_energy", "step"):
        assert getattr(wrapped, fact) is getattr(method, fact)
    wrapped.check(field, state, times)
    for found, expected in zip(
        wrapped.integrate(field, state, times), method.integrate(field, state, times), strict=True
    ):
        assert torch.equal(found, expected)
    assert torch.equal(wrapped.select(slice(1, 3)).step, step[1:3])


@pytest.mark.parametrize(("name", "kind"), [(name, kind) for name, kind in INDEPENDENT if kind == "newtonian"])
def test_each_trajectory_has_its_own_step_at_the_times_of_all(name, kind):
    """As many intervals as trajectories: the steps must not be taken for those of the intervals."""
    field, state = problem(kind)
    field = HenonHeiles(mass=torch.ones(1, dtype=torch.float64))
    times = torch.tensor([0.0, 0.3, 0.4, 0.9], dtype=torch.float64)
    step = torch.tensor([0.1, 0.05, 0.2], dtype=torch.float64)
    path = made(name, step=step).integrate(field, state, times)
    for k in range(3):
        one = PhaseSpace(state.q[k : k + 1], state.p[k : k + 1])
        alone = made(name, step=step[k].item()).integrate(field, one, times)
        assert distance(alone, PhaseSpace(path.q[:, k : k + 1], path.p[:, k : k + 1])) < 1e-13


def test_one_force_a_step():
    """Leapfrog uses the last force again, also from one output interval to the next."""
    calls = []

    class Counted(Central):
        def force(self, q):
            calls.append(1)
            return super().force(q)

    state = PhaseSpace(torch.ones(1, 2), torch.ones(1, 2))
    Leapfrog(step=0.1).integrate(Counted(mass=1.0), state, torch.linspace(0, 1, 6))
    assert len(calls) == 1 + 10


def test_velocity_is_the_fields():
    """dq/dt is dT/dp, neither p nor p / m of some other mass."""
    system = Central(mass=torch.tensor([4.0]))
    state = PhaseSpace(torch.zeros(1, 2), torch.tensor([[1.0, 0.0]]))
    path = Leapfrog().integrate(system, state, torch.tensor([0.0, 0.1]))
    assert path.q[-1, 0, 0].item() == pytest.approx(0.025)


@pytest.mark.parametrize("step", [0.1, 0.07, 0.3, 1.0, 5.0])
def test_substeps_are_equal_and_no_longer_than_step(step):
    """And a span of one step is one step, however its ends are rounded."""
    times = torch.linspace(0, 5, 51, dtype=torch.float64) + 1000
    intervals = Leapfrog(step=step)._intervals(times)
    assert {interval.most for interval in intervals} == {math.ceil(0.1 / step - 1e-9)}
    assert all(interval.length <= step * (1 + 1e-10) for interval in intervals)


def test_no_steps_and_no_batch():
    """One time is the state itself; a state without batch works."""
    for name, kind in CASES:
        field, state = problem(kind, count=1)
        one = PhaseSpace(state.q[0], state.p[0])
        times = torch.tensor([0.0, 0.1], dtype=torch.float64)
        field = HenonHeiles(mass=torch.ones(1, dtype=torch.float64)) if kind == "newtonian" else field
        assert METHODS[name]().integrate(field, one, times[:1]).q.shape == (1, *one.q.shape)
        assert METHODS[name]().integrate(field, one, times).q.shape == (2, *one.q.shape)


@pytest.mark.parametrize("name", EXPLICIT)
def test_compensated_summation_gains_tenfold(name):
    """Of the round-off in the angular momentum, where the method keeps it, else of that in the state.

    Float32, 2,000 kicks in steps of 1/1024, RMS over 64 bodies; the state is compared to the same steps in float64.
    """
    generator = torch.Generator().manual_seed(0)
    state = PhaseSpace(*(torch.randn(64, 1, 2, generator=generator) for _ in range(2)))
    steps = 2000 // len(getattr(METHODS[name], "drifts", range(4)))

    def end(dtype, compensated):
        method = METHODS[name](step=1 / 1024, compensated=compensated)
        times = torch.tensor([0.0, steps / 1024], dtype=dtype)
        path = method.integrate(
            Central(mass=torch.ones(1, dtype=dtype)), PhaseSpace(*(x.to(dtype) for x in state)), times
        )
        return path.q[-1].double(), path.p[-1].double()

    def spin(q, p):
        return q[..., 0] * p[..., 1] - q[..., 1] * p[..., 0]

    if METHODS[name].preserves == "linear":
        exact = torch.cat(end(torch.float64, True))
        errors = [torch.cat(end(torch.float32, compensated)) - exact for compensated in (False, True)]
    else:
        exact = spin(*(x.double() for x in state))
        errors = [spin(*end(torch.float32, compensated)) - exact for compensated in (False, True)]
    plain, compensated = (error.square().mean().sqrt() for error in errors)
    assert plain > 10 * compensated
