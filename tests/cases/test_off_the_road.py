"""One step off the paved road: what users do to data, tables and paths is right, or said."""

import inspect
import warnings

import matplotlib.pyplot as plt
import numpy as np
import pandas as pd
import pytest
import torch
import xarray as xr

import hlieconv
import systems
from hlieconv import images, molecules, plots
from hlieconv.cli import main
from hlieconv.diagnostics.presence import presence
from hlieconv.dynamics import rollout
from hlieconv.models import HLieConv
from hlieconv.plots.style import edges_of as drawn_edges
from hlieconv.plots.style import plot_band
from systems import (
    SYSTEMS,
    Gravity,
    PhaseSpace,
    Springs,
    from_arrays,
    from_dataframe,
    lattice,
    save,
    simulate,
    state_of,
    system_of,
)
from systems.accuracy import _largest_rate, warn_of_many_steps
from systems.dataset.reading import edges_of, variables_of
from systems.dataset.schema import validate
from systems.expectations import Expectations
from systems.registry import system_class

T = np.linspace(0, 1, 5)


def matrices():
    generator = torch.Generator().manual_seed(0)
    k = torch.rand(2, 4, 4, generator=generator, dtype=torch.float64)
    mask = torch.tensor([[True] * 4, [True, True, True, False]])
    field = Springs(mass=torch.tensor([1.0, 2, 3, 4]).double(), spring_constant=k + k.mT, rest_length=0.5, mask=mask)
    return simulate(field, torch.randn(2, 2, 4, 2, generator=generator, dtype=torch.float64).unbind(0), T)


def edges():
    state = torch.randn(2, 3, 4, 1, generator=torch.Generator().manual_seed(0), dtype=torch.float64)
    return simulate(lattice(4), state.unbind(0), T)


def measured():
    link = np.arange(16.0).reshape(4, 4)
    values = {"link": (("body", "other_body"), link + link.T)}
    q = np.random.default_rng(0).normal(size=(2, 5, 4, 2))
    return from_arrays(q, q, times=T, mass=[1.0, 2.0, 3.0, 4.0], **values)


@pytest.fixture(params=[matrices, edges, measured], ids=lambda made: made.__name__)
def pairs(request):
    return request.param()


def pair_values(dataset):
    """Of all pairs, as tensors have them, and in the order of the numbers that the bodies had."""
    name = next(name for name in ("link", "spring_constant") if name in dataset)
    number = np.argsort(dataset.body_number.values)
    return variables_of(dataset, [name])[name][:, number][:, :, number]


@pytest.mark.parametrize("order", [[1, 0, 3, 2], [3, 2, 1, 0], [2, 0, 3, 1]])
def test_pairs_follow_their_bodies(pairs, order, tmp_path):
    save(pairs, tmp_path / "pairs.nc")
    for whole in (pairs, systems.open(tmp_path / "pairs.nc")):
        turned = validate(whole.isel(body=order))
        assert torch.equal(pair_values(turned), pair_values(pairs))
        assert torch.equal(pair_values(turned.isel(body=order)), pair_values(pairs))
        if "other_body" in pairs.dims:
            assert torch.equal(pair_values(turned.isel(other_body=order)), pair_values(pairs))
        if "edge_body" in pairs:
            assert {*map(tuple, drawn_edges(turned).tolist())} == {*map(tuple, edges_of(turned).mT.tolist())}
    if "system" in pairs.attrs:
        force = [system_of(x).force(state_of(x).q) for x in (pairs, turned)]
        torch.testing.assert_close(force[1], force[0][:, order], rtol=1e-12, atol=1e-12)


