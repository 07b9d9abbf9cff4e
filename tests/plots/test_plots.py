"""Every plot function draws on the Axes it is given, returns them, and labels what it draws."""

import re

import matplotlib.pyplot as plt
import numpy as np
import pytest
import torch
from matplotlib.text import Text
from PIL import Image

from hlieconv import plots
from hlieconv.plots.saving import figure_path, save_figure
from systems import Springs, from_arrays, simulate

DRAW = {
    "trajectories": lambda data, ax: plots.plot_trajectories(data, 1, ax=ax),
    "energy": lambda data, ax: plots.plot_energy(data, 1, ax=ax),
    "momentum": lambda data, ax: plots.plot_momentum(data, "P_x", 1, ax=ax),
    "angular_momentum": lambda data, ax: plots.plot_momentum(data, "L_z", 1, ax=ax),
    "drift": lambda data, ax: plots.plot_drift(data, "energy", ax=ax),
    "charges": lambda data, ax: plots.plot_charges(data, f"T{data.sizes['space']}", ax=ax),
    "growth": lambda data, ax: plots.plot_growth(data.dynamics.drift("energy"), ax=ax),
    "phase_portrait": lambda data, ax: plots.plot_phase_portrait(data, 1, 1, ax=ax),
    "flow": lambda data, ax: plots.plot_flow(lambda s: s.q[..., 0].sum(-1), data, [0.0, 0.1], 1, 1, ax=ax),
    "error": lambda data, ax: plots.plot_error(data, data.assign(q=data.q * 1.1), ax=ax),
}


@pytest.fixture(scope="module")
def datasets():
    times = torch.linspace(0, 2, 21, dtype=torch.float64)
    return {
        "plane": simulate(*Springs.sample(3, seed=0, bodies=(2, 4)), times),
        "space": simulate(*Springs.sample(3, seed=0, bodies=3, dimension=3), times),
    }


@pytest.fixture(autouse=True)
def _close():
    yield
    plt.close("all")


@pytest.mark.parametrize("kind", [kind for kind in DRAW if kind != "growth"])
def test_trajectories_keep_their_dimension(datasets, kind):
    """A trajectory that was selected by its number, and a selection of none, are refused by name."""
    for one in (datasets["plane"].isel(trajectory=1), datasets["plane"].isel(trajectory=[])):
        with pytest.raises(ValueError, match=r"dataset: .*expected .*trajectory"):
            DRAW[kind](one, None)


@pytest.mark.parametrize("kind", DRAW)
@pytest.mark.parametrize("name", ["plane", "space"])
def test_draws_on_the_axes_given(datasets, kind, name):
    ax = plt.subplots()[1]
    assert DRAW[kind](datasets[name], ax) is ax
    assert ax.lines
    assert ax.get_xlabel()
    assert ax.get_ylabel()
    assert DRAW[kind](datasets[name], None) is not ax


def test_the_curve_is_the_momentum(datasets):
    data = datasets["plane"]
    ax = plots.plot_momentum(data, "P_y", 2)
    np.testing.assert_array_equal(ax.lines[0].get_ydata(), data.p.isel(trajectory=2, space=1).sum("body"))
    np.testing.assert_array_equal(ax.lines[0].get_xdata(), data.time)


def test_units_are_labelled():
    q = np.random.default_rng(0).normal(size=(1, 5, 2, 2))
    data = from_arrays(q, q, times=np.arange(5.0))
    data["p"].attrs["units"] = "kg m/s"
    assert "(kg m/s)" in plots.plot_momentum(data, "P_x").get_ylabel()


def test_summary_is_one_page(datasets):
    data = datasets["plane"]
    assert len(plots.plot_summary(data, data.assign(q=data.q * 1.1)).axes) == 4
    assert len(plots.plot_summary(data.drop_vars("energy")).axes) == 4


@pytest.mark.parametrize("component", ["P_z", "L", "spin", "L_x"])
def test_unknown_components_are_named(datasets, component):
    with pytest.raises(ValueError, match=f"got {component}"):
        plots.plot_momentum(datasets["plane"], component)


