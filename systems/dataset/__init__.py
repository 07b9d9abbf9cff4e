"""Datasets of trajectories: what they hold, and the one door by which numbers enter and leave.

schema.py     what a Dataset holds, and from tensors to it
reading.py    from a Dataset to tensors and to the system that made it
measured.py   Datasets from arrays of measurements
tables.py     Datasets from tables of measurements
roughness.py  warnings where measurements are rough
times.py      dates, durations and numbers as seconds
standard.py   one system of units for all variables
storage.py    files that are whole or absent, written in parts
regions.py    one Zarr store that many processes write
blocks.py     Datasets larger than memory, block by block
smoothing.py  noisy positions, as smooth as the data say
"""

from systems.door import attach

__getattr__, __dir__, __all__ = attach(__name__, __file__)
__all__.remove("open")  # ``import *`` would hide Python's  # pyright: ignore[reportUnsupportedDunderAll]
