"""One door for time, units and numbers; bodies without mass, fixed ones, none, and any number of dimensions."""

import datetime
import pkgutil
import warnings

import numpy as np
import pandas as pd
import pytest
import torch
import xarray as xr

import hlieconv
import systems
from hlieconv.models import HLieConv
from systems import (
    SYSTEMS,
    AbstractNewtonian,
    Charges,
    Gravity,
    PhaseSpace,
    Springs,
    Variable,
    each_trajectory,
    from_arrays,
    from_dataframe,
    simulate,
    system_of,
)
from systems.dataset import standardised, times_of
from systems.dataset.times import to_times
from systems.integrators import INTEGRATORS, Leapfrog

D, F = torch.float64, torch.float32
every_system = pytest.mark.parametrize("name", SYSTEMS)


def sample(name, count=2, dtype=D):
    return pkgutil.resolve_name(SYSTEMS[name]).sample(count, seed=0, dtype=dtype)


def circle(t):
    return np.stack([np.cos(t), np.sin(t)], -1)[:, None]


# Time


STAMPS = np.datetime64("2024-01-01", "ns") + np.array([0, 500, 1250]).astype("timedelta64[ms]")
DATES = {
    "nanoseconds": STAMPS,
    "microseconds": STAMPS.astype("datetime64[us]"),
    "pandas": pd.DatetimeIndex(STAMPS),
    "pandas, with a zone": pd.DatetimeIndex(STAMPS).tz_localize("Asia/Tokyo"),
    "a column": pd.Series(STAMPS),
    "stamps": list(pd.DatetimeIndex(STAMPS)),
    "Python": [datetime.datetime(2024, 1, 1) + datetime.timedelta(seconds=s) for s in (0, 0.5, 1.25)],
    "durations": STAMPS - STAMPS[0],
    "Python's durations": [datetime.timedelta(seconds=s) for s in (0, 0.5, 1.25)],
    "numbers": [0.0, 0.5, 1.25],
}


@pytest.mark.parametrize("kind", DATES)
def test_dates_and_durations_are_seconds_in_every_door(kind):
    found = to_times(DATES[kind])
    assert found.seconds.dtype == np.float64
    assert found.seconds.tolist() == [0.0, 0.5, 1.25]
    dated = "urations" not in kind and kind != "numbers"
    assert (found.origin != "") == dated
    run = simulate(*sample("springs"), DATES[kind])
    measured = from_arrays(np.ones((3, 1, 2)), np.ones((3, 1, 2)), times=DATES[kind])
    for dataset in (run, measured):
        assert dataset["time"].values.tolist() == [0.0, 0.5, 1.25]
        assert dataset["time"].units == "s"
        assert ("origin" in dataset["time"].attrs) == dated


def test_calendars_of_climate_models_are_read():
    cftime = pytest.importorskip("cftime")
    dates = [cftime.DatetimeNoLeap(2000, 2, 28), cftime.DatetimeNoLeap(2000, 3, 1)]
    assert to_times(dates).seconds.tolist() == [0.0, 86400.0]


@pytest.mark.parametrize(
    "bad", [["2024-01-01"], np.array([1, 2], "timedelta64[M]"), [True], [datetime.date(2024, 1, 1)]]
)
def test_what_is_no_time_is_refused(bad):
    with pytest.raises(ValueError, match=r"^times: expected"):
        to_times(bad)


@pytest.mark.parametrize("start", [0.0, 1e5, 1.7e9])
def test_momenta_do_not_depend_on_the_origin_of_time_nor_on_the_precision_of_positions(start):
    t = np.arange(0, 10, 0.01)
    momenta = from_arrays(circle(t).astype(np.float32), times=start + t, mass=1.0)["p"].values[0, 5:-5, 0, 1]
    # Times keep eps * start of their own, of a spacing of 0.01; positions eps(float32) / 2, of the same.
    assert abs(momenta - np.cos(t)[5:-5]).max() < 1e-4 + 2 * np.finfo(float).eps * start / 0.01


