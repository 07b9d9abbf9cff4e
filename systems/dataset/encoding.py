"""What netCDF and Zarr can store of a Dataset, by xarray's encoder, and the way back."""

import json
from typing import Any, NamedTuple

import numpy as np
import xarray as xr
from xarray import conventions

from systems.checks import check


class Encoded(NamedTuple):
    """A Dataset as a file has it."""

    variables: dict[str, xr.Variable]
    attributes: dict[str, Any]


def encoded(dataset: xr.Dataset) -> Encoded:
    """Variables and attributes as a file has them; values are still those of the Dataset, lazy where they were.

    Labels are strings, booleans are int8 with an attribute ``dtype``, dates are numbers since a date; an attribute that
    is neither a number nor a text becomes JSON.

    Raises:
        ValueError: for a variable that netCDF does not have.

    Example:
        >>> dataset = xr.Dataset({"seen": ("body", [True, False])}, attrs={"by": None, "filter": {"width": 3}})
        >>> variables, attributes = encoded(dataset)
        >>> variables["seen"].dtype, attributes
        (dtype('int8'), {'by': 'null', 'filter': '{"width": 3}'})
    """
    variables, attributes = conventions.encode_dataset_coordinates(dataset.drop_encoding())
    if odd := [name for name in variables if not isinstance(name, str) or "/" in name]:
        raise ValueError(f"dataset: expected names of variables without /, got {odd[0]!r}")
    return Encoded(
        {str(name): _encoded(str(name), variable) for name, variable in variables.items()},
        {str(name): plain_attribute(value) for name, value in attributes.items()},
    )


def decoded(raw: xr.Dataset) -> xr.Dataset:
    """What `encoded` was made of; times stay numbers unless they count from a date."""
    for part in (raw, *raw.variables.values()):
        part.attrs = {
            name: value.item() if isinstance(value, np.generic) else value for name, value in part.attrs.items()
        }
    dates: dict[str, Any] = {
        str(name): " since " in str(variable.attrs.get("units", "")) for name, variable in raw.variables.items()
    }
    dataset = xr.decode_cf(raw, decode_times=dates if any(dates.values()) else False, decode_timedelta=False)
    labels = {
        name: array.copy(data=array.values.astype(object).astype(str))
        for name, array in dataset.variables.items()
        if array.dtype.kind in "OT"
    }
    return dataset.assign(labels).set_coords([name for name in labels if name in dataset.coords])


def plain_attribute(value: Any) -> Any:
    """A number, a text, or an array of these; of anything else its JSON, or its text."""
    if isinstance(value, np.generic):
        value = value.item()
    if isinstance(value, str) or (isinstance(value, int | float) and not isinstance(value, bool)):
        return value
    if isinstance(value, list | tuple | np.ndarray):
        array = np.asarray(value)
        if array.dtype.kind in "iuf" and array.ndim == 1 and array.size:
            return array
        value = array.tolist()
    return json.dumps(value, default=str)


def _encoded(name: str, variable: xr.Variable) -> xr.Variable:
    try:
        variable = conventions.encode_cf_variable(variable, name=name)
    except (TypeError, ValueError, NotImplementedError, OverflowError) as error:
        raise ValueError(f"{name}: expected numbers, booleans, dates or strings, got others ({error})") from error
    attributes = {str(key): plain_attribute(value) for key, value in variable.attrs.items()}
    if np.all(np.isnan(attributes.get("_FillValue", 0))):  # NaN says itself what is missing
        del attributes["_FillValue"]
    kind = variable.dtype
    if kind.kind in "SUTO":
        return xr.Variable(variable.dims, np.vectorize(_text, otypes=[object])(variable.values), attributes)
    check(name, str(kind), kind.kind in "iuf" and kind.itemsize <= 8, "numbers of at most 8 bytes")
    variable.attrs = attributes
    return variable


def _text(value: Any) -> str:
    return value.decode(errors="replace") if isinstance(value, bytes) else str(value)
