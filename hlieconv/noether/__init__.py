"""From a symmetry to what it conserves, and back: instruments for any Hamiltonian and any trajectories.

brackets.py       Poisson brackets, and their integral along a trajectory
certificates.py   is a Hamiltonian symmetric: exactly, nearly or not at all
"""

from hlieconv.noether.brackets import Bracket, accumulated, poisson_bracket
from hlieconv.noether.certificates import Certificate, certificate

__all__ = [
    "Bracket",
    "Certificate",
    "accumulated",
    "certificate",
    "poisson_bracket",
]
