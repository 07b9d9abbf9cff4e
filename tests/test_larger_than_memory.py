"""Datasets in memory, in files and behind dask give the same numbers, to the last bit, block by block."""

import numpy as np
import pytest
import torch
import xarray as xr

import hlieconv.diagnostics as diagnostics
import systems
from hlieconv import noether
from hlieconv.dynamics import evidence, fit, rollout
from hlieconv.dynamics.starts import Starts
from hlieconv.dynamics.trajectories import Trajectories, trajectories_of
from hlieconv.models import HLieConv, PairExpansion
from systems import HenonHeiles, PhaseSpace, Springs, simulate, to_dataset
from systems.dataset import blocks
from systems.dataset.storage import checksum
from systems.integrators import Leapfrog

TIMES = torch.linspace(0, 0.4, 9, dtype=torch.float64)
QUANTITIES = {
    "momentum": lambda data, other: diagnostics.momentum(data),
    "angular momentum": lambda data, other: diagnostics.angular_momentum(data),
    "charges": lambda data, other: diagnostics.charges_of(data, "SE2"),
    "boost": lambda data, other: diagnostics.boost(data),
    "drift of L": lambda data, other: diagnostics.drift(data, "angular_momentum"),
    "drift of E": lambda data, other: diagnostics.drift(data, "energy"),
    "state error": diagnostics.state_error,
    "valid time": diagnostics.valid_time,
}


