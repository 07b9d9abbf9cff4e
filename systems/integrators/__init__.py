"""Integrators: one method, or one family of methods, a file.

Names are imported on first use, so that no command imports torch before it must.
"""

from systems.integrators.registry import INTEGRATORS
from systems.lazy import lazy

__getattr__, __dir__ = lazy(
    "systems.integrators",
    (
        "systems.integrators.abstract:AbstractIntegrator",
        "systems.integrators.recomputation:Recomputed",
        *INTEGRATORS.values(),
    ),
)
