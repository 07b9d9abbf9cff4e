"""Solutions that end early, jump, or begin elsewhere: what simulate says and keeps."""

import pkgutil
import warnings

import mpmath as mp
import numpy as np
import pytest
import torch
from scipy.integrate import solve_ivp

from systems import AbstractVectorField, Gravity, HarmonicTrap, PhaseSpace, Springs, UniformField, simulate
from systems.constrained import AbstractConstrained
from systems.integrators import RK4, AdaptiveGauss, Gauss4, ImplicitMidpoint, Leapfrog, Torchdiffeq
from systems.integrators.registry import INTEGRATORS
from systems.registry import SYSTEMS, system_class
from systems.status import Status

D = torch.float64


def line(first, last, count):
    return torch.linspace(first, last, count, dtype=D)


def column(*values):
    return torch.tensor(values, dtype=D)[:, None]


class Runaway(AbstractVectorField):
    """dq/dt = q^2 reaches infinity at t = 1 / q(0)."""

    def forward(self, t, state):
        return PhaseSpace(state.q.square(), torch.zeros_like(state.p))


class Driven(AbstractVectorField):
    """A driven oscillator, as anybody would write it."""

    def forward(self, t, state):
        return PhaseSpace(state.p, torch.cos(2 * t) - state.q)


@pytest.mark.parametrize("method", [None, AdaptiveGauss(), Gauss4(step=0.01), RK4(step=0.01)])
def test_what_is_right_is_kept_what_is_not_is_nan_and_one_warning_counts(method):
    start = torch.tensor([0.1, 1.0, 0.2, 2.0], dtype=D)[:, None, None]
    state = PhaseSpace(start, torch.zeros_like(start))
    times = line(0, 2, 21)
    with pytest.warns(UserWarning, match=r"2 of 4 trajectories ended early") as told:
        found = simulate(Runaway(), state, times, method)
    assert sum("ended early" in str(warning.message) for warning in told) == 1
    exact = start[:, 0] / (1 - start[:, 0] * times)
    for k, end in enumerate((np.inf, 1.0, np.inf, 0.5)):
        good = times.numpy() < end - 0.15
        np.testing.assert_allclose(found.q.values[k, good, 0, 0], exact[k, good], rtol=1e-6)
        assert np.isnan(found.q.values[k, times.numpy() > end + 0.15]).all()
        last = found.last_time.values[k]
        assert last == times[-1] if end == np.inf else last < end + 0.15
    assert (found.status.values != Status.OK).tolist() == [False, True, False, True]
    with pytest.raises(ValueError, match="strict: 2 of 4"):
        simulate(Runaway(), state, times, method, strict=True)


def test_status_survives_a_file(tmp_path):
    start = torch.tensor([0.1, 2.0], dtype=D)[:, None, None]
    for suffix in (".nc", ".zarr"):
        with pytest.warns(UserWarning, match="ended early"):
            found = simulate(Runaway(), PhaseSpace(start, 0 * start), line(0, 1, 11), path=tmp_path / f"found{suffix}")
        assert found.status.values.tolist() == [0, Status.SINGULAR]
        assert found.status.attrs["flag_meanings"].split()[Status.SINGULAR] == "singular"
        assert list(found.status.attrs["flag_values"]) == list(Status)


def test_an_unstable_step_is_told():
    system, state = Springs.sample(4, seed=0)
    with pytest.warns(UserWarning, match="4 of 4 trajectories ended early .diverged"):
        found = simulate(system, state, line(0, 2000, 3), Leapfrog(step=1.0))
    assert (found.status.values == Status.DIVERGED).all()


def test_a_budget_of_steps_ends_a_hopeless_run():
    system, state = Gravity.sample(2, seed=0, bodies=3)
    with pytest.warns(UserWarning, match="out_of_steps"):
        found = simulate(system, state, line(0, 50, 3), AdaptiveGauss(max_steps=20))
    assert (found.status.values == Status.OUT_OF_STEPS).all()
    assert (found.last_time.values == 0).all()


def test_implicit_steps_that_do_not_converge_are_told():
    system, state = Springs.sample(3, seed=0)
    with pytest.warns(UserWarning, match="unsolved"):
        found = simulate(system, state, line(0, 10, 3), ImplicitMidpoint(step=5.0))
    assert (found.status.values == Status.UNSOLVED).all()


