"""Events: found where independent truth says, for every integrator, on their own for each trajectory."""

import math
import warnings
from pkgutil import resolve_name

import numpy as np
import pytest
import torch
from scipy.integrate import solve_ivp
from scipy.special import ellipe, ellipk

import hlieconv  # noqa: F401
import systems
from systems import (
    AbstractNewtonian,
    CloseApproach,
    Collision,
    Crossing,
    Escape,
    Gravity,
    HarmonicTrap,
    HenonHeiles,
    Pendulum,
    PhaseSpace,
    Plane,
    Springs,
    simulate,
    watch,
)
from systems.dataset.schema import EVENT_BODIES, aligned
from systems.integrators import INTEGRATORS, AdaptiveGauss, Leapfrog, Torchdiffeq
from systems.status import Status

#: Methods for bodies that nothing constrains.
FITTING = [name for name in INTEGRATORS if issubclass(AbstractNewtonian, resolve_name(INTEGRATORS[name]).requires)]
SECTION = Plane([1.0, 0.0], direction=1)


class Oscillators(AbstractNewtonian):
    """q = sin t."""

    def potential(self, q):
        return 0.5 * q.square().sum((-2, -1))


def oscillators(*amplitudes, dtype=torch.float64):
    q = torch.zeros(len(amplitudes), 1, 1, dtype=dtype)
    return Oscillators(mass=torch.ones(1, dtype=dtype)), PhaseSpace(
        q, q + torch.tensor(amplitudes, dtype=dtype)[:, None, None]
    )


def kepler(eccentricity=0.5):
    """From the aphelion, period 2 pi."""
    far, speed = 1 + eccentricity, ((1 - eccentricity) / (1 + eccentricity)) ** 0.5
    system = Gravity(mass=[1.0, 0.0], gravitational_constant=1.0)
    return system, PhaseSpace.of([[0, 0], [far, 0]], v=[[0, 0], [0, speed]], mass=[1.0, 0.0])


@pytest.fixture(scope="module")
def henon_heiles():
    """Crossings of x = 0 by scipy, and the problem."""
    system, state = HenonHeiles.sample(3, seed=0)

    def rate(t, z):
        x, y, px, py = z
        return [px, py, -x - 2 * x * y, -y - x * x + y * y]

    def across(t, z):
        return z[0]

    across.direction = 1
    truth = []
    for q, p in zip(state.q, state.p, strict=True):
        run = solve_ivp(rate, (0, 12), [*q[0], *p[0]], method="DOP853", rtol=1e-13, atol=1e-14, events=across)
        truth.append(run.t_events[0])
    return system, state, truth


def test_the_default_finds_what_scipy_finds(henon_heiles):
    system, state, truth = henon_heiles
    dataset = simulate(system, state, [0.0, 12.0], events=[SECTION])
    for found, times in zip(dataset.event_time.values, truth, strict=True):
        assert np.allclose(found[np.isfinite(found)], times, rtol=0, atol=5e-12)
    kind = dataset.event_kind.values
    assert ((kind == 0) == np.isfinite(dataset.event_time.values)).all()
    assert float(abs(dataset.event_q.isel(space=0)).max()) < 1e-14
    systems.dataset.schema.validate(dataset)


@pytest.mark.parametrize("name", FITTING)
def test_every_integrator_finds_them_with_its_order(name):
    """To round-off on its own solution, which is as far from the truth as its order says."""
    system, state = oscillators(1.0, 2.0)
    kind = resolve_name(INTEGRATORS[name])
    times = torch.tensor([0.0, 3.5], dtype=torch.float64)
    errors = []
    for step in (0.2, 0.1):
        method = kind(step=step, rtol=1e-9) if kind is Torchdiffeq else kind(step=step)
        found = watch(system, state, times, [Plane([1.0])], method).events
        assert found.trajectory.tolist() == [0, 1]
        assert float(found.state.q.abs().max()) < 1e-15
        errors.append(float((found.time - math.pi).abs().max()))
    if method.has_fixed_steps:
        assert errors[1] < errors[0] * 2.0 ** (0.7 - method.order) + 1e-12
    else:
        assert errors[1] < 1e-8


