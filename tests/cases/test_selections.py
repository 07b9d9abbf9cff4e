"""What is left of a Dataset by xarray's selections and arithmetic is right, or refused by name, in every diagnostic."""

import warnings

import matplotlib.pyplot as plt
import numpy as np
import pytest
import torch
import xarray as xr

from hlieconv import plots
from hlieconv.cli.output import summary_of
from hlieconv.diagnostics.accessor import Dynamics
from hlieconv.noether import discover, energy_conservation, growth_law
from hlieconv.spectra import power_spectrum
from systems import (
    Gravity,
    PhaseSpace,
    Springs,
    from_arrays,
    save,
    simulate,
    state_of,
    system_of,
    trajectory_of,
    validate,
)
from systems.dataset import standardised
from systems.registry import SYSTEMS, system_class

T = np.linspace(0, 1, 6)


@pytest.fixture(scope="module")
def data():
    return simulate(*Springs.sample(3, seed=0, bodies=(4, 6)), T)


#: Every diagnostic of the accessor.
ASKED = {
    "energy": lambda x: x.drop_vars("energy").dynamics.energy(),
    "momentum": lambda x: x.dynamics.momentum(),
    "angular_momentum": lambda x: x.dynamics.angular_momentum(),
    "charges": lambda x: x.dynamics.charges("SE2"),
    "boost": lambda x: x.dynamics.boost(),
    "drift": lambda x: x.dynamics.drift("momentum"),
    "error": lambda x: x.dynamics.error(x),
    "valid_time": lambda x: x.dynamics.valid_time(x),
    "at": lambda x: x.dynamics.at([0.1]),
    "summary": lambda x: x.dynamics.summary(),
    "energy_balance": lambda x: x.dynamics.energy_balance(),
}

#: What users do to Datasets that leaves no trajectories, and what they are told.
LOST = {
    "one trajectory": (lambda x: x.isel(trajectory=0), r"isel\(trajectory=\[0\]\)"),
    "a mean": (lambda x: x.mean("trajectory", keep_attrs=True), "q: expected dims trajectory, time"),
    "other names": (lambda x: x.rename(time="t"), "q: expected dims .*, got trajectory, t, body, space"),
    "no mask": (lambda x: x[["q", "p", "energy", "mass", "stiffness"]], "mask: expected a variable of this name"),
    "where": (lambda x: x.where(x.time > 0.3), "mask: expected dims .*isel in place of where"),
    "no times": (lambda x: x.sel(time=slice(5, 6)), "at least one time"),
    "no trajectories": (lambda x: x.isel(trajectory=[]), "at least one trajectory"),
    "no bodies": (lambda x: x.isel(body=[]), "at least one body"),
    "whole numbers": (lambda x: x.assign(q=x.q.round().astype(int)), "q, p: expected float32 or float64, got int64"),
    "no unit": (lambda x: x.assign(q=x.q.assign_attrs(units="ell")), "q: expected units that pint reads"),
    "mixed units": (
        lambda x: x.assign(q=x.q.assign_attrs(units="km"), p=x.p.assign_attrs(units="kg m / s")),
        "p: expected units of 'kg km / s', got 'kg m / s': systems.dataset.standardised converts them",
    ),
    "joined": (lambda x: xr.concat([x, x], "time", data_vars="all"), "mask: expected dims .*data_vars='minimal'"),
    "flat": (lambda x: x.stack(sample=("trajectory", "time")), "q: expected dims"),
}


def test_all_diagnostics_are_asked():
    assert {*ASKED} == {name for name in vars(Dynamics) if not name.startswith("_")}


@pytest.mark.parametrize("lost", LOST)
def test_what_holds_no_trajectories_is_refused_by_name(data, lost, tmp_path):
    lose, message = LOST[lost]
    rest = lose(data)
    for ask in (*ASKED.values(), lambda x: save(x, tmp_path / "a.nc"), state_of, system_of, trajectory_of):
        with pytest.raises(ValueError, match=f"^dataset: .*{message}"):
            ask(rest)


