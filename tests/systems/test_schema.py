"""Tensors to a Dataset and back, and what `validate` says of a foreign one."""

import numpy as np
import pytest
import torch
import xarray as xr
from hypothesis import given, settings
from hypothesis import strategies as st

import systems
from systems import PhaseSpace, Springs, to_dataset, validate
from systems.dataset.reading import (
    mask_of,
    state_of,
    system_of,
    times_of,
    trajectory_of,
    variables_of,
)
from systems.dataset.schema import parameters_of


def ragged(count=4, points=5, dtype=torch.float64):
    """Springs of 2 to 4 bodies, and their trajectories."""
    system, state = Springs.sample(count, seed=0, bodies=(2, 4), rest_length=(0.5, 1.0), dtype=dtype)
    assert system.mask is not None
    assert not system.mask.all()
    times = torch.linspace(0, 1, points, dtype=dtype)
    free = torch.stack([state.q + t * system.velocity(state.p) for t in times])
    return system, PhaseSpace(free, state.p.expand_as(free)), times


@settings(max_examples=20, deadline=None)
@given(
    sizes=st.tuples(*[st.integers(1, 4)] * 4),
    own_times=st.booleans(),
    masked=st.booleans(),
    single=st.booleans(),
)
def test_what_goes_in_comes_out(sizes, own_times, masked, single):
    dtype = torch.float32 if single else torch.float64
    points, count, n, _ = sizes
    random = torch.Generator().manual_seed(0)
    trajectory = PhaseSpace(*(torch.randn(sizes, dtype=dtype, generator=random) for _ in "qp"))
    gaps = torch.rand((points, count) if own_times else (points,), dtype=dtype, generator=random)
    times = (gaps + 0.1).cumsum(0)
    mask = torch.rand(count, n, generator=random) < 0.5 if masked else None
    if mask is not None:
        mask[0, 0] = True  # without any body there is no Dataset
    dataset = validate(to_dataset(trajectory, times, mask=mask))
    back_times, back = trajectory_of(dataset)
    exists = torch.ones(count, n, dtype=torch.bool) if mask is None else mask
    for x, y, name in zip(trajectory, back, "qp", strict=True):
        assert torch.equal(y, torch.where(exists[..., None], x, 0))
        assert np.array_equal(np.isnan(dataset[name]).all(("time", "space")), ~exists)
    assert torch.equal(back_times, times)
    assert torch.equal(times_of(dataset), times)
    assert back.q.dtype == back_times.dtype == dtype
    found = mask_of(dataset)
    assert (found is None) == bool(exists.all())
    assert found is None or torch.equal(found, exists)


def test_tensors_and_dataset_share_their_memory(dtype):
    trajectory = PhaseSpace(torch.randn(5, 3, 4, 2, dtype=dtype), torch.randn(5, 3, 4, 2, dtype=dtype))
    dataset = to_dataset(trajectory, torch.arange(5, dtype=dtype))
    _, back = trajectory_of(dataset)
    for x, y in zip(trajectory, back, strict=True):
        assert x.data_ptr() == y.data_ptr()
        assert x.stride() == y.stride()


def test_every_variable_is_described_and_no_attribute_is_none_or_bool():
    system, trajectory, times = ragged()
    dataset = to_dataset(trajectory, times, field=system, energy=system.energy(trajectory))
    for array in dataset.variables.values():
        assert array.attrs["units"]
        assert array.attrs["long_name"]
    values = [*dataset.attrs.values(), *(v for array in dataset.variables.values() for v in array.attrs.values())]
    assert all(type(value) in (str, int, float) for value in values)
    assert dataset.attrs["system"] == "springs"
    assert dataset["energy"].dims == ("trajectory", "time")
    assert set(parameters_of(dataset)) == {"mass", "stiffness", "rest_length"}


def test_a_system_is_rebuilt_from_its_trajectories(dtype):
    system, trajectory, times = ragged(dtype=dtype)
    dataset = to_dataset(trajectory, times, field=system)
    assert np.isnan(dataset["mass"]).equals(~dataset["mask"])
    assert np.isnan(dataset["rest_length"]).sum() > 0
    again = system_of(dataset)
    state = state_of(dataset, -1)
    assert type(again) is Springs
    assert again.mass.dtype == state.q.dtype == dtype
    for a, b in zip(again(times[0], state), system(times[0], state), strict=True):
        assert torch.equal(a, b)
    assert torch.equal(again.energy(state), system.energy(state))


@pytest.mark.parametrize("name", systems.SYSTEMS)
def test_every_system_is_rebuilt(name):
    kind = getattr(systems, systems.SYSTEMS[name].partition(":")[2])
    system, state = kind.sample(3, seed=0)
    trajectory = PhaseSpace(*(torch.stack([x, x]) for x in state))
    dataset = validate(to_dataset(trajectory, torch.tensor([0.0, 1.0], dtype=torch.float64), field=system))
    again, energy = system_of(dataset), system.energy(state)
    assert type(again) is kind
    assert torch.equal(again.energy(state_of(dataset)), energy)
    one = dataset.isel(trajectory=[1])
    assert torch.equal(system_of(one).energy(state_of(one)), energy[1:2])


def test_shared_parameters_are_stored_once_and_given_to_each():
    system = Springs(mass=torch.tensor([1.0, 2.0]), spring_constant=1.0)
    trajectory = PhaseSpace(torch.zeros(3, 4, 2, 2), torch.zeros(3, 4, 2, 2))
    dataset = to_dataset(trajectory, torch.arange(3.0), field=system)
    assert dataset["mass"].dims == ("body",)
    assert dataset["spring_constant"].dims == ("body", "other_body")
    found = variables_of(dataset, ["mass", "spring_constant"])
    assert found["mass"].tolist() == [[1.0, 2.0]] * 4
    assert found["spring_constant"].shape == (4, 2, 2)
    with pytest.raises(ValueError, match="missing charge"):
        variables_of(dataset, ["mass", "charge"])