@pytest.mark.parametrize("name", ["plane", "space"])
def test_an_animation_moves(datasets, name, tmp_path):
    """As many pictures as asked for, not all alike, in the plane and in space; never over a file that is there."""
    path = tmp_path / "moving.gif"
    ax = plots.animate_trajectories(datasets[name], path, 1, frames=4, reference=datasets[name])
    assert ax.get_xlabel()
    assert not plt.fignum_exists(ax.figure.number)
    assert plots.animate_trajectories(datasets[name], path, 1, frames=2, overwrite=True, ax=ax) is ax
    plots.animate_trajectories(datasets[name], path, 1, frames=4, reference=datasets[name], overwrite=True)
    with Image.open(path) as picture:
        assert picture.n_frames == 4
        first = np.asarray(picture.convert("RGB"))
        picture.seek(3)
        assert (first != np.asarray(picture.convert("RGB"))).any()
    assert [file.name for file in tmp_path.iterdir()] == ["moving.gif"]
    with pytest.raises(ValueError, match="there already"):
        plots.animate_trajectories(datasets[name], path)
    with pytest.raises(ValueError, match=r"ends in .gif or .mp4, got moving.avi"):
        plots.animate_trajectories(datasets[name], tmp_path / "moving.avi")


def test_growth_names_the_law(datasets):
    """A drift made to grow as t^2 is called so, on log axes."""
    drift = datasets["plane"].dynamics.drift("energy")
    drift = drift.copy(data=np.broadcast_to(1e-9 * datasets["plane"].time.values ** 2, drift.shape))
    ax = plots.plot_growth(drift)
    assert "t^2" in ax.get_legend().get_texts()[0].get_text()
    assert (ax.get_xscale(), ax.get_yscale()) == ("log", "log")
    measured, law = ax.lines
    np.testing.assert_allclose(law.get_ydata()[-1], measured.get_ydata()[-1], rtol=0.1)


def test_the_figure_of_a_publication(datasets, tmp_path):
    """As wide as a column, fonts embedded and none of type 3; bands, and laws that are those of the medians."""
    path = tmp_path / "conservation.pdf"
    plane = datasets["plane"]
    slow = plane.assign(energy=plane.energy.isel(time=0) * (1 + 1e-6 * plane.time**2))
    figure = plots.plot_conservation(slow, path=path)
    assert figure.get_size_inches()[0] * 25.4 == pytest.approx(86, abs=0.5)
    assert [len(ax.collections) for ax in figure.axes] == [2, 1, 1]
    assert figure.axes[-1].get_legend().get_texts()[0].get_text() == "energy, $t^2$"
    written = path.read_bytes()
    assert b"/FontFile2" in written
    assert b"/Type3" not in written
    wide = plots.plot_conservation(datasets["space"], width="page")
    assert wide.get_size_inches()[0] * 25.4 == pytest.approx(178, abs=0.5)
    assert [len(ax.collections) for ax in wide.axes] == [3, 3, 1]
    unknown = datasets["plane"].drop_vars("energy").assign_attrs(system="")
    assert [ax.get_title() for ax in plots.plot_conservation(unknown).axes] == ["momentum", "angular momentum"]
    with pytest.raises(ValueError, match="exists and is not overwritten"):
        plots.plot_conservation(slow, path=path)
    with pytest.raises(ValueError, match="width: expected one of column, page"):
        plots.plot_conservation(slow, width="poster")
    with pytest.raises(ValueError, match="dataset: expected positions, got NaN in all"):
        plots.plot_conservation(slow.assign(q=np.nan * slow.q))
    with pytest.raises(ValueError, match="dataset: expected at least two times, got 1"):
        plots.plot_conservation(slow.isel(time=[0]))


class Broken(Text):
    """An artist that fails once the file is open."""

    def draw(self, renderer):
        raise ZeroDivisionError


@pytest.mark.parametrize("suffix", [".png", ".pdf", ".svg"])
@pytest.mark.parametrize("there", [False, True])
def test_a_failed_figure_leaves_what_was_there(tmp_path, suffix, there):
    figure, path = plt.figure(), tmp_path / f"figure{suffix}"
    if there:
        path.write_text("an earlier one")
    figure.add_artist(Broken())
    with pytest.raises(ZeroDivisionError):
        save_figure(figure, path)
    assert [file.name for file in tmp_path.iterdir()] == [path.name] * there
    assert not there or path.read_text() == "an earlier one"


def test_a_figure_that_cannot_be_written_is_refused_before_any_work(tmp_path):
    (tmp_path / "there.png").touch()
    for name, words in {
        "figure": "ends with .png, .pdf or .svg",
        "figure.nc": "ends with .png, .pdf or .svg",
        "nowhere/figure.png": "there is no folder",
        "there.png": "exists",
    }.items():
        with pytest.raises(ValueError, match=f"figure: .*{re.escape(words)}"):
            figure_path(tmp_path / name)
    assert figure_path(tmp_path / "there.png", overwrite=True) == tmp_path / "there.png"
