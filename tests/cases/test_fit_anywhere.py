"""fit and rollout with data anywhere, in any units, of any length: the same results, or words that are true."""

import math
from pkgutil import resolve_name

import numpy as np
import pytest
import torch

from hlieconv.dynamics import fit, rollout
from hlieconv.models import MODELS, HLieConv
from systems import Springs, from_arrays, simulate

SYSTEM, STATE = Springs.sample(12, seed=0, bodies=3)
DATA = simulate(SYSTEM, STATE, torch.linspace(0, 0.5, 13, dtype=torch.float64))
# An expansion takes no steps, and angles have no unit of length.
NETWORKS = [name for name in MODELS if name not in ("expansion", "generalised")]
#: Of a planetary system and of atoms, in kg, m, s.
UNITS = [(2e30, 1.5e11, 5e6), (1e-26, 1e-10, 1e-15)]


def changed(mass=1.0, length=1.0, time=1.0, shift=0.0, order=slice(None), dataset=DATA):
    """The same springs in other units, at another place, in another order."""
    values = {name: dataset[name].values[order] for name in ("q", "p", "mass", "stiffness")}
    return from_arrays(
        values["q"] * length + shift,
        values["p"] * (mass * length / time),
        times=dataset.time.values * time,
        mass=values["mass"] * mass,
        stiffness=values["stiffness"] * (math.sqrt(mass) / time),
        system="springs",
    )


def trained(name, dataset, model=None, **options):
    torch.manual_seed(0)
    if model is None:
        model = resolve_name(MODELS[name]).of(DATA, width=16)
    options = {"optimiser": "adam", "steps": 10, "batch": 10_000, "validation": 0.0, "compile": "off"} | options
    return fit(model, dataset, progress=False, **options)


def loss(*arguments, **options):
    return trained(*arguments, **options).history[-1]["loss"]


@pytest.mark.parametrize("kind", ["force_matching", "one_step"])
@pytest.mark.parametrize("name", NETWORKS)
def test_units_do_not_matter(name, kind):
    expected = loss(name, DATA, loss=kind)
    for units in UNITS:
        assert loss(name, changed(*units), loss=kind) == pytest.approx(expected, rel=1e-3)


@pytest.mark.parametrize("group", ["SE2", "T2"])
def test_the_origin_of_an_invariant_model_does_not_matter(group, recwarn):
    expected = loss("", DATA, _same(group))
    for shift in (1e6, -3e5):
        assert loss("", changed(shift=shift), _same(group)) == pytest.approx(expected, rel=1e-3)
    assert not recwarn


def _same(group):
    torch.manual_seed(0)
    return HLieConv.of(DATA, group=group, width=16)


def test_where_the_origin_is_physics_it_stays():
    """Only along the axis that the group translates; and float32 says that it rounds the rest away."""
    for group, moves in {"Trivial": [False, False], "SO2": [False, False], "Tx": [True, False]}.items():
        model = _same(group)
        with pytest.warns(UserWarning, match=r"positions lie 1e\+06 from the origin"):
            loss("", changed(shift=1e6), model)
        assert (model.frame.origin != 0).tolist() == moves


def test_data_at_the_origin_stay_where_they_are():
    model = trained("hlieconv", DATA).model
    assert not model.frame.origin.any()
    assert float(model.frame.length).hex().startswith("0x1.0000000000000p")


def test_neither_the_order_of_trajectories_nor_padding_matters():
    expected = loss("hlieconv", DATA)
    assert loss("hlieconv", changed(order=slice(None, None, -1))) == pytest.approx(expected, rel=1e-4)
    padded = DATA.pad(body=(0, 2), mode="constant", constant_values={"mask": False})
    padded["mask"] = padded.mask.astype(bool)
    for name in padded.variables:
        padded[name].attrs = DATA[name].attrs
    assert loss("hlieconv", padded) == pytest.approx(expected, rel=1e-4)


@pytest.mark.parametrize("name", ["hlieconv", "hnn", "fc"])
def test_a_model_fitted_in_other_units_and_far_away_predicts_the_same(name):
    mass, length, time = UNITS[0]
    shift = 1e7 * length if name == "hlieconv" else 0.0
    near = rollout(trained(name, DATA).model, DATA, dtype=torch.float64)
    there = changed(mass, length, time, shift)
    far = rollout(trained(name, there).model, there)
    assert far.q.dtype == np.float64  # which float32 could not hold
    np.testing.assert_allclose((far.q - shift) / length, near.q, atol=1e-4)
    np.testing.assert_allclose(far.p / (mass * length / time), near.p, atol=1e-3)


def test_without_units_numbers_out_of_range_are_named():
    with pytest.raises(ValueError, match=r"p: values of about .* are out of the range of torch\.float32"):
        loss("", changed(*UNITS[0]), HLieConv.of(DATA, width=16, normalised=False))


