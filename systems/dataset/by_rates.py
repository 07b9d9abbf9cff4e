"""Noisy states whose derivatives are known: the derivatives' integral, and a constant from the states."""

from __future__ import annotations

import numpy as np
import torch
import xarray as xr
from scipy.interpolate import make_interp_spline

from systems.dataset.reading import times_of
from systems.dataset.schema import STATE_DIMS
from systems.dataset.series import Array, Series, over_series

#: The highest degree of the splines through derivatives.
DEGREE = 5


def smoothed_by_rates(dataset: xr.Dataset) -> xr.Dataset:
    """The Dataset with q and p that are as smooth as their derivatives say.

    Each coordinate becomes the integral of a spline of degree 5 through its derivative, and the constant that lies best
    among the numbers measured. Of the noise of N points one part in sqrt(N) is left, the same at all of them; the
    derivatives are taken as exact, and their points as close enough for splines.

    Args:
        dataset: with q, p, q_rate and p_rate.

    Returns:
        A new Dataset; ``q_measured`` holds the positions as they were.

    Raises:
        ValueError: if it has no derivatives.

    Example:
        >>> from systems import from_arrays
        >>> t, noise = np.linspace(0, 3, 61), 0.1 * np.random.default_rng(0).standard_normal((2, 1, 61, 1, 1))
        >>> sine, cosine = np.sin(t)[None, :, None, None], np.cos(t)[None, :, None, None]
        >>> noisy = from_arrays(sine + noise[0], cosine + noise[1], times=t, q_rate=cosine, p_rate=-sine)
        >>> off = smoothed_by_rates(noisy).q - sine
        >>> bool(abs(off).max() < 0.03), bool(off.std() < 1e-9)
        (True, True)
    """
    missing = [name for name in ("q_rate", "p_rate") if name not in dataset]
    if missing:
        raise ValueError(f"{missing[0]}: expected time derivatives beside the states, got none")
    times, smooth = times_of(dataset, dtype=torch.float64).numpy().T, {}
    for name in "qp":
        x, rate = (dataset[key].transpose(*STATE_DIMS) for key in (name, f"{name}_rate"))
        [path] = over_series(rate.values.astype(np.float64), times, _integral, 1)
        apart = x.values - path
        seen = np.isfinite(apart)
        constant = np.where(seen, apart, 0).sum(1, keepdims=True) / np.maximum(seen.sum(1, keepdims=True), 1)
        smooth[name] = x.copy(data=np.where(seen, path + constant, np.nan).astype(x.dtype))
    measured = dataset["q"].assign_attrs(long_name="measured position")
    return dataset.assign(smooth | {"q_measured": measured})


def _integral(series: Series) -> tuple[Array, ...]:
    """Of what is given at some times, from the first of them."""
    degree = min(DEGREE, len(series.times) - 1)
    degree -= 1 - degree % 2 if degree else 0  # an odd one, or a single point
    return (make_interp_spline(series.times, series.values, k=degree, axis=1).antiderivative()(series.times),)
