"""Units of a Dataset: labels of what was simulated, and one system of units for what comes from elsewhere."""

import xarray as xr

from systems.dataset.schema import CORE
from systems.dataset.times import as_coordinate
from systems.registry import SYSTEMS, system_class
from systems.units import N_BODY, OWN, Base, base_of, coherent, converted, factor
from systems.vector_field import AbstractNewtonian, AbstractVectorField, Variable


def labelled(dataset: xr.Dataset, field: AbstractVectorField) -> xr.Dataset:
    """The Dataset, with the units that the field's numbers are in; "1" where they are the field's own."""
    if not field.units:
        return dataset
    dataset.attrs["unit_system"] = field.units
    base = None if field.units == N_BODY else base_of(field.units)
    for variable in _declared(dataset, field.variables):
        if variable.name in dataset.variables:
            dataset[variable.name].attrs["units"] = OWN if base is None else coherent(variable.si, base)
    return dataset


def standardised(dataset: xr.Dataset) -> xr.Dataset:
    """The Dataset with all that has units in one system of units, and its times as numbers.

    The system is that of the attribute ``unit_system``; without it, the units of q and mass where they have some, else
    m and kg, and seconds. The unit "1" is the system's own: it converts to nothing else, and such values stay. Times
    may be dates, durations or CF's "days since ..."; see `as_coordinate`.

    Raises:
        ValueError: naming the variable, for units that pint does not know or that have another dimension than the
            system declares.

    Example:
        >>> from systems import from_arrays
        >>> dataset = from_arrays([[[0.0, 1.0]], [[1.0, 1.0]]], [[[2.0, 0.0]], [[2.0, 0.0]]], times=[0, 1], mass=3.0)
        >>> dataset.p.attrs["units"], dataset.mass.attrs["units"] = "kg km / s", "g"
        >>> dataset.q.attrs["units"] = "m"
        >>> found = standardised(dataset)
        >>> float(found.p[0, 0, 0, 0]), found.p.units
        (2000000.0, 'g m / s')
    """
    base = _base(dataset)
    if base is None:
        return dataset
    system = dataset.attrs.get("system")
    found = dataset
    for variable in _declared(dataset, system_class(system).variables if system in SYSTEMS else ()):
        if variable.name not in dataset.variables:
            continue
        array = dataset[variable.name]
        converted = as_coordinate(array, base.time) if variable.si == "s" else _converted(array, variable, base)
        if converted is not array:
            found = found.assign({variable.name: converted})
    return found


def _converted(array: xr.DataArray, variable: Variable, base: Base) -> xr.DataArray:
    return converted(variable.name, array, coherent(variable.si, base))


def _declared(dataset: xr.Dataset, variables: tuple[Variable, ...]) -> list[Variable]:
    """The variables whose dimension is known."""
    generalised = dataset.attrs.get("coordinate_system", "cartesian") != "cartesian"
    own = variables or AbstractNewtonian.variables
    return [v for v in (*CORE.values(), *own) if v.si and not (generalised and v.name in CORE and "space" in v.dims)]


def _base(dataset: xr.Dataset) -> Base | None:
    """What length, mass and time are counted in; None for N-body units, in which nothing has a name."""
    if name := dataset.attrs.get("unit_system"):
        return None if name == N_BODY else base_of(name)
    given = {name: str(dataset[name].attrs.get("units", OWN)) for name in ("q", "mass") if name in dataset}
    given = {name: units for name, units in given.items() if units != OWN}
    if dataset.attrs.get("coordinate_system", "cartesian") != "cartesian":
        given.pop("q", None)
    for name, units in given.items():
        factor(name, units, {"q": "m", "mass": "kg"}[name])
    return Base(given.get("q", "m"), given.get("mass", "kg"), "s")
