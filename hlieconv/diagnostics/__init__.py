"""What is conserved, and how well: functions from a Dataset of trajectories to DataArrays.

momentum_map.py   the momentum map of a symmetry: P, L and the charge of any affine generator
conserved.py      energy, momentum, angular momentum
balance.py        where the energy of an open system comes from and goes to
drifts.py         how far these drift, and the size by which that is divided
presence.py       which states are there: what ended early, what was not seen
errors.py         how far a prediction is from its reference
summaries.py      all of this in a few numbers
accessor.py       all of these as ``dataset.dynamics``; registered when this package is imported
"""

from systems.door import attach

__getattr__, __dir__, __all__ = attach(__name__, __file__)