#: Selections that leave trajectories.
KEPT = {
    "backwards": lambda x: x.isel(time=slice(None, None, -1)),
    "the last bodies first": lambda x: x.isel(body=slice(None, None, -1)),
    "axes": lambda x: x.isel(space=slice(None, None, -1)),
    "the last first": lambda x: x.isel(trajectory=slice(None, None, -1)),
    "every other time": lambda x: x.isel(time=slice(None, None, 2)),
    "dims": lambda x: x.transpose("space", "body", "time", "trajectory"),
    "times one": lambda x: x * 1,
    "numbers of four bytes": lambda x: x.astype("float32"),
    "read only": lambda x: x.map(lambda v: v.copy(data=np.broadcast_to(v.values, v.shape)), keep_attrs=True),
}


@pytest.mark.parametrize("kept", KEPT)
def test_a_selection_has_the_charges_of_what_it_was_made_of(data, kept):
    rest = KEPT[kept](data)
    size = np.finfo(rest["q"].dtype).eps
    for name in ("energy", "momentum", "angular_momentum", "boost"):
        whole, some = ASKED[name](data), ASKED[name](rest)
        expected = (
            KEPT[kept](whole.to_dataset(name="x"))["x"]
            if kept not in ("axes", "the last bodies first", "dims")
            else whole
        )
        if kept == "axes":
            expected = (
                -whole
                if name == "angular_momentum"
                else whole.isel(space=slice(None, None, -1))
                if "space" in whole.dims
                else whole
            )
        np.testing.assert_allclose(
            some.transpose(*expected.dims), expected, rtol=0, atol=100 * size * float(abs(whole).max())
        )
    assert all(value < 100 * size for name, value in rest.dynamics.summary().items() if name[:2] in ("P_", "L_", "en"))


def test_trajectories_of_two_systems_have_no_common_law(data):
    """xarray fills what one of them lacks with NaN, which was taken for springs without stiffness."""
    springs = simulate(*Springs.sample(2, seed=0, bodies=3), T)
    orbits = simulate(*Gravity.sample(2, seed=0, bodies=3, dimension=2), T)
    both = xr.concat([springs, orbits], "trajectory", data_vars="all")
    for ask in (system_of, ASKED["energy"]):
        with pytest.raises(ValueError, match="expected finite values of stiffness for every body, got NaN"):
            ask(both)
    assert both.dynamics.momentum().shape == (4, 6, 2)
    assert system_of(data).stiffness[0, -1] == 0  # a body that does not exist has none


def test_a_reference_is_of_the_same_bodies_times_and_units():
    q = np.random.default_rng(0).normal(size=(6, 2, 2))

    def made(times=T, **units):
        return from_arrays(q, 2 * q, times=times, mass=[1.0, 2.0], units=units)

    assert (made().dynamics.error(made()) == 0).all()
    for scale in (1e-15, 1.0, 1e12):
        own = made(T * scale)
        assert (own.dynamics.error(made(T * scale * (1 + 1e-13))) == 0).all()
        assert (own.dynamics.error(own.assign_coords(time=own.time.astype("float32"))) == 0).all()
        with pytest.raises(ValueError, match="reference: expected the times of the dataset"):
            own.dynamics.error(made(T * scale * 1.001))
    with pytest.raises(ValueError, match="reference: expected q in km, as the dataset has it, got 'm'"):
        made(q="km").dynamics.error(made(q="m"))
    with pytest.raises(ValueError, match="reference: expected times counted from 2024"):
        made(np.datetime64("2024") + T.astype("timedelta64[s]").cumsum() + np.arange(6)).dynamics.error(
            made(np.datetime64("2025") + T.astype("timedelta64[s]").cumsum() + np.arange(6))
        )
    named = made().assign_coords(body=["sun", "earth"])
    assert (named.dynamics.error(made()) == 0).all()
    with pytest.raises(ValueError, match="reference: expected the bodies of the dataset in their order"):
        named.dynamics.error(named.isel(body=[1, 0]))


