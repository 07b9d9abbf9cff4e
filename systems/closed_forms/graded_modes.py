"""Normal modes of springs whose constants or masses span many orders of magnitude, each to its own last digits.

The usual eigenvalue routines are exact to the largest frequency: beside a body of mass 1e-12 the slow modes keep four
digits of their squared frequencies. Here nothing is ever subtracted that could cancel, in two steps:

1. A = L D L^T of A_ij = -k_ij / sqrt(m_i m_j), A_ii = s_i / m_i with s_i = sum over j of k_ij, by eliminating bodies,
   the fastest first. To eliminate body i adds k_ij k_il / s_i to each k_jl (a star of springs becomes a mesh): a sum of
   positive numbers, in which every digit counts (Grassmann, Taksar & Heyman 1985, Operations Research 33, 1107).
2. The singular values of L sqrt(D) by rotations of its columns (one-sided Jacobi), which are exact relative to each
   singular value where L is well conditioned, however the columns are scaled (Demmel & Veselic 1992, SIAM Journal on
   Matrix Analysis 13, 1204; Demmel et al. 1999, Linear Algebra and its Applications 299, 21).
"""

import torch
from jaxtyping import Float
from torch import Tensor

#: Sweeps over all pairs of columns; ten suffice for hundreds of them.
SWEEPS = 40


def graded_modes(
    mass: Float[Tensor, "batch n"], k: Float[Tensor, "batch n n"]
) -> tuple[Float[Tensor, "batch n"], Float[Tensor, "batch n n"]]:
    """lambda and U (see `normal_modes`) of one connected part, ascending: the first is exactly 0, all move alike.

    Args:
        mass: positive, float64.
        k: spring constants, symmetric, not negative, zero on the diagonal; all bodies hang together.

    Example:
        >>> k = torch.tensor([[[0.0, 1.0, 1.0], [1.0, 0.0, 1.0], [1.0, 1.0, 0.0]]], dtype=torch.float64)
        >>> square, modes = graded_modes(torch.tensor([[1.0, 1.0, 1e-12]], dtype=torch.float64), k)
        >>> round(square[0, 1].item(), 14)  # of the heavy bodies: their own spring, and the light body's in series
        3.0
    """
    columns = _orthogonal(_factor(mass, k))
    square = columns.square().sum(-2)
    order = square.argsort(-1)
    square = square.gather(-1, order)
    modes = columns.gather(-1, order[..., None, :].expand_as(columns)) / square.sqrt()[..., None, :]
    null = (mass / mass.sum(-1, keepdim=True)).sqrt()[..., None]
    return torch.cat([torch.zeros_like(square[..., :1]), square], -1), torch.cat([null, modes], -1)


def _factor(mass: Tensor, k: Tensor) -> Tensor:
    """L sqrt(D) ``(batch, n, n - 1)``."""
    n = mass.shape[-1]
    k, left, columns = k.clone(), torch.ones_like(mass, dtype=torch.bool), []
    every = torch.arange(len(mass), device=mass.device)
    for _ in range(n - 1):
        total = k.sum(-1)
        pivot = torch.where(left, total / mass, -1).argmax(-1)
        row, own, weight = k[every, pivot], total[every, pivot, None], mass[every, pivot, None]
        share = row / own
        column = -share * (weight / mass).sqrt()
        column[every, pivot] = 1
        columns.append(column * (own / weight).sqrt())
        left[every, pivot] = False
        k = k + share[..., :, None] * row[..., None, :]
        k = torch.where((left[..., :, None] & left[..., None, :]) & ~torch.eye(n, dtype=torch.bool), k, 0)
    return torch.stack(columns, -1) if columns else mass.new_zeros(*mass.shape, 0)


def _orthogonal(columns: Tensor) -> Tensor:
    """The columns ``(batch, n, c)`` turned into each other until all are orthogonal."""
    count = columns.shape[-1]
    if count < 2:
        return columns
    even = count + count % 2
    players = list(range(even))  # a round-robin tournament: every pair meets once a sweep, half of them at a time
    eps = torch.finfo(columns.dtype).eps
    for _ in range(SWEEPS):
        worst = columns.new_zeros(())
        for _ in range(even - 1):
            pairs = [sorted((players[i], players[-1 - i])) for i in range(even // 2)]
            first, second = torch.tensor([pair for pair in pairs if pair[1] < count], device=columns.device).T
            a, b = columns[..., first], columns[..., second]
            aa, bb, ab = a.square().sum(-2), b.square().sum(-2), (a * b).sum(-2)
            off = ab.abs() / (aa.sqrt() * bb.sqrt())
            worst = torch.maximum(worst, off.max())
            turn = off > eps
            zeta = (bb - aa) / torch.where(turn, 2 * ab, 1)
            t = torch.where(zeta < 0, -1.0, 1.0).to(zeta) / (zeta.abs() + (1 + zeta.square()).sqrt())
            t = torch.where(turn, t, 0)[..., None, :]
            c = (1 + t.square()).rsqrt()
            columns = columns.clone()
            columns[..., first], columns[..., second] = c * (a - t * b), c * (t * a + b)
            players = [players[0], players[-1], *players[1:-1]]
        if worst <= len(players) * eps:
            break
    return columns
