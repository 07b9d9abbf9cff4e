"""The known systems by name. They are strings, so that nothing is imported before a system is used."""

import pkgutil
from typing import Any

#: Every system by its name on the command line. A new system is one file and one line here.
SYSTEMS: dict[str, str] = {
    "calogero_moser": "systems.calogero_moser:CalogeroMoser",
    "charges": "systems.charges:Charges",
    "fput": "systems.fput:FPUT",
    "gravity": "systems.gravity:Gravity",
    "harmonic_trap": "systems.harmonic_trap:HarmonicTrap",
    "henon_heiles": "systems.henon_heiles:HenonHeiles",
    "lennard_jones": "systems.lennard_jones:LennardJones",
    "magnetic_field": "systems.magnetic_field:MagneticField",
    "morse": "systems.morse:Morse",
    "pendulum": "systems.pendulum:Pendulum",
    "springs": "systems.springs:Springs",
    "toda": "systems.toda:Toda",
    "uniform_field": "systems.uniform_field:UniformField",
}

#: Sums that have a ``sample`` of their own, by their names on the command line.
COMPOSED: dict[str, str] = {
    "oscillator": "systems.oscillator:Oscillator",
    "rods": "systems.rods:Rods",
}

#: What is added to a system and moves nothing by itself, by its name in a Dataset.
PARTS: dict[str, str] = {
    "dashpots": "systems.damping:Dashpots",
    "linear_damping": "systems.damping:LinearDamping",
    "periodic_box": "systems.periodic_box:PeriodicBox",
    "quadratic_damping": "systems.damping:QuadraticDamping",
    "rods": "systems.rods:Rods",
    "sinusoidal_drive": "systems.drive:SinusoidalDrive",
}


def system_class(name: str) -> Any:
    """The class of a system, or of a force.

    Raises:
        ValueError: if there is no system of this name.

    Example:
        >>> system_class("pendulum").coordinates
        'generalised'
    """
    if name not in SYSTEMS | PARTS:
        raise ValueError(f"system: expected one of {', '.join(SYSTEMS)}, got {name or 'none'}")
    return pkgutil.resolve_name((SYSTEMS | PARTS)[name])