def test_rounding_that_shows_in_momenta_is_told():
    t = np.arange(0, 1, 0.001)
    with pytest.warns(UserWarning, match="q: positions in float32"):
        from_arrays((1e5 + circle(t)).astype(np.float32), times=t, mass=1.0)
    with pytest.warns(UserWarning, match="times: float32 keeps these times to"):
        from_arrays(circle(10 * t), times=(1e4 + 10 * t).astype(np.float32), mass=1.0)


UNITS = {
    "days since 2000-01-01": 1 / 86400,
    "hours since 1990-06-01 12:00": 1 / 3600,
    "seconds since 1970-01-01": 1.0,
    "days": 1 / 86400,
    "ms": 1000.0,
    "minutes": 1 / 60,
}


@pytest.mark.parametrize("units", UNITS)
def test_the_units_of_times_are_read(units, tmp_path):
    dataset = simulate(*sample("springs"), torch.linspace(0, 86400, 5, dtype=D))
    other = dataset.assign_coords(time=("time", dataset.time.values * UNITS[units], {"units": units, "long_name": "t"}))
    assert torch.allclose(times_of(other), times_of(dataset), rtol=1e-12)
    with pytest.raises(ValueError, match="time: expected"):
        systems.validate(other)
    other.to_netcdf(tmp_path / "other.nc", engine="h5netcdf")
    back = systems.open(tmp_path / "other.nc")
    assert torch.allclose(times_of(back), times_of(dataset), rtol=1e-12)
    assert back.time.units == "s"
    decoded = xr.decode_cf(other)
    assert torch.allclose(times_of(standardised(decoded)), times_of(dataset), rtol=1e-12)


@pytest.mark.parametrize("units", ["months since 2000-01-01", "kg", "fortnights of May", "days since when"])
def test_units_that_are_none_of_time_are_refused(units):
    dataset = simulate(*sample("springs"), torch.linspace(0, 1, 5, dtype=D))
    dataset.time.attrs["units"] = units
    with pytest.raises(ValueError, match="time: expected units"):
        standardised(dataset)


def table(noise=0.0, bodies="ab", points=10):
    rows = [
        {
            "time": 0.1 * k + noise * (body == "b"),
            "body": body,
            "x": np.cos(k),
            "y": np.sin(k),
            "mass": 1.0 + (body == "b"),
        }
        for k in range(points)
        for body in bodies
    ]
    return pd.DataFrame(rows)


def test_nearly_equal_times_are_one():
    exact, noisy = from_dataframe(table()), from_dataframe(table(1e-9))
    assert noisy.sizes["time"] == 10
    assert np.isfinite(noisy["q"]).all()
    assert exact.identical(noisy)
    with pytest.raises(ValueError, match="time: expected one time for all bodies"):
        from_dataframe(table(1e-5))
    assert from_dataframe(table(1e-5), time_tolerance=1e-3).identical(exact)
    asynchronous = from_dataframe(table(0.04))  # no noise: bodies that are seen by turns
    assert asynchronous.sizes["time"] == 20


def test_the_order_of_rows_means_nothing():
    frame = table()
    for seed in range(3):
        assert from_dataframe(frame.sample(frac=1, random_state=seed)).identical(from_dataframe(frame))


@pytest.mark.parametrize("column", ["body", "trajectory"])
def test_a_missing_label_is_named(column):
    frame = table().assign(trajectory=0)
    frame[column] = frame[column].astype(object)
    frame.loc[3, column] = None
    with pytest.raises(ValueError, match=f"^{column}: expected a label in every row"):
        from_dataframe(frame)


# Numbers


@every_system
def test_lists_arrays_tables_and_tensors_are_the_same(name):
    system, state = sample(name)
    times = torch.linspace(0, 0.5, 4, dtype=D)
    expected = simulate(system, state, times)
    for convert in (lambda x: x.tolist(), lambda x: x.numpy(), lambda x: xr.DataArray(x.numpy())):
        same = type(system)(**{name: convert(x) for name, x in system.values.items()})
        given = PhaseSpace.of(*(convert(x) for x in state))
        assert all(x.dtype == D for x in (*given, *same.values.values()))
        for start in (given, tuple(convert(x) for x in state)):
            xr.testing.assert_equal(simulate(same, start, convert(times)), expected)


