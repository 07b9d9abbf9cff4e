"""States behind noisy positions, given a law: as exact as the bound of Cramer and Rao allows, with honest bars."""

import numpy as np
import pytest
import torch

from hlieconv.dynamics import refine_states
from systems import Springs, from_arrays, simulate

TIMES = np.sort(np.random.default_rng(0).uniform(0, 3, 120))
OWN = np.sort(np.random.default_rng(1).uniform(0, 3, (6, 120)), 1)


def springs(noise, times=TIMES, gaps=False):
    """A system, its trajectories, and noisy positions of them as a Dataset."""
    system, state = Springs.sample(6, seed=0, bodies=3)
    truth = simulate(system, state, torch.from_numpy(times.T.copy()))
    q = truth["q"].values
    q = q + noise * q.std() * np.random.default_rng(0).standard_normal(q.shape)
    if gaps:
        q[:, :5, 0] = q[:, 50:60, 1] = np.nan
    if times.ndim == 2:  # one trajectory ends early
        times = times.copy()
        times[2, 100:] = q[2, 100:] = np.nan
    names = ("mass", "stiffness")
    dataset = from_arrays(q, times=times, **{name: truth[name].values for name in names}, system="springs")
    return system, truth, dataset


@pytest.mark.parametrize(("noise", "times", "gaps"), [(1e-2, TIMES, True), (1e-2, OWN, False), (1e-5, TIMES, False)])
def test_errors_are_what_they_are_said_to_be(noise, times, gaps):
    system, truth, dataset = springs(noise, times, gaps)
    found = refine_states(system, dataset)
    assert np.array_equal(found["p"].isnull(), dataset["p"].isnull())
    assert (abs(found["chi_square"] - 1) < 0.25).all()  # 5 standard deviations of 700 measurements
    for letter in "qp":
        off = ((found[letter] - truth[letter].values) / found[f"{letter}_error"]).values
        assert 0.6 < np.sqrt(np.nanmean(off**2)) < 1.4  # 72 numbers are free
        before = np.sqrt(np.nanmean((dataset[letter] - truth[letter].values).values ** 2))
        assert np.sqrt(np.nanmean((found[letter] - truth[letter].values).values ** 2)) < before / 2


def test_a_wrong_law_shows():
    _, _, dataset = springs(1e-2)
    wrong = Springs(mass=dataset["mass"].values, stiffness=1.2 * dataset["stiffness"].values)
    assert (refine_states(wrong, dataset)["chi_square"] > 2).all()


def test_what_is_refused():
    system, truth, dataset = springs(1e-2)
    with pytest.raises(ValueError, match="dataset: expected positions with noise"):
        refine_states(system, truth)
    dataset["p"][0, :, 0] = np.nan
    with pytest.raises(ValueError, match="dataset: expected bodies that were seen, with momenta, got 'one that"):
        refine_states(system, dataset)
