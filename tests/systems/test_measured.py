"""Measured trajectories: momenta from positions, irregular times, gaps, tables."""

import re

import numpy as np
import pandas as pd
import pytest
import torch
import xarray as xr

from systems import Springs, from_arrays, from_dataframe, simulate, system_of, validate
from systems.dataset.derivative import derivative


def irregular(points, seed=0):
    return np.sort(np.random.default_rng(seed).uniform(0, 2, points))


def moving(t):
    """Smooth positions (trajectory, time, body, space) and their velocities."""
    phase = np.array([0.0, 1.0, 2.0])[:, None] + np.array([0.0, 0.5])
    angle = 2 * t[:, None, None] + phase
    return np.stack([np.sin(angle), np.cos(angle)]), np.stack([2 * np.cos(angle), -2 * np.sin(angle)])


@pytest.mark.parametrize(("window", "degree"), [(3, 1), (5, 4), (7, 4), (9, 3), (30, 6)])
def test_polynomials_up_to_the_degree_are_differentiated_exactly(window, degree):
    t = irregular(20)
    coefficients = np.random.default_rng(1).normal(size=degree + 1)
    polynomial = np.polynomial.Polynomial(coefficients)
    found = derivative(polynomial(t)[None, :, None, None], t, window=window, degree=degree)[0, :, 0, 0]
    # Weights reach 1 / spacing, which round-off of the values is multiplied by.
    assert np.allclose(
        found, polynomial.deriv()(t), rtol=0, atol=1e-13 * abs(coefficients).sum() * 2**degree / np.diff(t).min()
    )
    further = np.polynomial.Polynomial.basis(degree + 1)
    wrong = derivative(further(t)[None, :, None, None], t, window=window, degree=degree)[0, :, 0, 0]
    assert window > 20 or not np.allclose(wrong, further.deriv()(t), atol=1e-6)


def test_weights_equal_those_of_an_ordinary_fit():
    t = irregular(12)
    x = np.random.default_rng(2).normal(size=12)
    found = derivative(x[None, :, None, None], t, window=12, degree=5)[0, :, 0, 0]
    assert np.allclose(found, np.polynomial.Polynomial.fit(t, x, 5).deriv()(t), rtol=1e-8)


def test_the_error_falls_with_the_power_of_the_degree():
    def error(points):
        t = np.linspace(0, 2, points)
        q, velocity = moving(t)
        return abs(derivative(q, t) - velocity).max()

    order = np.log2(error(101) / error(201))
    assert 3.7 < order < 5.3  # 4 at the ends; odd derivatives in the middle gain one


def test_a_wider_window_averages_noise_away():
    t = np.linspace(0, 2, 400)
    q, velocity = moving(t)
    noisy = q + 1e-3 * np.random.default_rng(0).normal(size=q.shape)
    narrow, wide = (np.std(derivative(noisy, t, window=w) - velocity) for w in (7, 41))
    assert wide < narrow / 8  # (41 / 7)^1.5 = 14 in the middle, less at the ends


def test_momenta_are_estimated_and_marked(dtype):
    t = np.linspace(0, 2, 100)
    q, velocity = moving(t)
    kind = str(dtype).removeprefix("torch.")
    dataset = from_arrays(q.astype(kind), times=t, mass=[1.0, 2.0, 3.0], units={"q": "m", "p": "kg m/s"})
    assert dataset["p"].dtype == dataset["q"].dtype == dataset["mass"].dtype == kind
    momenta = velocity * np.array([1.0, 2.0, 3.0])[:, None]
    assert abs(dataset["p"] - momenta).max() < 1e-4
    assert dataset["p"].estimated == "from q, by local polynomials of degree 4 through 7 points"
    assert dataset["p"].units == "kg m/s"
    given = from_arrays(q, momenta, times=t)
    assert "estimated" not in given["p"].attrs
    assert np.array_equal(given["p"], momenta)


