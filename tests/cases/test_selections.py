"""What is left of a Dataset by xarray's selections and arithmetic is right, or refused by name, in every diagnostic."""

import matplotlib.pyplot as plt
import numpy as np
import pytest
import xarray as xr

from hlieconv import plots
from hlieconv.cli.output import summary_of
from hlieconv.diagnostics.accessor import Dynamics
from systems import Gravity, PhaseSpace, Springs, from_arrays, save, simulate, state_of, system_of, trajectory_of

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