def test_what_is_counted_in_years_says_so():
    """Labels and units of all that is made of a Dataset are its own, never seconds by habit."""
    system = Gravity(mass=[1.0, 3e-6], units="AU, yr, Msun")
    year = simulate(system, PhaseSpace.of([[0, 0], [1, 0]], v=[[0, 0], [0, 6.28]], mass=[1, 3e-6]), T)
    made = {
        "yr": year.dynamics.valid_time(year),
        "Msun AU^2 / yr^2": year.dynamics.energy(system),
        "Msun AU": year.dynamics.boost(),
        "Msun AU / yr": year.dynamics.momentum(),
    }
    assert {name: array.attrs["units"] for name, array in made.items()} == {name: name for name in made}
    assert year.dynamics.drift().attrs["units"] == "1"
    own = year.drop_vars("time").assign(trajectory_time=(("trajectory", "time"), T[None], year.time.attrs))
    for dataset in (year, own):
        drawn = [
            plots.plot_energy(dataset),
            plots.plot_momentum(dataset),
            plots.plot_drift(dataset),
            plots.plot_error(dataset, dataset),
            plots.plot_charges(dataset, "SE2"),
            plots.plot_growth(dataset.dynamics.drift()),
            plots.plot_conservation(dataset).axes[-1],
        ]
        assert [ax.get_xlabel() for ax in drawn] == ["time (yr)"] * len(drawn)
        plt.close("all")
    assert "6 points from 0 to 1 yr, by" in summary_of(year)


#: What times may be, with how many seconds lie between two of them.
KINDS = {
    "durations": ((T * 1e9).astype("timedelta64[ns]"), {}, 0.2),
    "dates": (np.datetime64("2024-01-01", "ns") + (T * 1e9).astype("timedelta64[ns]"), {}, 0.2),
    "milliseconds": (T * 1e3, {"units": "ms"}, 200.0),  # as the axis counts
}


@pytest.mark.parametrize("kind", KINDS)
def test_times_of_any_kind_are_drawn_as_numbers(data, kind):
    """matplotlib, numpy and torch each took durations and dates for something else: days, nanoseconds, an error."""
    values, attrs, spacing = KINDS[kind]
    own = data.drop_vars("time").assign(trajectory_time=(("trajectory", "time"), np.stack([values] * 3), attrs))
    for dataset in (data.assign_coords(time=("time", values, attrs)), own):
        drift = dataset.dynamics.drift()
        drawn = [
            plots.plot_energy(dataset),
            plots.plot_drift(dataset),
            plots.plot_error(dataset, dataset),
            plots.plot_charges(dataset, "SE2"),
            plots.plot_growth(drift),
            plots.plot_conservation(dataset).axes[-1],
        ]
        for ax in drawn:
            assert ax.get_xlabel() == ("time (ms)" if kind == "milliseconds" else "time (s)")
            assert abs(np.diff(ax.lines[0].get_xdata()) - spacing).max() < 1e-9 * spacing
        plt.close("all")
        np.testing.assert_array_equal(validate(standardised(dataset)).dynamics.drift(), drift)
    density = power_spectrum(data.assign_coords(time=("time", values, attrs)).q.isel(body=0))
    assert float(density.frequency[-1]) == pytest.approx(0.5 / spacing)


def test_times_that_go_to_and_fro_are_refused(data):
    for index in ([0, 2, 1], [0, 1, 1]):
        with pytest.raises(ValueError, match=r"^time: expected times that increase, or decrease, none of them twice"):
            data.isel(time=index).dynamics.drift("momentum")


