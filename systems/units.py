"""Units: read by pint, converted to those of a system, or refused."""

import functools
import re
from collections.abc import Mapping
from types import MappingProxyType
from typing import Any, NamedTuple

import numpy as np

#: A system's own units: G, k and masses are plain numbers, and nothing converts to them.
OWN = "1"

#: Names of systems of units, as three units that length, mass and time are counted in.
NAMED = {"SI": "m, kg, s", "cgs": "cm, g, s"}

#: Units of length, mass and time that are not named, but such that G = 1.
N_BODY = "N-body"


class Base(NamedTuple):
    """What length, mass and time are counted in."""

    length: str
    mass: str
    time: str


@functools.cache
def registry() -> Any:
    """pint's units, with those that astronomers use (IAU 2015, resolution B3: nominal masses)."""
    import pint  # costs half a second: only where units are read

    # Units of files write powers as in "m s-1".
    units = pint.UnitRegistry(preprocessors=[lambda text: re.sub(r"(?<=[A-Za-z])(?=[-+]?\d)", "^", text)])
    units.define("solar_mass = 1.988409870698051e30 kilogram = Msun = M_sun = solMass")
    units.define("earth_mass = 5.972167867791379e24 kilogram = Mearth = M_earth = earthMass")
    units.define("@alias astronomical_unit = AU")
    return units


def base_of(name: str) -> Base:
    """The units of length, mass and time that a system of units is made of.

    Args:
        name: "SI", "cgs", or a unit of length, one of mass and one of time in any order, as in "AU, yr, Msun".

    Raises:
        ValueError: for anything else.

    Example:
        >>> base_of("AU, yr, Msun")
        Base(length='AU', mass='Msun', time='yr')
    """
    parts = [part.strip() for part in NAMED.get(name, name).split(",")]
    found = {str(parsed("units", part).dimensionality): part for part in parts}
    if len(parts) != 3 or found.keys() != {"[length]", "[mass]", "[time]"}:
        raise ValueError(
            f"units: expected {', '.join(NAMED)}, {N_BODY}, or one unit each of length, mass and time such as "
            f"'AU, yr, Msun', got {name!r}"
        )
    return Base(found["[length]"], found["[mass]"], found["[time]"])


def time_unit(system: str) -> str:
    """What a system of units counts time in: seconds if it is not named, a number of its own for N-body units.

    Example:
        >>> time_unit(""), time_unit("SI"), time_unit("kpc, Gyr, Msun"), time_unit("N-body")
        ('s', 's', 'Gyr', '1')
    """
    if system in ("", *NAMED):
        return "s"
    return OWN if system == N_BODY else base_of(system).time


def factor(name: str, units: str, into: str) -> float:
    """The number by which values in some units are multiplied to be in others.

    Args:
        name: of the variable, for the error.
        units: what pint reads: "days", "kg m / s", "km".
        into: the same.

    Raises:
        ValueError: for units that pint does not know, or of another dimension.

    Example:
        >>> factor("time", "days", "s")
        86400.0
    """
    given, wanted = parsed(name, units), parsed(name, into)
    if given.dimensionality != wanted.dimensionality:
        raise ValueError(
            f"{name}: expected units that convert to {into!r}, got {units!r}: correct its attribute units, or set it "
            f"to {into!r} where the numbers are in that"
        )
    return float((1 * given).to(wanted).magnitude)


def coherent(dimension: str, base: Base) -> str:
    """The unit of a dimension that is made of a base.

    Args:
        dimension: as a product of powers of "m", "kg" and "s", such as "kg m / s".

    Example:
        >>> coherent("kg m / s", Base("AU", "Msun", "yr"))
        'Msun AU / yr'
    """
    letters = {"m": base.length, "kg": base.mass, "s": base.time}
    return re.sub(r"[a-z]+", lambda word: letters.get(word[0], word[0]), dimension)


def label_of(value: Any) -> str:
    """What an array of xarray says by its attribute ``units`` that it is counted in; "1" of all else.

    Example:
        >>> import xarray as xr
        >>> label_of(xr.DataArray([1.0], attrs={"units": "km"})), label_of([1.0])
        ('km', '1')
    """
    unit = getattr(value, "attrs", {}).get("units") if hasattr(value, "dims") else None
    return unit if isinstance(unit, str) and unit not in ("", "dimensionless") else OWN


def converted(name: str, array: Any, wanted: str) -> Any:
    """An array of xarray in the unit that is wanted; itself, where it is in that or in none."""
    unit = label_of(array)
    ratio = 1.0 if unit in (OWN, wanted) else factor(name, unit, wanted)
    return array if ratio == 1 else (array * ratio).assign_attrs(array.attrs | {"units": wanted})


