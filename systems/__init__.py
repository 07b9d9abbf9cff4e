"""Physics: phase space, Hamiltonian systems, integrators and `simulate`. Exact where possible.

Names are imported on first use, so that ``import systems`` (and every ``--help``) is instant.
"""

from systems.door import attach

__getattr__, __dir__, __all__ = attach(__name__, __file__)
__all__.remove("open")  # ``import *`` would hide Python's  # pyright: ignore[reportUnsupportedDunderAll]
