"""Measured trajectories, from arrays or tables, as Datasets of the schema."""

from collections.abc import Mapping
from typing import Any

import numpy as np
import pandas as pd
import torch
import xarray as xr
from numpy.typing import NDArray

from systems.checks import check
from systems.dataset.schema import data_array, to_dataset, validate
from systems.phase_space import PhaseSpace
from systems.registry import system_class
from systems.vector_field import AbstractNewtonian, Variable


def from_arrays(
    q: Any,
    p: Any = None,
    *,
    times: Any,
    mask: Any = None,
    system: str = "",
    units: Mapping[str, str] | None = None,
    window: int = 7,
    degree: int = 4,
    **values: Any,
) -> xr.Dataset:
    """Positions, and momenta or masses, as a Dataset (see `systems.dataset.schema`).

    Without momenta, p = m dq/dt is estimated by `derivative`, and ``p`` is marked by its attribute ``estimated``.

    Gaps are NaN: where a body was not seen, q and p are NaN. A body that a trajectory never shows does not exist in it
    (``mask``). Times may be irregular and differ between trajectories; those of a shorter one end with NaN.

    Args:
        q: ``(trajectory, time, body, space)``, or without ``trajectory`` for one.
        p: canonical momenta of the same shape.
        times: seconds, ``(time,)`` or ``(trajectory, time)``, strictly increasing.
        mask: ``(trajectory, body)``, True where a body exists.
        system: name of a known system, where one made them: its variables may be given too.
        units: of any variable, as in ``{"q": "m"}``; else they are "1", and "s" for time.
        window: points from which a momentum is estimated.
        degree: of the polynomials through them, less than ``window``.
        **values: ``mass`` and whatever else is known, each one number, ``(body,)`` or ``(trajectory, body)``, or with
            ``other_body`` last for what the system declares so.

    Raises:
        ValueError: for wrong shapes, values that are not finite, masses that are not positive, times that are not
            increasing, and neither momenta nor masses.

    Example:
        >>> import numpy as np
        >>> from systems import from_arrays
        >>> t = np.linspace(0, 1, 50)
        >>> circle = np.stack([np.cos(t), np.sin(t)], -1)[:, None]
        >>> dataset = from_arrays(circle, times=t, mass=2.0, units={"q": "m"})
        >>> dataset.p.shape, bool(abs(dataset.p[0, :, 0, 1] - 2 * np.cos(t)).max() < 1e-5)
        ((1, 50, 1, 2), True)
        >>> dataset.p.estimated
        'from q, by local polynomials of degree 4 through 7 points'
    """
    positions = _state_array("q", q)
    count, points, n, _ = positions.shape
    moments = np.asarray(times, dtype=np.float64 if positions.dtype == np.float64 else np.float32)
    if moments.shape not in {(points,), (count, points)}:
        raise ValueError(f"times: expected shape ({points},) or ({count}, {points}), got {moments.shape}")
    known = {name: _declared(name, system) for name in values}
    arrays = {name: _value(known[name], value, count, n, positions.dtype) for name, value in values.items()}
    seen = _seen(positions)
    exists = np.asarray(seen.any(1) if mask is None else mask, dtype=bool)
    if exists.shape not in {(n,), (count, n)}:
        raise ValueError(f"mask: expected shape {(n,)} or {(count, n)}, got {exists.shape}")
    exists = np.broadcast_to(exists, (count, n))
    positions = np.where((seen & exists[:, None])[..., None], positions, np.nan)
    marks = {}
    if p is not None:
        momenta = _state_array("p", p)
        if momenta.shape != positions.shape:
            raise ValueError(f"p: expected the shape of q, {positions.shape}, got {momenta.shape}")
        momenta = np.where(np.isfinite(positions), momenta, np.nan).astype(positions.dtype)
    elif "mass" in values:
        mass = np.broadcast_to(arrays["mass"], (count, n))[:, None, :, None]
        momenta = mass * derivative(positions, moments, window=window, degree=degree)
        marks = {"estimated": f"from q, by local polynomials of degree {degree} through {window} points"}
    else:
        raise ValueError("p: expected momenta, or mass to estimate them with, got neither")
    dataset = to_dataset(
        PhaseSpace(*(torch.from_numpy(x).transpose(0, 1) for x in (positions, momenta))),
        torch.from_numpy(moments.T.copy()),
        mask=torch.from_numpy(exists.copy()),
        variables={name: data_array(known[name], array) for name, array in arrays.items()},
        attrs={"coordinate_system": system_class(system).coordinates if system else "cartesian"}
        | ({"system": system} if system else {}),
    )
    dataset["p"].attrs.update(marks)
    for name, unit in (units or {}).items():
        if name not in dataset:
            raise ValueError(f"units: expected names among {', '.join(map(str, dataset.variables))}, got {name}")
        dataset[name].attrs["units"] = unit
    return validate(dataset)


