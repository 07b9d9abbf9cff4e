"""flow(...): states after durations, each trajectory its own, by the method that made them."""

import torch
from jaxtyping import Float
from torch import Tensor

from systems.clock import started
from systems.integrators.abstract import AbstractIntegrator
from systems.phase_space import PhaseSpace
from systems.vector_field import AbstractVectorField


def flow(
    field: AbstractVectorField,
    state: PhaseSpace,
    start: Float[Tensor, " m"],
    duration: Float[Tensor, " m"],
    integrator: AbstractIntegrator | None = None,
) -> PhaseSpace:
    """The states ``(m, n, d)`` after ``duration``; NaN where one cannot be followed.

    Args:
        field: with one set of values for each of the m, or one for all.
        state: ``(m, n, d)``.
        start: the times of the states, for fields that depend on time.
        duration: positive, negative or 0.
        integrator: what takes the steps; None for the closed form.

    Example:
        >>> from systems import Springs
        >>> system, state = Springs.sample(2, seed=0)
        >>> later = flow(system, state, torch.zeros(2).double(), torch.tensor([1.0, 2.0]).double())
        >>> later.q.shape
        torch.Size([2, 6, 2])
    """
    moving = (duration != 0).nonzero()[:, 0]
    if len(moving) < len(duration):
        if not len(moving):
            return state
        some = PhaseSpace(*(x[moving] for x in state))
        chosen = None if integrator is None else integrator.select(moving)
        moved = flow(field.select(moving), some, start[moving], duration[moving], chosen)
        return PhaseSpace(*(x.index_copy(0, moving, y) for x, y in zip(state, moved, strict=True)))
    moved = started(field, start)
    if integrator is not None:
        return integrator.after(moved, state, duration)
    trajectory = moved.closed_form(state, torch.stack([torch.zeros_like(duration), duration]))
    return PhaseSpace(trajectory.q[1], trajectory.p[1])
