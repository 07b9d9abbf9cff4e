"""Charges, drift and errors against formulas written out by hand, on random trajectories."""

import math

import numpy as np
import pytest
import torch

from hlieconv import diagnostics
from hlieconv.diagnostics import Charge, boost, boosts, charges, charges_of
from systems import HenonHeiles, Pendulum, PhaseSpace, Springs, from_arrays, simulate, to_dataset, trajectory_of


def random_dataset(dimension, dtype=torch.float64, mask=None, seed=0):
    generator = torch.Generator().manual_seed(seed)
    shape = (7, 4, 5, dimension)
    q, p = (torch.randn(shape, generator=generator, dtype=torch.float64).to(dtype) for _ in range(2))
    system = Springs(mass=torch.rand(4, 5, generator=generator, dtype=dtype) + 0.1, spring_constant=1.0, mask=mask)
    state = PhaseSpace(system.existing(q), system.existing(p))
    times = torch.linspace(0, 3, 7, dtype=dtype)
    return to_dataset(state, times, field=system, energy=system.energy(state)), system, state, times


def close(array, expected, dtype):
    # a sum of at most 5 bodies x 3 components of size 10: 15 additions of numbers up to 10
    np.testing.assert_allclose(array.values, expected, rtol=0, atol=150 * torch.finfo(dtype).eps)


@pytest.mark.parametrize("dimension", [1, 2, 3])
def test_momentum(dimension, dtype):
    dataset, _, state, _ = random_dataset(dimension, dtype)
    close(dataset.dynamics.momentum(), state.p.sum(2).transpose(0, 1), dtype)


def test_angular_momentum(dtype):
    about = torch.tensor([0.3, -2.0, 1.0], dtype=dtype)
    dataset, _, state, _ = random_dataset(2, dtype)
    q = state.q - about[:2]
    spin = (q[..., 0] * state.p[..., 1] - q[..., 1] * state.p[..., 0]).sum(-1)
    close(dataset.dynamics.angular_momentum(about=about[:2]), spin.T, dtype)
    dataset, _, state, _ = random_dataset(3, dtype)
    spin = torch.linalg.cross(state.q - about, state.p, dim=-1).sum(2)
    close(dataset.dynamics.angular_momentum(about=about), spin.transpose(0, 1), dtype)


def test_charges_of_a_group():
    dataset, _, state, _ = random_dataset(3)
    found = charges_of(dataset, "SE3")
    assert list(found) == ["P_x", "P_y", "P_z", "L_x", "L_y", "L_z"]
    x, y, z = state.q.unbind(-1)
    px, py, pz = state.p.unbind(-1)
    by_hand = [px, py, pz, y * pz - z * py, z * px - x * pz, x * py - y * px]
    for charge, expected in zip(found.values(), by_hand, strict=True):
        close(charge, expected.sum(-1).T, torch.float64)
        assert charge.attrs["units"]
        assert charge.attrs["long_name"]


def test_dilation_is_the_virial():
    [dilation] = (charge for charge in charges("RxSO2") if charge.name == "dilation")
    state = PhaseSpace(*torch.randn(2, 6, 2, dtype=torch.float64))
    assert dilation(state).item() == pytest.approx((state.q * state.p).sum().item(), rel=1e-13)


def test_charge_scale_bounds_the_charge(dtype):
    state = PhaseSpace(*torch.randn(2, 100, 6, 2, dtype=dtype))
    for charge in charges("SE2"):
        assert (charge(state).abs() <= charge.scale(state) * (1 + 1e-5)).all()
    assert torch.allclose(charges("SE2")[0].scale(state), state.p.norm(dim=-1).sum(-1))
    expected = (state.q.norm(dim=-1) * state.p.norm(dim=-1)).sum(-1)
    assert torch.allclose(charges("SE2")[2].scale(state), expected)


def test_boost_is_conserved_where_momentum_is():
    system, state = Springs.sample(5, seed=0)
    dataset = simulate(system, state, torch.linspace(0, 20, 30, dtype=torch.float64))
    k = boost(dataset)
    assert abs(k - k.isel(time=0)).max() < 1e-11
    times, states = trajectory_of(dataset)
    for axis, charge in enumerate(boosts(system.mass, 2)):
        values = charge(states, times[:, None])
        close(k[..., axis], values.T, torch.float64)
        assert charge.name == ("K_x", "K_y")[axis]
        assert (values - values[0]).abs().max() < 1e-11
    moved = (dataset.mass * dataset.q).sum("body")
    assert abs(moved - moved.isel(time=0)).max() > 1e-2  # the centre itself drifts


def test_drift_by_hand():
    dataset, system, state, _ = random_dataset(2)
    energy = system.energy(state)
    kinetic = system.kinetic(state.p)
    size = (kinetic + (energy - kinetic).abs()).mean(0)
    close(dataset.dynamics.drift("energy"), ((energy - energy[0]).abs() / size).T, torch.float64)
    p = state.p.sum(2)
    size = state.p.norm(dim=-1).sum(-1).mean(0)
    close(dataset.dynamics.drift("momentum"), ((p - p[0]).abs() / size[:, None]).transpose(0, 1), torch.float64)


def test_masked_bodies_do_not_count():
    mask = torch.tensor([True, True, True, False, False])
    dataset, _, state, _ = random_dataset(2, mask=mask.expand(4, 5))
    close(dataset.dynamics.momentum(), state.p[..., :3, :].sum(2).transpose(0, 1), torch.float64)
    assert np.isfinite(dataset.dynamics.drift("energy")).all()
    assert all(math.isfinite(value) for value in dataset.dynamics.summary(dataset).values() if value != math.inf)