@every_system
def test_numbers_that_a_mask_hides_are_missing_in_every_variable(name):
    values = {name: x.numpy() for name, x in sample(name)[0].values.items()}
    for variable, x in values.items():
        seen, hidden = np.ma.masked_array(x, False), np.ma.masked_array(np.where(x, 1e20, 1e20), True)
        type(sample(name)[0])(**values | {variable: seen})
        with pytest.raises(ValueError, match=f"{variable}: expected finite values"):
            type(sample(name)[0])(**values | {variable: hidden})


def test_numbers_that_a_mask_hides_are_gaps_of_measured_data():
    t = np.linspace(0, 1, 20)
    late = np.broadcast_to(t[:, None, None] > 0.5, (20, 1, 2))
    gaps = from_arrays(np.where(late, circle(t), np.nan), times=t, mass=1.0)
    hidden = from_arrays(np.ma.masked_array(np.where(late, circle(t), -999), ~late), times=t, mass=1.0)
    xr.testing.assert_equal(hidden, gaps)
    for times in (t, STAMPS[0] + (t * 1e9).astype("timedelta64[ns]")):
        with pytest.raises(ValueError, match="time: expected finite times"):
            from_arrays(circle(t), times=np.ma.masked_array(times, t == 0.0), mass=1.0)


class Quantity(np.ndarray):
    """As those of astropy, which are arrays that know their unit."""

    unit = property(lambda self: "km")


class Dimensionless(np.ndarray):
    units = property(lambda self: "dimensionless")


@pytest.mark.parametrize(
    ("bad", "reason"),
    [
        (lambda x: x.view(Quantity), "a quantity in km"),
        (lambda x: (x * 0).astype(np.int64) + 2**53 + 1, r"numbers that float64 can hold, got 9007199254740993"),
        (lambda x: x / 0, "finite"),
    ],
)
@pytest.mark.filterwarnings("ignore::RuntimeWarning")
def test_what_would_be_other_numbers_is_refused_in_every_door(bad, reason):
    t = np.linspace(1, 2, 5)
    doors = {
        "q": lambda x: from_arrays(x[:, None, None], times=t, mass=1.0),
        "p": lambda x: from_arrays(circle(t)[..., :1], x[:, None, None], times=t),
        "times": lambda x: from_arrays(circle(t), times=x, mass=1.0),
        "mass": lambda x: Gravity(mass=x, units="N-body"),
    }
    for door in doors.values():
        door(t.view(Dimensionless))
        with pytest.raises(ValueError, match=reason):
            door(bad(t))


def test_arrays_of_xarray_say_their_dims_and_units_themselves():
    t = np.linspace(0, 1, 20)
    q = np.concatenate([circle(t), 2 * circle(t)], 1)
    plain = from_arrays(q, times=t, mass=1.0, units={"q": "km", "mass": "kg"})
    named = xr.DataArray(q, dims=("time", "body", "space"), attrs={"units": "km"})
    mass = xr.DataArray([1.0, 1.0], dims="body", attrs={"units": "kg"})
    clock = xr.DataArray(t * 1000, dims="time", attrs={"units": "ms"})
    for dims in (("time", "body", "space"), ("space", "body", "time"), ("body", "time", "space")):
        xr.testing.assert_identical(from_arrays(named.transpose(*dims), times=clock, mass=mass), plain)
    system, state = sample("springs")
    xr.testing.assert_equal(simulate(system, state, clock), simulate(system, state, t))
    both = xr.DataArray(np.stack([t[:2], 2 * t[:2]]), dims=("trajectory", "time"))
    own = simulate(system, state, both)
    assert own["trajectory_time"].values.tolist() == both.values.tolist()
    day = simulate(system, state, STAMPS)
    assert day.dynamics.at(day["time"][1:]).time.origin == day.time.origin


