"""The known systems by name. They are strings, so that nothing is imported before a system is used."""

import pkgutil
from typing import Any

#: Every system by its name on the command line. A new system is one file and one line here.
SYSTEMS: dict[str, str] = {
    "charges": "systems.charges:Charges",
    "gravity": "systems.gravity:Gravity",
    "henon_heiles": "systems.henon_heiles:HenonHeiles",
    "pendulum": "systems.pendulum:Pendulum",
    "springs": "systems.springs:Springs",
}


def system_class(name: str) -> Any:
    """The class of a system.

    Raises:
        ValueError: if there is no system of this name.

    Example:
        >>> system_class("pendulum").coordinates
        'generalised'
    """
    if name not in SYSTEMS:
        raise ValueError(f"system: expected one of {', '.join(SYSTEMS)}, got {name or 'none'}")
    return pkgutil.resolve_name(SYSTEMS[name])
