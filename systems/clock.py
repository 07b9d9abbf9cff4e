"""Time as a field sees it: differences are taken in float64, and autonomous laws know no origin of time."""

import copy
from functools import cache
from typing import Any

import torch
from jaxtyping import Float
from torch import Tensor

from systems.phase_space import PhaseSpace
from systems.variables import Variable
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


def started(field: AbstractVectorField, start: Float[Tensor, "*own"]) -> AbstractVectorField:
    """The field as a function of the time since ``start``, ``()`` or ``(trajectory)`` in float64.

    What `select` makes of it has started too.

    Example:
        >>> from systems import PhaseSpace
        >>> class Swing(AbstractVectorField):
        ...     def forward(self, t, state):
        ...         return PhaseSpace(state.p, t * state.q)
        >>> state = PhaseSpace(*torch.ones(2, 3, 1, 1))
        >>> late = started(Swing(), torch.tensor([0.0, 1.0, 2.0], dtype=torch.float64))
        >>> late(torch.zeros(1, 1), state).p.flatten(), late.select(slice(1, 2))(torch.zeros(1, 1), state).p.flatten()
        (tensor([0., 1., 2.]), tensor([1., 1., 1.]))
    """
    if is_autonomous(field) or not start.any():
        return field
    if (before := getattr(field, START.name, None)) is not None:
        return started(_unstarted(field), before + start)
    moved = copy.copy(field)
    moved._buffers = moved._buffers | {START.name: start}
    moved.undeclared = (*field.undeclared, START)
    moved.__class__ = _that_starts(type(field))
    return moved


#: When a field starts: an input of its machine code, as its own values are.
START = Variable("started_at", (), "1", "time at which the trajectory starts")


def _unstarted(field: AbstractVectorField) -> AbstractVectorField:
    plain = copy.copy(field)
    plain._buffers = {name: x for name, x in field._buffers.items() if name != START.name}
    plain.undeclared = tuple(x for x in field.undeclared if x is not START)
    plain.__class__ = type(field).__mro__[1]
    return plain


@cache
def _that_starts(kind: type[AbstractVectorField]) -> Any:
    """The class of fields of this kind that have started."""

    def forward(self: Any, t: Tensor, state: PhaseSpace) -> PhaseSpace:
        return kind.forward(self, (self.started_at[..., None, None] + t).to(state.q.dtype), state)

    def select(self: Any, index: slice | Tensor) -> AbstractVectorField:
        start = self.started_at
        return started(_unstarted(self).select(index), start[index] if start.ndim else start)

    return type(kind.__name__, (kind,), {"forward": forward, "select": select, "__module__": kind.__module__})