def test_float64_unless_tensors_say_otherwise():
    assert PhaseSpace.of(np.zeros((1, 2), np.float32), [[1, 2]]).q.dtype == D
    assert PhaseSpace.of(torch.zeros(1, 2), [[1, 2]]).p.dtype == F
    assert Gravity(mass=np.ones(2, np.float32), units="N-body").mass.dtype == D
    assert Gravity(mass=torch.ones(2), units="N-body").gravitational_constant.dtype == F
    run = simulate(Springs(mass=torch.ones(2), stiffness=1.0), ([[0, 0], [1, 0]], [[0, 0], [0, 0]]), [0, 1])
    assert run["q"].dtype == np.float32
    with pytest.raises(ValueError, match=r"^p: expected torch\.float32"):
        PhaseSpace.of(torch.zeros(1, 2), torch.zeros(1, 2, dtype=D))


def test_velocities_where_momenta_are_not_at_hand():
    v = [[[1.0, 2.0], [3.0, 4.0]]]
    state = PhaseSpace.of([[[0, 0], [1, 1]]], v=v, mass=[2, 0])
    assert state.p.tolist() == [[[2.0, 4.0], [3.0, 4.0]]]  # a body without mass has the momentum of a unit mass
    t = np.linspace(0, 1, 3)
    dataset = from_arrays(circle(t), v=np.ones((3, 1, 2)), times=t, mass=5.0)
    assert (dataset["p"] == 5).all()
    frame = table().assign(vx=1.0, vy=2.0)
    assert from_dataframe(frame)["p"][0, 0].values.tolist() == [[1.0, 2.0], [2.0, 4.0]]
    with pytest.raises(ValueError, match="all of vx, vy, or none"):
        from_dataframe(frame.drop(columns="vy"))
    for wrong in ({"v": v}, {"mass": 1.0}, {"p": v, "v": v, "mass": 1.0}, {}):
        with pytest.raises(ValueError, match=r"^(p|v|mass): expected"):
            PhaseSpace.of(v, **wrong)


def test_ragged_lists_are_trajectories_of_fewer_bodies():
    q, p = [[[0.0, 0.0], [1.0, 0.0], [0.0, 2.0]], [[0.0, 0.0], [1.0, 1.0]]], [[[0.0, 0.0]] * 3, [[0.0, 0.1]] * 2]
    state, system = PhaseSpace.of(q, p), Springs(mass=[[1, 2, 3], [1, 2]], stiffness=1.0)
    assert state.mask.tolist() == system.mask.tolist() == [[True] * 3, [True, True, False]]
    both, alone = simulate(system, state, [0, 1]), simulate(Springs(mass=[1, 2], stiffness=1.0), (q[1], p[1]), [0, 1])
    assert np.allclose(both["q"][1, :, :2], alone["q"][0], rtol=0, atol=1e-14)
    with pytest.raises(ValueError, match=r"state: expected finite q.*mask"):
        simulate(Springs(mass=1.0, stiffness=1.0), state, [0, 1])


class Field(AbstractNewtonian):
    """Falling, where the strength is one number a trajectory."""

    variables = (*AbstractNewtonian.variables, Variable("strength", (), "1", "strength"))

    @each_trajectory
    def potential(self, q):
        return (self.strength * self.mass * q[:, 0]).sum()


@pytest.mark.parametrize("count", [1, 2, 3])  # as many trajectories as dimensions, as bodies, and not
def test_values_of_a_trajectory_broadcast_in_a_potential_of_ones_own(count):
    strength = torch.arange(1.0, count + 1, dtype=D)
    system = Field(mass=torch.tensor([1.0, 2.0, 3.0], dtype=D), strength=strength)
    q = torch.randn(5, count, 3, 2, dtype=D)  # time first
    assert torch.equal(system.force(q)[..., 0], -(strength[:, None] * system.mass).expand(5, count, 3))
    assert (system.force(q)[..., 1] == 0).all()
    run = simulate(system, PhaseSpace(q[0], torch.zeros_like(q[0])), [0.0, 2.0])
    assert np.allclose(run["q"][:, 1, :, 0] - run["q"][:, 0, :, 0], -2 * strength[:, None], rtol=1e-9)


