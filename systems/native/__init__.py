"""Vector fields and integrators in machine code: traced, written as C, compiled once and kept.

trace.py sees a field as scalar arithmetic (scalars.py, operations.py); emit.py writes it as C, beside the steps of
methods/; build.py finds a compiler and keeps the library; kernel.py calls it; compiled.py has the wrapper for users.
"""

import lazy_loader

__getattr__, __dir__, __all__ = lazy_loader.attach_stub(__name__, __file__)
