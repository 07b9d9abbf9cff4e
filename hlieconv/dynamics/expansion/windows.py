"""Force targets from noisy trajectories: polynomials through many points of q and p at once."""

import math
from typing import NamedTuple

import numpy as np
import torch
from jaxtyping import Float
from torch import Tensor

from hlieconv.dynamics.chunks import Chunks
from hlieconv.dynamics.expansion.targets import Targets
from systems.dataset import smoothing

#: Lengths of windows and degrees of polynomials that are tried: the longest window that needs a degree of the list.
WINDOWS, DEGREES = (41, 31, 21, 15, 11), (5, 7, 9, 11, 13)

#: A polynomial fits a window if its chi^2 is no more than so many standard deviations from 1; so many windows must fit.
DEVIATIONS, FITTING = 4.0, 0.97

#: Points from which noise can be told from motion.
FEWEST = 17

#: Relative noise below this is none.
NOISELESS = 1e-9


class Noise(NamedTuple):
    """Standard deviations of white noise."""

    q: float
    p: float


def noise_of(pieces: Chunks) -> Noise | None:
    """The noise of trajectories; None if there is none, or they are too short to tell.

    It is measured by divided differences (see `systems.dataset.smoothing.noise_of`), whatever the times.

    Args:
        pieces: whole trajectories.

    Example:
        >>> t = torch.linspace(0, 1, 1001, dtype=torch.float64)[:, None, None, None]
        >>> noise = 0.01 * torch.randn(2, *t.shape, dtype=t.dtype, generator=torch.Generator().manual_seed(0))
        >>> pieces = Chunks(torch.tensor([0]), t[..., 0, 0], t.sin() + noise[0], t.cos() + noise[1])
        >>> [round(x, 3) for x in noise_of(pieces)]
        [0.01, 0.01]
    """
    if len(pieces.times) < FEWEST:
        return None
    found = [smoothing.noise_of(x.transpose(0, 1).numpy(), pieces.times.mT.numpy()) for x in (pieces.q, pieces.p)]
    sizes = [NOISELESS * float(x.abs().median()) for x in (pieces.q, pieces.p)]
    return Noise(*found) if all(noise > size for noise, size in zip(found, sizes, strict=True)) else None


def window_targets(pieces: Chunks, mass: Float[Tensor, "trajectory n"], noise: Noise) -> Targets:
    """Forces from the longest windows, and polynomials of the lowest degree, that fit.

    A window is one polynomial of the time for each coordinate, whose values are q and whose tangents are p / m, by
    least squares with the noise of both; chi^2 says whether it fits.

    Args:
        pieces: whole trajectories.
        mass: of the bodies.
        noise: of positions and momenta.

    Raises:
        ValueError: if trajectories are too short.
    """
    points = len(pieces.times)
    chosen = None
    for window in WINDOWS:
        for degree in DEGREES:
            if window > points or degree + 4 > 2 * window:
                continue
            chosen, fitting = _targets(pieces, mass, noise, window, degree)
            if fitting > FITTING:
                return chosen
    if chosen is None:
        raise ValueError(f"dataset: noisy trajectories need at least {WINDOWS[-1]} points, got {points}")
    return chosen


def _targets(pieces: Chunks, mass: Tensor, noise: Noise, window: int, degree: int) -> tuple[Targets, float]:
    """The forces of all windows, and which part of these fits."""
    legendre = np.polynomial.legendre
    starts = range(0, len(pieces.times) - window + 1, window - 1)
    times = torch.cat([pieces.times[a : a + window] for a in starts], 1)
    q, p = (torch.cat([x[a : a + window] for a in starts], 1) for x in (pieces.q, pieces.p))
    trajectory = pieces.trajectory.repeat(len(starts))
    m = torch.where(mass > 0, mass, 1)[trajectory]
    half = (times[-1] - times[0]) / 2
    s = ((times - times[0]) / half - 1).mT.numpy()  # (window, point)
    derivative = [legendre.legder(np.eye(degree + 1), order, axis=0) for order in range(3)]

    def columns(x: np.ndarray, order: int) -> Tensor:
        """The order-th derivatives of the Legendre polynomials: ``(*x, degree + 1)``."""
        return torch.from_numpy(np.moveaxis(legendre.legval(x, derivative[order]), 0, -1).copy())

    values, tangents = columns(s, 0) / noise.q, columns(s, 1) / half[:, None, None]
    weight = m / noise.p  # of a tangent
    normal = (values.mT @ values)[:, None] + (tangents.mT @ tangents)[:, None] * weight.square()[..., None, None]
    right = torch.einsum("wtk,twnd->wnkd", values, q / noise.q)
    right = right + torch.einsum("wtk,twnd->wnkd", tangents, p / noise.p) * weight[..., None, None]
    coefficients = torch.linalg.solve(normal, right)
    chi = (torch.einsum("wtk,wnkd->twnd", values, coefficients) - q / noise.q).square().sum(0)
    found = torch.einsum("wtk,wnkd->twnd", tangents, coefficients) * weight[..., None]
    chi = (chi + (found - p / noise.p).square().sum(0)).sum(-1)
    freedom = (2 * window - degree - 1) * q.shape[-1]
    fits = chi / freedom < 1 + DEVIATIONS * math.sqrt(2 / freedom)
    at = 0.8 * legendre.leggauss(max(4, degree - 1))[0]
    position, second = columns(at, 0), columns(at, 2)
    second = second / half[:, None, None].square()
    force = torch.einsum("wgk,wnkd->gwnd", second, coefficients) * m[..., None]
    covariance = torch.linalg.inv(normal)
    error = torch.einsum("wgk,wnkl,wgl->gwn", second, covariance, second).sqrt() * m
    error = torch.where(fits, error, 1e3 * error)
    where = torch.einsum("gk,wnkd->gwnd", position, coefficients)
    piece = torch.arange(len(trajectory)).repeat(len(at))
    flat = (x.flatten(0, 1) for x in (where, force, error))
    real = (mass > 0)[trajectory]
    return Targets(trajectory.repeat(len(at)), piece, *flat), float(fits[real].double().mean())