@pytest.mark.parametrize("name", SYSTEMS)
def test_states_that_do_not_have_the_energy_stored_are_told(name):
    """A body left out, or numbers changed, was seen by nobody: its energy was that of the whole."""
    system, state = system_class(name).sample(2, seed=0)
    whole = simulate(system, state, T)
    with warnings.catch_warnings():
        warnings.simplefilter("error", UserWarning)
        whole.dynamics.summary()
        whole.assign({x: whole[x].astype("float32") for x in "qp"}).isel(time=[2, 1]).dynamics.energy()
    changed = whole.assign(q=1.3 * whole.q + 0.1, p=0.5 * whole.p)
    rest = changed if whole.sizes["body"] == 1 else whole.isel(body=[0])
    for ask in (lambda x: x.dynamics.energy(), lambda x: x.dynamics.drift(), lambda x: x.dynamics.summary()):
        with pytest.warns(UserWarning, match="in 2 of 2 trajectories the states do not have the energy that is stored"):
            ask(rest)
    with pytest.raises(ValueError, match="dataset: expected states of the energy that it stores"):
        energy_conservation(rest)


def test_noise_that_standard_errors_tell_of_is_no_other_energy():
    system, state = Springs.sample(50, seed=0)
    whole, draws = simulate(system, state, T), np.random.default_rng(0)
    noisy = whole.assign({x: whole[x] + 0.05 * draws.standard_normal(whole[x].shape) for x in "qp"})
    told = noisy.assign(q_error=xr.full_like(whole.q, 0.05), p_error=xr.full_like(whole.p, 0.05))
    with pytest.warns(UserWarning, match=r"or was noise added \(of which q_error and p_error may tell\)"):
        noisy.dynamics.summary()
    with warnings.catch_warnings():
        warnings.simplefilter("error", UserWarning)
        told.dynamics.summary()
    rest = told.isel(body=[0, 1, 2])
    with pytest.warns(UserWarning, match="in 50 of 50 trajectories the states do not"):
        rest.dynamics.summary()
    with pytest.raises(ValueError, match="dataset: expected states of the energy that it stores"):
        energy_conservation(told)


def test_why_the_energy_changes_where_bodies_are_lost():
    orbits = simulate(*Gravity.sample(3, seed=0, bodies=3), T)
    alone = energy_conservation(orbits.isel(body=[0, 1]).drop_vars("energy"))
    assert alone.cause == "states"
    assert "gravity has not moved these states" in alone.sentence
    late = xr.DataArray(np.arange(6) > 3, dims="time") & (xr.DataArray([1, 0, 0], dims="trajectory") == 1)
    gone = late & (xr.DataArray([0, 0, 1], dims="body") == 1)
    lost = orbits.assign(q=orbits.q.where(~gone), p=orbits.p.where(~gone))
    found = energy_conservation(lost)
    assert (found.cause, found.sentence[:46]) == ("bodies", "In 1 of 3 trajectories a body is missing at so")
    with pytest.raises(ValueError, match="states at two times or more, got '1 time'"):
        energy_conservation(orbits.isel(time=[0]))
    own = orbits.drop_vars("time").assign(trajectory_time=(("trajectory", "time"), np.stack([T] * 3)))
    assert energy_conservation(own).cause == "round_off"