@pytest.mark.parametrize("method", [None, Leapfrog(step=0.01)])
def test_backward_in_time_they_are_the_same(method):
    system, state = HenonHeiles.sample(2, seed=1)
    there = simulate(system, state, torch.linspace(0, 10, 11), method, events=[SECTION])
    end = systems.state_of(there, -1)
    back = simulate(system, end, torch.linspace(10, 0, 11), method, events=[SECTION])
    for a, b in zip(there.event_time.values, back.event_time.values, strict=True):
        blur = 1e-11 if method is None else 1e-5  # a shorter last step is another step
        assert np.allclose(a[np.isfinite(a)], b[np.isfinite(b)][::-1], rtol=0, atol=blur)


def test_periods_of_pendulums_and_their_derivatives():
    amplitude = torch.tensor([0.1, 2.5], dtype=torch.float64)
    system = Pendulum(mass=[1.0], length=[1.0], gravity=1.0)
    q = amplitude.clone()[:, None, None].requires_grad_()
    times = torch.tensor([0.0, 7.0], dtype=torch.float64)
    found = watch(system, PhaseSpace(q, torch.zeros_like(q)), times, [Plane([1.0], direction=-1)]).events
    m = np.sin(amplitude.numpy() / 2) ** 2
    assert np.allclose(found.time.detach(), ellipk(m), rtol=0, atol=1e-12)
    [slope] = torch.autograd.grad(found.time.sum(), q, retain_graph=True)
    by_m = (ellipe(m) - (1 - m) * ellipk(m)) / (2 * m * (1 - m))
    assert np.allclose(slope.flatten(), by_m * np.sin(amplitude.numpy()) / 2, rtol=1e-9)
    [slope] = torch.autograd.grad(found.state.p.sum(), q)  # p = -sqrt(2 - 2 cos q) there
    assert np.allclose(slope.flatten(), -np.cos(amplitude.numpy() / 2), rtol=1e-9)


def test_close_approaches_and_collisions_of_kepler():
    system, state = kepler()
    dataset = simulate(
        system, state, torch.linspace(0, 20, 7), events=[CloseApproach(), CloseApproach(0.3, name="near")]
    )
    assert np.allclose(dataset.event_time.values[0] / math.pi, [1, 3, 5], rtol=0, atol=1e-13)
    apart = dataset.event_q.diff("body")[0].values
    assert np.allclose(np.linalg.norm(apart, axis=-1), 0.5, rtol=0, atol=1e-13)
    assert (dataset.event_kind.values == 0).all()  # never nearer than 0.5
    stopped = simulate(system, state, torch.linspace(0, 20, 41), events=[Collision(0.3), CloseApproach()])
    assert stopped.status.values == Status.EVENT
    assert stopped.sizes["event"] == 1
    # Kepler's equation: r = 1 - e cos E = 0.6, t = E - e sin E, from the aphelion pi later.
    anomaly = math.acos(0.8)
    time = math.pi - (anomaly - 0.5 * math.sin(anomaly))
    assert float(stopped.event_time[0, 0]) == pytest.approx(time, abs=1e-13)
    assert bool((stopped.q.notnull().all(("body", "space"))[0] == (stopped.time <= time)).all())


@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
def test_both_crossings_within_one_long_step_are_found(dtype):
    """sin t reaches beyond 1 - 1e-5 for 0.009 only; beyond 1 it does not reach, and says so by no event."""
    system, state = oscillators(1.0, dtype=dtype)
    level = 1 - 1e-5
    expected = math.asin(level)
    for method in (None, Leapfrog(step=1e-1)):
        found = watch(system, state, torch.tensor([0.0, 4.0], dtype=dtype), [Plane([1.0], level)], method).events
        assert len(found.time) == 2
        if method is None:
            blur = 1e4 * torch.finfo(dtype).eps
            assert found.time.tolist() == pytest.approx([expected, math.pi - expected], abs=blur)
    assert len(watch(system, state, torch.tensor([0.0, 4.0], dtype=dtype), [Plane([1.0], 1.001)]).events.time) == 0


