"""The door for time: whatever says when becomes seconds in float64."""

import datetime
from typing import Any, NamedTuple

import numpy as np
import xarray as xr
from numpy.typing import NDArray
from torch import Tensor

from systems.checks import check
from systems.numbers import to_array, unmasked
from systems.units import OWN, factor


class Times(NamedTuple):
    """Seconds, and the date that they are counted from ("" if they came as numbers)."""

    seconds: NDArray[np.float64]
    origin: str = ""


def to_times(times: Any, name: str = "times", *, unit: str = "s", into: str = "s") -> Times:
    """Seconds in float64 from numbers, dates or durations, of any shape.

    Numbers (lists, numpy, pandas, tensors) are in ``unit``; in seconds they stay what they are. ``into`` is what all
    times are given in, "s" but for systems with another unit of time. Durations (timedelta) become seconds.
    Dates (numpy's datetime64, pandas', Python's, cftime's in any calendar; in UTC where they have a zone) become the
    seconds since the first of them, which is kept as ``origin``. Differences are taken in the dates' own ticks, before
    anything is rounded. NaT becomes NaN. An array of xarray may say itself what it counts, by its attribute
    ``units``, and from when, by ``origin``. `Times` stay as they are.

    Raises:
        ValueError: for text, for months and years as durations (they have no fixed length), and for mixtures.

    Example:
        >>> to_times(np.array(["2024-01-01T00:00", "2024-01-01T00:01"], "datetime64[ns]"))
        Times(seconds=array([ 0., 60.]), origin='2024-01-01T00:00:00.000000000')
        >>> to_times([0, 1]).seconds
        array([0., 1.])
    """
    if isinstance(times, Times):
        return times
    if isinstance(times, Tensor):
        return Times(_numbers(name, times, unit, into))
    if isinstance(times, xr.DataArray) and unit == into and times.attrs.get("units", OWN) != OWN:
        counted = as_coordinate(times.rename(name), into)
        return Times(to_array(name, counted), counted.attrs.get("origin", ""))
    array = _as_numpy(name, times)
    if array.dtype.kind == "m":
        return Times(_converted(name, _in_seconds(name, array), "s", into))
    if array.dtype.kind == "M":
        coarse = np.datetime_data(array.dtype)[0] in ("Y", "M", "W", "D", "h", "m")
        array = array.astype("datetime64[s]") if coarse else array
        first = np.nanmin(array) if array.size else None
        since = _converted(name, _in_seconds(name, array - first), "s", into)
        return Times(since, "" if first is None else str(first))
    if array.dtype.kind == "O" and array.size and hasattr(array.flat[0], "calendar"):
        first = min(array.flat)
        gaps = [(date - first) / datetime.timedelta(microseconds=1) for date in array.flat]
        return Times(_converted(name, np.reshape(gaps, array.shape) / 1e6, "s", into), first.isoformat())
    return Times(_numbers(name, times, unit, into))


def _numbers(name: str, times: Any, unit: str, into: str) -> NDArray[np.float64]:
    return _converted(name, to_array(name, times), unit, into)


def _converted(name: str, values: NDArray[np.float64], unit: str, into: str) -> NDArray[np.float64]:
    return values if unit == into else values * factor(name, unit, into)


def _as_numpy(name: str, times: Any) -> NDArray[Any]:
    """Times as an array; Python's and pandas' own dates and durations as numpy's."""
    try:
        array = np.asarray(unmasked(times))
    except ValueError:  # ragged lists: numbers, or an error of theirs
        array = to_array(name, times)
    if array.dtype.kind != "O" or not array.size:
        return array
    import pandas as pd  # costs as much as all the rest

    kinds = {type(x) for x in array.flat}
    if all(issubclass(kind, datetime.datetime | type(pd.NaT)) for kind in kinds):
        dates = pd.to_datetime(array.ravel(), utc=True).tz_localize(None)
        return np.asarray(dates).reshape(array.shape)
    if all(issubclass(kind, datetime.timedelta | type(pd.NaT)) for kind in kinds):
        return np.asarray(pd.to_timedelta(array.ravel())).reshape(array.shape)
    if any(issubclass(kind, datetime.date | datetime.timedelta | np.datetime64 | np.timedelta64) for kind in kinds):
        raise ValueError(f"{name}: expected times of one kind, got {', '.join(sorted(x.__name__ for x in kinds))}")
    return array


def _in_seconds(name: str, durations: NDArray[Any]) -> NDArray[np.float64]:
    unit = np.datetime_data(durations.dtype)[0]
    if unit in ("Y", "M", "generic"):
        raise ValueError(f"{name}: expected durations in weeks or less, got timedelta64 in {unit}: no fixed length")
    return np.asarray(durations / np.timedelta64(1, "s"), dtype=np.float64)


