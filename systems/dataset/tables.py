"""Measured trajectories from tables, with a row for each body and time."""

from typing import Any

import numpy as np
import pandas as pd
import xarray as xr
from numpy.typing import NDArray

from systems.checks import check
from systems.dataset.measured import check_variables, from_arrays
from systems.dataset.times import counted_from, one_clock, to_times


def from_dataframe(frame: pd.DataFrame, *, time_tolerance: float = 1e-6, **options: Any) -> xr.Dataset:
    """A table with a row for each body and time as a Dataset; bodies and trajectories in the order of their labels.

    Args:
        frame: columns ``time`` (seconds, durations or dates), ``body`` (any label), ``x``, ``y``[, ``z``], and ``px``,
            ``py``[, ``pz``], or ``mass``, with ``vx``, ... if they are known; ``trajectory`` if there are several.
            Other columns of numbers (``charge``, ...) are variables of the bodies, one value for each body of a
            trajectory; derivatives are for `from_arrays`. Rows in any order; a missing row is a gap.
        time_tolerance: times that differ by less than this part of the spacing (the median time between two rows of a
            body) are one time, the earliest of them.
        **options: of `from_arrays`.

    Raises:
        ValueError: for missing columns or labels, x and z without y, two rows for one body and time, bodies that are
            meant to be seen at one time but are seen at two nearly equal ones, and all that `from_arrays` refuses.

    Example:
        >>> import pandas as pd
        >>> from systems import from_dataframe
        >>> frame = pd.DataFrame({"time": [0.0, 0.0, 0.5, 0.5], "body": ["sun", "earth"] * 2, "mass": [1.0, 3e-6] * 2,
        ...                       "x": [0.0, 1.0, 0.0, 0.9], "y": [0.0, 0.0, 0.0, 0.4]})
        >>> dataset = from_dataframe(frame)
        >>> dict(dataset.sizes), dataset.mass.values.tolist()
        ({'trajectory': 1, 'time': 2, 'body': 2, 'space': 2}, [[3e-06, 1.0]])
    """
    axes = [axis for axis in ("x", "y", "z") if axis in frame]
    check("frame", ", ".join(axes), axes != ["x", "z"], "a column y beside x and z; a plane has the columns x and y")
    momenta, velocities = ([f"{letter}{axis}" for axis in axes] for letter in "pv")
    if missing := [name for name in ("time", "body", "x") if name not in frame]:
        raise ValueError(f"frame: expected the columns {', '.join(missing)}, got {', '.join(map(str, frame.columns))}")
    for names in (momenta, velocities):
        given = [name for name in names if name in frame]
        check("frame", ", ".join(given), len(given) in (0, len(names)), f"all of {', '.join(names)}, or none of them")
    if frame.empty:
        raise ValueError("frame: expected rows, got none")
    numbers = frame.drop(columns=[name for name in ("trajectory", "body") if name in frame])
    numbers = numbers.drop(columns="time")
    options["units"] = dict(options.get("units") or {})
    if odd := [name for name, dtype in numbers.dtypes.items() if dtype.kind not in "fiu"]:
        raise ValueError(
            f"frame: expected numbers in the columns {', '.join(map(str, odd))}, got {numbers[odd[0]].dtype}"
        )
    for name in ("trajectory", "body"):
        missing = np.asarray(frame[name].isna()).sum() if name in frame else 0
        check(name, f"{missing} rows without one", not missing, "a label in every row")
    time, origin = to_times(frame["time"], "time", unit=options["units"].pop("time", "s"))
    if not np.isfinite(time).all():
        raise ValueError("time: expected finite times in every row, got NaN or infinity")
    trajectory = _codes(frame["trajectory"]) if "trajectory" in frame else np.zeros(len(frame), int)
    body = _codes(frame["body"])
    times, point = _points(trajectory, body, time, time_tolerance)
    count, n = trajectory.max() + 1, body.max() + 1
    place = (trajectory, point, body)
    _, same, rows = np.unique(
        np.ravel_multi_index(place, (count, times.shape[-1], n)), return_inverse=True, return_counts=True
    )
    if (rows > 1).any():
        k = int((rows[same] > 1).argmax())
        body, time = (frame[name].iloc[k] for name in ("body", "time"))
        raise ValueError(
            f"frame: expected one row for each body and time, got several of body {body} at time {time}: "
            "a column trajectory tells runs apart, drop_duplicates leaves out rows that are there twice"
        )

    def spread(columns: list[str]) -> NDArray[np.floating]:
        array = np.full((count, times.shape[-1], n, len(columns)), np.nan)
        array[place] = frame[columns].to_numpy(dtype=float)
        return array

    values, others = {}, numbers.columns.difference([*axes, *momenta, *velocities])
    check_variables("frame", others, options)
    for name in others:
        array = spread([name])[..., 0]
        low, high = np.fmin.reduce(array, 1), np.fmax.reduce(array, 1)
        if (high > low).any():
            raise ValueError(f"{name}: expected one value for each body of a trajectory, got several")
        values[name] = low
    p, v = (spread(names) if all(name in frame for name in names) else None for names in (momenta, velocities))
    v = None if p is not None else v
    return counted_from(origin, from_arrays(spread(axes), p, v=v, times=times, **values, **options))


def _codes(labels: Any) -> NDArray[np.integer]:
    """The number of each label in their order: sorted, as text where they are of several kinds."""
    codes, unique = labels.factorize()
    try:
        order = np.argsort(np.asarray(unique))
    except TypeError:
        order = np.argsort(np.asarray(unique).astype(str))
    return np.argsort(order)[codes]


def _points(
    trajectory: NDArray[np.integer], body: NDArray[np.integer], time: NDArray[np.float64], tolerance: float
) -> tuple[NDArray[np.floating], NDArray[np.integer]]:
    """The times ``(time,)``, or ``(trajectory, time)`` if they differ, and the index in them of each row of a table."""
    own, point = [], np.empty(len(time), int)
    for i in range(trajectory.max() + 1):
        rows = trajectory == i
        moments, point[rows] = np.unique(one_clock(time[rows], body[rows], tolerance), return_inverse=True)
        own.append(moments)
    if all(np.array_equal(moments, own[0]) for moments in own):
        return own[0], point
    times = np.full((len(own), max(map(len, own))), np.nan)
    for i, moments in enumerate(own):
        times[i, : len(moments)] = moments
    return times, point
