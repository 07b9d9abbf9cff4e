"""Positions, and how fast they change, from noisy measurements: as smooth as the data say that the motion is."""

import math
from typing import NamedTuple

import numpy as np
from numpy.lib.stride_tricks import sliding_window_view

from systems.dataset.series import Array, Series, over_series, series_of

#: Differences of these orders tell noise from motion: of noise they stay, of motion they vanish.
ORDERS, STAYING = (6, 8), 0.5

#: Noise below so many units in the last place of the positions is rounding.
ROUNDING = 8

#: Candidates: lengths of time from the whole series down to two points, and sizes of the motion in units of the noise.
SHORTER, SIZES = 1.4, 10.0 ** np.arange(-1, 12.5, 0.5)

#: The noise that all bodies share counts as so many measurements of each.
SHARED = 20

#: Points that are smoothed together, at most; pieces of longer series overlap by half.
LONGEST = 400

#: No shorter length is tried once that has helped no body so many times, and all are explained up to so many times the
#: noise.
PATIENCE, EXPLAINED = 6, 1.2


class Smooth(NamedTuple):
    """Smooth positions and their rates with standard errors, each ``(trajectory, time, body, space)``."""

    x: Array
    rate: Array
    x_error: Array
    rate_error: Array


def noise_of(x: Array, times: Array) -> float:
    """The standard deviation of white noise on positions, 0 where there is none.

    Divided differences with weights of unit length have the noise's own size at every order, whatever the times; those
    of a smooth motion fall with the order. What is left at order 8 is noise if it is about as large as at order 6, and
    above the rounding of the numbers.

    Args:
        x: ``(trajectory, time, body, space)``, NaN where a body was not seen.
        times: ``(time,)`` or ``(trajectory, time)``, of any spacing.

    Example:
        >>> t = np.sort(np.random.default_rng(0).uniform(0, 5, 400))
        >>> x = np.sin(t) + 0.01 * np.random.default_rng(1).standard_normal(400)
        >>> round(noise_of(x[None, :, None, None], t), 2), noise_of(np.sin(t)[None, :, None, None], t)
        (0.01, 0.0)
    """
    found: list[list[Array]] = [[], []]
    for series in series_of(x, times):
        for sizes, order in zip(found, ORDERS, strict=True):
            if len(series.times) > order:
                sizes.append(_differences(series, order))
    low, high = (_deviation(sizes) for sizes in found)
    rounding = ROUNDING * float(np.finfo(x.dtype).eps) * float(np.nanmax(abs(x), initial=0.0))
    return high if high > max(STAYING * low, rounding) else 0.0


def _differences(series: Series, order: int) -> Array:
    """Divided differences of an order, with weights of unit length."""
    t = sliding_window_view(series.times, order + 1)
    t = (t - t[:, :1]) / (t[:, -1:] - t[:, :1])
    apart = t[:, :, None] - t[:, None, :] + np.eye(order + 1)
    with np.errstate(divide="ignore", invalid="ignore"):  # times that do not increase are refused later
        weights = 1 / apart.prod(-1)
        weights /= np.sqrt((weights**2).sum(-1, keepdims=True))
    return np.einsum("rtsw,tw->rts", sliding_window_view(series.values, order + 1, axis=1), weights).ravel()


def _deviation(sizes: list[Array]) -> float:
    """The standard deviation of most of these numbers; what does not move at all is left out."""
    every = np.concatenate(sizes) if sizes else np.zeros(0)
    every = abs(every[every != 0])
    return float(np.median(every)) / 0.6745 if len(every) else 0.0


def smooth(x: Array, times: Array, noise: float) -> Smooth:
    """The most probable motion behind noisy positions.

    Each coordinate is a straight line and a sum of Gaussians in time (a Gaussian process: Rasmussen & Williams 2006,
    chapter 2). The length of time over which it changes, its size and its noise are those of each body that make the
    data most probable (chapter 5), so that the window is chosen by the data themselves. Times may be irregular and have
    gaps; errors are those of the posterior, which know the noise and the distance to the other points. They do not know
    the bias where a motion is less smooth than elsewhere, as at close passages, and are too small there.

    Args:
        x: ``(trajectory, time, body, space)``, NaN where a body was not seen.
        times: ``(time,)`` or ``(trajectory, time)``.
        noise: about the standard deviation (`noise_of`); the noise of each body may differ.

    Example:
        >>> t = np.sort(np.random.default_rng(0).uniform(0, 5, 400))
        >>> x = np.sin(t) + 0.01 * np.random.default_rng(1).standard_normal(400)
        >>> found = smooth(x[None, :, None, None], t, 0.01)
        >>> off = found.rate[0, :, 0, 0] - np.cos(t)
        >>> bool(abs(off).max() < 0.05), bool(abs(off / found.rate_error[0, :, 0, 0]).max() < 5)
        (True, True)
    """
    return Smooth(*over_series(x, times, lambda series: _smooth_series(series, noise), 4))