def test_gaps_stay_gaps_and_do_not_disturb_the_rest():
    t = irregular(200)
    q, velocity = moving(t)
    q[0, 80:90, 1] = np.nan
    q[0, ::3, 2, 0] = np.nan
    first, last = re.escape(f"{t[0]:g}"), re.escape(f"{t[-1]:g}")
    with pytest.warns(
        UserWarning,
        match=f"^q: 2 of 6 bodies .* body 1 of trajectory 0, seen at 190 of 200 times, from {first} to {last}",
    ):
        dataset = from_arrays(q, times=t, mass=1.0)
    gaps = np.isnan(q).any(-1)
    assert np.array_equal(np.isnan(dataset["q"]).all("space"), gaps)
    assert np.array_equal(np.isnan(dataset["p"]).all("space"), gaps)
    assert dataset["mask"].all()
    whole = from_arrays(moving(t)[0], times=t, mass=1.0)
    assert dataset["p"][:, :, 0].equals(whole["p"][:, :, 0])
    assert np.nanmax(abs(dataset["p"] - velocity)) < 1e-3


def test_a_body_that_is_never_seen_does_not_exist():
    t = np.linspace(0, 2, 50)
    q, _ = moving(t)
    q[1, :, 2] = np.nan
    dataset = from_arrays(q, times=t, mass=[[1.0, 2.0, 3.0], [1.0, 2.0, np.nan]])
    assert dataset["mask"].values.tolist() == [[True] * 3, [True, True, False]]
    once = q.copy()
    once[1, 4, 2] = 0.0
    assert np.isnan(from_arrays(once, times=t, mass=1.0)["p"][1, 4, 2]).all()  # one point has no derivative


def test_each_trajectory_may_have_its_own_times():
    t = np.stack([np.linspace(0, 1, 60), np.linspace(0, 2, 60)])
    q = np.stack([moving(t[0])[0][0], moving(t[1])[0][1]])
    t[0, 50:] = np.nan
    q[0, 50:] = np.nan
    dataset = from_arrays(q, times=t, mass=1.0)
    assert "trajectory_time" in dataset
    assert np.nanmax(abs(dataset["p"][0] - moving(np.linspace(0, 1, 60))[1][0])) < 1e-4
    assert abs(dataset["p"][1] - moving(t[1])[1][1]).max() < 1e-4


def table(dataset):
    """A Dataset as a table with a row for each trajectory, time and body that exists."""
    frames = []
    for i, k in np.argwhere(dataset["mask"].values):
        part = dataset.isel(trajectory=i, body=k)
        columns = {"trajectory": f"run {i}", "time": dataset["time"], "body": k}
        columns |= {axis: part["q"][:, j] for j, axis in enumerate("xy")}
        columns |= {f"p{axis}": part["p"][:, j] for j, axis in enumerate("xy")}
        frames.append(pd.DataFrame(columns | {"mass": float(part["mass"]), "stiffness": float(part["stiffness"])}))
    return pd.concat(frames)


def test_a_table_in_any_order_is_the_same_as_the_dataset():
    system, state = Springs.sample(6, seed=0, bodies=(2, 3))
    expected = simulate(system, state, np.linspace(0, 1, 5))
    frame = table(expected).sample(frac=1, random_state=0)
    dataset = from_dataframe(frame.sort_values("body", kind="stable"), system="springs")
    for name in ("q", "p", "mass", "stiffness", "mask", "time"):
        xr.testing.assert_equal(dataset[name].load(), expected[name])
    assert torch.equal(system_of(dataset).energy(state), system.energy(state))


def test_a_table_with_other_times_and_a_missing_row():
    system, state = Springs.sample(2, seed=0, bodies=3)
    frame = table(simulate(system, state, np.linspace(0, 1, 9))).drop(columns=["px", "py"]).reset_index(drop=True)
    frame.loc[frame["trajectory"] == "run 1", "time"] *= 2
    dataset = from_dataframe(frame.drop(index=4))
    assert dataset["trajectory_time"].values.tolist() == [np.linspace(0, k, 9).tolist() for k in (1, 2)]
    assert np.argwhere(np.isnan(dataset["q"]).values).tolist() == [[0, 4, 0, 0], [0, 4, 0, 1]]
    validate(dataset)


