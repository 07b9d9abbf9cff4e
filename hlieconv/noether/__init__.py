"""From a symmetry to what it conserves, and back: instruments for any Hamiltonian and any trajectories.

brackets.py       Poisson brackets, and their integral along a trajectory
certificates.py   is a Hamiltonian symmetric: exactly, nearly or not at all
attributions.py   whose fault a drift is: the model's, the integrator's or the rounding's
energies.py       why an energy is not conserved
growth.py         by which law an error grows
discovery.py      which combinations of candidate charges are conserved, from a Hamiltonian or from data
library.py        the candidates
null_space.py     whether a combination changes along trajectories
reading.py        names for what was found
projection.py     states put back onto the level set of their charges
"""

from hlieconv.noether.attributions import Attribution, attribution
from hlieconv.noether.brackets import Bracket, accumulated, poisson_bracket
from hlieconv.noether.certificates import Certificate, certificate
from hlieconv.noether.discovery import Discovery, discover
from hlieconv.noether.energies import Energy, EnergyConservation, energy_conservation
from hlieconv.noether.growth import Growth, growth_law
from hlieconv.noether.projection import Projected, Projection, project
from hlieconv.noether.reading import Found

__all__ = [
    "Attribution",
    "Bracket",
    "Certificate",
    "Discovery",
    "Energy",
    "EnergyConservation",
    "Found",
    "Growth",
    "Projected",
    "Projection",
    "accumulated",
    "attribution",
    "certificate",
    "discover",
    "energy_conservation",
    "growth_law",
    "poisson_bracket",
    "project",
]
