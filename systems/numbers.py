"""The door for numbers: lists, arrays, tables and tensors become tensors, in float64 unless tensors say otherwise."""

from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

FLOATS = (torch.float32, torch.float64)


def to_tensor(
    name: str, value: Any, *, dtype: torch.dtype | None = None, device: torch.device | str | None = None
) -> Tensor:
    """A floating tensor of numbers from anywhere.

    A tensor of float32 or float64 stays what it is. All else (numbers, lists, numpy, also in float32, pandas, xarray,
    integers) becomes float64, or the dtype that is given. Lists may be ragged: the missing ends are NaN.

    Args:
        name: of the argument, for the error.
        value: numbers.
        dtype: of what is not a tensor of floats.
        device: of what is not a tensor.

    Raises:
        ValueError: for what is no number: text, complex numbers, booleans, quantities with units of their own; and for
            whole numbers that float64 rounds.

    Example:
        >>> to_tensor("mass", [1, 2])
        tensor([1., 2.], dtype=torch.float64)
        >>> to_tensor("mass", [[1.0, 2.0], [3.0]])
        tensor([[1., 2.],
                [3., nan]], dtype=torch.float64)
    """
    if isinstance(value, Tensor):
        if value.is_complex() or value.dtype == torch.bool:
            raise ValueError(f"{name}: expected numbers, got a tensor of {value.dtype}")
        return value if value.dtype in FLOATS else value.to(dtype or torch.float64)
    return torch.from_numpy(to_array(name, value)).to(device, dtype)


def to_array(name: str, value: Any) -> NDArray[np.float64]:
    """The same as a writable array of float64; NaN where a masked array hides its numbers.

    Raises:
        ValueError: as `to_tensor`.

    Example:
        >>> to_array("mass", [[1, 2], [3]])
        array([[ 1.,  2.],
               [ 3., nan]])
    """
    if (unit := unit_of(value)) not in PLAIN:
        raise ValueError(
            f"{name}: expected plain numbers, got a quantity in {unit}: give its numbers in the units of the system, "
            "as in x.m_as('kg') of pint or x.to_value('kg') of astropy"
        )
    try:
        array = _filled(value.detach().cpu().numpy() if isinstance(value, Tensor) else value)
        text = array.dtype.kind == "O" and any(isinstance(x, str | bool) for x in array.flat)
        if array.dtype.kind not in "fiuO" or text:
            raise TypeError
        found = np.array(array, dtype=np.float64)
    except (TypeError, ValueError) as error:
        shown = " ".join(repr(value).split())
        raise ValueError(f"{name}: expected numbers, got {shown[:80]}") from error
    if array.dtype.kind in "iu" and array.size and abs(found).max() >= WHOLE and (rounded := _rounded(array, found)):
        raise ValueError(
            f"{name}: expected numbers that float64 can hold, got {rounded}: count from a nearer origin; times may be "
            "dates, as numpy's datetime64"
        )
    return found


#: Units that say nothing.
PLAIN = ("", "1", "dimensionless")

#: Float64 holds all whole numbers up to this one.
WHOLE = 2.0**53


def unit_of(value: Any) -> str:
    """The unit of a quantity of pint, astropy or unyt, "" of all else.

    Example:
        >>> unit_of(np.ones(3))
        ''
    """
    names = [name for name in ("unit", "units") if hasattr(type(value), name)]
    return str(getattr(value, names[0])) if names and not isinstance(value, Tensor) else ""


def ordered(value: Any, *dims: str) -> Any:
    """An array of xarray whose dims are some of these, with them in this order; all else as it is.

    Example:
        >>> import xarray as xr
        >>> ordered(xr.DataArray(np.ones((2, 3)), dims=("body", "time")), "time", "body").shape
        (3, 2)
    """
    own = getattr(value, "dims", None)
    if not isinstance(own, tuple) or not set(own) <= set(dims):
        return value
    return value.transpose(*(dim for dim in dims if dim in own))


def unmasked(value: Any) -> Any:
    """A masked array as a plain one: NaN, or NaT, where it hides its numbers; all else as it is.

    Example:
        >>> unmasked(np.ma.masked_greater([1, 2, 99], 10))
        array([ 1.,  2., nan])
    """
    if not isinstance(value, np.ma.MaskedArray):
        return value
    hidden = np.ma.getmaskarray(value)
    if not hidden.any():
        return value.data
    dates = value.dtype.kind in "mM"
    plain = np.array(value.data, value.dtype if dates else np.float64)
    plain[hidden] = np.array("NaT", plain.dtype) if dates else np.nan
    return plain


def _rounded(array: NDArray[Any], found: NDArray[np.float64]) -> str:
    """One of the whole numbers that are not what they were, if there is one."""
    odd = [n for n, x in zip(array.flat, found.flat, strict=True) if int(n) != int(x)]
    return str(odd[0]) if odd else ""


def ragged_mask(value: Any) -> Tensor | None:
    """Where ragged lists have numbers; None if they are not ragged.

    Example:
        >>> ragged_mask([[1.0, 2.0], [3.0]])
        tensor([[ True,  True],
                [ True, False]])
    """
    if not isinstance(value, list | tuple):
        return None
    try:
        np.asarray(value)
    except ValueError:
        return torch.from_numpy(np.isfinite(_filled(value)))
    return None


def _filled(value: Any) -> NDArray[Any]:
    """Lists of lists as one array; where their lengths differ, the shorter ones end with NaN."""
    try:
        return np.asarray(unmasked(value))
    except ValueError:
        parts = [_filled(x) for x in value]
    if len({x.ndim for x in parts}) > 1:
        raise ValueError("lists beside numbers")
    full = np.full((len(parts), *np.max([x.shape for x in parts], 0)), np.nan)
    for row, part in zip(full, parts, strict=True):
        row[tuple(slice(size) for size in part.shape)] = part
    return full