def test_parameters_of_pairs_and_trajectories_are_kept():
    link = np.arange(9.0).reshape(3, 3)
    dataset = from_arrays(
        np.ones((3, 2, 3, 1)),
        np.ones((3, 2, 3, 1)),
        times=[0, 1],
        link=(("body", "other_body"), link),
        drag=("trajectory", [1.0, 2.0, 3.0]),
    )
    assert dataset["link"].dims == ("body", "other_body")
    assert dataset["drag"].dims == ("trajectory",)


# Scales and units


def test_planets_in_kilograms_and_metres_in_float32():
    mass = torch.tensor([1.989e30, 5.97e24, 7.3e22], dtype=D)
    q = torch.tensor([[0.0, 0], [1.496e11, 0], [1.4998e11, 0]], dtype=D)
    state = PhaseSpace.of(q, v=torch.tensor([[0.0, 0], [0, 2.978e4], [0, 3.08e4]], dtype=D), mass=mass)
    runs = []
    for dtype in (F, D):
        system = Gravity(units="SI", mass=mass.to(dtype))
        start = PhaseSpace(*(x.to(dtype) for x in state))
        runs.append(simulate(system, start, torch.linspace(0, 3e6, 3), Leapfrog(step=3e3)))
        assert np.isfinite(runs[-1]["energy"]).all()
        assert torch.isfinite(system.force(start.q)).all()
    assert abs(runs[0]["q"] - runs[1]["q"]).max() < 1e-4 * 1.5e11
    assert abs(runs[0]["energy"] / runs[1]["energy"] - 1).max() < 1e-5


@pytest.mark.parametrize("steps", [None, 2000], ids=["closed form", "leapfrog"])
def test_atoms_in_kilograms_and_metres_in_float32(steps):
    """Two ions of opposite charge, 1e-10 m apart: a period of some 1e-14 s."""
    mass, charge = [6.6e-26, 5.9e-26], [1.602e-19, -1.602e-19]
    q, p = [[0.0, 0.0], [2.4e-10, 0.0]], [[0.0, -6e-23], [0.0, 6e-23]]
    runs = []
    for dtype in (F, D):
        numbers = {"mass": mass, "charge": charge, "coulomb_constant": 8.988e9, "softening": 0.0}
        system = Charges(**{name: torch.tensor(x, dtype=dtype) for name, x in numbers.items()})
        state = PhaseSpace(torch.tensor(q, dtype=dtype), torch.tensor(p, dtype=dtype))
        integrator = None if steps is None else Leapfrog(step=2e-13 / steps)
        runs.append(simulate(system, state, torch.linspace(0, 2e-13, 5, dtype=D), integrator))
    assert np.ptp(runs[1]["q"].values, 1).max() > 1e-12  # something moves
    assert abs(runs[0]["q"] - runs[1]["q"]).max() < 1e-3 * 2.4e-10
    assert (runs[0]["status"] == 0).all()


def test_what_float32_cannot_hold_is_refused_by_name():
    stars = Gravity(units="SI", mass=torch.tensor([2e30, 2e30]))
    state = PhaseSpace(torch.tensor([[0.0, 0.0], [1e9, 0.0]]), torch.zeros(2, 2))
    with pytest.raises(ValueError, match=r"^mass: .*float32.*float64"):
        simulate(stars, state, [0.0, 1.0])
    simulate(stars.double(), PhaseSpace(*(x.double() for x in state)), [0.0, 1.0])


