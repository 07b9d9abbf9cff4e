"""watch(...): a trajectory, and the events on its way, each found to round-off in time; differentiable.

A solution is looked at in pieces: the steps of the method, with samples inside where steps are long. Where a function
changes its sign from sample to sample, or turns back just before it would, its zero is found by Newton's method. Each
of its values is the state after one more step of the same method, from the start of the piece: nothing is interpolated,
and an event is as accurate as the method. Derivatives follow from the implicit function theorem: dt = -dg / (dg/dt).
"""

from __future__ import annotations

import warnings
from collections.abc import Iterator, Sequence
from typing import NamedTuple

import torch
from jaxtyping import Float, Int8, Int64
from torch import Tensor

from systems.checks import check
from systems.clock import started
from systems.events import AbstractEvent
from systems.integrators.abstract import AbstractIntegrator
from systems.integrators.adaptive_gauss import AdaptiveGauss
from systems.integrators.steps import substep_counts
from systems.phase_space import PhaseSpace
from systems.status import Status
from systems.vector_field import AbstractVectorField
from systems.zeros import Finder, Zeros, rounding, some

#: Numbers in the pieces of a solution that are looked at together.
VALUES = 2**24


class Occurrences(NamedTuple):
    """Events that happened, by trajectory and in each in the order of time."""

    trajectory: Int64[Tensor, " event"]
    kind: Int64[Tensor, " event"]
    """Which of the events, an index of the list."""
    part: Int64[Tensor, " event"]
    """Which of its parts: a body, or a pair of bodies."""
    time: Float[Tensor, " event"]
    state: PhaseSpace
    """``(event, n, d)``."""
    rate: Float[Tensor, " event"]
    """How fast the function changes there; 0 where it only touches zero."""


class Watched(NamedTuple):
    """A trajectory ``(time, trajectory, n, d)``, how each ended, and what happened on the way."""

    trajectory: PhaseSpace
    status: Int8[Tensor, " trajectory"]
    events: Occurrences


def watch(
    field: AbstractVectorField,
    state: PhaseSpace,
    times: Float[Tensor, " time *trajectory"],
    events: Sequence[AbstractEvent],
    integrator: AbstractIntegrator | None = None,
) -> Watched:
    """A trajectory as far as it can be followed, and the events on its way.

    After a terminal event a trajectory is NaN, and its status is `Status.EVENT`. A trajectory that starts at a zero has
    no event there. All is differentiable in the state: the trajectory, and the times and states of events.

    Args:
        field: what moves the state.
        state: ``(trajectory, n, d)`` at ``times[0]``.
        times: ``(time,)`` or ``(time, trajectory)``; increasing or decreasing.
        events: what to look for.
        integrator: what takes the steps. None for the closed form where the field has one; events are then found with
            `AdaptiveGauss`, to round-off as well.

    Raises:
        ValueError: for what does not fit, as the integrator.

    Example: the period of a pendulum grows with its amplitude; by how much?
        >>> from systems import Pendulum
        >>> from systems.events import Plane
        >>> q = torch.tensor([[[1.0]]], dtype=torch.float64, requires_grad=True)
        >>> state = PhaseSpace(q, torch.zeros(1, 1, 1, dtype=torch.float64))
        >>> times = torch.tensor([0.0, 3.0], dtype=torch.float64)
        >>> found = watch(Pendulum(mass=[1.0], length=[1.0], gravity=1.0), state, times, [Plane([1.0])])
        >>> found.events.time  # a quarter of the period, the complete elliptic integral K(sin 1/2)
        tensor([1.6750], dtype=torch.float64, grad_fn=...)
        >>> torch.autograd.grad(found.events.time, q)[0].flatten()
        tensor([0.2213], dtype=torch.float64)
    """
    check_events(events, field, state, times)
    exact = field.closed_form(state, times) if integrator is None and field.has_closed_form else None
    method = AdaptiveGauss() if integrator is None else integrator
    method.check(field, state, times)
    count, sign = len(state.q), 1 if bool(times[-1].nansum() >= times[0].nansum()) else -1
    alive, rows = torch.arange(count, device=state.q.device), state
    stopped = state.q.new_full((count,), torch.inf)
    status = torch.zeros(count, dtype=torch.int8, device=state.q.device)
    outputs, found = [PhaseSpace(*(x[None] for x in state))], []
    for interval in _intervals(times, method, state):
        own = times[interval] if times.ndim == 1 else times[interval][:, alive]
        moving = started(field.select(alive), own[0])
        attempt, pieces = method.select(alive).attempt_in_pieces(moving, rows, own - own[0])
        finder = Finder(field, method, alive, own[0], pieces, sign=sign, first=interval.start == 0)
        here = _joined([_occurring(finder.zeros(event), k, alive) for k, event in enumerate(events)], sign)
        blank = [x.new_full((len(own) - 1, *x.shape), torch.nan) for x in state]
        block = [x.index_copy(1, alive, y[1:]) for x, y in zip(blank, attempt.trajectory, strict=True)]
        outputs.append(PhaseSpace(*block))
        found.append(here)
        status = status.index_copy(0, alive, attempt.status)
        for k, event in enumerate(events):
            if event.terminal:
                ends = here.kind == k
                stopped = stopped.scatter_reduce(0, here.trajectory[ends], sign * here.time[ends].detach(), "amin")
        alive = ((status == 0) & (stopped == torch.inf)).nonzero()[:, 0]
        if not len(alive):
            left = len(times) - interval.stop
            outputs.append(PhaseSpace(*(x.new_full((left, *x.shape), torch.nan) for x in state)))
            break
        rows = PhaseSpace(*(x[-1, alive] for x in block))
    trajectory = PhaseSpace(*(torch.cat(x) for x in zip(*outputs, strict=True)))
    if exact is not None:
        trajectory = PhaseSpace(
            *(torch.where(x.isfinite(), y, torch.nan) for x, y in zip(trajectory, exact, strict=True))
        )
    over = sign * times.reshape(len(times), -1) > stopped
    trajectory = PhaseSpace(*(x.masked_fill(over[..., None, None], torch.nan) for x in trajectory))
    status = torch.where(stopped < torch.inf, int(Status.EVENT), status).to(torch.int8)
    occurrences = _joined(found, sign)
    return Watched(trajectory, status, some(occurrences, sign * occurrences.time <= stopped[occurrences.trajectory]))