def test_state_error_and_valid_time():
    dataset, _, _, times = random_dataset(2)
    assert (dataset.dynamics.error(dataset) == 0).all()
    assert (dataset.dynamics.valid_time(dataset) == math.inf).all()
    centre = dataset.q.mean(("time", "body"))
    opposite = dataset.assign(q=2 * centre - dataset.q, p=-dataset.p)
    np.testing.assert_allclose(dataset.dynamics.error(opposite), 1.0, rtol=1e-14)
    assert (dataset.dynamics.valid_time(opposite) == 0).all()
    late = dataset.copy()
    late["q"] = dataset.q.where(dataset.time < 1.2, 10.0)
    assert (dataset.dynamics.valid_time(late) == float(times[times >= 1.2][0])).all()
    twice = dataset.assign(q=2 * dataset.q - centre, p=2 * dataset.p)
    np.testing.assert_allclose(twice.dynamics.error(dataset), 1 / 3, rtol=1e-13)


def test_energy_of_another_hamiltonian():
    dataset, system, state, _ = random_dataset(2)
    stiffer = Springs(mass=system.mass, spring_constant=2.0)
    close(dataset.dynamics.energy(stiffer), stiffer.energy(state).T, torch.float64)
    unnamed = dataset.drop_vars("energy")
    close(unnamed.dynamics.energy(), system.energy(state).T, torch.float64)


def test_measured_data():
    times = np.linspace(0, 1, 9)
    q = np.stack([np.cos(times), np.sin(times)], -1)[None, :, None]
    p = np.stack([-np.sin(times), np.cos(times)], -1)[None, :, None]
    dataset = from_arrays(q, p, times=times)
    np.testing.assert_allclose(dataset.dynamics.angular_momentum(), 1.0, rtol=1e-14)
    with pytest.raises(ValueError, match="system"):
        dataset.dynamics.energy()
    with pytest.raises(ValueError, match="mass"):
        dataset.dynamics.boost()


def test_generalised_coordinates_have_no_momentum():
    dataset = simulate(*Pendulum.sample(2, seed=0), torch.linspace(0, 0.1, 3, dtype=torch.float64))
    for refused in (
        dataset.dynamics.momentum,
        dataset.dynamics.angular_momentum,
        dataset.dynamics.boost,
        lambda: dataset.dynamics.charges("T1"),
        lambda: dataset.dynamics.drift("momentum"),
    ):
        with pytest.raises(ValueError, match="generalised"):
            refused()
    assert dataset.dynamics.drift("energy").max() < 1e-9


def test_bad_input():
    dataset, *_ = random_dataset(2)
    with pytest.raises(ValueError, match="quantity: expected energy, momentum or angular_momentum, got spin"):
        dataset.dynamics.drift("spin")
    with pytest.raises(ValueError, match="reference: expected 7 along time, got 3"):
        dataset.dynamics.error(dataset.isel(time=slice(3)))
    with pytest.raises(ValueError, match="times"):
        dataset.dynamics.error(dataset.assign_coords(time=dataset.time + 1))
    with pytest.raises(ValueError, match="2 dimensions"):
        charges("SE2")[0](PhaseSpace(*torch.zeros(2, 4, 3)))
    with pytest.raises(ValueError, match="2 or more dimensions"):
        random_dataset(1)[0].dynamics.angular_momentum()


def test_the_accessor_forwards_everything():
    dataset, *_ = random_dataset(2)
    assert dataset.dynamics.energy().identical(diagnostics.energy(dataset))
    assert dataset.dynamics.momentum().identical(diagnostics.momentum(dataset))
    assert dataset.dynamics.charges("SE2").identical(charges_of(dataset, "SE2"))
    assert dataset.dynamics.drift("momentum").identical(diagnostics.drift(dataset, "momentum"))


def test_a_charge_of_your_own():
    shear = Charge("shear", torch.tensor([[0.0, 1.0], [0.0, 0.0]]), torch.zeros(2))
    state = PhaseSpace(q=torch.tensor([[2.0, 3.0]]), p=torch.tensor([[5.0, 7.0]]))
    assert shear(state).item() == 15.0


def test_drift_distinguishes_systems():
    """The drift of L is round-off for springs and not for Henon-Heiles, which has no rotation symmetry."""
    times = torch.linspace(0, 10, 50, dtype=torch.float64)
    assert simulate(*Springs.sample(3, seed=1), times).dynamics.drift("angular_momentum").max() < 1e-12
    assert simulate(*HenonHeiles.sample(3, seed=1), times).dynamics.drift("angular_momentum").max() > 1e-3


def test_drift_from_rest_is_measured_by_the_momenta_to_come():
    system, state = Springs.sample(3, seed=0)
    times = torch.linspace(0, 1, 11, dtype=torch.float64)
    dataset = simulate(system, PhaseSpace(state.q, torch.zeros_like(state.p)), times)
    change = np.abs(dataset.p.values.sum(2))  # nothing moves at first
    largest = np.linalg.norm(dataset.p.values, axis=-1).sum(-1).max(1)
    expected = change / largest[:, None, None]
    np.testing.assert_allclose(diagnostics.drift(dataset, "momentum").values, expected, rtol=0, atol=1e-15)
    assert diagnostics.drift(dataset, "angular_momentum").max() < 1e-12
