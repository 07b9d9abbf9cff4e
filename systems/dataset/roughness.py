"""Warnings where measurements are too rough for what is made of them: gaps, noise, rounded positions and times."""

import warnings
from typing import Any

import numpy as np
from numpy.typing import NDArray

from systems.dataset.derivative import derivative
from systems.dataset.smoothing import Smooth

#: The part of a velocity that the rounding of what it is estimated from may make up without a warning.
LARGEST_NOISE = 0.01

#: The part of smooth velocities that their standard errors may be without a warning.
LARGEST_ERROR = 0.1


def warn_of_gaps(seen: NDArray[np.bool_], exists: NDArray[np.bool_], moments: NDArray[np.float64]) -> None:
    """Say so where bodies that exist were not seen at some of the times: which the first is, and when."""
    asked = np.isfinite(np.broadcast_to(moments, seen.shape[:2]))[..., None] & exists[:, None]
    lacking = (asked & ~seen).any(1)
    if not lacking.any():
        return
    k, body = np.argwhere(lacking)[0]
    rows = asked[k, :, body]
    times, there = np.broadcast_to(moments, seen.shape[:2])[k][rows], seen[k, rows, body]
    spans = times[there]
    when = (
        f"seen at {there.sum()} of {len(there)} times, from {spans[0]:g} to {spans[-1]:g}"
        if len(spans)
        else "never seen"
    )
    warnings.warn(
        f"q: {lacking.sum()} of {exists.sum()} bodies are not seen at all times of their trajectories, the first of "
        f"them body {body} of trajectory {k}, {when}: rows are missing or NaN, and what is made of them has gaps",
        UserWarning,
        stacklevel=3,
    )


def warn_of_errors(found: Smooth) -> None:
    """Say so where smooth momenta are not known well."""
    size, error = (np.sqrt(np.nanmean(x**2)) for x in (found.rate, found.rate_error))
    if error > LARGEST_ERROR * size > 0:
        warnings.warn(
            f"q: the noise leaves errors of about {100 * error / size:.2g} % in the momenta that are estimated "
            "(p_error): points that lie closer in time, or more exact ones, would help",
            UserWarning,
            stacklevel=3,
        )


def warn_of_rounding(
    q: NDArray[np.floating],
    velocities: NDArray[np.floating],
    seconds: NDArray[np.floating],
    noise: float,
    options: Any,
) -> None:
    """Say so where noise, or the last bits of the positions, make up more than 1 % of the velocities."""
    eps, generator = np.finfo(q.dtype).eps, np.random.default_rng(0)
    # The derivative of the positions' own rounding: each is off by up to half of its last bit.
    bits = generator.uniform(-0.5, 0.5, q.shape) * eps * q
    off = bits + noise * generator.standard_normal(q.shape)
    size, error = (np.sqrt(np.nanmean(x**2)) for x in (velocities, derivative(off, seconds, **options)))
    if error > LARGEST_NOISE * size > 0:
        cause = f"in {q.dtype} are rounded so much, for their spacing in time,"
        cure = "give them in float64 or from a nearer origin"
        if noise:
            cause, cure = f"have noise of about {noise:.2g}, so", "leave window out, so that the data choose"
        warnings.warn(
            f"q: positions {cause} that momenta estimated from them are off by about {100 * error / size:.2g} %: "
            f"{cure}, give a wider window, or momenta",
            UserWarning,
            stacklevel=3,
        )


def warn_of_rough_times(seconds: NDArray[np.floating], times: Any) -> None:
    """Say so where the last bits of the times make up more than 1 % of their spacing."""
    kind = getattr(times, "dtype", None)
    rough = str(kind).removeprefix("torch.") in ("float16", "float32")
    last_bit = np.nanmax(np.spacing(abs(seconds).astype(np.float32 if rough else np.float64)))
    gaps = np.diff(seconds, axis=-1)
    spacing = np.nanmin(abs(gaps)) if gaps.size else np.inf
    if 0.5 * last_bit > LARGEST_NOISE * spacing > 0:
        warnings.warn(
            f"times: {'float32' if rough else 'float64'} keeps these times to {last_bit:.2g} s where they are "
            f"{spacing:.2g} s apart, which shows in the momenta that are estimated: give them in float64, or as dates",
            UserWarning,
            stacklevel=3,
        )
