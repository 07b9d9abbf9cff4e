"""Integrators: one method, or one family of methods, a file.

Names are imported on first use, so that no command imports torch before it must.
"""

import pkgutil
from typing import Any

#: Every integrator by its name on the command line. A new integrator is one file and one line here.
INTEGRATORS: dict[str, str] = {
    "leapfrog": "systems.integrators.leapfrog:Leapfrog",
    "rk4": "systems.integrators.runge_kutta:RK4",
}

_TARGETS = {
    target.partition(":")[2]: target
    for target in ("systems.integrators.abstract:AbstractIntegrator", *INTEGRATORS.values())
}


def __getattr__(name: str) -> Any:
    if name not in _TARGETS:
        raise AttributeError(f"module 'systems.integrators' has no attribute {name!r}")
    return pkgutil.resolve_name(_TARGETS[name])


def __dir__() -> list[str]:
    return sorted([*globals(), *_TARGETS])