Q = np.zeros((2, 9, 3, 2))
T = np.arange(9.0)


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"q": Q[0, 0], "times": T, "mass": 1.0}, r"q: expected shape \(trajectory, time, body, space\), got \(3, 2\)"),
        ({"q": [["a", "b"]], "times": T, "mass": 1.0}, "q: expected numbers"),
        ({"q": Q, "times": T[:5], "mass": 1.0}, r"times: expected shape \(9,\) or \(2, 9\), got \(5,\)"),
        ({"q": Q, "times": T[::-1] ** 2 % 7, "mass": 1.0}, "time: expected strictly increasing"),
        ({"q": Q, "times": T}, "p: expected momenta, or mass to estimate them with, got neither"),
        ({"q": Q, "p": Q[:, :, :2], "times": T}, r"p: expected the shape of q, \(2, 9, 3, 2\), got \(2, 9, 2, 2\)"),
        ({"q": Q, "times": T, "mass": [1.0, 2.0]}, r"mass: expected shape \(3,\) or \(2, 3\), got \(2,\)"),
        ({"q": Q, "times": T, "mass": [1.0, -2.0, 1.0]}, "mass: expected positive values, got -2"),
        ({"q": Q, "times": T, "mass": 0.0}, "mass: expected positive values, got 0"),
        ({"q": Q, "times": T, "mass": np.nan}, "mass: expected finite values"),
        ({"q": Q, "times": T, "mass": "heavy"}, "mass: expected numbers, got 'heavy'"),
        ({"q": Q, "times": T, "mass": 1.0, "degree": 7}, "degree: expected 1 to 6, less than window, got 7"),
        ({"q": Q, "times": T, "mass": 1.0, "system": "spring"}, "system: expected one of .*, got spring"),
        ({"q": Q, "times": T, "mass": 1.0, "units": {"v": "m/s"}}, "units: expected names among .*, got v"),
        ({"q": [Q[0, 0], Q[0, 1, :2]], "times": T[:2], "mass": 1.0}, r"NaN where .* frames of \(2, 2\) and \(3, 2\)"),
        ({"q": [[[[0, 0]], [[0, 0], [0]]]], "times": T[:2], "mass": 1.0}, "q: expected the same .* ragged lists"),
        ({"q": Q[:, :2], "times": [np.datetime64(0, "s"), 1.0], "mass": 1.0}, "times: expected times of one kind"),
        ({"q": Q, "times": T, "mass": 1.0, "mask": np.zeros(3)}, "mask: expected a body that exists"),
        ({"q": Q, "times": T, "mass": 1.0, "mask": np.ones(4)}, r"mask: expected shape \(3,\) or \(2, 3\), got \(4,\)"),
    ],
)
def test_wrong_arrays_are_named(options, message):
    with pytest.raises(ValueError, match=message):
        from_arrays(**options)


FRAME = pd.DataFrame({"time": [0.0, 1.0], "body": [0, 0], "x": [0.0, 1.0], "y": [0.0, 0.0], "mass": [1.0, 1.0]})


@pytest.mark.parametrize(
    ("frame", "message"),
    [
        (FRAME.drop(columns="time"), "frame: expected the columns time, got body, x, y, mass"),
        (FRAME.assign(x=["a", "b"]), "frame: expected numbers in the columns x, got"),
        (FRAME.assign(time=[0.0, 0.0]), "frame: expected one row .* got several of body 0 at time 0.0: a column traj"),
        (FRAME.assign(time=[0.0, np.nan]), "time: expected finite times"),
        (FRAME.assign(mass=[1.0, 2.0]), "mass: expected one value for each body of a trajectory, got several"),
        (FRAME.iloc[:0], "frame: expected rows, got none"),
        (FRAME.assign(q_rate=0.0, p_rate=0.0), "frame: expected no variables .* got 'p_rate, q_rate'"),
        (FRAME.assign(window=5), "frame: expected no variables .* got 'window'"),
    ],
)
def test_wrong_tables_are_named(frame, message):
    with pytest.raises(ValueError, match=message):
        from_dataframe(frame)