def test_a_tangent_section_is_said():
    system, state = oscillators(1.0)
    with pytest.warns(UserWarning, match="only touches its zero"):
        dataset = simulate(system, state, [0.0, 3.0], events=[Plane([1.0], 1.0)])
    assert float(dataset.event_time[0, 0]) == pytest.approx(math.pi / 2, abs=1e-7)


def test_an_event_that_never_happens_is_said():
    system, state = oscillators(1.0, 2.0)
    with pytest.warns(UserWarning, match="plane happens to no trajectory"):
        dataset = simulate(system, state, [0.0, 3.0], events=[Plane([1.0], 5.0)])
    assert dataset.event_time.isnull().all()
    assert (dataset.event_kind == -1).all()


def test_two_events_at_one_time_are_both_kept_and_said():
    system, state = oscillators(1.0)
    events = [Plane([1.0], name="first"), Crossing(lambda z: 3 * z.q[..., 0, 0], name="second")]
    with pytest.warns(UserWarning, match="several events happen at one time to 1 of 1"):
        dataset = simulate(system, state, [0.0, 4.0], events=events)
    assert dataset.event_kind.values.tolist() == [[0, 1]]
    assert dataset.event_kind.attrs["flag_meanings"] == "first second"


@pytest.mark.parametrize("bound", [Collision(1.0), Escape(1.5), Collision(1.0, terminal=False)])
def test_a_start_beyond_a_bound_is_said(bound):
    """Two bodies that start inside of each other were never told to collide."""
    system, state = HarmonicTrap(1.0, mass=[1.0, 1.0]), PhaseSpace.of([[-1.0, 0], [1, 0]], [[0.0, 1], [0, -1]])
    within = PhaseSpace(*(torch.stack([x, x / (2 if isinstance(bound, Collision) else 0.5)]) for x in state))
    with pytest.warns(UserWarning, match=f"1 of 2 trajectories start beyond {bound.name}"):
        simulate(system, within, [0.0, 0.1], events=[bound])
    with warnings.catch_warnings():
        warnings.simplefilter("error")  # at the bound itself, but for rounding, a trajectory is not beyond it
        touching = Collision(1.0 + 1e-16) if isinstance(bound, Collision) else Escape(1.0 - 1e-16)
        simulate(system, state, [0.0, 0.1], events=[touching])


def test_events_of_femtoseconds_are_told_apart():
    system, state = HarmonicTrap(1.0, mass=[1.0]), PhaseSpace.of([[1.0]], [[0.0]])
    fast = HarmonicTrap(1e28, mass=[1.0])
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        slow, quick = (
            simulate(s, state, [0.0, end], events=[Plane([1.0])]) for s, end in ((system, 9.0), (fast, 9e-14))
        )
    np.testing.assert_allclose(quick.event_time * 1e14, slow.event_time, rtol=1e-12)


def test_a_start_at_a_zero_is_no_event():
    system, state = HenonHeiles.sample(3, seed=0)
    on = simulate(system, state, [0.0, 12.0], events=[SECTION])
    again = PhaseSpace(*(torch.tensor(on[name].values[:, 0]) for name in ("event_q", "event_p")))
    later = simulate(system, again, [0.0, 8.0], events=[SECTION])
    gap = on.event_time.values[:, 1] - on.event_time.values[:, 0]
    assert np.allclose(later.event_time.values[:, 0], gap, rtol=0, atol=1e-11)