def as_coordinate(array: xr.DataArray, unit: str = "s") -> xr.DataArray:
    """A Dataset's times as numbers in the unit that they are counted in, whatever their own ``units`` say.

    Dates and durations, CF's "days since 2000-01-01" (in any calendar) and units such as "days" are converted; dates
    become the time since the first of them, and ``origin`` keeps that.

    Raises:
        ValueError: for units that are not of time, or have no fixed length ("months since ...").

    Example:
        >>> days = xr.DataArray([2.0, 3.0], dims="time", name="time", attrs={"units": "days since 2000-01-01"})
        >>> found = as_coordinate(days)
        >>> found.values, found.attrs
        (array([    0., 86400.]), {'units': 's', 'origin': '2000-01-03T00:00:00.000000000'})
    """
    name, units = str(array.name), str(array.attrs.get("units", unit))
    if array.dtype.kind in "mMO":
        found = to_times(array.values, name, unit=unit, into=unit)
        return _relabelled(array, found.seconds, unit, found.origin)
    if units == unit and array.dtype.kind == "f":
        return array
    values, (tick, since, date) = to_array(name, array), units.partition(" since ")
    if not since:
        return _relabelled(array, _converted(name, values, units, unit), unit, "")
    if tick.strip().rstrip("s") in ("month", "year", "common_year"):
        raise ValueError(f"{name}: expected units of a fixed length, got {units!r}: give days or seconds since a date")
    first = np.nanmin(values)
    labels = {key: array.attrs[key] for key in ("calendar",) if key in array.attrs}
    try:
        start = xr.Dataset({"t": ("t", [first], {"units": f"{tick} since {date}", **labels})})
        origin = to_times(xr.decode_cf(start)["t"].values, name).origin
    except (ValueError, ImportError) as error:
        raise ValueError(f"{name}: expected units such as 'days since 2000-01-01', got {units!r}: {error}") from error
    return _relabelled(array, _converted(name, values - first, tick, unit), unit, origin)


def clock_of(data: xr.Dataset | xr.DataArray) -> xr.DataArray:
    """The times of a Dataset, or of an array with them, as numbers in the unit that they say; seconds by default.

    Dates and durations become seconds, of dates since the first.

    Returns:
        ``(time,)``, or ``(trajectory, time)`` where each trajectory has its own.

    Raises:
        ValueError: for what is no time, and where there are none.

    Example:
        >>> dates = np.array(["2024-01-01T00:00", "2024-01-01T00:01"], "datetime64[ns]")
        >>> clock_of(xr.DataArray([1.0, 2.0], dims="time", coords={"time": dates})).values
        array([ 0., 60.])
    """
    names = data.coords if isinstance(data, xr.DataArray) else data.variables
    name = "trajectory_time" if "trajectory_time" in names else "time"
    check("time", "none", name in names, "times, as a coordinate")
    array = data[name]
    unit = "s" if array.dtype.kind in "mMO" else str(array.attrs.get("units", "s")).partition(" since ")[0]
    return as_coordinate(array, unit).assign_attrs(units=unit, long_name=array.attrs.get("long_name", "time"))


def origin_of(dataset: xr.Dataset) -> str:
    """The date that the times of a Dataset are counted from, "" if there is none."""
    array = dataset["trajectory_time" if "trajectory_time" in dataset else "time"]
    dated = array.dtype.kind in "mMO" or " since " in str(array.attrs.get("units", ""))
    return (as_coordinate(array) if dated else array).attrs.get("origin", "")


def since(origin: str, times: Times) -> Times:
    """The same times, counted from another date; times without a date are taken to be counted from it already.

    Raises:
        ValueError: for a date that no calendar of numpy has.

    Example:
        >>> since("2024-01-01", to_times(np.array(["2024-01-03", "2024-01-04"], "datetime64[D]"))).seconds
        array([172800., 259200.])
    """
    if not times.origin or not origin:
        return Times(times.seconds, origin or times.origin)
    apart = _in_seconds("times", np.asarray(np.datetime64(times.origin) - np.datetime64(origin)))
    return Times(times.seconds + apart, origin)


def counted_from(origin: str, dataset: xr.Dataset) -> xr.Dataset:
    """The Dataset, with the date that its times are counted from, if they came as dates."""
    if origin:
        dataset["trajectory_time" if "trajectory_time" in dataset else "time"].attrs["origin"] = origin
    return dataset


def _relabelled(array: xr.DataArray, values: NDArray[np.float64], unit: str, origin: str) -> xr.DataArray:
    kept = {key: value for key, value in array.attrs.items() if key not in ("units", "calendar", "origin")}
    found = xr.DataArray(values, dims=array.dims, name=array.name)
    return found.assign_attrs({**kept, "units": unit} | ({"origin": origin} if origin else {}))


def one_clock(time: NDArray[np.float64], body: NDArray[np.integer], tolerance: float) -> NDArray[np.float64]:
    """Times of several bodies, of which nearly equal ones are made one: the earliest of them.

    Args:
        time: of each row of a table.
        body: of each row.
        tolerance: as a part of the spacing, the median time between two rows of one body. Times that follow each other
            more closely are one.

    Raises:
        ValueError: if most times stay closer than a hundredth of the spacing to another one: then bodies that are meant
            to be seen at one time would be seen at two, with gaps in between.

    Example:
        >>> one_clock(np.array([0.3, 0.1 + 0.2, 1.0, 1.0]), np.array([0, 1, 0, 1]), 1e-6)
        array([0.3, 0.3, 1. , 1. ])
    """
    order = np.lexsort((time, body))
    gaps = np.diff(time[order])[np.diff(body[order]) == 0]
    gaps = gaps[gaps > 0]
    if not gaps.size:
        return time
    spacing = np.median(gaps)
    moments, place = np.unique(time, return_inverse=True)
    apart = np.diff(moments, prepend=-np.inf) > tolerance * spacing
    moments = moments[apart][np.cumsum(apart) - 1]
    left = np.diff(np.unique(moments))
    close = left < 0.01 * spacing
    if close.sum() > (~close).sum():
        raise ValueError(
            f"time: expected one time for all bodies that are seen together, got times {left[close].min():g} to "
            f"{left[close].max():g} apart where a body is seen every {spacing:g}: round them, or give a larger "
            f"time_tolerance than {tolerance:g} of the spacing"
        )
    return moments[place]
