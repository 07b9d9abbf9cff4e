"""Positions of many bodies as series in time: bodies that were seen at the same times share one."""

from collections.abc import Callable, Iterator
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

Array = NDArray[np.floating]


class Series(NamedTuple):
    """What bodies did that were seen at the same times."""

    rows: NDArray[np.integer]
    """Which of all ``trajectory * body`` they are."""
    seen: NDArray[np.bool_]
    """``(time,)``, when they were seen."""
    times: Array
    """``(seen,)``"""
    values: Array
    """``(row, seen, space)``"""


def series_of(x: Array, times: Array) -> Iterator[Series]:
    """The series of positions ``(trajectory, time, body, space)``; gaps are NaN.

    Args:
        x: positions.
        times: ``(time,)`` or ``(trajectory, time)``.
    """
    count, points, n, _ = x.shape
    rows = x.swapaxes(1, 2).reshape(count * n, points, -1)
    seen = np.asarray(np.isfinite(rows).all(-1))
    when = np.broadcast_to(times, (count, points)).repeat(n, 0)
    _, first, same = np.unique(np.where(seen, when, np.inf), axis=0, return_index=True, return_inverse=True)
    for pattern, row in enumerate(first):
        members, visible = np.flatnonzero(same.ravel() == pattern), seen[row]
        yield Series(members, visible, when[row, visible].astype(float), rows[members][:, visible])


def over_series(x: Array, times: Array, function: Callable[[Series], tuple[Array, ...]], outputs: int) -> list[Array]:
    """Functions of each series, put together again: NaN where a body was not seen.

    Args:
        x, times: see `series_of`.
        function: gives so many ``outputs``, each ``(row, seen, space)``.
    """
    count, points, n, d = x.shape
    found = [np.full((count * n, points, d), np.nan) for _ in range(outputs)]
    for series in series_of(x, times):
        if len(series.times):
            for result, values in zip(found, function(series), strict=True):
                result[np.ix_(series.rows, series.seen)] = values
    return [result.reshape(count, n, points, d).swapaxes(1, 2) for result in found]