def test_a_state_with_a_gap_is_refused():
    trajectory = PhaseSpace(torch.zeros(3, 1, 2, 2), torch.zeros(3, 1, 2, 2))
    trajectory.q[1, 0, 1] = torch.nan
    dataset = to_dataset(trajectory, torch.arange(3.0))
    assert torch.isnan(trajectory_of(dataset)[1].q[1, 0, 1]).all()
    state_of(dataset, 2)
    with pytest.raises(ValueError, match=r"time: .* gaps at index 1"):
        state_of(dataset, 1)
    with pytest.raises(ValueError, match="time: expected an index below 3, got 3"):
        state_of(dataset, 3)


def without(name):
    return lambda dataset: dataset.drop_vars(name)


def with_variable(name, **changes):
    """The Dataset with the values of one variable changed, or its dims, or its attributes."""

    def change(dataset):
        old = dataset[name]
        dims, values = changes.get("dims", old.dims), changes.get("values", lambda x: x)(old.values)
        return dataset.assign({name: (dims, values, changes.get("attrs", old.attrs))})

    return change


FOREIGN = {
    "no schema": (lambda d: d.assign_attrs(schema_version=0), "schema_version: expected 1, got none"),
    "newer schema": (lambda d: d.assign_attrs(schema_version=2), "schema_version: expected 1, got 2"),
    "no momenta": (without("p"), "p: expected a variable of this name, got none"),
    "no mask": (without("mask"), "mask: expected a variable"),
    "no times": (without("time"), "time: expected either a coordinate time or a variable trajectory_time"),
    "one trajectory selected": (
        lambda d: d.isel(trajectory=0),
        "q: expected dims trajectory, time, body, space, got time",
    ),
    "integers": (
        with_variable("q", values=lambda x: np.nan_to_num(x).astype(int)),
        "q, p: expected float32 or float64, got int64",
    ),
    "two dtypes": (with_variable("p", values=lambda x: x.astype("f4")), "q, p: .* got float64 and float32"),
    "half precision": (with_variable("q", values=lambda x: x.astype("f2")), "q, p: .* got float16"),
    "mask of numbers": (with_variable("mask", values=lambda x: x.astype(float)), "mask: expected bool, got float64"),
    "unsorted times": (
        with_variable("time", values=lambda x: x[[1, 0, 2, 3, 4]]),
        "time: expected strictly increasing",
    ),
    "equal times": (with_variable("time", values=lambda x: x[[0, 0, 2, 3, 4]]), "time: expected strictly increasing"),
    "NaN times": (
        with_variable("time", values=lambda x: np.where(x == x[1], np.nan, x)),
        "time: expected finite times",
    ),
    "integer times": (
        with_variable("time", values=lambda x: np.arange(5)),
        "time: expected float32 or float64 seconds",
    ),
    "no units": (with_variable("mass", attrs={"long_name": "mass"}), "mass: expected the attributes units, got none"),
    "negative mass": (with_variable("mass", values=lambda x: -x), "mass: expected positive values, got -"),
    "zero mass": (with_variable("mass", values=lambda x: 0 * x), "mass: expected positive values, got 0"),
    "NaN mass": (with_variable("mass", values=lambda x: x + np.nan), "mass: expected finite values"),
    "infinite charge": (with_variable("stiffness", values=lambda x: x + np.inf), "stiffness: expected finite values"),
    "energy of each body": (
        with_variable("energy", dims=("trajectory", "body"), values=lambda x: x[:, :4]),
        "energy: ",
    ),
}


@pytest.mark.parametrize("case", FOREIGN)
def test_validate_names_what_is_wrong(case):
    spoil, message = FOREIGN[case]
    system, trajectory, times = ragged()
    dataset = to_dataset(trajectory, times, field=system, energy=system.energy(trajectory))
    assert validate(dataset) is dataset
    with pytest.raises(ValueError, match=f"dataset: .*{message}"):
        validate(spoil(dataset))


def test_validate_names_everything_at_once():
    with pytest.raises(ValueError, match=r"schema_version: .*; q: .*; p: .*; mask: "):
        validate(xr.Dataset())


def test_own_times_may_end_early_and_only_end():
    trajectory = PhaseSpace(torch.zeros(3, 2, 1, 1), torch.zeros(3, 2, 1, 1))
    nan = torch.nan
    validate(to_dataset(trajectory, torch.tensor([[0.0, 0.0], [1.0, 2.0], [nan, 3.0]])))
    for wrong in ([[0.0, 0.0], [nan, 2.0], [1.0, 3.0]], [[nan, 0.0], [nan, 2.0], [nan, 3.0]]):
        with pytest.raises(ValueError, match="trajectory_time: expected finite times"):
            validate(to_dataset(trajectory, torch.tensor(wrong)))


def test_a_system_that_is_unknown_or_lacks_a_variable():
    system, trajectory, times = ragged()
    dataset = to_dataset(trajectory, times, field=system)
    with pytest.raises(ValueError, match=r"system: expected one of .*springs.*, got nothing"):
        system_of(dataset.assign_attrs(system="nothing"))
    with pytest.raises(ValueError, match="dataset: springs needs the variables mass"):
        system_of(dataset.drop_vars("mass"))
