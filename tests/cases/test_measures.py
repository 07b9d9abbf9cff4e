"""What diagnostics say of runs that end early, of gaps, from rest, from zero energy, in any units and anywhere."""

import warnings

import matplotlib.pyplot as plt
import numpy as np
import pytest
import torch

import hlieconv  # noqa: F401  (registers .dynamics)
from hlieconv.plots import plot_charges
from systems import Gravity, Pendulum, PhaseSpace, Springs, from_arrays, simulate
from systems.integrators import RK4, Leapfrog
from systems.registry import SYSTEMS, system_class

D = torch.float64
DRIFTS = ("energy", "P_x", "L_z")


def run(name, *, count=3, points=21, integrator=None, end=4.0):
    system, state = system_class(name).sample(count, seed=0)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", UserWarning)
        return simulate(system, state, torch.linspace(0, end, points, dtype=D), integrator)


@pytest.mark.parametrize("name", SYSTEMS)
def test_what_has_ended_is_not_conserved_and_not_valid(name):
    truth = run(name)
    broken = truth.copy(deep=True)
    for variable in ("q", "p", "energy"):
        broken[variable] = truth[variable].where((truth.time < 1.1) | (truth.trajectory > 0))
    whole, found = truth.dynamics.summary(truth), broken.dynamics.summary(truth)
    assert (whole["ended"], found["ended"]) == (0, 1)
    assert whole["valid_time"] == np.inf
    assert broken.dynamics.valid_time(truth).values.tolist() == pytest.approx([1.2, np.inf, np.inf])
    assert broken.dynamics.error(truth).values[0, -1] == 1
    for quantity in ("energy", "momentum", "angular_momentum"):
        if quantity == "angular_momentum" and truth.sizes["space"] == 1:
            continue
        if quantity == "energy" or truth.attrs["coordinate_system"] == "cartesian":
            drift = broken.dynamics.drift(quantity)
            assert np.isinf(drift.values[0, -1]).all()
            assert np.isfinite(drift.values[1:]).all()
            assert not np.isnan(drift.values).any()


def test_a_gap_of_measured_data_is_a_gap():
    truth = run("springs")
    q, p = truth.q.values.copy(), truth.p.values.copy()
    q[0, 5:7, 2], p[0, 5:7, 2] = np.nan, np.nan
    measured = from_arrays(q, p, times=truth.time.values, mass=truth.mass.values)
    found = measured.dynamics.summary(truth)
    assert (found["ended"], found["gaps"]) == (0, 2)
    assert found["valid_time"] == np.inf
    assert found["P_x"] < 1e-12
    assert np.isnan(measured.dynamics.drift("momentum").values[0, 5:7]).all()


def test_a_body_that_is_not_seen_at_first_leaves_a_drift_from_when_it_is():
    """All drifts of such a trajectory were not numbers: its whole motion was lost to a gap in its first state."""
    truth = run("springs")
    q, p = truth.q.values.copy(), truth.p.values.copy()
    q[:, :2, 1], p[:, :2, 1] = np.nan, np.nan
    p[:, -1] *= 2
    measured = from_arrays(q, p, times=truth.time.values, mass=truth.mass.values)
    late = measured.isel(time=slice(2, None))
    for quantity in ("momentum", "angular_momentum"):
        found, expected = (x.dynamics.drift(quantity).values for x in (measured, late))
        assert np.isnan(found[:, :2]).all()
        np.testing.assert_allclose(found[:, 2:], expected, rtol=1e-12)  # the mean of other sums
        assert (found[:, -1] > 1e-3).any()
    numbers, others = measured.dynamics.summary(), late.dynamics.summary()
    assert numbers["gaps"] == 2 * len(q)
    assert [numbers[x] for x in DRIFTS[1:]] == pytest.approx([others[x] for x in DRIFTS[1:]], rel=1e-12)
    behind = plot_charges(measured.chunk(trajectory=1), "T2").lines[0].get_ydata()
    np.testing.assert_array_equal(behind, [np.nan, np.nan, *plot_charges(late, "T2").lines[0].get_ydata()])
    plt.close("all")


