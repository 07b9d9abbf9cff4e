"""LieConv: convolution over group elements, for any group and any points. No physics.

Names are imported on first use, so that no command imports torch before it must.
"""

import lazy_loader

__getattr__, __dir__, __all__ = lazy_loader.attach_stub(__name__, __file__)
