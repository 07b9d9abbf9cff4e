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

from hlieconv.diagnostics.accessor import Dynamics
from hlieconv.diagnostics.balance import energy_balance
from hlieconv.diagnostics.conserved import angular_momentum, energy, momentum
from hlieconv.diagnostics.drifts import drift
from hlieconv.diagnostics.errors import geometric_mean, state_error, valid_time
from hlieconv.diagnostics.momentum_map import Boost, Charge, boost, boosts, charges, charges_of
from hlieconv.diagnostics.summaries import summary

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
    "energy_balance",
    "geometric_mean",
    "momentum",
    "state_error",
    "summary",
    "valid_time",
]