def test_a_pendulum_let_go_at_the_horizontal_has_zero_energy_and_no_drift():
    system = Pendulum(mass=torch.ones(1, dtype=D), length=1.0, gravity=9.81)
    state = PhaseSpace(torch.full((1, 1), torch.pi / 2, dtype=D), torch.zeros(1, 1, dtype=D))
    times = torch.linspace(0, 10, 11, dtype=D)
    assert float(simulate(system, state, times).dynamics.drift("energy").max()) < 1e-13
    rough = simulate(system, state, times, RK4(step=0.05))
    assert 1e-6 < float(rough.dynamics.drift("energy").max()) < 1  # a share, not 1e15


def test_from_rest_and_near_zero_momentum_the_drift_is_a_share():
    system, state = Springs.sample(3, seed=0, centre_of_mass=True)
    found = simulate(system, PhaseSpace(state.q, 0 * state.p), torch.linspace(0, 5, 21, dtype=D))
    for quantity in ("energy", "momentum", "angular_momentum"):
        assert float(found.dynamics.drift(quantity).max()) < 1e-12
    kicked = found.assign(p=found.p + 0.1 * (found.time > 2))
    assert 1e-3 < float(kicked.dynamics.drift("momentum").max()) < 1


def test_all_at_rest_for_ever_does_not_drift():
    system = Springs(mass=torch.ones(2, dtype=D), spring_constant=torch.ones(2, 2, dtype=D), rest_length=1.0)
    state = PhaseSpace(torch.tensor([[0.0, 0], [1, 0]], dtype=D), torch.zeros(2, 2, dtype=D))
    found = simulate(system, state, torch.linspace(0, 1, 3, dtype=D))
    for quantity in ("energy", "momentum", "angular_momentum"):
        assert float(found.dynamics.drift(quantity).max()) == 0


def turned(dataset, angle=0.5):
    """A wrong prediction: positions and momenta turned by an angle that grows."""
    c, s = np.cos(angle * dataset.time), np.sin(angle * dataset.time)
    return dataset.assign(
        {
            x: (dataset[x] * c - dataset[x].roll(space=1) * s * np.array([1, -1])).transpose(*dataset[x].dims)
            for x in "qp"
        }
    )


@pytest.mark.parametrize(("length", "momentum"), [(1.5e11, 6e34), (1e-10, 1e-24), (1.0, 1e6)])
def test_errors_and_drifts_do_not_depend_on_units(length, momentum):
    truth = run("gravity", integrator=Leapfrog(step=0.01))
    wrong = turned(truth)
    for dataset in (truth, wrong):
        dataset["energy"] = dataset.energy * 1.0
    mass, energy = momentum, momentum  # with a unit of velocity of 1, masses and energies have that of the momentum
    a, b = (
        x.assign(q=x.q * length, p=x.p * momentum, mass=x.mass * mass, energy=x.energy * energy) for x in (wrong, truth)
    )
    np.testing.assert_allclose(a.dynamics.error(b), wrong.dynamics.error(truth), rtol=1e-9)
    np.testing.assert_array_equal(a.dynamics.valid_time(b), wrong.dynamics.valid_time(truth))
    for quantity in ("energy", "momentum", "angular_momentum"):
        np.testing.assert_allclose(a.dynamics.drift(quantity), wrong.dynamics.drift(quantity), rtol=1e-9, atol=1e-14)


def test_errors_do_not_depend_on_the_origin():
    truth = run("gravity")
    wrong = turned(truth)
    far, there = (x.assign(q=x.q + 1e6) for x in (wrong, truth))
    np.testing.assert_allclose(far.dynamics.error(there), wrong.dynamics.error(truth), atol=1e-8)


def test_valid_time_is_a_duration_backward_too():
    system, state = Gravity.sample(3, seed=0)
    forward, back = (simulate(system, state, torch.linspace(2, 2 + end, 21, dtype=D)) for end in (4.0, -4.0))
    for truth in (forward, back):
        wrong = truth.assign(q=truth.q.where(abs(truth.time - 2) < 1.1, 5.0))
        np.testing.assert_allclose(wrong.dynamics.valid_time(truth), 1.2, rtol=1e-12)