def test_pairs_of_a_rollout_follow_their_bodies(pairs):
    if pairs.sizes["space"] == 1:
        pytest.skip("a chain in one dimension")
    model, order = HLieConv.of(pairs, width=8, blocks=1, group="T2").double(), [2, 0, 3, 1]
    straight, turned = (rollout(model, x, [0.0, 0.1], "leapfrog") for x in (pairs, pairs.isel(body=order)))
    np.testing.assert_allclose(turned.q, straight.q.isel(body=order), rtol=0, atol=1e-12)
    name = next(name for name in ("link", "spring_constant") if name in pairs)
    np.testing.assert_allclose(turned[name], pairs[name].isel(body=order, other_body=order))


def test_some_bodies_have_the_pairs_between_them(pairs):
    some = pairs.isel(body=[2, 0])
    if "edge_body" in pairs:
        with pytest.raises(ValueError, match="expected the bodies that its edges join, got 2 of 3 edges"):
            system_of(pairs.isel(body=[1, 0]))
        assert len(drawn_edges(some)) == 0
        return
    name = next(name for name in ("link", "spring_constant") if name in pairs)
    assert torch.equal(variables_of(some, [name])[name], variables_of(pairs, [name])[name][:, [2, 0]][:, :, [2, 0]])
    with pytest.raises(ValueError, match="expected body 2 among the other bodies of its pairs"):
        variables_of(some.isel(other_body=[0, 1]), [name])


def test_parameters_and_states_of_xarray_are_told_by_their_dims():
    mass = np.array([[1.0, 2.0], [3.0, 5.0]])
    q, p = np.random.default_rng(0).normal(size=(2, 2, 2, 3))
    given = [xr.DataArray(x, dims=("trajectory", "body", "space")) for x in (q, p)]
    turned = xr.DataArray(mass, dims=("trajectory", "body")).transpose("body", "trajectory")
    field = Gravity(mass=turned, gravitational_constant=1.0)
    assert field.mass.tolist() == mass.tolist()
    found = simulate(field, [x.transpose("space", "trajectory", "body") for x in given], T)
    expected = simulate(Gravity(mass=mass, gravitational_constant=1.0), (q, p), T)
    assert found.q.equals(expected.q)


def test_a_computed_trajectory_with_a_hole_is_broken():
    """Some numbers of one state are not finite: of one body, or of positions alone; measured data have gaps."""
    whole = simulate(*Springs.sample(3, seed=0, bodies=3), T)
    hole = (whole.time == whole.time[2]) & (xr.DataArray([0, 1, 2], dims="trajectory") == 1)
    for broken in (whole.assign(q=whole.q.where(~hole)), whole.where(~(hole & (whole.body == 0)))[["q", "p"]]):
        data = whole.assign(broken)
        with pytest.warns(UserWarning, match="1 of 3 computed trajectories are broken"):
            drift = data.dynamics.drift("momentum").max("time").values[..., 0]
        assert np.isinf(drift).tolist() == [False, True, False]
    data.attrs.pop("integrator")
    assert presence(data).gap.sum() == 1
    assert not presence(data).ended.any()


def test_states_between_those_of_some_bodies_are_refused():
    """The others have pulled at them: what is left is no solution of its own system."""
    whole = simulate(*Springs.sample(3, seed=0, bodies=3), T)
    with pytest.raises(ValueError, match="was a body left out"):
        whole.isel(body=[0, 1]).dynamics.at([0.11])
    turned = whole.isel(body=[2, 0, 1]).dynamics.at([0.11])
    np.testing.assert_allclose(turned.q, whole.dynamics.at([0.11]).q.isel(body=[2, 0, 1]), rtol=0, atol=1e-12)


def test_a_table_of_x_and_z_is_no_plane():
    frame = pd.DataFrame({"time": [0.0, 1.0], "body": 0, "mass": 1.0, "x": [0.0, 1.0], "z": [0.0, 1.0]})
    with pytest.raises(ValueError, match="frame: expected a column y beside x and z"):
        from_dataframe(frame.assign(px=0.0, pz=0.0))
    assert from_dataframe(frame.rename(columns={"z": "y"}).assign(px=0.0, py=0.0)).sizes["space"] == 2