@pytest.mark.parametrize("method", [None, Leapfrog(step=0.01), RK4(step=0.01)])
def test_bodies_at_one_place_are_told(method):
    system = Gravity(mass=torch.ones(3, dtype=D), gravitational_constant=1.0, softening=0.0)
    apart = torch.tensor([[0.0, 0], [0, 1], [1, 0]], dtype=D)
    together = torch.tensor([[0.0, 0], [0, 0], [1, 0]], dtype=D)
    state = PhaseSpace(torch.stack([apart, together]), torch.zeros(2, 3, 2, dtype=D))
    with pytest.warns(UserWarning, match=r"1 of 2 trajectories ended early .singular"):
        found = simulate(system, state, line(0, 0.2, 3), method)
    assert found.status.values.tolist() == [Status.OK, Status.SINGULAR]
    assert np.isfinite(found.q.values[0]).all()
    assert np.isnan(found.q.values[1, 1:]).all()


@pytest.mark.parametrize("name", SYSTEMS)
def test_the_paved_road_has_no_warning(name):
    system, state = system_class(name).sample(3, seed=0)
    with warnings.catch_warnings():
        warnings.simplefilter("error", UserWarning)
        found = simulate(system, state, line(0, 1, 5))
    assert (found.status.values == Status.OK).all()
    assert (found.last_time.values == 1).all()


@pytest.mark.parametrize("method", [Leapfrog(), RK4(), Gauss4(), Torchdiffeq(method="rk4")])
def test_no_step_is_an_estimate_and_a_warning(method):
    system, state = Gravity.sample(1, seed=0, bodies=3)
    with pytest.warns(UserWarning, match="no step is given"):
        simulate(system, state, line(0, 10, 3), method)
    with warnings.catch_warnings():
        warnings.simplefilter("error", UserWarning)
        simulate(system, state, line(0, 0.002, 3), method)


@pytest.mark.parametrize("method", [None, RK4(step=1e-3), Gauss4(step=0.01), Torchdiffeq(rtol=1e-10)])
@pytest.mark.parametrize("own_times", [False, True])
def test_time_reaches_the_field_as_it_should(method, own_times):
    if own_times and isinstance(method, Torchdiffeq):
        pytest.skip("torchdiffeq has one time for a whole batch")
    starts = torch.tensor([3.0, 4.5], dtype=D)
    times = line(0, 5, 6)[:, None] + starts if own_times else line(3, 8, 6)
    state = PhaseSpace(torch.ones(2, 1, 1, dtype=D), torch.zeros(2, 1, 1, dtype=D))
    found = simulate(Driven(), state, times, method).q.values[..., 0, 0]
    for k in range(2):
        t = times.numpy()[:, k] if own_times else times.numpy()
        exact = solve_ivp(
            lambda t, y: [y[1], np.cos(2 * t) - y[0]], (t[0], t[-1]), [1, 0], "DOP853", t, rtol=1e-12, atol=1e-12
        )
        np.testing.assert_allclose(found[k], exact.y[0], atol=1e-8)


@pytest.mark.parametrize("name", SYSTEMS)
@pytest.mark.parametrize(("dtype", "start"), [(torch.float64, 1e9), (torch.float32, 1e6)])
def test_autonomous_systems_know_no_origin_of_time(name, dtype, start):
    system, state = system_class(name).sample(2, seed=0, dtype=dtype)
    early, late = (simulate(system, state, t0 + line(0, 1, 5)) for t0 in (0.0, start))
    # Only the differences of the late times are rounded, to a unit in the last place of the start.
    np.testing.assert_allclose(late.q, early.q, rtol=0, atol=1e-5 + 100 * start * 2.0**-52)


def test_a_trajectory_may_be_shorter_than_others_and_one_time_is_enough():
    system, state = Springs.sample(3, seed=0, rest_length=0.3)
    times = line(0, 1, 5)[:, None].repeat(1, 3)
    times[3:, 1] = torch.nan
    whole, found = simulate(system, state, line(0, 1, 5)), simulate(system, state, times)
    np.testing.assert_allclose(found.q.values[:, :3], whole.q.values[:, :3], atol=1e-13)
    assert np.isnan(found.q.values[1, 3:]).all()
    assert np.isfinite(found.q.values[[0, 2]]).all()
    assert found.status.values.tolist() == [0, 0, 0]
    assert found.last_time.values.tolist() == [1, 0.5, 1]
    single = simulate(system, state, [2.5])
    np.testing.assert_array_equal(single.q.values[:, 0], state.q)