def in_units(system: str, values: Mapping[str, Any], dimensions: Mapping[str, str]) -> dict[str, Any]:
    """Values of a system of units, those arrays of xarray converted that say what they are counted in.

    Args:
        system: the name of the system; "": then they stay as they are, and have to belong together (`check_together`).
        values: by name.
        dimensions: the SI unit of each by name, "" where it is not known.

    Raises:
        ValueError: for units that convert to none of the system, or whose dimension nobody knows.

    Example:
        >>> import xarray as xr
        >>> mass = xr.DataArray([500.0], dims="body", attrs={"units": "g"})
        >>> in_units("SI", {"mass": mass}, {"mass": "kg"})["mass"].values
        array([0.5])
    """
    labelled = {name: label for name, x in values.items() if (label := label_of(x)) != OWN}
    if not (system and labelled):
        return dict(values)
    base = None if system == N_BODY else base_of(system)
    found = dict(values)
    for name, label in labelled.items():
        if base is None or not dimensions.get(name):
            raise ValueError(
                f"{name}: expected numbers in the system's own units, which convert to nothing, got {label!r}: give "
                "numbers without the attribute units"
            )
        found[name] = converted(name, values[name], coherent(dimensions[name], base))
    return found


def check_together(labels: Mapping[str, tuple[str, str]]) -> None:
    """A ValueError unless units belong to one system, of any length and mass but with seconds.

    Args:
        labels: of each name the unit, and the SI unit of its dimension.

    Example:
        >>> check_together({"mass": ("g", "kg"), "rest_length": ("km", "m")})
        >>> check_together({"mass": ("g", "kg"), "spring_constant": ("N / m", "kg / s^2")})
        Traceback (most recent call last):
        ...
        ValueError: units: expected a system of units for mass in g, spring_constant in N / m, which do not belong \
together with seconds, got none: units='SI', for example, converts them
    """
    sizes = {name: np.log(factor(name, unit, si)) for name, (unit, si) in labels.items()}
    if not any(sizes.values()):
        return
    powers = [parsed(name, si).dimensionality for name, (_, si) in labels.items()]
    matrix = np.array([[float(power.get(dim, 0)) for dim in ("[length]", "[mass]")] for power in powers])
    size = np.array([*sizes.values()])
    left = size - matrix @ np.linalg.lstsq(matrix, size)[0]
    if abs(left).max() > 1e-9 * abs(size).max():
        shown = ", ".join(f"{name} in {unit}" for name, (unit, _) in labels.items())
        raise ValueError(
            f"units: expected a system of units for {shown}, which do not belong together with seconds, got none: "
            "units='SI', for example, converts them"
        )


def labels_of(
    values: Mapping[str, Any],
    dimensions: Mapping[str, str],
    labels: Mapping[str, tuple[str, str]] = MappingProxyType({}),
) -> dict[str, tuple[str, str]]:
    """What arrays of xarray say that they are counted in, with the labels that are there; they belong together."""
    own = {
        name: (label, si) for name, x in values.items() if (label := label_of(x)) != OWN and (si := dimensions[name])
    }
    if own:
        check_together(found := {**labels, **own})
        return found
    return dict(labels)


def half_of(units: Mapping[str, str]) -> str:
    """A sentence where some say what they are counted in and others do not; "" where all do, or none.

    Args:
        units: by name.

    Example:
        >>> half_of({"q": "m", "p": "1"})[:49]
        'units: q in m, but nobody knows what p is counted'
        >>> half_of({"q": "m", "p": "kg m / s"})
        ''
    """
    own = [name for name, unit in units.items() if unit == OWN]
    named = [f"{name} in {unit}" for name, unit in units.items() if unit != OWN]
    if not (own and named):
        return ""
    return (
        f"units: {', '.join(named)}, but nobody knows what {' and '.join(own)} {'is' if len(own) == 1 else 'are'} "
        "counted in, and nothing is converted to fit: give units of all, or of none"
    )


def newtons_constant(name: str) -> float:
    """Newton's constant (CODATA 2018) in a system of units; 1 in N-body units.

    Solar masses come with the product G Msun, which is known to ten digits, where G is known to five.

    Example:
        >>> round(newtons_constant("AU, yr, Msun"), 6), newtons_constant("N-body")
        (39.476926, 1.0)
    """
    if name == N_BODY:
        return 1.0
    base = base_of(name)
    return 6.67430e-11 * factor("G", "m^3 / kg / s^2", f"({base.length})^3 / ({base.mass}) / ({base.time})^2")


def parsed(name: str, units: str) -> Any:
    """pint's unit of a text; a ValueError that names the variable for what it cannot read."""
    try:
        return registry().parse_units(units)
    except Exception as error:  # pint raises errors of many kinds for what it cannot read
        raise ValueError(
            f"{name}: expected units that pint reads, such as 'm', 'kg m / s' or 'days', got {units!r}: correct its "
            "attribute units, or give '1' for the system's own"
        ) from error
