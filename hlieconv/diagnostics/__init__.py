"""What is conserved, and how well: functions from a Dataset of trajectories to DataArrays.

momentum_map.py   the momentum map of a symmetry: P, L and the charge of any affine generator
conservation.py   energy, momentum, angular momentum, and their drift
errors.py         how far a prediction is from its reference
accessor.py       all of these as ``dataset.dynamics``; registered when this package is imported
"""

from hlieconv.diagnostics.accessor import Dynamics
from hlieconv.diagnostics.conservation import angular_momentum, drift, energy, momentum
from hlieconv.diagnostics.errors import geometric_mean, state_error, summary, valid_time
from hlieconv.diagnostics.momentum_map import Boost, Charge, boost, boosts, charges, charges_of

__all__ = [
    "Boost",
    "Charge",
    "Dynamics",
    "angular_momentum",
    "boost",
    "boosts",
    "charges",
    "charges_of",
    "drift",
    "energy",
    "geometric_mean",
    "momentum",
    "state_error",
    "summary",
    "valid_time",
]
