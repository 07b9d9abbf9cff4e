"""The zeros of an event's functions in the pieces of a solution."""

from __future__ import annotations

from typing import Any, NamedTuple

import torch
from jaxtyping import Float, Int64
from torch import Tensor

from systems.clock import started
from systems.events import AbstractEvent
from systems.integrators.abstract import AbstractIntegrator
from systems.integrators.crossings import interpolated, root_between
from systems.integrators.pieces import Pieces
from systems.phase_space import PhaseSpace
from systems.tracing import pushed_forward
from systems.vector_field import AbstractVectorField

#: Units in the last place of what a function is made of, within which it is zero: at the start, or where it touches.
AT = 64


class Zeros(NamedTuple):
    """Where functions are zero."""

    row: Int64[Tensor, " event"]
    part: Int64[Tensor, " event"]
    time: Float[Tensor, " event"]
    state: PhaseSpace
    rate: Float[Tensor, " event"]


class _Brackets(NamedTuple):
    """Places between which a function changes its sign, each ``(m,)``."""

    piece: Tensor
    row: Tensor
    part: Tensor
    start: Tensor
    """Since the start of the piece."""
    end: Tensor
    first: Tensor
    """The value at the start."""
    last: Tensor


class Finder:
    """Looks for zeros in pieces.

    Args:
        field: of all trajectories.
        method: that made the pieces.
        rows: the trajectories that the pieces are of.
        origin: the time from which theirs are counted, ``()`` or ``(row,)``.
        pieces: of the solution.
        sign: 1 where time goes on, -1 where it goes back.
        first: whether the solution starts here.
    """

    def __init__(
        self,
        field: AbstractVectorField,
        method: AbstractIntegrator,
        rows: Int64[Tensor, " row"],
        origin: Tensor,
        pieces: Pieces,
        *,
        sign: int,
        first: bool,
    ) -> None:
        self.field, self.method, self.rows, self.pieces, self.sign, self.first = (
            field,
            method,
            rows,
            pieces,
            sign,
            first,
        )
        self.origin = origin.expand(len(rows))
        with torch.no_grad():
            t = self.origin + pieces.start + pieces.places[:, None, None] * pieces.length
            self.own, self.path = field.select(rows), PhaseSpace(*(x.detach().contiguous() for x in pieces.path))
            self.motion = PhaseSpace(*(x.contiguous() for x in self.own(t[..., None, None].to(self.path.q), self.path)))

    def zeros(self, event: AbstractEvent) -> Zeros:
        """All that count, in no order; time and state are differentiable in the states of the pieces."""
        with torch.no_grad():
            found = self._brackets(event)
            since = self._refined(event, found)
        own, field = self.field.select(self.rows[found.row]), self._field(found)
        state, touches = self._state(found, since), found.first == 0
        motion = field(since[:, None, None], state)
        value, rate = _moving(event, own, state, motion, found.part)
        rate = torch.where(touches, 0, rate.detach())
        if state.q.requires_grad:
            delay = torch.where(touches, 0, -value / rate)
            delay = delay - delay.detach()  # zero, with the derivative of the time
            since = since + delay
            state = PhaseSpace(*(x + delay[:, None, None] * y.detach() for x, y in zip(state, motion, strict=True)))
        zeros = Zeros(found.row, found.part, self._start(found) + since, state, rate)
        counts = event.counts(own, state, found.part)
        return zeros if counts is None else some(zeros, counts)

    def _brackets(self, event: AbstractEvent) -> _Brackets:
        values, rates = _moving(event, self.own, self.path, self.motion)
        length = self.pieces.length[..., None]
        moves = (length != 0).expand(values.shape[1:])
        if self.first:
            values = self._without_start(event, values, moves)
        places = self.pieces.places[:, None, None, None] * length
        start, end, a, b = (x.expand_as(values[1:]) for x in (places[:-1], places[1:], values[:-1], values[1:]))
        changes = ((a * b < 0) | ((b == 0) & (a != 0))) & moves
        plain = _at(changes, start, end, a, b)
        # Between two values of one sign a function may turn back beyond zero, if its tangents go there.
        along = self.sign * rates * torch.where(values < 0, -1, 1)
        head, tail, span = along[:-1], along[1:], (end - start).abs()
        meet = (b.abs() - a.abs() - tail * span) / (head - tail).clamp(max=-torch.finfo(a.dtype).tiny)
        turns = (a * b > 0) & (head < 0) & (tail > 0) & (a.abs() + head * meet <= 0) & moves
        found = [plain]
        if turns.any():
            turning = _at(turns, start, end, rates[:-1], rates[1:])
            middle = self._refined(event, turning, order=1)
            field, state = self.field.select(self.rows[turning.row]), self._state(turning, middle)
            value = event.values(field, state).gather(-1, turning.part[:, None])[:, 0]
            touches = value.abs() <= rounding(event, field, state, turning.part)
            beyond = (value * a[turns] < 0) & ~touches
            found += [
                some(turning._replace(end=middle, first=a[turns], last=value), beyond),
                some(turning._replace(start=middle, first=value, last=b[turns]), beyond),
                some(turning._replace(start=middle, end=middle, first=torch.zeros_like(value)), touches),
            ]
        brackets = _Brackets(*(torch.cat(x) for x in zip(*found, strict=True)))
        if event.direction == 0:
            return brackets
        return some(brackets, (-self.sign * brackets.first).sign() == event.direction)

    def _without_start(self, event: AbstractEvent, values: Tensor, moves: Tensor) -> Tensor:
        """Zero where a trajectory starts at a zero, but for rounding: it does not get there, it leaves it."""
        piece = moves.int().argmax(0)[None]
        here = values[0].gather(0, piece)
        size = values.abs().nan_to_num(0).amax((0, 1))
        row, part = (here[0].abs() <= size * torch.finfo(size.dtype).eps ** 0.5).nonzero(as_tuple=True)
        state = PhaseSpace(*(x[0, piece[0, row, part], row] for x in self.path))
        near = here[0, row, part].abs() <= rounding(event, self.field.select(self.rows[row]), state, part)
        here[0, row, part] = torch.where(near, 0, here[0, row, part])
        first = values[0].scatter(0, piece, here)
        return torch.cat([first[None], values[1:]])

    def _refined(self, event: AbstractEvent, found: _Brackets, order: int = 0) -> Tensor:
        """The zeros ``(m,)`` of the functions, or of their first derivatives, since the start of their pieces."""
        own, field = self.field.select(self.rows[found.row]), self._field(found)

        def function(since: Tensor) -> tuple[Tensor, Tensor]:
            state, t = self._state(found, since), since[:, None, None]
            motion = field(t, state)
            if order == 0:
                return _moving(event, own, state, motion, found.part)
            return pushed_forward(
                lambda q, p: _moving(event, own, PhaseSpace(q, p), field(t, PhaseSpace(q, p)), found.part)[1],
                tuple(state),
                tuple(motion),
            )

        if not len(found.row):
            return found.start
        guess = interpolated(found.start, found.end, found.first, found.last)
        return root_between(function, found.start, found.end, found.first, guess)

    def _field(self, found: _Brackets) -> AbstractVectorField:
        """As a function of the time since the start of each piece."""
        return started(self.field.select(self.rows[found.row]), self._start(found))

    def _start(self, found: _Brackets) -> Tensor:
        return self.origin[found.row] + self.pieces.start[found.piece, found.row]

    def _state(self, found: _Brackets, since: Tensor) -> PhaseSpace:
        """By a step of the method from the start of the piece."""
        state = PhaseSpace(*(x[0, found.piece, found.row] for x in self.pieces.path))
        return self.method.select(self.rows[found.row]).stepped(self._field(found), state, since)


