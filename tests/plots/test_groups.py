"""Pictures of every planar group, on the Axes given."""

import matplotlib.pyplot as plt
import pytest

from hlieconv.groups import GROUPS, SE3, group
from hlieconv.plots import plot_lift, plot_neighbourhood, plot_orbits, plot_planar_groups

PLANAR = [name for name in GROUPS if group(name).dimension == 2]


@pytest.fixture(autouse=True)
def _close():
    yield
    plt.close("all")


@pytest.mark.parametrize("plot", [plot_orbits, plot_lift, plot_neighbourhood])
def test_one_panel_a_planar_group(plot):
    titles = [ax.get_title() for ax in plot_planar_groups(plot).axes]
    for name in PLANAR:
        assert any(title.startswith(f"{name}:") for title in titles)


def test_orbits_are_points_curves_or_open_sets():
    kinds = {"Trivial2": "points", "Ty": "curves", "SO2": "curves", "T2": "open sets", "SE2": "open sets"}
    for name, kind in kinds.items():
        ax = plt.subplots()[1]
        assert plot_orbits(group(name), ax=ax) is ax
        assert ax.get_title().endswith(kind)


def test_only_planar_groups_are_drawn():
    for plot in (plot_orbits, plot_lift, plot_neighbourhood):
        with pytest.raises(ValueError, match="group: expected one that acts on the plane, got SE3"):
            plot(SE3())
