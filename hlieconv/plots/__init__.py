"""Figures from Datasets. Every function takes and returns Axes (a new one by default) and labels units.

style.py          colours and the look that all figures share
trajectories.py   paths of the bodies
conservation.py   conserved quantities and their drift
errors.py         errors of a prediction
summary.py        one page about a rollout
groups.py         orbits, lifts and neighbourhoods of planar groups
"""

from hlieconv.plots.conservation import plot_drift, plot_energy, plot_momentum
from hlieconv.plots.errors import plot_error
from hlieconv.plots.groups import plot_lift, plot_neighbourhood, plot_orbits, plot_planar_groups
from hlieconv.plots.style import COLOURS, STYLE, style
from hlieconv.plots.summary import plot_summary
from hlieconv.plots.trajectories import plot_trajectories

__all__ = [
    "COLOURS",
    "STYLE",
    "plot_drift",
    "plot_energy",
    "plot_error",
    "plot_lift",
    "plot_momentum",
    "plot_neighbourhood",
    "plot_orbits",
    "plot_planar_groups",
    "plot_summary",
    "plot_trajectories",
    "style",
]