def some(values: Any, index: Tensor) -> Any:
    """A named tuple of tensors, and of such tuples, for some of their first dimension."""
    parts = (some(x, index) if isinstance(x, tuple) else x[index] for x in values)
    return type(values)(*parts)


def _moving(
    event: AbstractEvent,
    field: AbstractVectorField,
    state: PhaseSpace,
    motion: PhaseSpace,
    part: Tensor | None = None,
) -> tuple[Tensor, Tensor]:
    """The values of an event and their time derivatives: of all parts ``(*batch, part)``, or of one each ``(m,)``."""

    def values(q: Tensor, p: Tensor) -> Tensor:
        found = event.values(field, PhaseSpace(q, p))
        return found if part is None else found.gather(-1, part[:, None])[:, 0]

    return pushed_forward(values, tuple(state), tuple(motion))


def _at(mask: Tensor, start: Tensor, end: Tensor, first: Tensor, last: Tensor) -> _Brackets:
    """The brackets at some of all samples ``(place, piece, row, part)``."""
    _, piece, row, part = mask.nonzero(as_tuple=True)
    return _Brackets(piece, row, part, start[mask], end[mask], first[mask], last[mask])


def rounding(event: AbstractEvent, field: AbstractVectorField, state: PhaseSpace, part: Tensor) -> Tensor:
    """What no more than rounding of the states ``(m, n, d)`` can make of the values of their parts ``(m,)``."""
    gradient = torch.func.grad(lambda z: event.values(field, z).gather(-1, part[:, None]).sum())(state)
    sizes = [(x * y).abs().sum((-2, -1)) for x, y in zip(gradient, state, strict=True)]
    return AT * torch.finfo(state.q.dtype).eps * torch.stack(sizes).sum(0)
