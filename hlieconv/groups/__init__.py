"""Lie groups that act on R^d: exponential, logarithm, lifting and distance. One group (or family) a file.

Names are imported on first use, so that no command imports torch before it must.
"""

from systems.door import attach

__getattr__, __dir__, __all__ = attach(__name__, __file__)