@pytest.mark.parametrize("optimiser", ["adam", "soap"])
def test_a_fitted_model_keeps_its_scales(optimiser):
    model = trained("hlieconv", DATA).model
    before = {name: value.clone() for name, value in model.state_dict().items()}
    other = changed(length=3.0, shift=10.0)
    trained("", other, model, learning_rate=0.0, optimiser=optimiser)
    assert all(torch.equal(value, before[name]) for name, value in model.state_dict().items())
    trained("", other, model, learning_rate=0.0, recalibrate=True)
    assert not torch.equal(model.frame.origin, before["frame.origin"])


def test_a_known_system_is_not_changed_by_no_learning():
    system = Springs(mass=SYSTEM.mass, stiffness=1.1 * SYSTEM.stiffness, trainable=["stiffness"])
    before = system.stiffness.detach().clone()
    trained("", DATA, system, learning_rate=0.0)
    assert torch.equal(system.stiffness, before)


def coarse(spacing):
    return simulate(SYSTEM, STATE, spacing * torch.arange(13, dtype=torch.float64))


def test_what_is_wrong_with_the_data_is_said():
    model = _same("SE2")
    for spacing in (0.6, 3.0):
        with pytest.raises(ValueError, match=rf"spacing.* {spacing:g} s|{spacing:g} s .*spacing"):
            loss("", coarse(spacing), model)
    with pytest.raises(ValueError, match="needs p = mass dq/dt, which the data do not obey"):
        loss("", DATA.assign(p=(2 * DATA.p).assign_attrs(DATA.p.attrs)), model)
    still = DATA.copy(deep=True)
    still.q[:], still.p[:] = still.q.values[:, :1], 0
    with pytest.raises(ValueError, match=r"got 0 everywhere: .*from_arrays makes momenta"):
        loss("", DATA.assign(p=(0 * DATA.p).assign_attrs(DATA.p.attrs)), model)
    with pytest.raises(ValueError, match="expected bodies that move, got all at rest"):
        loss("", still, model)
    broken = DATA.copy(deep=True)
    broken.q[0, 3] = math.inf
    with pytest.raises(ValueError, match="q: expected finite values"):
        loss("", broken, model)
    assert not bool(model.frame.measured)  # nothing was kept


def test_a_first_loss_that_is_not_finite_is_an_error():
    model = _same("SE2")
    with torch.no_grad():
        model.embed.weight.fill_(math.nan)
    with pytest.raises(ValueError, match="expected a finite loss of the model before the first step, got nan"):
        loss("", DATA, model)


@pytest.mark.parametrize("first", [0.25, -0.25])
def test_a_rollout_begins_where_its_data_do(first):
    model = _same("SE2").double()
    way = torch.linspace(0, first, 26, dtype=torch.float64)
    expected = rollout(model, DATA, way).isel(time=-1)
    late = rollout(model, DATA, first + torch.linspace(0, 0.1, 3, dtype=torch.float64))
    np.testing.assert_allclose(late.q[:, 0], expected.q, atol=1e-6)
    assert late.time.values[0] == first
    again = DATA.assign_coords(time=(DATA.time + 1e9).assign_attrs(DATA.time.attrs))
    np.testing.assert_allclose(rollout(model, again).q, rollout(model, DATA).q, atol=1e-6)


def test_trajectories_of_different_lengths_are_fitted_and_rolled_out():
    times = np.tile(DATA.time.values, (12, 1))
    times[1, 7:] = np.nan
    q, p = DATA.q.values.copy(), DATA.p.values.copy()
    q[1, 7:] = p[1, 7:] = np.nan
    ragged = from_arrays(q, p, times=times, mass=SYSTEM.mass.numpy(), stiffness=SYSTEM.stiffness.numpy())
    model = trained("hlieconv", ragged).model.double()
    found = rollout(model, ragged, strict=True)
    np.testing.assert_allclose(found.q[1, :7], rollout(model, DATA).q[1, :7], atol=1e-12)
    assert found.q[1, 7:].isnull().all()


def test_dates_of_a_rollout_are_counted_from_those_of_its_data():
    model, day = _same("SE2").double(), np.datetime64("2024-01-01", "ms")
    data = simulate(SYSTEM, STATE, day + np.arange(4) * np.timedelta64(250, "ms"))
    whole = rollout(model, data)
    assert whole.time.attrs["origin"] == data.time.attrs["origin"]
    late = rollout(model, data, day + np.array([500, 750]) * np.timedelta64(1, "ms"))
    assert late.time.attrs["origin"] == data.time.attrs["origin"]
    np.testing.assert_array_equal(late.time, [0.5, 0.75])
    np.testing.assert_allclose(late.q, whole.q.isel(time=[2, 3]), atol=1e-9)
    seconds = rollout(model, data, [0.5, 0.75])
    np.testing.assert_array_equal(seconds.q, late.q)