def chain_truth(times):
    """Three bodies on a line, by scipy from crossing to crossing, between which the equations are linear."""
    mass, length = np.array([1.0, 1, 2]), 0.5

    def rate(_, y, signs):
        force = np.zeros(3)
        for (i, j), sign in zip(((0, 1), (1, 2)), signs, strict=True):
            pull = sign * length - (y[i] - y[j])
            force[i] += pull
            force[j] -= pull
        return np.concatenate([y[3:] / mass, force])

    y, now, found = np.array([0, 0.6, 1.3, 2, -2, 0]), 0.0, []
    signs = [np.sign(y[0] - y[1]), np.sign(y[1] - y[2])]
    crossings = 0
    while len(found) < len(times):
        meets = [lambda t, y, s, i=i: y[i] - y[i + 1] for i in (0, 1)]
        part = solve_ivp(
            rate, (now, 10), y, "DOP853", args=(tuple(signs),), rtol=1e-13, atol=1e-14, events=meets, dense_output=True
        )
        met = [(t, i) for i in (0, 1) for t in part.t_events[i] if t > now + 1e-9]
        until, which = min(met) if met else (10.0, None)
        found += [part.sol(t)[:3] for t in times[len(found) :] if t <= until + 1e-12]
        y, now = part.sol(until), until
        if which is not None:
            signs[which] *= -1
            crossings += 1
    return np.array(found), crossings


def test_springs_on_a_line_step_to_where_their_force_jumps():
    times = line(0, 10, 11)
    exact, crossings = chain_truth(times.numpy())
    assert crossings > 5
    constants = torch.tensor([[0.0, 1, 0], [1, 0, 1], [0, 1, 0]], dtype=D)
    system = Springs(mass=torch.tensor([1.0, 1, 2], dtype=D), spring_constant=constants, rest_length=0.5)
    state = PhaseSpace(column(0.0, 0.6, 1.3), column(2.0, -2, 0))
    found = simulate(system, state, times)
    assert np.abs(found.q.values[0, :, :, 0] - exact).max() < 1e-10
    assert np.abs(found.energy.values - found.energy.values[0, 0]).max() < 1e-11
    backward = simulate(system, PhaseSpace(*(torch.tensor(found[x].values[0, -1]) for x in "qp")), times.flip(0))
    assert np.abs(backward.q.values[0, -1, :, 0] - exact[0]).max() < 1e-9


@pytest.mark.parametrize("name", INTEGRATORS)
def test_an_integrator_may_be_named(name):
    system, state = Springs.sample(2, seed=0)
    if issubclass(pkgutil.resolve_name(INTEGRATORS[name]).requires, AbstractConstrained):
        pytest.skip("springs have no constraint")
    times = line(0, 0.05, 26)
    found = simulate(system, state, times, name)
    made = simulate(system, state, times, pkgutil.resolve_name(INTEGRATORS[name])())
    np.testing.assert_array_equal(found.q, made.q)
    assert found.attrs["integrator"] == name
    with pytest.raises(ValueError, match=r"integrator: expected one of .*leapfrog, .*, got 'leap'"):
        simulate(system, state, times, "leap")


CLOCKS = {
    "springs": (
        Springs(mass=[1.0, 1.0], spring_constant=[[0.0, 0.5], [0.5, 0.0]]),
        [[1.0, 0], [-1, 0]],
        [[0, 0], [0, 0]],
    ),
    "kepler": (Gravity(mass=[1.0, 0], units="N-body"), [[0.0, 0], [1, 0]], [[0, 0], [0, 1]]),
    "trap": (HarmonicTrap(1.0, mass=[1.0]), [[1.0, 0]], [[0, 0]]),
}


@pytest.mark.parametrize("time", [1e3, -1e6, 1e12, -1e17])
@pytest.mark.parametrize("name", CLOCKS)
def test_lost_phases_are_said(name, time):
    """After 1e17 periods of a spring nobody knows where its bodies are, and their energy does not show it."""
    field, q, p = CLOCKS[name]
    body = 1 if name == "kepler" else 0
    with mp.workdps(60):
        truth = float(mp.cos(mp.mpf(time)))
    with warnings.catch_warnings(record=True) as told:
        warnings.simplefilter("always")
        found = float(simulate(field, (q, p), [0.0, time]).q[0, -1, body, 0])
    said = any("so many periods" in str(warning.message) for warning in told)
    assert said == (abs(time) > 1e10)
    assert said or abs(found - truth) < 1e-6


def test_motion_without_phases_is_good_for_ever():
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        fall = simulate(UniformField([2.0], mass=[1.0]), ([[0.0]], [[1.0]]), [0.0, 1e12])
        rest = simulate(HarmonicTrap(1.0, mass=[1.0]), ([[0.0]], [[0.0]]), [0.0, 1e17])
    np.testing.assert_allclose(fall.q[0, -1, 0, 0], 1e12 + 1e24, rtol=1e-14)
    assert (rest.q == 0).all()
