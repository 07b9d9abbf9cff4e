"""Deviations that are brought back to their first size again and again, and how much they grew."""

import warnings
from collections.abc import Callable
from itertools import pairwise

import torch
from jaxtyping import Float
from torch import Tensor

from hlieconv.chaos.tangent import moved_together, scales
from systems.checks import check
from systems.integrators.abstract import AbstractIntegrator
from systems.phase_space import PhaseSpace
from systems.vector_field import AbstractVectorField

#: Deviations ``(trajectory, z, k)`` to such of length 1, and the logarithms of how much that is, ``(trajectory, k)``.
Shortening = Callable[[Tensor], tuple[Tensor, Tensor]]


def grown(
    field: AbstractVectorField,
    state: PhaseSpace,
    times: Float[Tensor, " time"],
    count: int,
    shortening: Shortening,
    integrator: AbstractIntegrator | None,
    seed: int,
) -> tuple[Float[Tensor, "interval trajectory k"], Float[Tensor, "interval trajectory z k"]]:
    """By how much (logarithm) k deviations grow in each interval of time, and where they point after it.

    Args:
        field: what moves the state.
        state: ``(trajectory, n, d)``.
        times: ``(time,)``, at which they are made shorter.
        count: k; the first deviations are orthonormal, at random, the same for all trajectories.
        shortening: how they are made shorter.
        integrator: what takes the steps.
        seed: of the first deviations.

    Raises:
        ValueError: for what does not fit.

    Warns:
        UserWarning: where a trajectory ends early: all is NaN from there on.
    """
    n, d = state.q.shape[-2:]
    whole = 2 * n * d
    check("state", tuple(state.q.shape), state.q.ndim == 3, "q and p of shape (trajectory, n, d)")
    check("times", len(times), len(times) >= 2, "two times or more")
    check("count", count, 1 <= count <= whole, f"1 to {whole} deviations, as many as there are coordinates")
    generator = torch.Generator().manual_seed(seed)
    first = torch.linalg.qr(torch.randn(whole, count, generator=generator, dtype=torch.float64))[0]
    vectors = first.to(state.q).expand(len(state.q), -1, -1)
    alive = torch.arange(len(state.q), device=state.q.device)
    logs = state.q.new_full((len(times) - 1, len(state.q), count), torch.nan)
    after = state.q.new_full((len(times) - 1, len(state.q), whole, count), torch.nan)
    now, size = state, scales(state)
    for k, (start, end) in enumerate(pairwise(times)):
        own = None if integrator is None else integrator.select(alive)
        with torch.no_grad():
            trajectory, moved = moved_together(
                field.select(alive), now, vectors, size[alive], torch.stack([start, end]), own
            )
        good = torch.isfinite(moved[-1]).all(-1).all(-1)
        vectors, growth = shortening(moved[-1][good])
        alive, now = alive[good], PhaseSpace(trajectory.q[-1][good], trajectory.p[-1][good])
        logs[k, alive], after[k, alive] = growth, vectors
        if not len(alive):
            break
    if len(alive) < len(state.q):
        ended = len(state.q) - len(alive)
        warnings.warn(
            f"state: {ended} of {len(state.q)} trajectories end early: from there on there is no number for them",
            UserWarning,
            stacklevel=3,
        )
    return logs, after


def orthonormal(vectors: Float[Tensor, "trajectory z k"]) -> tuple[Tensor, Tensor]:
    """By Gram and Schmidt: the volumes that the first 1, 2, ... k of them span are kept (Benettin 1980)."""
    q, r = torch.linalg.qr(vectors)
    return q, r.diagonal(dim1=-2, dim2=-1).abs().log()


def normalised(vectors: Float[Tensor, "trajectory z k"]) -> tuple[Tensor, Tensor]:
    """Each by itself."""
    size = vectors.norm(dim=-2)
    return vectors / size[..., None, :], size.log()
