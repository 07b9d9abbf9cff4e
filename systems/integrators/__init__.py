"""Integrators: one method, or one family of methods, a file.

Names are imported on first use, so that no command imports torch before it must.
"""

import lazy_loader

__getattr__, __dir__, __all__ = lazy_loader.attach_stub(__name__, __file__)