def test_gravity_gives_the_same_orbits_in_all_units():
    """The Sun, the Earth and Jupiter: metres and seconds, astronomical units and years, and G = 1."""
    au, year, sun = 149597870700.0, 31557600.0, 1.988409870698051e30
    time = (au**3 / (6.6743e-11 * sun)) ** 0.5
    scales = {
        "SI": (1.0, 1.0, 1.0),
        "cgs": (0.01, 1.0, 0.001),
        "AU, yr, Msun": (au, year, sun),
        "Msun, kpc, Gyr": (au * 206264806.24709633, 1e9 * year, sun),
        "N-body": (au, time, sun),
    }
    mass = np.array([1.0, 3e-6, 9.5e-4]) * sun
    q, v = np.array([[0, 0], [1, 0], [0, 5.2]]) * au, np.array([[0.0, 0], [0, 29780], [-13060, 0]])
    t = np.linspace(0, year, 5)
    found = {}
    for units, (length, second, kilogram) in scales.items():
        system = Gravity(units=units, mass=mass / kilogram)
        state = PhaseSpace.of(q / length, v=v * second / length, mass=system.mass)
        dataset = simulate(system, state, t / second)
        assert dataset.attrs["unit_system"] == units
        found[units] = dataset["q"].values * length / au
        again = system_of(dataset)
        assert (again.units, float(again.gravitational_constant)) == (units, float(system.gravitational_constant))
    for units, orbits in found.items():
        assert abs(orbits - found["SI"]).max() < 1e-8, units
    assert dataset["q"].units == "1"
    with pytest.raises(ValueError, match="gravitational_constant: expected it or units"):
        Gravity(mass=[1.0, 1.0])
    with pytest.raises(ValueError, match="units: expected SI"):
        Gravity(units="AU, yr", mass=[1.0, 1.0])
    with pytest.raises(ValueError, match=r"^times: "):
        simulate(Gravity(units="N-body", mass=[1.0, 1.0]), ([[0.0], [1.0]], [[0.0], [0.0]]), DATES["nanoseconds"])


def test_units_of_variables_are_converted_or_refused():
    system = Gravity(units="SI", mass=[2e30, 6e24])
    state = PhaseSpace.of([[0, 0], [1.5e11, 0]], v=[[0, 0], [0, 3e4]], mass=system.mass)
    dataset = simulate(system, state, [0.0, 1e6])
    assert [dataset[name].units for name in ("q", "p", "mass", "energy", "time")] == [
        "m",
        "kg m / s",
        "kg",
        "kg m^2 / s^2",
        "s",
    ]
    other = dataset.copy(deep=True)
    for name, units, ratio in (("q", "km", 1e-3), ("mass", "g", 1e3), ("energy", "erg", 1e7)):
        other[name] = (dataset[name] * ratio).assign_attrs(dataset[name].attrs | {"units": units})
    xr.testing.assert_allclose(standardised(other), dataset, rtol=1e-14)
    for name, units in (("q", "kg"), ("mass", "stone of old"), ("energy", "J s")):
        wrong = dataset.copy(deep=True)
        wrong[name].attrs["units"] = units
        with pytest.raises(ValueError, match=f"^{name}: expected units"):
            standardised(wrong)


def test_units_of_measured_data():
    t = np.linspace(0, 10, 201)
    seconds = from_arrays(circle(t), times=t, mass=2.0, units={"q": "km", "mass": "g"})
    days = from_arrays(circle(t), times=t / 86400, mass=2.0, units={"q": "km", "mass": "g", "time": "days"})
    assert np.allclose(seconds["p"], days["p"], rtol=1e-9)
    assert seconds["p"].units == "g km / s"
    with pytest.raises(ValueError, match=r"^q: expected units that convert to 'm'"):
        from_arrays(circle(t), times=t, mass=2.0, units={"q": "kg"})
    own = from_arrays(circle(t), times=t, mass=2.0)
    assert standardised(own) is own  # "1" converts to nothing


# Massless, fixed, none, many dimensions


