"""The return map of a surface of section: from one crossing to the next."""

from __future__ import annotations

import warnings
from typing import NamedTuple

import torch
from jaxtyping import Float
from torch import Tensor

from systems.checks import check
from systems.events import AbstractEvent
from systems.integrators.abstract import AbstractIntegrator
from systems.phase_space import PhaseSpace
from systems.vector_field import AbstractVectorField
from systems.watching import watch


class Return(NamedTuple):
    """The next crossings of trajectories; NaN where there are none."""

    time: Float[Tensor, "returns trajectory"]
    """Since the first state."""
    state: PhaseSpace
    """``(returns, trajectory, n, d)``."""


def return_map(
    field: AbstractVectorField,
    state: PhaseSpace,
    event: AbstractEvent,
    *,
    within: float,
    returns: int = 1,
    integrator: AbstractIntegrator | None = None,
) -> Return:
    """Where and when trajectories next meet a surface of section, differentiable in the state.

    Source: Poincare (1892), Les methodes nouvelles de la mecanique celeste; Henon (1982), Physica D 5, 412.

    Args:
        field: what moves the state.
        state: ``(trajectory, n, d)``, on the section or not; a start on it does not count.
        event: the section, such as `systems.Plane`.
        within: the longest time to wait for all returns; negative for the past.
        returns: how many crossings.
        integrator: what takes the steps; as exact as is known by default.

    Raises:
        ValueError: for what does not fit.

    Warns:
        UserWarning: where trajectories do not come back in that time.

    Example: an oscillator comes back after a period, to where it was.
        >>> from systems import Plane, Springs
        >>> system = Springs(mass=[1.0, 1.0], spring_constant=[[0.0, 0.5], [0.5, 0.0]])
        >>> state = PhaseSpace.of([[[-1], [1]]], p=[[[0.5], [-0.5]]])
        >>> found = return_map(system, state, Plane([1.0], body=0, direction=1), within=10.0, returns=2)
        >>> bool(abs(found.time.diff(dim=0) - 2 * torch.pi).max() < 1e-12)
        True
    """
    check("returns", returns, returns >= 1, "at least 1")
    check("within", within, within == within and within != 0, "a time to wait for returns")
    times = torch.tensor([0.0, within], dtype=state.q.dtype, device=state.q.device)
    found = watch(field, state, times, [event], integrator).events
    count = len(state.q)
    number = torch.bincount(found.trajectory, minlength=count)
    place = torch.arange(len(found.trajectory), device=number.device) - (number.cumsum(0) - number)[found.trajectory]
    taken = place < returns
    index = (place[taken], found.trajectory[taken])
    time = state.q.new_full((returns, count), torch.nan).index_put(index, found.time[taken])
    blank = state.q.new_full((returns, *state.q.shape), torch.nan)
    states = PhaseSpace(*(blank.index_put(index, x[taken]) for x in found.state))
    lost = int((number < returns).sum())
    if lost:
        warnings.warn(
            f"within: {lost} of {count} trajectories do not meet {event.name} {returns} times within {within:g}",
            UserWarning,
            stacklevel=2,
        )
    return Return(time, states)
