"""What the variables of a Dataset say that they are counted in: whether that is one system of units."""

import functools
import warnings
from collections.abc import Mapping, Sequence
from typing import NamedTuple

import xarray as xr

from systems.units import N_BODY, OWN, Base, base_of, coherent, factor, half_of
from systems.vector_field import AbstractNewtonian, Variable

#: The variables by whose units a Dataset without a named system says what it counts in.
BASIC = {"q": "m", "mass": "kg"}


class Label(NamedTuple):
    """A variable, its unit, and the SI unit of its dimension."""

    name: str
    unit: str
    si: str


def declared(dataset: xr.Dataset, core: Mapping[str, Variable], own: Sequence[Variable]) -> list[Variable]:
    """The variables whose dimension is known; by default a system has those of any mechanical one."""
    generalised = dataset.attrs.get("coordinate_system", "cartesian") != "cartesian"
    of_space = {name for name, variable in core.items() if generalised and "space" in variable.dims}
    return [v for v in (*core.values(), *(own or AbstractNewtonian.variables)) if v.si and v.name not in of_space]


def labels_in(dataset: xr.Dataset, variables: Sequence[Variable]) -> tuple[Label, ...]:
    """The labels of those of the variables that a Dataset has."""
    found = (variable for variable in variables if variable.name in dataset.variables)
    return tuple(Label(v.name, str(dataset[v.name].attrs.get("units", OWN)), v.si) for v in found)


@functools.lru_cache(maxsize=256)
def base_of_labels(unit_system: str, labels: tuple[Label, ...]) -> Base | None:
    """What length, mass and time are counted in; None for N-body units, in which nothing has a name.

    Args:
        unit_system: of a Dataset; "" for that of q and mass where they have units, else m and kg, and seconds.
        labels: of its variables.

    Raises:
        ValueError: for units that are not of length, or of mass.

    Example:
        >>> base_of_labels("", (Label("q", "km", "m"), Label("p", "1", "kg m / s")))
        Base(length='km', mass='kg', time='s')
    """
    if unit_system:
        return None if unit_system == N_BODY else base_of(unit_system)
    given = {x.name: x.unit for x in labels if x.name in BASIC and x.unit != OWN}
    for name, unit in given.items():
        factor(name, unit, BASIC[name])
    return Base(given.get("q", "m"), given.get("mass", "kg"), "s")


@functools.lru_cache(maxsize=256)
def problem_of(unit_system: str, labels: tuple[Label, ...]) -> str:
    """What is wrong with the units of a Dataset: "" if all belong to one system.

    Example:
        >>> problem_of("", (Label("q", "m", "m"), Label("p", "kg km / s", "kg m / s")))
        "p: expected units of 'kg m / s', got 'kg km / s': systems.dataset.standardised converts them"
    """
    try:
        base = base_of_labels(unit_system, labels)
        if base is None:
            return ""
        for name, unit, si in labels:
            wanted = coherent(si, base)
            if unit not in (OWN, wanted) and abs(factor(name, unit, wanted) - 1) > SAME:
                return f"{name}: expected units of {wanted!r}, got {unit!r}: systems.dataset.standardised converts them"
    except ValueError as error:
        return str(error)
    return ""


#: Factors that differ from 1 by less are the rounding of pint.
SAME = 1e-12


def warn_of_half(dataset: xr.Dataset) -> None:
    """A warning where some of position, momentum and mass say what they are counted in, and others do not."""
    if dataset.attrs.get("coordinate_system", "cartesian") == "cartesian":
        units = {name: dataset[name].attrs.get("units", OWN) for name in ("q", "p", "mass") if name in dataset}
        if problem := half_of(units):
            warnings.warn(problem, UserWarning, stacklevel=3)
