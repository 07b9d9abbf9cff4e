"""LieConv: convolution over group elements, for any group and any points. No physics.

Names are imported on first use, so that no command imports torch before it must.
"""

from systems.door import attach

__getattr__, __dir__, __all__ = attach(__name__, __file__)
