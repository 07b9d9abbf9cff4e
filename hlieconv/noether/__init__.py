"""From a symmetry to what it conserves, and back: instruments for any Hamiltonian and any trajectories.

brackets.py       Poisson brackets, and their integral along a trajectory
certificates.py   is a Hamiltonian symmetric: exactly, nearly or not at all
attributions.py   whose fault a drift is: the model's, the integrator's or the rounding's
energies.py       why an energy is not conserved
growth.py         by which law an error grows
discovery.py      which combinations of candidate charges are conserved, from a Hamiltonian or from data
library.py        the candidates
polynomials.py    candidates of any degree
null_space.py     whether a combination changes along the flow of a Hamiltonian
constancy.py      whether it stays constant along trajectories, up to their noise
reading.py        names for what was found
independence.py   which of them are functions of the others
algebras.py       the Lie algebra that charges form, and its name
flows.py          the motion that a charge generates
symmetries.py     which symmetry trajectories support
projection.py     states put back onto the level set of their charges
"""

from systems.door import attach

__getattr__, __dir__, __all__ = attach(__name__, __file__)