def _smooth_series(series: Series, noise: float) -> tuple[Array, ...]:
    """In overlapping pieces, of which each fades into the next."""
    points = len(series.times)
    if points <= LONGEST:
        return _smooth_piece(series.times, series.values, noise)
    count = math.ceil((points - LONGEST) / (LONGEST // 2)) + 1
    starts = np.linspace(0, points - LONGEST, count).round().astype(int)
    total, results = np.zeros(points), [np.zeros_like(series.values) for _ in range(4)]
    for start in starts:
        part = slice(start, start + LONGEST)
        place = np.arange(1, LONGEST + 1)
        weight = np.minimum(place if start else LONGEST, place[::-1] if start + LONGEST < points else LONGEST)
        total[part] += weight
        for result, values in zip(
            results, _smooth_piece(series.times[part], series.values[:, part], noise), strict=True
        ):
            result[:, part] += weight[:, None] * values
    return tuple(result / total[:, None] for result in results)


class _Basis:
    """Gaussians of one length of time about a straight line.

    Their sum with white weights is a Gaussian process of that length. The line takes its share beforehand: it is
    orthonormal to what is left of the Gaussians. In the basis of their singular vectors all sizes are tried at once.
    """

    def __init__(self, t: Array, length: float, smallest: float) -> None:
        centres = np.arange(t[0] - 3 * length, t[-1] + 3.5 * length, length / 2)
        apart = (t[:, None] - centres) / length
        value = np.exp(-(apart**2)) * math.sqrt(math.sqrt(2 / math.pi) / 2)
        rate = -2 * apart / length * value
        about = t - t.mean()
        norm = np.sqrt((about**2).sum())
        self.line = np.stack([np.full_like(t, len(t) ** -0.5), about / norm], 1)
        self.slope = np.stack([np.zeros_like(t), np.full_like(t, 1 / norm)], 1)
        share = self.line.T @ value
        vectors, sizes, turn = np.linalg.svd(value - self.line @ share, full_matrices=False)
        known = sizes > smallest * np.linalg.norm(value)
        self.vectors, self.sizes = vectors[:, known], sizes[known]
        self.values, self.rates = self.vectors * self.sizes, (rate - self.slope @ share) @ turn[known].T

    def fit(self, y: Array) -> tuple[Array, Array]:
        """How well each size explains ``y`` ``(row, time, space)``: the sum of squares left, and log |K|, by size."""
        along = np.einsum("tk,rts->krs", self.vectors, y)
        gain = 1 / (1 + SIZES[:, None] ** 2 * self.sizes**2)
        left = (y**2).sum((1, 2)) - (np.einsum("tk,rts->krs", self.line, y) ** 2).sum((0, 2)) - (along**2).sum((0, 2))
        return left.clip(0) + np.einsum("mk,krs->mr", gain, along**2), -np.log(gain).sum(1)

    def estimate(self, y: Array, size: Array, noise: Array) -> tuple[Array, ...]:
        """Positions, rates and their errors, for the size and the noise of each row."""
        along, share = (np.einsum("tk,rts->rks", basis, y) for basis in (self.vectors, self.line))
        square = size[:, None] ** 2
        weights = (square * self.sizes / (1 + square * self.sizes**2))[..., None] * along
        variance = square / (1 + square * self.sizes**2)
        pairs = ((self.line, self.values), (self.slope, self.rates))
        found = [line @ share + others @ weights for line, others in pairs]
        for line, others in pairs:
            error = np.sqrt((line**2).sum(1) + variance @ (others**2).T) * noise[:, None]
            found.append(np.broadcast_to(error[..., None], y.shape))
        return tuple(found)


def _smooth_piece(t: Array, y: Array, noise: float) -> tuple[Array, ...]:
    """All bodies of a series; each has a length, a size and a noise of its own."""
    if len(t) == 1:
        return y, np.full_like(y, np.nan), np.full_like(y, noise), np.full_like(y, np.nan)
    origin = y.mean(1, keepdims=True)
    y = y - origin
    count = (y.shape[1] - 2) * y.shape[2]  # the line explains two numbers
    span, spacing = t[-1] - t[0], float(np.median(np.diff(t)))
    smallest = 10 * np.finfo(float).eps * float(abs(y).max()) / noise  # what is smaller is made of rounding
    length, bases, cost, variance = span, [], [], []
    while not bases or length >= 2 * spacing:
        bases.append(_Basis(t, length, smallest))
        left, logarithm = bases[-1].fit(y)
        variance.append((left + SHARED * noise**2) / (count + SHARED))
        cost.append((count + SHARED) / 2 * np.log(variance[-1]) + y.shape[2] / 2 * logarithm[:, None])
        best = np.argmin([own.min(0) for own in cost], 0)
        explained = np.min([square.min(0) for square in variance], 0) < (EXPLAINED * noise) ** 2
        if explained.all() and (len(bases) - best > PATIENCE).all():
            break
        length /= SHORTER
    every = np.stack(cost)  # (length, size, row)
    chosen = every.reshape(-1, len(y)).argmin(0)
    which, size = np.unravel_index(chosen, every.shape[:2])
    deviation = np.sqrt(np.stack(variance)[which, size, np.arange(len(y))])
    results = [np.empty_like(y) for _ in range(4)]
    for index in np.unique(which):
        rows = which == index
        for result, values in zip(
            results, bases[index].estimate(y[rows], SIZES[size[rows]], deviation[rows]), strict=True
        ):
            result[rows] = values
    results[0] = results[0] + origin
    return tuple(results)
