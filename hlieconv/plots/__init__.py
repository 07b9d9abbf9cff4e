"""Figures from Datasets. Every function takes and returns Axes (a new one by default) and labels units.

style.py          colours and the look that all figures share
trajectories.py   paths of the bodies
time_series.py    one conserved quantity, or its drift, against time
charges.py        charges of a group with a band over trajectories, and the law by which a drift grows
conservation.py   all that is conserved in one figure for print, with bands and growth laws
phase_portrait.py momentum against position
flows.py          where a charge moves states in that plane
animation.py      trajectories as GIF or MP4
saving.py         figures in files
sections.py       surfaces of section and return maps
errors.py         errors of a prediction
learning_curve.py how the losses of a training fall, also live
summary.py        one page about a rollout
report.py         a page of HTML about a rollout, with interactive figures
four_symmetries.py the figure of the demo
groups.py         orbits, lifts and neighbourhoods of planar groups
"""

from systems.door import attach

__getattr__, __dir__, __all__ = attach(__name__, __file__)