def from_dataframe(frame: pd.DataFrame, **options: Any) -> xr.Dataset:
    """A table with a row for each body and time as a Dataset.

    Args:
        frame: columns ``time``, ``body`` (any label), ``x``, ``y``[, ``z``], and ``px``, ``py``[, ``pz``] or ``mass``;
            ``trajectory`` if there are several. Other columns of numbers (``charge``, ...) are variables of the bodies,
            one value for each body of a trajectory. Rows in any order; a missing row is a gap.
        **options: of `from_arrays`.

    Raises:
        ValueError: for missing columns, two rows for one body and time, and all that `from_arrays` refuses.

    Example:
        >>> import pandas as pd
        >>> from systems import from_dataframe
        >>> frame = pd.DataFrame({"time": [0.0, 0.0, 0.5, 0.5], "body": ["sun", "earth"] * 2, "mass": [1.0, 3e-6] * 2,
        ...                       "x": [0.0, 1.0, 0.0, 0.9], "y": [0.0, 0.0, 0.0, 0.4]})
        >>> dataset = from_dataframe(frame)
        >>> dict(dataset.sizes), dataset.mass.values.tolist()
        ({'trajectory': 1, 'time': 2, 'body': 2, 'space': 2}, [[1.0, 3e-06]])
    """
    axes = [axis for axis in ("x", "y", "z") if axis in frame]
    momenta = [f"p{axis}" for axis in axes]
    if missing := [name for name in ("time", "body", "x") if name not in frame]:
        raise ValueError(f"frame: expected the columns {', '.join(missing)}, got {', '.join(map(str, frame.columns))}")
    numbers = frame.drop(columns=[name for name in ("trajectory", "body") if name in frame])
    if odd := [name for name, dtype in numbers.dtypes.items() if dtype.kind not in "fiu"]:
        raise ValueError(
            f"frame: expected numbers in the columns {', '.join(map(str, odd))}, got {numbers[odd[0]].dtype}"
        )
    if frame.empty:
        raise ValueError("frame: expected rows, got none")
    if not np.isfinite(frame["time"]).all():
        raise ValueError("time: expected finite times in every row, got NaN or infinity")
    trajectory = frame["trajectory"].factorize(sort=True)[0] if "trajectory" in frame else np.zeros(len(frame), int)
    body = frame["body"].factorize()[0]
    times, point = _points(trajectory, frame["time"].to_numpy(dtype=float))
    count, n = trajectory.max() + 1, body.max() + 1
    place = (trajectory, point, body)
    if len(np.unique(np.ravel_multi_index(place, (count, times.shape[-1], n)))) < len(frame):
        raise ValueError("frame: expected one row for each body and time, got several")

    def spread(columns: list[str]) -> NDArray[np.floating]:
        array = np.full((count, times.shape[-1], n, len(columns)), np.nan)
        array[place] = frame[columns].to_numpy(dtype=float)
        return array

    values = {}
    for name in numbers.columns.difference(["time", *axes, *momenta]):
        array = spread([name])[..., 0]
        low, high = np.fmin.reduce(array, 1), np.fmax.reduce(array, 1)
        if (high > low).any():
            raise ValueError(f"{name}: expected one value for each body of a trajectory, got several")
        values[name] = low
    p = spread(momenta) if all(name in frame for name in momenta) else None
    return from_arrays(spread(axes), p, times=times, **values, **options)


def derivative(
    x: NDArray[np.floating], times: NDArray[np.floating], *, window: int = 7, degree: int = 4
) -> NDArray[np.floating]:
    """dx/dt at the times themselves, which may be irregular and have gaps (NaN).

    At each time a polynomial is fitted by least squares to the nearest points of the same body, and differentiated (a
    filter of Savitzky and Golay for irregular times). Exact for polynomials up to the degree; the error falls with the
    degree-th power of the spacing. A wider window averages more noise away. Where a body was seen less often than
    degree + 1 times the degree is lower; seen once, it has no derivative (NaN).

    Args:
        x: ``(trajectory, time, body, space)``.
        times: ``(time,)`` or ``(trajectory, time)``.

    Example:
        >>> t = np.array([0.0, 0.1, 0.3, 0.4, 0.7, 0.8, 1.0])
        >>> dx = derivative((t**3)[None, :, None, None], t, window=5, degree=3)
        >>> bool(np.allclose(dx[0, :, 0, 0], 3 * t**2))
        True
    """
    check("degree", degree, 1 <= degree < window, f"1 to {window - 1}, less than window")
    count, points, n, _ = x.shape
    seen = _seen(x).swapaxes(1, 2).reshape(count * n, points)
    when = np.broadcast_to(times, (count, points)).repeat(n, 0)
    rows = np.ascontiguousarray(x.swapaxes(1, 2).reshape(count * n, points, -1))
    result = np.full_like(rows, np.nan)
    # Bodies that were seen at the same times share their weights.
    _, first, same = np.unique(np.where(seen, when, np.inf), axis=0, return_index=True, return_inverse=True)
    for pattern, row in enumerate(first):
        members, visible = same.ravel() == pattern, seen[row]
        if visible.sum() > 1:
            near, weight = _weights(when[row, visible].astype(float), window, degree)
            values = rows[members][:, visible]
            result[np.ix_(members, visible)] = np.einsum("tw,mtws->mts", weight, values[:, near])
    return result.reshape(count, n, points, -1).swapaxes(1, 2)