def test_joined_trajectories_of_other_times_have_not_ended():
    short, long = (simulate(*Springs.sample(2, seed=k, bodies=3), (1 + k) * T) for k in range(2))
    joined = xr.concat([short, long], "trajectory", join="outer")
    with pytest.warns(UserWarning, match="2 of 4 computed trajectories have no states at some times between others"):
        drift = joined.dynamics.drift("momentum")
    assert not np.isinf(drift).any()
    assert (drift.max("time") < 1e-12).all()
    longer = simulate(*Springs.sample(2, seed=1, bodies=3), np.linspace(0, 2, 9))
    with warnings.catch_warnings(action="error"):
        found = presence(xr.concat([short, longer], "trajectory", join="outer"))
    assert not found.ended.any()
    assert not found.gap.any()


def test_trajectories_with_times_of_their_own_are_drawn_at_the_same_times():
    own = np.sort(np.random.default_rng(0).uniform(0, 9, (3, 8)), 1)
    own[:, 0], own[1, 6:] = 0, np.nan
    coords = {"trajectory_time": (("trajectory", "time"), own, {"units": "s", "long_name": "time"})}
    array = xr.DataArray(2 * own, dims=("trajectory", "time"), coords=coords, name="drift")
    axes = plt.figure().subplots(1, 2)
    plot_band(axes[0], array)
    plots.plot_growth(array, ax=axes[1])
    for ax in axes:
        times, drawn = ax.lines[0].get_data()
        assert len(times) > 8
        np.testing.assert_allclose(drawn, 2 * times)
    assert axes[1].lines[0].get_xdata().max() == np.nanmin(np.nanmax(own, 1))
    plt.close("all")


def test_very_many_swings_are_said_before_they_are_followed():
    times = torch.tensor([0.0, 1.0], dtype=torch.float64)
    springs = Springs(mass=[[1.0, 4.0]], spring_constant=1e10, rest_length=1.0)
    state = PhaseSpace(torch.tensor([[[0.0, 0.0], [1.1, 0.0]]]).double(), torch.zeros(1, 2, 2).double())
    rate = (1e10 * (1 + 1 / 4)) ** 0.5
    assert float(_largest_rate(springs, state, times[:1, None])) == pytest.approx(rate, rel=1e-4)
    with pytest.warns(UserWarning, match=r"swings about 2e\+04 times .* about 4e\+04 steps: compile='on'"):
        warn_of_many_steps(springs, state, times)
    with warnings.catch_warnings(action="error"):
        warn_of_many_steps(springs, state, times / 10)
        for name in SYSTEMS:
            warn_of_many_steps(*system_class(name).sample(4, seed=0), 10 * times)


def test_a_tilde_is_the_users_folder(tmp_path, monkeypatch):
    monkeypatch.setenv("HOME", str(tmp_path))
    monkeypatch.chdir(tmp_path)
    data = systems.simulate(*Springs.sample(4, seed=0, bodies=2), T, path="~/springs.nc")
    model = HLieConv.of(data, width=8, blocks=0)
    hlieconv.fit(model, data, path="~/run", steps=1, optimiser="adam", progress=False)
    assert hlieconv.load("~/run").trained == model.trained
    assert systems.open("~/springs.nc").equals(data)
    assert main(["info", "~/springs.nc"]) == 0
    assert {"springs.nc", "run"} <= {file.name for file in tmp_path.iterdir()}
    assert not (tmp_path / "~").exists()


def test_every_path_of_a_public_function_goes_through_the_door():
    seen = 0
    for package in (systems, hlieconv, images, molecules, plots):
        for name in package.__all__:
            value = getattr(package, name)
            if not inspect.isfunction(value):
                continue
            named = {x for x in inspect.signature(value).parameters if x in ("path", "folder", "file", "cache")}
            seen += len(named)
            source = inspect.unwrap(value)
            assert named <= Expectations(inspect.signature(value), source).paths, name
            assert not named or hasattr(value, "__door__"), name
    assert seen > 10
