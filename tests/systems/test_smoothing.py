"""Noise is measured and smoothed: how far, the data say, and the errors are what they are said to be."""

import numpy as np
import pytest
import torch

from systems import Gravity, HenonHeiles, PhaseSpace, Springs, from_arrays, save, simulate
from systems import open as open_dataset
from systems.dataset.derivative import derivative
from systems.dataset.smoothing import noise_of, smooth

EVEN = np.linspace(0, 5, 300)
UNEVEN = np.sort(np.random.default_rng(3).uniform(0, 5, 300))


def motion(kind, times):
    """Positions and velocities of simulated bodies."""
    system, state = kind.sample(6, seed=0, **({"bodies": 3} if kind is Springs else {}))
    dataset = simulate(system, state, times)
    mass = dataset["mass"].values[..., None, :, None] if "mass" in dataset else 1.0
    return dataset["q"].values, dataset["p"].values / mass


def noisy(q, part, seed=0):
    size = part * float(np.nanstd(q))
    return q + size * np.random.default_rng(seed).standard_normal(q.shape), size


def size(x):
    return float(np.sqrt(np.nanmean(x**2)))


@pytest.mark.parametrize("times", [EVEN, UNEVEN])
@pytest.mark.parametrize("part", [1e-6, 1e-4, 1e-2, 1.0])
def test_noise_is_measured(times, part):
    q, _ = motion(Springs, times)
    x, sigma = noisy(q, part)
    x[0, 100:150, 1] = np.nan
    assert noise_of(x, times) == pytest.approx(sigma, rel=0.1)
    assert noise_of(q, times) == 0


@pytest.mark.parametrize(("kind", "times"), [(Springs, EVEN), (Gravity, UNEVEN), (HenonHeiles, UNEVEN)])
@pytest.mark.parametrize("part", [1e-5, 1e-2, 0.1])
def test_errors_are_what_they_are_said_to_be(kind, times, part):
    """95 % of the errors are below 1.96 standard errors; half of the bars would hold less than 80 %."""
    q, velocity = motion(kind, times)
    x, sigma = noisy(q, part)
    x[:2, 120:140] = np.nan
    found = smooth(x, times, sigma)
    off = abs(np.stack([(found.x - q) / found.x_error, (found.rate - velocity) / found.rate_error]))
    off = off[np.isfinite(off)]
    assert 0.87 < (off < 1.96).mean() < 0.99
    assert (off < 0.98).mean() < 0.8
    assert size(found.rate - velocity) < size(derivative(x, times) - velocity) / 5
    assert np.array_equal(np.isnan(found.x), np.isnan(x))


def test_a_long_series_is_smoothed_in_pieces_that_fit():
    times = np.linspace(0, 10, 1000)
    q, velocity = motion(Springs, times)
    x, sigma = noisy(q, 1e-2)
    found = smooth(x, times, sigma)
    off = abs((found.rate - velocity) / found.rate_error)
    assert (off < 1.96).mean() > 0.87
    halves = [smooth(x[:, half], times[half], sigma).rate for half in (slice(500), slice(500, 1000))]
    assert size(found.rate - velocity) < size(np.concatenate(halves, 1) - velocity)


def test_momenta_of_noisy_springs_beside_the_bound_of_cramer_and_rao():
    """A smoother that knows no law stays within 15 times the bound of one that knows the Hamiltonian."""
    system, state = Springs.sample(6, seed=0, bodies=3)
    times = torch.linspace(0, 5, 300, dtype=torch.float64)
    dataset = simulate(system, state, times)
    x, sigma = noisy(dataset["q"].values, 1e-2)
    found = from_arrays(x, times=times, mass=dataset["mass"].values)
    unit = torch.eye(12, dtype=torch.float64).expand(6, 12, 12)  # the motion is linear in its first state
    columns = [system.closed_form(PhaseSpace(*x.unflatten(-1, (2, 3, 2)).unbind(1)), times) for x in unit.unbind(1)]
    tangent = torch.stack([torch.cat([x.q.flatten(-2), x.p.flatten(-2)], -1) for x in columns], -1)
    information = torch.einsum("tcij,tcik->cjk", *2 * [tangent[:, :, :6]]) / sigma**2
    variance = torch.einsum("tcij,cjk,tcik->tci", tangent, torch.linalg.inv(information), tangent)[..., 6:]
    bound = float(variance.mean().sqrt())
    assert bound < size((found["p"] - dataset["p"]).values) < 15 * bound
    assert size((found["p"] - dataset["p"]).values) == pytest.approx(size(found["p_error"].values), rel=0.3)


def test_what_a_dataset_of_noisy_positions_holds(tmp_path, dtype):
    kind = str(dtype).removeprefix("torch.")
    q, _ = motion(Springs, EVEN)
    x, sigma = noisy(q, 1e-2)
    x[0, 40:50, 1] = x[1, 2:, 2] = x[2, 1:, 0] = np.nan
    dataset = from_arrays(x.astype(kind), times=EVEN, mass=2.0, units={"q": "m", "mass": "kg"})
    assert dataset["q"].noise == pytest.approx(sigma, rel=0.1)
    assert "noise of" in dataset["p"].estimated
    assert dataset["p"][1, :2, 2].notnull().all()  # two points have a line through them, one has none
    assert dataset["p"][2, :, 0].isnull().all()
    assert np.array_equal(dataset["q_measured"], x.astype(kind), equal_nan=True)
    assert {dataset[name].dtype for name in ("q", "p", "q_measured", "q_error", "p_error")} == {np.dtype(kind)}
    assert (dataset["q_error"].units, dataset["p_error"].units) == ("m", dataset["p"].units)
    save(dataset, tmp_path / "noisy.nc")
    with open_dataset(tmp_path / "noisy.nc") as again:
        for name in ("q_measured", "q_error", "p_error"):
            assert again[name].identical(dataset[name])
    exact = from_arrays(q, times=EVEN, mass=2.0)
    assert "q_measured" not in exact
    assert np.array_equal(exact["p"], 2 * derivative(q, EVEN))


def test_noise_that_nobody_treats_is_named():
    x, _ = noisy(motion(Springs, EVEN)[0], 1e-2)
    with pytest.warns(UserWarning, match="have noise of about .* leave window out"):
        from_arrays(x, times=EVEN, mass=1.0, window=7)
    x, _ = noisy(motion(Springs, EVEN)[0], 2.0)
    with pytest.warns(UserWarning, match="the noise leaves errors of about .* % in the momenta"):
        from_arrays(x, times=EVEN, mass=1.0)
