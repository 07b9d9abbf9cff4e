"""What a motion is made of: spectra and frequencies of trajectories, and small oscillations about an equilibrium.

power.py          the power spectrum
frequencies.py    lines of a spectrum to many digits, by frequency analysis (NAFF)
equilibria.py     where nothing moves, and whether it is stable
modes.py          normal modes about an equilibrium, of a learned potential too
"""

from hlieconv.spectra.equilibria import Equilibrium, find_equilibrium
from hlieconv.spectra.frequencies import frequencies
from hlieconv.spectra.modes import NormalModes, normal_modes
from hlieconv.spectra.power import power_spectrum

__all__ = ["Equilibrium", "NormalModes", "find_equilibrium", "frequencies", "normal_modes", "power_spectrum"]
