"""Figures from Datasets. Every function takes and returns Axes (a new one by default) and labels units.

style.py          colours and the look that all figures share
trajectories.py   paths of the bodies
time_series.py    one conserved quantity, or its drift, against time
charges.py        charges of a group with a band over trajectories, and the law by which a drift grows
phase_portrait.py momentum against position
animation.py      trajectories as GIF or MP4
sections.py       surfaces of section and return maps
errors.py         errors of a prediction
learning_curve.py how the losses of a training fall, also live
summary.py        one page about a rollout
report.py         a page of HTML about a rollout, with interactive figures
four_symmetries.py the figure of the demo
groups.py         orbits, lifts and neighbourhoods of planar groups
"""

from hlieconv.plots.animation import animate_trajectories
from hlieconv.plots.charges import plot_charges, plot_growth
from hlieconv.plots.errors import plot_error
from hlieconv.plots.groups import plot_lift, plot_neighbourhood, plot_orbits, plot_planar_groups
from hlieconv.plots.learning_curve import LiveCurve, plot_learning_curve
from hlieconv.plots.phase_portrait import plot_phase_portrait
from hlieconv.plots.report import write_report
from hlieconv.plots.sections import plot_return_map, plot_section
from hlieconv.plots.style import COLOURS, STYLE, style
from hlieconv.plots.summary import plot_summary
from hlieconv.plots.time_series import plot_drift, plot_energy, plot_momentum
from hlieconv.plots.trajectories import plot_trajectories

__all__ = [
    "COLOURS",
    "STYLE",
    "LiveCurve",
    "animate_trajectories",
    "plot_charges",
    "plot_drift",
    "plot_energy",
    "plot_error",
    "plot_growth",
    "plot_learning_curve",
    "plot_lift",
    "plot_momentum",
    "plot_neighbourhood",
    "plot_orbits",
    "plot_phase_portrait",
    "plot_planar_groups",
    "plot_return_map",
    "plot_section",
    "plot_summary",
    "plot_trajectories",
    "style",
    "write_report",
]