def check_events(events: Sequence[AbstractEvent], field: AbstractVectorField, state: PhaseSpace, times: Tensor) -> None:
    """A ValueError that names what does not fit, before any work starts."""
    for event in events:
        check("events", event, isinstance(event, AbstractEvent), "events, such as systems.events.Plane")
        event.check(field, state)
    if events:
        check("times", len(times), len(times) >= 2, "two times or more, between which events are looked for")


def warn_of_starts(events: Sequence[AbstractEvent], field: AbstractVectorField, state: PhaseSpace) -> None:
    """Say so where trajectories start beyond a zero that bounds them: inside of another body, or far away."""
    for event in events:
        if not (event.bounds and event.direction):
            continue
        with torch.no_grad():
            values = event.direction * event.values(field, state)
            row, part = (values > 0).nonzero(as_tuple=True)
            if not len(row):
                continue
            near = rounding(event, field.select(row), PhaseSpace(*(x[row] for x in state)), part)
        if count := len(row[values[row, part] > near].unique()):
            warnings.warn(
                f"events: {count} of {len(state.q)} trajectories start beyond {event.name}, which is found only where "
                "they cross it again",
                UserWarning,
                stacklevel=4,
            )


def _intervals(times: Tensor, method: AbstractIntegrator, state: PhaseSpace) -> Iterator[slice]:
    """Output times that are looked at together: slices that have their ends in common."""
    step = getattr(method, "step", None)
    each = 20.0  # numbers in an interval for each number of a state: two steps of ten samples, or so
    if method.has_fixed_steps:
        each = 2.0
        if step is not None and len(times) > 1:
            each *= float(substep_counts(times, step).mean())
    size = int(min(max(1.0, VALUES / (each * state.q.numel())), len(times)))
    for first in range(0, len(times) - 1, size):
        yield slice(first, min(first + size + 1, len(times)))


def _occurring(zeros: Zeros, kind: int, rows: Tensor) -> Occurrences:
    return Occurrences(rows[zeros.row], torch.full_like(zeros.row, kind), *zeros[1:])


def _joined(parts: Sequence[Occurrences], sign: int) -> Occurrences:
    """By trajectory, and in each in the order of time; at one time in the order of the list."""
    state = PhaseSpace(*(torch.cat(x) for x in zip(*(part.state for part in parts), strict=True)))
    row, kind, part, time, rate = (
        torch.cat([getattr(one, name) for one in parts]) for name in ("trajectory", "kind", "part", "time", "rate")
    )
    whole = Occurrences(row, kind, part, time, state, rate)
    order = torch.argsort(sign * whole.time.detach(), stable=True)
    return some(whole, order[torch.argsort(whole.trajectory[order], stable=True)])
