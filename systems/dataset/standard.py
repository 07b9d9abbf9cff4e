"""Units of a Dataset: labels of what was simulated, and one system of units for what comes from elsewhere."""

import xarray as xr

from systems.dataset.labels import base_of_labels, declared, labels_in
from systems.dataset.schema import CORE
from systems.dataset.times import as_coordinate
from systems.registry import SYSTEMS, system_class
from systems.units import N_BODY, OWN, Base, base_of, coherent, converted, time_unit
from systems.vector_field import AbstractVectorField, Variable


def labelled(dataset: xr.Dataset, field: AbstractVectorField) -> xr.Dataset:
    """The Dataset, with the units that the field's numbers are in; "1" where they are the field's own."""
    if not field.units:
        return dataset
    dataset.attrs["unit_system"] = field.units
    base = None if field.units == N_BODY else base_of(field.units)
    for variable in declared(dataset, CORE, field.variables):
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
    system = dataset.attrs.get("system")
    variables = declared(dataset, CORE, system_class(system).variables if system in SYSTEMS else ())
    base = base_of_labels(dataset.attrs.get("unit_system", ""), labels_in(dataset, variables))
    if base is None:
        return _named(dataset)
    found = dataset
    for variable in variables:
        if variable.name not in dataset.variables:
            continue
        array = dataset[variable.name]
        converted = as_coordinate(array, base.time) if variable.si == "s" else _converted(array, variable, base)
        if converted is not array:
            found = found.assign({variable.name: converted})
    return _named(found)


def _named(dataset: xr.Dataset) -> xr.Dataset:
    """The Dataset with the long names, and its times with the units, that they have lost, as by assign_coords."""
    if "schema_version" not in dataset.attrs:
        return dataset
    clock, found = time_unit(dataset.attrs.get("unit_system", "")), dataset
    for name in CORE.keys() & dataset.variables.keys():
        own = {"long_name": CORE[name].long_name} | ({"units": clock} if name in ("time", "trajectory_time") else {})
        if lost := {key: text for key, text in own.items() if key not in dataset[name].attrs}:
            found = found.assign({name: dataset[name].assign_attrs(lost)})
    return found


def _converted(array: xr.DataArray, variable: Variable, base: Base) -> xr.DataArray:
    return converted(variable.name, array, coherent(variable.si, base))