def test_units_that_are_known_of_a_part_are_told():
    q = np.random.default_rng(0).normal(size=(6, 2, 2))
    for units in ({"q": "m"}, {"mass": "g", "q": "furlong"}):
        with pytest.warns(UserWarning, match=r"^units: .* but nobody knows what .* counted in"):
            half = from_arrays(q, 2 * q, times=T, mass=[1.0, 2.0], units=units)
        assert half.dynamics.angular_momentum().units == "1"
    with pytest.raises(ValueError, match=r"^charge: expected units that pint reads"):
        from_arrays(q, 2 * q, times=T, mass=1.0, charge=1.0, units={"charge": "ell"})
    with pytest.raises(ValueError, match=r"^units: expected that of q too"):
        from_arrays(q, v=q, times=T, mass=1.0, units={"v": "km / h"})
    metres = xr.DataArray(q[:1], dims=("trajectory", "body", "space"), attrs={"units": "m"})
    with pytest.warns(UserWarning, match=r"^units: q in m, but nobody knows what p and mass are counted in"):
        simulate(Springs(mass=[1.0, 2.0], stiffness=1.0), (metres, q[:1]), T)
    whole = from_arrays(q, 2 * q, times=T, mass=[1.0, 2.0], units={"q": "m", "p": "kg km / s", "mass": "kg"})
    mixed = whole.assign(p=(whole.p / 1e3).assign_attrs(units="kg km / s"))
    with pytest.raises(ValueError, match=r"systems\.dataset\.standardised converts them"):
        mixed.dynamics.momentum()
    np.testing.assert_allclose(standardised(mixed).p, whole.p)


def test_what_other_programs_wrote_names_the_way_in(data):
    foreign = data[["q", "p", "mass"]].drop_attrs()
    with pytest.raises(ValueError, match=r"schema_version: .*the command import, or systems.from_arrays"):
        validate(foreign)
    with pytest.raises(ValueError, match=r"mask: .*systems.from_arrays, and so the command import, make it"):
        foreign.dynamics.momentum()
    with pytest.raises(ValueError, match=r"mask: expected bool, got float64: dataset.assign\(mask="):
        validate(data.assign(mask=data.mask.where(data.mask).assign_attrs(data.mask.attrs)))


def test_arrays_that_cannot_be_written_are_read_without_a_warning():
    state = PhaseSpace(*(x.double() for x in torch.randn(2, 40, 1, 2, generator=torch.Generator().manual_seed(0))))
    orbits = simulate(Springs(mass=1.0, stiffness=1.0), state, np.linspace(0, 1, 21))
    frozen = orbits.map(lambda x: x.copy(data=np.broadcast_to(x.values, x.shape)), keep_attrs=True)
    always = torch.is_warn_always_enabled()
    torch.set_warn_always(True)
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("error", UserWarning)
            discover(frozen)
            energy_conservation(frozen)
    finally:
        torch.set_warn_always(always)


def test_what_is_not_known_is_not_bounded():
    """A drift that is not a number, or infinite, was called bounded by the law of its growth."""
    times = torch.linspace(0, 10, 41).double()
    errors = torch.stack([times, torch.where(times > 5, torch.nan, times)], 1)
    found = growth_law(times, errors)
    assert (found.law, found.amplitude) == ("t", pytest.approx(1, rel=0.02))  # of bins
    with pytest.raises(ValueError, match=r"^times: expected at least 4 after zero at which errors are known, got 0"):
        growth_law(times, torch.full_like(errors, torch.nan))
    with pytest.raises(ValueError, match=r"^errors: expected finite ones"):
        growth_law(times, torch.where(times > 5, torch.inf, times))
    drift = xr.DataArray(errors.T.numpy(), dims=("trajectory", "time"), coords={"time": times.numpy()}, name="drift")
    with pytest.warns(UserWarning, match="1 of 2 trajectories end early and are left out"):
        ax = plots.plot_growth(drift.fillna(np.inf))
    assert "$t$" in ax.lines[0].get_label()
    plt.close("all")
    with pytest.raises(ValueError, match=r"^drift: expected a trajectory that goes on to the end"):
        plots.plot_growth(drift.fillna(np.inf).isel(trajectory=[1]))


def test_times_beyond_the_last_that_was_computed_are_told(data):
    with pytest.warns(UserWarning, match="3 of 3 trajectories have states at times after last_time"):
        data.assign_coords(time=1000 * data.time).dynamics.drift("momentum")
    with pytest.raises(ValueError, match=r"^times: expected two or more, from which momenta can be estimated"):
        from_arrays(np.ones((1, 2, 2)), times=[0.0], mass=1.0)
