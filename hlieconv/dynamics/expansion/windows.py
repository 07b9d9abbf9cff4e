"""Force targets from noisy trajectories: polynomials through many points of q and p at once."""

import numpy as np
import torch
from jaxtyping import Float
from torch import Tensor

from hlieconv.dynamics.chunks import Chunks
from hlieconv.dynamics.expansion.targets import Targets

#: Lengths of windows and degrees of polynomials that are tried: the longest window that needs a degree of the list.
WINDOWS, DEGREES = (41, 31, 21, 15, 11), (5, 7, 9, 11, 13)

#: A polynomial fits a window if its chi^2 is no more than so many standard deviations from 1; so many windows must fit.
DEVIATIONS, FITTING = 4.0, 0.97

#: A window holds this many numbers of a coordinate more than the degree of its polynomial, at least.
SPARE = 4


def window_targets(pieces: Chunks, mass: Float[Tensor, "trajectory n"]) -> Targets:
    """Forces from the longest windows, and polynomials of the lowest degree, that fit.

    A window is one polynomial of the time for each coordinate, whose values are q and whose tangents are p / m, by
    least squares with the standard errors of both; chi^2 says whether it fits.

    Args:
        pieces: whole trajectories with standard errors, infinite ones where nothing was seen.
        mass: of the bodies.

    Raises:
        ValueError: if trajectories are too short.
    """
    points = len(pieces.times)
    chosen = None
    for window in dict.fromkeys(min(window, points) for window in WINDOWS):
        for degree in DEGREES:
            found = _targets(pieces, mass, window, degree)
            if found is not None:
                chosen, fitting = found
                if fitting > FITTING:
                    return chosen
    if chosen is None:
        raise ValueError(
            f"dataset: noisy trajectories need {WINDOWS[-1]} points or more without wide gaps, got {points}"
        )
    return chosen


def _targets(pieces: Chunks, mass: Tensor, window: int, degree: int) -> tuple[Targets, float] | None:
    """The forces of all windows that hold enough numbers, and which part of these fits; None if there are none."""
    assert pieces.errors is not None  # the caller has them
    legendre = np.polynomial.legendre
    starts = range(0, len(pieces.times) - window + 1, window - 1)
    times, q, p, *errors = (
        torch.cat([x[a : a + window] for a in starts], 1) for x in (pieces.times, pieces.q, pieces.p, *pieces.errors)
    )
    trajectory = pieces.trajectory.repeat(len(starts))
    at_q, at_p = (1 / x.amax(-1) for x in errors)  # one weight for all axes: a body is seen, or it is not
    numbers, real = ((at_q > 0).double() + (at_p > 0).double()).sum(0), (mass > 0)[trajectory]
    rich = ((numbers >= degree + SPARE) | ~real).all(1).nonzero().flatten()
    if not len(rich):
        return None
    times, q, p, at_q, at_p = (x[:, rich] for x in (times, q, p, at_q, at_p))
    trajectory, real, numbers = trajectory[rich], real[rich], numbers[rich]
    m = torch.where(mass > 0, mass, 1)[trajectory]
    half = (times[-1] - times[0]) / 2
    s = ((times - times[0]) / half - 1).mT.numpy()  # (window, point)
    derivative = [legendre.legder(np.eye(degree + 1), order, axis=0) for order in range(3)]

    def columns(x: np.ndarray, order: int) -> Tensor:
        """The order-th derivatives of the Legendre polynomials: ``(*x, degree + 1)``."""
        return torch.from_numpy(np.moveaxis(legendre.legval(x, derivative[order]), 0, -1).copy())

    def squares(columns: Tensor, weight: Tensor) -> Tensor:
        return torch.einsum("wtk,wtl,twn->wnkl", columns, columns, weight.square())

    def along(columns: Tensor, values: Tensor, weight: Tensor) -> Tensor:
        return torch.einsum("wtk,twnd->wnkd", columns, values * weight.square()[..., None])

    def left(columns: Tensor, values: Tensor, weight: Tensor) -> Tensor:
        off = torch.einsum("wtk,wnkd->twnd", columns, coefficients) - values
        return (off * weight[..., None]).square().sum((0, -1))

    values, tangents = columns(s, 0), columns(s, 1) / half[:, None, None]
    at_p, velocity = at_p * m, p / m[..., None]
    normal = squares(values, at_q) + squares(tangents, at_p)
    coefficients = torch.linalg.solve(normal, along(values, q, at_q) + along(tangents, velocity, at_p))
    chi = left(values, q, at_q) + left(tangents, velocity, at_p)
    freedom = ((numbers - degree - 1) * q.shape[-1]).clamp(min=1)
    fits = chi / freedom < 1 + DEVIATIONS * (2 / freedom).sqrt()
    at = 0.8 * legendre.leggauss(max(4, degree - 1))[0]
    position, first, second = (columns(at, order) for order in range(3))
    second = second / half[:, None, None].square()
    force = torch.einsum("wgk,wnkd->gwnd", second, coefficients) * m[..., None]
    covariance = torch.linalg.inv(normal)
    error = torch.einsum("wgk,wnkl,wgl->gwn", second, covariance, second).sqrt() * m
    error = torch.where(fits, error, 1e3 * error)
    where = torch.einsum("gk,wnkd->gwnd", position, coefficients)
    moving = torch.einsum("gk,wnkd->gwnd", first, coefficients) / half[:, None, None]
    piece = torch.arange(len(trajectory)).repeat(len(at))
    flat = (x.flatten(0, 1) for x in (where, force, error, moving))
    return Targets(trajectory.repeat(len(at)), piece, *flat), float(fits[real].double().mean())