def _weights(t: NDArray[np.floating], window: int, degree: int) -> tuple[NDArray[np.integer], NDArray[np.floating]]:
    """For each time the points near it and the weights of their values in the derivative there, ``(time, window)``."""
    m = len(t)
    window = min(window, m)
    degree = min(degree, window - 1)
    # Of all windows around a point the one that reaches least far; the most central one first, for equal spacing.
    offsets = np.array(sorted(range(window), key=lambda offset: abs(offset - (window - 1) / 2)))
    starts = (np.arange(m)[:, None] - offsets).clip(0, m - window)
    reach = np.maximum(t[:, None] - t[starts], t[starts + window - 1] - t[:, None])
    near = np.take_along_axis(starts, reach.argmin(1)[:, None], 1) + np.arange(window)
    s = t[near] - t[:, None]
    scale = abs(s).max(1, keepdims=True)
    s = s / scale
    # Polynomials P_k that are orthogonal on the points (Stieltjes), with their values and derivatives at s = 0.
    before, now = np.zeros_like(s), np.ones_like(s)
    value, derivative, value_before, derivative_before = 1.0, 0.0, 0.0, 0.0
    norm_before = 1.0
    weight = np.zeros_like(s)
    for k in range(degree + 1):
        norm = (now**2).sum(1, keepdims=True)
        weight += now * derivative / norm
        a, b = (s * now**2).sum(1, keepdims=True) / norm, norm / norm_before if k else 0.0
        before, now = now, (s - a) * now - b * before
        value, value_before, derivative, derivative_before = (
            -a * value - b * value_before,
            value,
            value - a * derivative - b * derivative_before,
            derivative,
        )
        norm_before = norm
    return near, weight / scale


def _points(
    trajectory: NDArray[np.integer], time: NDArray[np.floating]
) -> tuple[NDArray[np.floating], NDArray[np.integer]]:
    """The times ``(time,)``, or ``(trajectory, time)`` if they differ, and the index in them of each row of a table."""
    own = [np.unique(time[trajectory == i]) for i in range(trajectory.max() + 1)]
    point = np.empty(len(time), int)
    for i, moments in enumerate(own):
        point[trajectory == i] = np.searchsorted(moments, time[trajectory == i])
    if all(np.array_equal(moments, own[0]) for moments in own):
        return own[0], point
    times = np.full((len(own), max(map(len, own))), np.nan)
    for i, moments in enumerate(own):
        times[i, : len(moments)] = moments
    return times, point


def _state_array(name: str, values: Any) -> NDArray[np.floating]:
    """``(trajectory, time, body, space)``, float32 or float64, NaN for whatever is not finite."""
    try:
        array = np.asarray(values)
        array = array if array.dtype in (np.float32, np.float64) else array.astype(np.float64, casting="safe")
    except (TypeError, ValueError) as error:
        raise ValueError(f"{name}: expected numbers, got {np.asarray(values, object).dtype}") from error
    if array.ndim not in (3, 4) or array.size == 0:
        raise ValueError(f"{name}: expected shape (trajectory, time, body, space), got {array.shape}")
    return array[None] if array.ndim == 3 else array


def _seen(x: NDArray[np.floating]) -> NDArray[np.bool_]:
    return np.asarray(np.isfinite(x).all(-1))


def _declared(name: str, system: str) -> Variable:
    """What the system says of a variable; otherwise it is one of bodies."""
    declared = system_class(system).variables if system else AbstractNewtonian.variables
    long_name = name.replace("_", " ")
    return next((v for v in declared if v.name == name), Variable(name, ("body",), "1", long_name))


def _value(variable: Variable, value: Any, count: int, n: int, dtype: np.dtype[np.floating]) -> NDArray[np.floating]:
    """``(*dims)`` or ``(trajectory, *dims)``."""
    own = (n,) * len(variable.dims)
    try:
        array = np.asarray(value, dtype=dtype)
    except (TypeError, ValueError) as error:
        raise ValueError(f"{variable.name}: expected numbers, got {value!r}") from error
    array = np.broadcast_to(array, own) if array.ndim == 0 else array
    if array.shape not in {own, (count, *own)}:
        raise ValueError(f"{variable.name}: expected shape {own} or {(count, *own)}, got {array.shape}")
    return array
