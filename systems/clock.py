"""Time as a field sees it: differences are taken in float64, and autonomous laws know no origin of time."""

import copy

import torch
from jaxtyping import Float
from torch import Tensor

from systems.vector_field import AbstractHamiltonian, AbstractSeparable, AbstractVectorField


def elapsed_of(times: Float[Tensor, " time *batch"]) -> Float[Tensor, " time *batch"]:
    """Seconds since the first time; after a trajectory's last one it goes on as before, for what is cut off later."""
    elapsed = times - times[0]
    known = torch.isfinite(elapsed)
    if known.all():
        return elapsed
    last = known.sum(0, keepdim=True) - 1
    end = elapsed.gather(0, last)
    step = torch.where(last > 0, end - elapsed.gather(0, (last - 1).clamp(min=0)), 1)
    beyond = torch.arange(len(times), device=times.device)[:, None] - last
    return torch.where(known, elapsed, end + beyond * step)


def is_autonomous(field: AbstractVectorField) -> bool:
    """Whether the field is a Hamiltonian that does not look at the time."""
    return type(field).forward in (AbstractHamiltonian.forward, AbstractSeparable.forward)


def started(field: AbstractVectorField, start: Tensor) -> AbstractVectorField:
    """The field as a function of the time since ``start``, ``()`` or ``(trajectory)`` in float64.

    What `select` makes of it has started too.
    """
    if is_autonomous(field) or not start.any():
        return field
    moved = copy.copy(field)
    moved.forward = lambda t, state: field.forward((start[..., None, None] + t).to(state.q.dtype), state)
    moved.select = lambda index: started(field.select(index), start[index] if start.ndim else start)
    return moved
