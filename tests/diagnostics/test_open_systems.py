"""The account of an open system's energy, and what diagnostics say is no longer kept."""

import itertools
import math
import warnings

import pytest
import torch

import hlieconv.diagnostics
from hlieconv.diagnostics import energy_balance
from systems import (
    Dashpots,
    Drive,
    HarmonicTrap,
    LinearDamping,
    MagneticField,
    PhaseSpace,
    QuadraticDamping,
    SinusoidalDrive,
    Springs,
    simulate,
)
from systems.integrators import RK4, Gauss4, Gauss6, Leapfrog

D = torch.float64


def open_system():
    system, state = Springs.sample(3, seed=0, bodies=3)
    total = system + HarmonicTrap(1.0) + LinearDamping([0.1, 0.2, 0.3]) + QuadraticDamping(0.2)
    return total + SinusoidalDrive([1.0, -0.5], [2.0, 3.0, 4.0], phase=0.3), state


@pytest.fixture(scope="module")
def accounts():
    system, state = open_system()
    times = (torch.linspace(5, 6, n + 1, dtype=D) for n in (20, 40, 80))
    return [energy_balance(simulate(system, state, t, Gauss6(step=0.05))) for t in times]


def test_the_rate_is_the_power_to_round_off(accounts):
    for account in accounts:
        size = abs(account.power).sum("force").max()
        assert abs(account.rate_gap).max() < 100 * torch.finfo(D).eps * size
        assert abs(account.rate).max() > 0.1 * size


def test_the_account_closes_to_the_fourth_order(accounts):
    gaps = [float(abs(account.gap).max()) for account in accounts]
    assert all(3.5 < math.log2(a / b) < 4.5 for a, b in itertools.pairwise(gaps)), gaps
    assert gaps[-1] < 1e-5 * float(abs(accounts[-1].work).max())


def test_damping_takes_and_the_work_of_each_force_is_its_own(accounts):
    account = accounts[-1]
    assert account.force.values.tolist() == ["linear_damping", "quadratic_damping", "sinusoidal_drive"]
    assert (account.power[:2] <= 0).all()
    assert (account.power_dissipated >= 0).all()
    assert (account.power_in >= 0).all()
    assert (account.power_in > 0).any()
    damped, state = HarmonicTrap(1.0, mass=[2.0]) + LinearDamping(0.5), PhaseSpace.of([[[1.0]]], [[[0.0]]])
    alone = simulate(damped, state, torch.linspace(0, 60, 301, dtype=D), RK4(step=0.2))
    assert energy_balance(alone).work[0, 0, -1] == pytest.approx(-0.5, abs=1e-2)  # all of the energy is gone


def test_in_a_magnetic_field_and_with_own_times():
    system, state = Springs.sample(2, seed=0, bodies=2)
    total = system + MagneticField(2.0, charge=1.0) + LinearDamping(0.1) + Drive(lambda t, q: torch.cos(t) * q)
    times = torch.linspace(0, 1, 51, dtype=D)[:, None] * torch.tensor([1.0, 1.5], dtype=D)
    account = energy_balance(simulate(total, state, times, Gauss6(step=0.05)), total)
    assert abs(account.rate_gap).max() < 1e-12
    assert abs(account.gap).max() < 1e-4


def test_what_is_no_longer_kept_is_said():
    system, state = open_system()
    data = simulate(system, state, torch.linspace(0, 1, 11, dtype=D), RK4(step=0.1))
    assert data.attrs["conserved"] == "nothing"
    assert not {"energy", "P_x", "L_z"} & set(data.dynamics.summary())
    with pytest.warns(UserWarning, match="linear_damping, quadratic_damping, sinusoidal_drive change the energy"):
        data.dynamics.drift("energy")
    with pytest.raises(
        ValueError, match=r"Leapfrog needs an AbstractSplit, got OpenSum with linear_damping, .* neither"
    ):
        Leapfrog(step=0.1).integrate(system, state, torch.linspace(0, 1, 5, dtype=D))
    springs, state = Springs.sample(3, seed=0, bodies=3)
    inner = simulate(springs + Dashpots(0.5), state, torch.linspace(0, 1, 6, dtype=D), Gauss4(step=0.1))
    assert inner.attrs["conserved"] == "momentum, angular_momentum"
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        found = inner.dynamics.summary()
    assert max(found["P_x"], found["P_y"], found["L_z"]) < 1e-12
    assert "energy" not in found
    with pytest.raises(ValueError, match="expected a Hamiltonian system"):
        energy_balance(simulate(springs, state, torch.linspace(0, 1, 3)))
    assert hlieconv.diagnostics.energy(inner).equals(inner.energy)