def test_a_trajectory_that_ends_early_has_the_events_before_that():
    system = Gravity(mass=[1.0, 1.0, 1e-9], gravitational_constant=1.0)
    state = PhaseSpace.of([[-0.5, 0], [0.5, 0], [50, 0]], v=[[0, 0], [0, 0], [0, 0]], mass=[1.0, 1.0, 1e-9])
    with pytest.warns(UserWarning, match="ended early"):
        dataset = simulate(system, state, torch.linspace(0, 2, 5), events=[Plane([1.0, 0.0], -0.25, body=0)])
    assert dataset.status.values == Status.SINGULAR
    assert dataset.event_time.notnull().sum() == 1


def test_an_escape_ends_only_its_trajectory():
    system = Gravity(mass=[1.0, 0.0], gravitational_constant=1.0)
    v = torch.tensor([[[0.0, 0.0], [0.0, 1.0]], [[0.0, 0.0], [0.0, 2.0]]], dtype=torch.float64)
    state = PhaseSpace(torch.tensor([[0.0, 0.0], [1.0, 0.0]], dtype=torch.float64).expand(2, 2, 2), v)
    dataset = simulate(system, state, torch.linspace(0, 10, 11), events=[Escape(4.0)])
    assert dataset.status.values.tolist() == [Status.OK, Status.EVENT]
    drift = dataset.dynamics.drift("energy")
    assert float(drift.max()) < 1e-12  # nothing is missing after the event
    alone = simulate(system, PhaseSpace(*(x[1:] for x in state)), torch.linspace(0, 10, 11), events=[Escape(4.0)])
    assert alone.event_time.equals(dataset.event_time.isel(trajectory=[1]))


def test_recording_does_not_change_the_trajectory():
    system, state = HenonHeiles.sample(2, seed=0)
    times = torch.linspace(0, 5, 6)
    for method in (None, Leapfrog(step=0.05)):
        plain, watched = (simulate(system, state, times, method, events=e) for e in ([], [SECTION]))
        assert float(abs(plain.q - watched.q).max()) < 1e-13
    springs = Springs.sample(2, seed=0)
    plain, watched = (simulate(*springs, times, events=e) for e in ([], [Plane([1.0, 0.0])]))
    assert np.array_equal(plain.q, watched.q)


@pytest.mark.parametrize("method", [Leapfrog(step=0.05), AdaptiveGauss()])
def test_steps_in_machine_code_have_the_same_events(method):
    system, state = HenonHeiles.sample(2, seed=0)
    eager, native = (simulate(system, state, [0.0, 10.0], method, compile=c, events=[SECTION]) for c in ("off", "on"))
    assert np.allclose(eager.event_time, native.event_time, rtol=0, atol=1e-11, equal_nan=True)
    assert native.event_time.notnull().any()


def test_bodies_that_do_not_exist_meet_nobody():
    """Two that pass the origin, where a missing third would be."""
    q = torch.tensor([[[-1.0, 0.0], [-1.0, 0.5], [torch.nan, torch.nan]]]).double()
    p = torch.tensor([[[1.0, 0.0], [1.0, 0.0], [torch.nan, torch.nan]]]).double()
    state = PhaseSpace(q, p)
    system = Springs(mass=torch.ones(1, 3).double(), spring_constant=torch.zeros(3, 3).double(), mask=state.mask)
    dataset = simulate(
        system, state, [0.0, 3.0], events=[Plane([1.0, 0.0]), CloseApproach(name="near"), Collision(0.2)]
    )
    assert dataset.status.values == Status.OK
    assert dataset.event_part.values[0].tolist() == [0, 1]
    assert dataset.event_body.values[0].tolist() == [0, 1]
    assert (dataset.event_kind.values == 0).all()


