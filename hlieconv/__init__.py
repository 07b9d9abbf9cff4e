"""Learn Hamiltonians with the symmetries you choose, and see what they conserve.

The words of the README, by ``import hlieconv as hl``; the rest is in the packages inside. Names are imported on first
use, so that every ``--help`` is instant. Once this package is imported, every xarray Dataset has `.dynamics`.
"""

from hlieconv.accessor import register_with_xarray
from systems.door import attach

__getattr__, __dir__, __all__ = attach(__name__, __file__)
__all__.remove("open")  # ``import *`` would hide Python's  # pyright: ignore[reportUnsupportedDunderAll]

register_with_xarray()
