"""How fast positions change, from the positions themselves: local polynomials through exact points."""

import numpy as np
from numpy.typing import NDArray

from systems.checks import check
from systems.dataset.series import Array, Series, over_series


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

    def of_series(series: Series) -> tuple[Array, ...]:
        if len(series.times) < 2:
            return (np.full_like(series.values, np.nan),)
        near, weight = _weights(series.times, window, degree)
        return (np.einsum("tw,rtws->rts", weight, series.values[:, near]),)

    return over_series(x, times, of_series, 1)[0].astype(x.dtype)


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