@pytest.fixture(scope="module", autouse=True)
def small_blocks():
    """Two trajectories a block."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(blocks, "BLOCK_VALUES", 2 * len(TIMES) * 3 * 2)
        yield


@pytest.fixture(scope="module")
def whole():
    system, state = Springs.sample(7, seed=0, bodies=3)
    return simulate(system, state, TIMES).assign_coords(trajectory=[f"run {k}" for k in range(7)])


@pytest.fixture(scope="module", params=[".nc", ".zarr"])
def path(whole, request, tmp_path_factory):
    path = tmp_path_factory.mktemp("data") / f"springs{request.param}"
    systems.save(whole, path)
    return path


def other_of(dataset):
    return dataset.assign(q=dataset.q + 0.01 * dataset.time)


@pytest.mark.parametrize("quantity", QUANTITIES)
def test_quantities_do_not_depend_on_where_data_lie(whole, path, quantity):
    expected = QUANTITIES[quantity](whole, other_of(whole))
    stored = systems.open(path)
    found = QUANTITIES[quantity](stored, other_of(stored))
    xr.testing.assert_identical(found, expected)
    assert not stored["q"].variable._in_memory
    pytest.importorskip("dask")
    chunked = stored.chunk(trajectory=3)
    lazy = QUANTITIES[quantity](chunked, other_of(chunked))
    assert lazy.chunks
    xr.testing.assert_identical(lazy.compute(), expected)


def test_blocks_are_the_same_as_one(whole, monkeypatch):
    some = {name: quantity(whole, other_of(whole)) for name, quantity in QUANTITIES.items()}
    monkeypatch.setattr(blocks, "BLOCK_VALUES", 2**21)
    for name, quantity in QUANTITIES.items():
        xr.testing.assert_allclose(some[name], quantity(whole, other_of(whole)), rtol=1e-12, atol=1e-15)


def test_a_summary_is_of_all_trajectories(whole, path):
    expected = diagnostics.summary(whole, other_of(whole))
    stored = systems.open(path)
    assert diagnostics.summary(stored, other_of(stored)) == expected
    pytest.importorskip("dask")
    chunked = stored.chunk(trajectory=2)
    assert diagnostics.summary(chunked, other_of(chunked)) == pytest.approx(expected, rel=1e-12)


@pytest.mark.parametrize("options", [{}, {"chunks": 1, "loss": "multiple_shooting"}], ids=str)
def test_a_fit_does_not_depend_on_where_data_lie(whole, path, options):
    def weights(dataset):
        torch.manual_seed(0)
        model = HLieConv.of(dataset, group="SE2", width=8, blocks=1)
        fit(model, dataset, steps=2, batch=4, optimiser="adam", progress=False, compile="off", **options)
        return list(model.state_dict().values())

    stored = systems.open(path)
    for ours, theirs in zip(weights(stored), weights(whole), strict=True):
        assert torch.equal(ours, theirs)
    assert not stored["q"].variable._in_memory


@pytest.mark.parametrize("question", [noether.symmetry, noether.discover, noether.energy_conservation])
def test_conservation_is_judged_by_trajectories_that_fit_in_memory(question, tmp_path, monkeypatch):
    field, state = HenonHeiles.sample(40, seed=0)
    times = torch.linspace(0, 4, 81, dtype=torch.float64)
    whole = simulate(field, state, times, Leapfrog(step=0.05))
    systems.save(whole, tmp_path / "file.zarr")
    stored = systems.open(tmp_path / "file.zarr")
    if question is noether.energy_conservation:
        assert str(question(stored)) == str(question(whole))
        return
    monkeypatch.setattr(blocks, "READ_VALUES", 22 * 2 * len(times))
    rows = np.linspace(0, 39, 22).round().astype(int)
    expected = str(question(whole.isel(trajectory=rows)))
    assert str(question(whole)) == str(question(stored)) == expected
    assert not stored["q"].variable._in_memory


def test_a_law_reads_no_more_of_a_file_than_it_needs(whole, path, monkeypatch):
    expected = fit(PairExpansion.of(whole), whole).model
    stored = systems.open(path)
    monkeypatch.setattr(Trajectories, "state", property(lambda self: pytest.fail("all states were read")))
    found = fit(PairExpansion.of(stored), stored).model
    assert found.law() == expected.law() == "V = 1 k_i k_j r_ij^2"
    assert found.estimates == expected.estimates
    assert evidence(found, stored).holds
    assert not stored["q"].variable._in_memory


@pytest.mark.parametrize("own_times", [False, True])
def test_a_rollout_reads_the_first_states_of_a_part(own_times, tmp_path, monkeypatch):
    monkeypatch.setattr("systems.simulation.LOOKED_AT", 2)
    monkeypatch.setattr("systems.work.BLOCK_TRAJECTORIES", 2)
    system, state = Springs.sample(7, seed=0, bodies=(2, 3))  # the first of which have all bodies
    order = system.mask.sum(1).argsort(descending=True)
    whole = simulate(system.select(order), PhaseSpace(state.q[order], state.p[order]), TIMES)
    if own_times:
        whole = whole.rename(time="moment").drop_vars("moment").rename(moment="time")
        times = TIMES[None] * torch.linspace(1, 2, 7, dtype=torch.float64)[:, None]
        whole["trajectory_time"] = (("trajectory", "time"), times.numpy(), {"units": "s", "long_name": "time"})
    systems.save(whole, tmp_path / "file.zarr")
    stored, read = systems.open(tmp_path / "file.zarr"), []
    torch.manual_seed(0)
    model = HLieConv.of(whole, group="SE2", width=8, blocks=1)
    call = Starts.__call__
    monkeypatch.setattr(Starts, "__call__", lambda self, numbers: read.append(len(numbers)) or call(self, numbers))
    options = {"integrator": Leapfrog(step=0.1), "dtype": torch.float64}
    expected = rollout(model, whole, path=tmp_path / "whole.zarr", **options)
    assert 7 in read
    read.clear()
    found = rollout(model, stored, path=tmp_path / "moved.zarr", **options)
    assert max(read) == 2
    xr.testing.assert_equal(found, expected)
    assert "true_energy" in found
    assert not stored["q"].variable._in_memory
    # The same call again is done; a file of other states is another rollout.
    xr.testing.assert_identical(rollout(model, stored, path=tmp_path / "moved.zarr", **options), found)
    systems.save(whole.assign(q=whole.q + 1.0), tmp_path / "other.zarr")
    with pytest.raises(ValueError, match="holds something else"):
        rollout(model, systems.open(tmp_path / "other.zarr"), path=tmp_path / "moved.zarr", **options)


def test_gaps_in_a_file_are_said(whole, tmp_path):
    gaps = whole.assign(q=whole.q.where((whole.time != whole.time[4]) | (whole.trajectory != "run 2")))
    systems.save(gaps, tmp_path / "gaps.nc")
    data = trajectories_of(systems.open(tmp_path / "gaps.nc"))
    with pytest.warns(UserWarning, match="1 of 3 pieces that were read have gaps"):
        times, state, _ = data.pieces(torch.tensor([2, 5, 2]), torch.tensor([0, 3, 4]), 3)
    expected = [whole.q[2, :3], whole.q[5, 3:6], gaps.q[2, 4:7]]
    assert np.array_equal(state.q.numpy(), np.stack(expected, 1), equal_nan=True)
    assert torch.equal(times[:, 1], TIMES[3:6])
    infinite = whole.assign(p=whole.p.where(whole.time != whole.time[4], np.inf))
    systems.save(infinite, tmp_path / "infinite.nc")
    with pytest.raises(ValueError, match="p: expected finite values"):
        trajectories_of(systems.open(tmp_path / "infinite.nc")).pieces(torch.tensor([1]), torch.tensor([3]), 3)


def test_other_states_have_another_checksum(path, whole, tmp_path):
    stored = systems.open(path)
    assert checksum(stored) == checksum(systems.open(path))
    assert checksum(stored.isel(trajectory=slice(0, 6))) != checksum(stored.isel(trajectory=slice(1, 7)))
    changed = whole.copy(deep=True)
    changed["p"][3, 5] += 1e-12
    systems.save(changed, tmp_path / path.name)
    assert checksum(systems.open(tmp_path / path.name)) != checksum(stored)


def test_what_dask_computes_has_a_checksum_of_its_own(path, monkeypatch):
    pytest.importorskip("dask")
    monkeypatch.setattr("systems.dataset.storage.SAMPLED", 2)  # the first and the last trajectory
    lazy = systems.open(path).chunk(trajectory=2)
    assert checksum(lazy.assign(q=lazy.q.where(lazy.trajectory != "run 3", 1.0))) != checksum(lazy)


def test_fields_are_cut_into_blocks_too():
    system, state = Springs.sample(5, seed=1, bodies=3)
    states = system.closed_form(state, TIMES)
    dataset = to_dataset(PhaseSpace(*states), TIMES, field=system)
    energy = diagnostics.energy(dataset, system)
    assert energy.shape == (5, len(TIMES))
    assert np.allclose(energy.values.T, system.energy(states).numpy(), rtol=1e-13)
