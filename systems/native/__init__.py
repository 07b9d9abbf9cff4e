"""Vector fields and integrators in machine code: traced, written as C, compiled once and kept.

trace.py sees a field as scalar arithmetic (scalars.py, operations.py); emit.py writes it as C, beside the steps of
methods/; build.py finds a compiler and keeps the library; kernel.py calls it; compiled.py has the wrapper for users.
inductor.py has the steps by torch, with forces through torch.compile, of fields that are too large for that.
"""

from systems.door import attach

__getattr__, __dir__, __all__ = attach(__name__, __file__)
