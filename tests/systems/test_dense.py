"""Dense output: between the output times a solution is as accurate as at them, with every integrator."""

import math
from pkgutil import resolve_name

import numpy as np
import pytest
import torch

import hlieconv  # noqa: F401
from systems import AbstractNewtonian, HenonHeiles, PhaseSpace, Springs, at, simulate, solver_of
from systems.integrators import INTEGRATORS, Leapfrog, Torchdiffeq

#: Methods for bodies that nothing constrains.
FITTING = [name for name in INTEGRATORS if issubclass(AbstractNewtonian, resolve_name(INTEGRATORS[name]).requires)]


class Turning(AbstractNewtonian):
    """q = sin t."""

    def potential(self, q):
        return 0.5 * q.square().sum((-2, -1))


@pytest.mark.parametrize("name", FITTING)
def test_it_is_of_the_order_of_the_method(name):
    system = Turning(mass=torch.ones(1, dtype=torch.float64))
    state = PhaseSpace(torch.zeros(2, 1, 1).double(), torch.ones(2, 1, 1).double())
    kind, errors = resolve_name(INTEGRATORS[name]), []
    between = [0.13, 2.9, 1.0, 0.57, 3.0, 0.0]
    for step in (0.2, 0.1):
        method = kind(rtol=1e-9) if kind is Torchdiffeq else kind(step=step)
        dataset = simulate(system, state, [0.0, 1.0, 2.0, 3.0], method)
        found = at(dataset, between, field=system)
        errors.append(float(abs(found.q[..., 0, 0] - np.sin(between)).max()))
        assert type(solver_of(dataset)) is kind
        assert found.q.isel(time=2).equals(dataset.q.isel(time=1))
    if method.has_fixed_steps:
        assert errors[1] < errors[0] * 2.0 ** (0.9 - method.order) + 1e-12
    else:
        assert errors[1] < 1e-8


def test_closed_forms_backward_and_times_of_each_trajectory():
    system, state = Springs.sample(3, seed=0)
    dataset = simulate(system, state, torch.linspace(5, 0, 4))
    wanted = torch.tensor([[4.0, 3.0, 2.0], [1.0, 1.5, 0.0]]).double()
    found = dataset.dynamics.at(wanted)
    for k in range(3):
        times = [5.0, *wanted[:, k].tolist()]
        one = simulate(system.select(slice(k, k + 1)), PhaseSpace(*(x[k : k + 1] for x in state)), times)
        assert np.allclose(found.q[k], one.q[0, 1:], rtol=0, atol=1e-12)
    assert found.trajectory_time.dims == ("trajectory", "time")
    assert found.mass.equals(dataset.mass)
    assert np.allclose(found.energy, dataset.energy.isel(time=[0]), rtol=1e-12)


def test_dates():
    dates = np.array(["2024-01-01T00:00:00", "2024-01-01T00:00:08"], "datetime64[s]")
    system, state = HenonHeiles.sample(1, seed=0)
    dataset = simulate(system, state, dates)
    found = at(dataset, dates[:1] + np.timedelta64(3, "s"))
    assert found.q.equals(at(dataset, [3.0]).q)
    assert found.time.attrs["origin"] == dataset.time.attrs["origin"]


def test_after_its_end_a_trajectory_is_not_a_number():
    q = torch.tensor([[[0.0, 0.1]], [[0.0, 3.0]]]).double()  # the second escapes, and diverges
    system = HenonHeiles(mass=torch.ones(1).double())
    with pytest.warns(UserWarning, match="ended early"):
        dataset = simulate(system, PhaseSpace(q, torch.zeros_like(q)), torch.linspace(0, 20, 21))
    assert at(dataset, [0.5, 19.5]).q.isnull().any(("body", "space")).values.tolist() == [[False, False], [False, True]]


@pytest.mark.parametrize(
    ("times", "message"),
    [([0.5, 1.5], "times: expected times from 0 to 1, got 1.5"), ([[0.1], [0.2]], r"times: expected shape \(time,\)")],
)
def test_what_does_not_fit_is_named(times, message):
    dataset = simulate(*HenonHeiles.sample(2, seed=0), [0.0, 1.0], Leapfrog(step=0.1))
    with pytest.raises(ValueError, match=message):
        at(dataset, times)
    with pytest.raises(ValueError, match="integrator: expected one that the Dataset names"):
        at(dataset.assign_attrs(integrator="mine"), [0.5])
    with pytest.raises(ValueError, match="numbers, since the times of the Dataset are no dates"):
        at(dataset, np.array(["2024-01-01"], "datetime64[D]"))
    assert math.isclose(float(at(dataset, [0.5]).time[0]), 0.5)
