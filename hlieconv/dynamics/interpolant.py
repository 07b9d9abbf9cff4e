"""The Hermite interpolant of a chunk: its positions and velocities at L points give a polynomial of degree 2 L - 1.

For five points of a smooth trajectory it knows the acceleration to the eighth order in the spacing: a network can be
fitted to forces although none was measured, and no step of an integrator is differentiated.
"""

import numpy as np
import torch
from jaxtyping import Float
from torch import Tensor


def nodes(points: int) -> Float[Tensor, " node"]:
    """Where to read the acceleration, as fractions of the chunk's duration.

    The error of the interpolant at time s is w(s) x^(2L) / (2L)! with w = prod_k (s - s_k)^2, for equally spaced points
    s_k: these 2 L - 2 nodes are the zeros of w'', where the leading error of the acceleration vanishes.

    Example:
        >>> nodes(2)
        tensor([0.2113, 0.7887], dtype=torch.float64)
    """
    roots = np.linspace(0.0, 1.0, points).repeat(2)
    zeros = np.roots(np.polyder(np.poly(roots), 2))
    return torch.tensor(np.sort(zeros.real), dtype=torch.float64)


def extrema(points: int) -> Float[Tensor, " node"]:
    """Where to read the first derivative of a polynomial through values alone: where its leading error vanishes.

    That error at time s is w'(s) x^(L) / L! with w = prod_k (s - s_k).

    Example:
        >>> extrema(3)
        tensor([0.2113, 0.7887], dtype=torch.float64)
    """
    zeros = np.roots(np.polyder(np.poly(np.linspace(0.0, 1.0, points))))
    return torch.tensor(np.sort(zeros.real), dtype=torch.float64)


def lagrange(
    times: Float[Tensor, "point chunk"], x: Float[Tensor, "point chunk *shape"], at: Float[Tensor, " node"]
) -> tuple[Float[Tensor, "node chunk *shape"], Float[Tensor, "node chunk *shape"]]:
    """The polynomial through x, and its derivative, at fractions of the chunk's duration.

    Example:
        >>> t = torch.linspace(0, 1, 4, dtype=torch.float64)[:, None]
        >>> lagrange(t, t**3, at=torch.tensor([0.5], dtype=torch.float64))[1].round(decimals=12)
        tensor([[0.7500]], dtype=torch.float64)
    """
    half = (times[-1] - times[0]) / 2
    s = (times - times[0]) / half - 1
    power = torch.arange(len(times), dtype=times.dtype, device=times.device)
    matrix = _monomials(s, power, 0).movedim(0, 1)
    wanted = torch.cat([_monomials(2 * at - 1, power, order) for order in range(2)])
    rows = torch.linalg.solve(matrix, wanted.expand(len(matrix), -1, -1), left=False)
    found = torch.einsum("cnp,pc...->nc...", rows, x)
    return found[: len(at)], found[len(at) :] / half.reshape(-1, *[1] * (x.ndim - 2))


def hermite(
    times: Float[Tensor, "point chunk"],
    x: Float[Tensor, "point chunk *shape"],
    derivative: Float[Tensor, "point chunk *shape"],
    at: Float[Tensor, " node"],
) -> tuple[Float[Tensor, "node chunk *shape"], Float[Tensor, "node chunk *shape"], Float[Tensor, "node chunk *shape"]]:
    """The polynomial through x with the given derivatives, and its own first two, at some nodes.

    Args:
        times: of the points, float64; they need not be equally spaced.
        x: values at the points.
        derivative: dx/dt at the points.
        at: fractions of the chunk's duration.

    Returns:
        x, dx/dt and d^2x/dt^2 at the nodes.

    Example:
        >>> t = torch.linspace(0, 1, 3, dtype=torch.float64)[:, None]
        >>> x, velocity, acceleration = hermite(t, t**5, 5 * t**4, at=torch.tensor([0.5], dtype=torch.float64))
        >>> torch.allclose(acceleration, torch.tensor(20 * 0.5**3, dtype=torch.float64))
        True
    """
    # In s = (t - middle) / half, from -1 to 1, where the confluent Vandermonde matrix is well conditioned.
    half = (times[-1] - times[0]) / 2
    s = (times - times[0]) / half - 1
    power = torch.arange(2 * len(times), dtype=times.dtype, device=times.device)
    matrix = torch.cat([_monomials(s, power, 0), _monomials(s, power, 1)]).movedim(0, 1)  # (chunk, 2 points, powers)
    wanted = torch.stack([_monomials(2 * at - 1, power, order) for order in range(3)])  # (3, node, powers)
    rows = torch.linalg.solve(matrix, wanted.flatten(0, 1).expand(len(matrix), -1, -1), left=False)
    weights = rows.unflatten(1, wanted.shape[:2])  # (chunk, 3, node, 2 points)
    scale = half.reshape(-1, *[1] * (x.ndim - 2))
    values = torch.cat([x, derivative * scale])
    found = torch.einsum("conp,pc...->onc...", weights, values)
    return found[0], found[1] / scale, found[2] / scale.square()


def truncation(
    times: Float[Tensor, "point chunk"],
    x: Float[Tensor, "point chunk *shape d"],
    derivative: Float[Tensor, "point chunk *shape d"],
    at: Float[Tensor, " node"],
    second: Float[Tensor, "node chunk *shape d"],
) -> Float[Tensor, "node chunk *shape"]:
    """About how far the second derivative of the interpolant is off, known before anything is fitted.

    Let e_k be the length of the difference of the interpolants through k and through all L points of a chunk. These
    fall geometrically, so that the error is about e_(L-1)^2 / e_(L-2); of two points nothing is known, and it is 0.

    Args:
        times, x, derivative, at: see `hermite`.
        second: the second derivative that it gave.

    Example:
        >>> t = torch.linspace(0, 0.5, 5, dtype=torch.float64)[:, None]
        >>> x, v, at = t.sin()[..., None], t.cos()[..., None], nodes(5)
        >>> position, _, second = hermite(t, x, v, at)
        >>> bool((second + position).abs().max() < truncation(t, x, v, at, second).max() < 1e-9)
        True
    """
    points = len(times)

    def difference(count: int) -> Tensor:
        index = torch.from_numpy(np.linspace(0, points - 1, count).round().astype(int))
        return (hermite(times[index], x[index], derivative[index], at)[2] - second).norm(dim=-1)

    if points < 3:
        return torch.zeros_like(second[..., 0])
    last = difference(points - 1)
    if points == 3:
        return last
    before = difference(points - 2)
    return torch.minimum(last, last.square() / before.clamp(min=torch.finfo(before.dtype).tiny))


def _monomials(s: Tensor, power: Tensor, order: int) -> Tensor:
    """The order-th derivatives of s^0, s^1, ...: ``(*s, power)``."""
    factor = torch.ones_like(power)
    for lowered in range(order):
        factor = factor * (power - lowered)
    return factor * s[..., None] ** (power - order).clamp(min=0)