def test_a_body_without_mass_feels_and_does_not_pull():
    masses = [1.0, 1e-3]
    state = PhaseSpace.of([[0, 0], [1, 0]], v=[[0, 0], [0, 1]], mass=masses)
    with_it = PhaseSpace.of([[0, 0], [1, 0], [0, 2]], v=[[0, 0], [0, 1], [0.7, 0]], mass=[*masses, 0.0])
    light = PhaseSpace.of([[0, 0], [1, 0], [0, 2]], v=[[0, 0], [0, 1], [0.7, 0]], mass=[*masses, 1e-13])
    t = [0.0, 5.0, 10.0]
    alone = simulate(Gravity(mass=masses, units="N-body"), state, t)
    found = simulate(Gravity(mass=[*masses, 0.0], units="N-body"), with_it, t)
    limit = simulate(Gravity(mass=[*masses, 1e-13], units="N-body"), light, t)
    assert np.allclose(found["q"][:, :, :2], alone["q"], atol=1e-8)
    assert np.allclose(found["energy"], alone["energy"], rtol=1e-9)
    assert np.allclose(found["q"], limit["q"], atol=1e-8)
    assert np.allclose(found["p"][:, :, 2], limit["p"][:, :, 2] / 1e-13, atol=1e-8)
    assert Gravity(mass=[1.0, 0.0], units="N-body").conserved == ("energy",)
    with pytest.raises(ValueError, match="mass: expected values of at least 0"):
        Gravity(mass=[1.0, -1.0], units="N-body")


def test_a_comet_without_mass_has_a_closed_form():
    system = Gravity(mass=[1.0, 0.0], units="N-body")
    state = PhaseSpace.of([[0.1, 0], [1, 0]], v=[[0.2, 0], [0, 1.2]], mass=system.mass)
    t = torch.linspace(0, 7, 5, dtype=D)
    exact, solved = simulate(system, state, t), simulate(system, state, t, systems.integrators.AdaptiveGauss())
    assert exact.attrs["integrator"] == "closed form"
    assert np.allclose(exact["q"], solved["q"], atol=1e-8)
    assert np.allclose(exact["p"], solved["p"], atol=1e-8)
    assert np.allclose(exact["q"][0, :, 0], np.outer(t, [0.2, 0]) + np.array([0.1, 0]), atol=1e-14)


NEWTONIAN = [n for n in SYSTEMS if issubclass(pkgutil.resolve_name(SYSTEMS[n]), AbstractNewtonian)]


#: All but those that need constraints.
METHODS = [n for n in INTEGRATORS if issubclass(AbstractNewtonian, pkgutil.resolve_name(INTEGRATORS[n]).requires)]


@pytest.mark.parametrize("method", [None, *METHODS])
@pytest.mark.parametrize("name", NEWTONIAN)
def test_a_fixed_body_never_moves(name, method):
    system, state = sample(name, 1)
    n = state.q.shape[-2]
    held = type(system)(fixed=torch.arange(n) == 0, **system.values)
    options = {} if method is None else {"step": 0.05}
    integrator = None
    if method is not None:
        kind = pkgutil.resolve_name(INTEGRATORS[method])
        try:
            integrator = kind(**options)
        except TypeError:
            integrator = kind() if "integrator" not in kind.__dataclass_fields__ else kind(Leapfrog(step=0.05))
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        found = simulate(held, state, [0.0, 0.1, 0.2], integrator)
    assert np.array_equal(found["q"][:, :, 0], np.broadcast_to(state.q[:, None, 0].numpy(), found["q"][:, :, 0].shape))
    assert n == 1 or bool((found["q"][:, -1, 1:] != found["q"][:, 0, 1:]).any())
    assert "momentum" not in held.conserved
    assert system_of(found).fixed[0].tolist() == [True] + [False] * (n - 1)


