"""Where nothing moves: equilibria of a field, and whether they are stable."""

from __future__ import annotations

from typing import Any, NamedTuple

import torch
from jaxtyping import Bool, Complex, Float
from torch import Tensor

from systems.checks import check
from systems.phase_space import PhaseSpace
from systems.tracing import pushed_forward
from systems.vector_field import AbstractVectorField


class Equilibrium(NamedTuple):
    """A state at which a field vanishes, and what its neighbours do."""

    state: PhaseSpace
    """``(*batch, n, d)``."""
    found: Bool[Tensor, "*batch"]
    """Whether the field vanishes there, to round-off."""
    residual: Float[Tensor, "*batch"]
    """The largest rate that is left, as a share of those of the first state."""
    eigenvalues: Complex[Tensor, "*batch z"]
    """Of the linearised field: a perturbation grows as exp(lambda t)."""
    stability: Any
    """Of each: "stable" (no real part is positive), "unstable"; "not found"."""


def find_equilibrium(
    field: AbstractVectorField, state: PhaseSpace, *, steps: int = 100, tolerance: float | None = None
) -> Equilibrium:
    """The equilibrium near a state, by Newton's method with the least change of the state at each step.

    Directions in which nothing changes (translations, rotations) are left alone. Where a step would not make the rates
    smaller it is shortened. A saddle is found as readily as a minimum.

    Args:
        field: autonomous, known or learned; one that is twice differentiable.
        state: ``(*batch, n, d)``, near it.
        steps: at most so many.
        tolerance: the largest eigenvalue's real part that counts as none, as a share of the largest eigenvalue; None
            for the square root of the machine's precision times the number of coordinates, the error of a double
            eigenvalue.

    Raises:
        ValueError: for wrong options.

    Example: the middle of Henon's and Heiles's triangle, and one of its exits.
        >>> from systems import HenonHeiles
        >>> start = PhaseSpace(torch.tensor([[[0.1, 0.1]], [[0.0, 0.9]]]).double(), torch.zeros(2, 1, 2).double())
        >>> found = find_equilibrium(HenonHeiles(mass=[1.0]), start)
        >>> (found.state.q[:, 0] + 0.0).round(decimals=9).tolist(), found.stability.tolist()
        ([[0.0, 0.0], [0.0, 1.0]], ['stable', 'unstable'])
    """
    import numpy as np

    check("steps", steps, steps >= 1, "at least 1")
    check("tolerance", tolerance, tolerance is None or tolerance > 0, "a positive number")
    eps = torch.finfo(state.q.dtype).eps
    z = _flat(state)
    n, d = state.q.shape[-2:]
    rates = _rates(field, z, n, d)
    first = rates.norm(dim=-1)
    alive = torch.ones_like(first, dtype=torch.bool)
    for _ in range(steps):
        matrix = linearised(field, _unflat(z, n, d))
        move = (torch.linalg.pinv(matrix, rtol=eps**0.5) @ rates[..., None])[..., 0]
        better = torch.zeros_like(alive)
        for halving in range(20):
            trial = torch.where((alive & ~better)[..., None], z - 0.5**halving * move, z)
            new = _rates(field, trial, n, d)
            improved = alive & ~better & (new.norm(dim=-1) < rates.norm(dim=-1))
            z = torch.where(improved[..., None], trial, z)
            rates = torch.where(improved[..., None], new, rates)
            better = better | improved
            if bool((better | ~alive).all()):
                break
        alive = alive & better
        if not alive.any():
            break
    matrix = linearised(field, _unflat(z, n, d))
    # What rounding of the state makes of the rates.
    floor = 64 * eps * (matrix.abs() @ z.abs()[..., None])[..., 0].amax(-1)
    residual = rates.abs().amax(-1)
    # Forces that fade with the distance vanish nowhere, and Newton's method goes on for ever.
    left = (torch.linalg.pinv(matrix, rtol=eps**0.5) @ rates[..., None])[..., 0].norm(dim=-1)
    arrived = left <= eps**0.5 * torch.maximum(z.norm(dim=-1), _flat(state).norm(dim=-1))
    found = arrived & (residual <= torch.maximum(floor, 1e3 * eps * first))
    eigenvalues = torch.linalg.eigvals(matrix)
    limit = ((z.shape[-1] * eps) ** 0.5 if tolerance is None else tolerance) * eigenvalues.abs().amax(-1)
    stable = eigenvalues.real.amax(-1) <= limit
    words = np.where(found.cpu(), np.where(stable.cpu(), "stable", "unstable"), "not found")
    share = residual / torch.where(first > 0, first, 1)
    return Equilibrium(_unflat(z, n, d), found, share, eigenvalues, words)


def linearised(field: AbstractVectorField, state: PhaseSpace) -> Float[Tensor, "*batch z z"]:
    """The derivative of the rates (dq/dt, dp/dt) in (q, p) at a state ``(*batch, n, d)``.

    Example:
        >>> from systems import HenonHeiles
        >>> at_rest = PhaseSpace(torch.zeros(1, 2).double(), torch.zeros(1, 2).double())
        >>> linearised(HenonHeiles(mass=[2.0]), at_rest)[0]
        tensor([0.0000, 0.0000, 0.5000, 0.0000], dtype=torch.float64)
    """
    z, (n, d) = _flat(state), state.q.shape[-2:]
    unit = torch.eye(z.shape[-1], dtype=z.dtype, device=z.device)
    columns = unit.reshape(-1, *(1,) * (z.ndim - 1), z.shape[-1]).expand(-1, *z.shape)
    _, found = pushed_forward(lambda x: _rates(field, x, n, d), (z.expand_as(columns),), (columns,))
    return found.movedim(0, -1).detach()


def _rates(field: AbstractVectorField, z: Tensor, n: int, d: int) -> Tensor:
    return _flat(PhaseSpace(*field(z.new_zeros(()), _unflat(z, n, d))))


def _flat(state: PhaseSpace) -> Tensor:
    return torch.cat([x.flatten(-2) for x in state], -1)


def _unflat(z: Tensor, n: int, d: int) -> PhaseSpace:
    q, p = z.unflatten(-1, (2, n, d)).unbind(-3)
    return PhaseSpace(q, p)