def test_events_know_their_bodies_after_a_selection():
    """Three on a line, of which the last two meet; the middle one alone is watched at the plane."""
    system = Springs(mass=1.0, spring_constant=torch.zeros(3, 3).double())
    state = PhaseSpace.of([[[-2.0, 3.0], [-1.0, 0.0], [3.0, 0.0]]], [[[0.0, 0.0], [1.0, 0.0], [-1.0, 0.0]]])
    events = [Plane([1.0, 0.0], body=1), Collision(0.1), Plane([0.0, 1.0], 2.0, name="none")]
    with pytest.warns(UserWarning, match="none happens to no trajectory"):
        dataset = simulate(system, state, [0.0, 3.0], events=events)
    ends = [dataset[name].values[0].tolist() for name in EVENT_BODIES]
    assert ends == [[1, 1], [-1, 2]]
    turned = dataset.isel(body=[2, 1])
    assert [aligned(turned)[name].values[0].tolist() for name in EVENT_BODIES] == [[1, 1], [-1, 0]]
    assert aligned(dataset.isel(body=[0]))["event_body"].values[0].tolist() == [-1, -1]


def test_a_time_of_each_trajectory_and_files_in_parts(tmp_path, monkeypatch):
    monkeypatch.setattr("systems.work.BLOCK_TRAJECTORIES", 2)
    system, state = HenonHeiles.sample(5, seed=2)
    times = torch.stack([torch.linspace(0, 3 * (k + 1), 2).double() for k in range(5)], 1)
    whole = simulate(system, state, times, events=[SECTION])
    stored = simulate(system, state, times, path=tmp_path / "events.nc", part_size=2, events=[SECTION])
    for name in ("event_time", "event_kind", "event_part", "event_body", "event_q", "event_p"):
        assert stored[name].load().equals(whole[name]), name
    assert not bool((whole.event_time.max("event") > 3 * (np.arange(5) + 1)).any())
    assert (whole.event_time.notnull().sum("event") > 0).values.tolist() == [False, True, True, True, True]
    with pytest.raises(ValueError, match="different events"):
        simulate(system, state, times, path=tmp_path / "events.nc", events=[Plane([0.0, 1.0])])


@pytest.mark.parametrize(
    ("make", "message"),
    [
        (lambda: Plane([1.0]), "normal: expected 2 numbers"),
        (lambda: Plane([0.0, 0.0]), "normal: expected finite numbers"),
        (lambda: Plane([1.0, 0.0], math.nan), "offset: expected a finite number"),
        (lambda: Plane([1.0, 0.0], body=3), "body: expected an index below 1"),
        (lambda: Plane([1.0, 0.0], direction=2), "direction: expected -1, 0 or 1"),
        (lambda: Crossing(lambda state: state.q), "events: expected crossing to have values of shape"),
        (lambda: Crossing(lambda z: z.q[..., 0, 0] > 1), "events: expected crossing to .*(numbers|values of)"),
        (
            lambda: Crossing(lambda z: torch.tensor(np.sin(z.q.numpy()[..., 0, 0]))),
            "events: expected crossing .* torch",
        ),
        (lambda: Crossing(lambda z: z.velocity), "events: expected crossing .* got the error: .*velocity"),
        (lambda: Collision(1.0), "two bodies or more for collision"),
        (lambda: Collision(0.0), "radius: expected a positive number"),
        (lambda: CloseApproach(-1.0), "within: expected a positive number"),
        (lambda: Escape(-1.0), "distance: expected a positive number"),
    ],
)
def test_what_does_not_fit_is_named(make, message):
    system, state = HenonHeiles.sample(1, seed=0)
    with pytest.raises(ValueError, match=message):
        simulate(system, state, [0.0, 1.0], events=[make()])


def test_events_need_a_way_and_torchdiffeq_a_step():
    system, state = HenonHeiles.sample(1, seed=0)
    with pytest.raises(ValueError, match="times: expected two times or more"):
        simulate(system, state, [0.0], events=[SECTION])
    with pytest.raises(ValueError, match="step: expected a longest step"):
        simulate(system, state, [0.0, 1.0], Torchdiffeq(), events=[SECTION])