def test_a_planet_about_a_fixed_star_is_keplers_limit():
    t = torch.linspace(0, 6, 4, dtype=D)
    q, v = [[0, 0], [1, 0]], [[0, 0], [0, 1.1]]
    held = Gravity(mass=[1.0, 0.5], fixed=[True, False], units="N-body")
    free = Gravity(mass=[1.0, 0.0], units="N-body")
    found = simulate(held, PhaseSpace.of(q, v=v, mass=held.mass), t)
    limit = simulate(free, PhaseSpace.of(q, v=v, mass=free.mass), t)
    assert np.allclose(found["q"], limit["q"], atol=1e-8)
    assert abs(found["energy"] / found["energy"][:, 0] - 1).max() < 1e-8


def test_no_bodies_are_named():
    none = torch.zeros(0, 2)
    for build in (
        lambda: Springs(mass=[], stiffness=[]),
        lambda: simulate(Springs(mass=1.0, stiffness=1.0), (none, none), [0, 1]),
    ):
        with pytest.raises(ValueError, match="at least one"):
            build()


@pytest.mark.parametrize("dimension", [1, 2, 3, 4, 6])
@pytest.mark.parametrize("bodies", [1, 3])
def test_any_number_of_bodies_and_dimensions(bodies, dimension, tmp_path):
    system, state = Springs.sample(2, seed=0, bodies=bodies, dimension=dimension)
    dataset = simulate(system, state, torch.linspace(0, 3, 7, dtype=D))
    summary = dataset.dynamics.summary()
    turns = [name for name in summary if name.startswith("L_")]
    assert len(turns) == dimension * (dimension - 1) // 2
    assert all(summary[name] < 1e-12 for name in turns)
    if dimension == 1:
        with pytest.raises(ValueError, match="2 or more dimensions"):
            dataset.dynamics.angular_momentum()
    if dimension > 3:
        q, p = dataset["q"].values, dataset["p"].values
        tensor = np.einsum("ctba,ctbe->ctae", q, p)
        tensor = tensor - tensor.swapaxes(-1, -2)
        expected = np.stack([tensor[..., a, b] for a, b in zip(*np.triu_indices(dimension, 1), strict=True)], -1)
        spin = dataset.dynamics.angular_momentum()
        assert spin.dims == ("trajectory", "time", "plane")
        assert np.allclose(spin, expected, rtol=0, atol=1e-13)
        from hlieconv.plots import plot_momentum

        plot_momentum(dataset, turns[-1])


def test_an_infinite_mass_is_a_fixed_body():
    state = PhaseSpace.of([[0.0, 0], [1, 0]], [[0.0, 0], [0, 1]])
    springs = {"spring_constant": [[0.0, 1], [1, 0]], "rest_length": 0.5}
    held = simulate(Springs(mass=[2.0, 1], fixed=[True, False], **springs), state, [0.0, 1, 2])
    infinite = simulate(Springs(mass=[np.inf, 1], **springs), state, [0.0, 1, 2])
    np.testing.assert_array_equal(infinite.q, held.q)
    assert (infinite.q.values[:, :, 0] == 0).all()
    with pytest.raises(ValueError, match=r"mass: expected finite values, got infinity: give the mass, and fixed="):
        Gravity(mass=[np.inf, 1], units="N-body")


def test_a_step_belongs_to_an_integrator():
    """Python said that there is no such argument, and not where else it goes."""
    system, state = sample("henon_heiles")
    dataset = simulate(system, state, [0.0, 1.0])
    calls = {
        "simulate": lambda **step: systems.simulate(system, state, [0.0, 1.0], "leapfrog", **step),
        "rollout": lambda **step: hlieconv.rollout(HLieConv.of(dataset), dataset, **step),
        "at": lambda **step: dataset.dynamics.at([0.5], **step),
    }
    for (name, call), word in zip(calls.items(), ("step", "dt", "step_size"), strict=True):
        words = rf"{word}: expected a step as part of .* integrator=Leapfrog\(step=0.1\) .* as an argument of {name}$"
        with pytest.raises(TypeError, match=words):
            call(**{word: 0.1})
    with pytest.raises(TypeError, match="unexpected keyword argument 'steps'"):
        systems.simulate(system, state, [0.0, 1.0], steps=3)
