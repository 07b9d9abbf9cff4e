"""A Gauss method of order 16 that chooses each trajectory's steps: exact to round-off."""

import math
from collections.abc import Iterator
from dataclasses import dataclass
from itertools import pairwise

import torch
from jaxtyping import Float, Int8
from torch import Tensor

from systems.checks import check
from systems.integrators import collocation
from systems.integrators.attempt import Attempt, raise_unless_ok
from systems.integrators.collocation import Tensors
from systems.integrators.gauss import advanced, first_guess, guess
from systems.integrators.jumps import continued, first_jump
from systems.integrators.pieces import Pieces, between
from systems.integrators.stepping import AbstractStepping
from systems.integrators.steps import Carried, Interval, Step
from systems.integrators.sums import Total
from systems.phase_space import PhaseSpace
from systems.status import Status
from systems.vector_field import AbstractVectorField

STAGES = 8
#: A sweep gains about a digit in a step of the right length; if these do not suffice, it is too long.
SWEEPS = 40
#: How much shorter or longer than the last a step may be.
SHRINK, GROW = 0.2, 4.0
#: The next step is aimed to be shorter by this than what the tolerance allows.
SAFETY = 0.9


@dataclass(frozen=True, eq=False)
class AdaptiveGauss(AbstractStepping):
    """Order 16, each trajectory with its own steps, exact to round-off: the Gauss method with eight stages.

    A step is accepted where the derivatives at its stages are smooth: their last coefficient in Legendre polynomials is
    below ``tolerance`` times their size. The method gains twice the digits that this says, so that the default, the
    square root of the machine's precision, leaves round-off alone. The next step is sized by the same coefficient.

    Advantages: no step to choose; the energy error is that of rounding and grows like the square root of the number of
    steps; preserves all quadratic charges whatever the steps; works for any vector field; close encounters cost only
    the trajectory that has one; where the force jumps (`AbstractVectorField.jumps`) steps end at the jump, and nothing
    is lost. All stages are evaluated at once: few calls of the field, on eight times the states.
    Drawbacks: about 20 evaluations for an output time that is near the last, about 40 a step far from it, more for a
    field that is not separable; a trajectory that has arrived at an output time waits there for the slowest of its
    batch. Not symplectic: the steps depend on the state.

    Sources: Hairer, Lubich & Wanner, Geometric Numerical Integration (2006), sections II.1.3 and VIII.3; the idea that
    the last coefficient sizes the step: Everhart (1985), Rein & Spiegel (2015), MNRAS 446, 1424.

    Args:
        step: the longest step, a number or one a trajectory ``(*batch)``; None for no limit.
        compensated: see `AbstractStepping`; the derivative is that of the accepted steps at their lengths.
        tolerance: the largest share of the last coefficient; None for the square root of the machine's precision.
        max_steps: the most steps, rejected ones included, from one output time to the next.

    Raises:
        ValueError: where the solution leaves no step of a length that counts (it is singular, or not finite), or
            ``max_steps`` are used up.

    Example:
        >>> import torch
        >>> from systems import Gravity
        >>> from systems.integrators import AdaptiveGauss
        >>> system, state = Gravity.sample(10, seed=0)
        >>> times = torch.linspace(0, 1, 5, dtype=torch.float64)
        >>> AdaptiveGauss().integrate(system, state, times).q.shape[:2]
        torch.Size([5, 10])
    """

    compensated: bool = True
    tolerance: float | None = None
    max_steps: int = 100_000
    order = 16
    symplectic = False
    symmetric = False
    preserves = "quadratic"
    keeps_energy = False
    requires = AbstractVectorField

    def __post_init__(self) -> None:
        super().__post_init__()
        check("tolerance", self.tolerance, self.tolerance is None or 0 < self.tolerance < math.inf, "a positive number")
        check("max_steps", self.max_steps, self.max_steps >= 1, "at least 1")

    def relative_tolerance(self, dtype: torch.dtype) -> float:
        """The tolerance, by default that of the dtype."""
        return torch.finfo(dtype).eps ** 0.5 if self.tolerance is None else self.tolerance

    def _intervals(self, times: Tensor) -> list[Interval]:
        return [Interval(start, end) for start, end in pairwise(times)]

    def _begin(self, field: AbstractVectorField, t: Tensor, state: PhaseSpace) -> Carried:
        t = t.expand(state.q.shape[:-2])
        derivatives, last = first_guess(field, t, state, STAGES)
        return Carried(*self._totals(state), (*derivatives, last, _first_length(state, derivatives)))

    def _step(self, field: AbstractVectorField, t: Tensor, h: Tensor, carried: Carried) -> Carried:
        derivatives, _ = collocation.solve(field, t, h, carried.state, guess(h, carried), SWEEPS)
        return advanced(field, t, h, carried, derivatives)

    def attempt_in_pieces(
        self, field: AbstractVectorField, state: PhaseSpace, times: Float[Tensor, " time *trajectory"]
    ) -> tuple[Attempt, Pieces]:
        """Each step is a piece, with its nodes as samples."""
        self.check(field, state, times)
        steps: list[Step] = []
        attempt = Attempt(*self._trajectory(field, times, self._begin(field, times[0], state), steps))
        if not steps:
            return attempt, between(times, attempt.trajectory)
        t, h = torch.stack([step.t.detach() for step in steps]), torch.stack([step.h.detach() for step in steps])
        starts = PhaseSpace(*(torch.stack(x) for x in zip(*(step.before.state for step in steps), strict=True)))
        derivatives = tuple(torch.stack([step.after.reused[k] for step in steps], 1) for k in (0, 1))
        places, path = collocation.sampled(h, starts, derivatives)
        return attempt, Pieces(t, h, places, path)

    def stepped(self, field: AbstractVectorField, state: PhaseSpace, h: Float[Tensor, " trajectory"]) -> PhaseSpace:
        return super().stepped(continued(field, state, h)[0], state, h)

    def _trajectory(
        self, field: AbstractVectorField, times: Tensor, carried: Carried, steps: list[Step] | None = None
    ) -> tuple[PhaseSpace, Int8[Tensor, "*batch"]]:
        """Each trajectory runs ahead by itself: none waits at an output time for another.

        The steps are appended to a list, if one is given.
        """
        shape = carried.q.value.shape
        states = [x.new_full((len(times) + 1, shape[:-2].numel(), *shape[-2:]), torch.nan) for x in carried.state]
        for x, z in zip(states, carried.state, strict=True):
            x[0] = z.reshape(x.shape[1:])
        status = torch.zeros(shape[:-2], dtype=torch.int8, device=times.device)
        for step, row, who in self._run(field, times, carried, status, narrow=steps is None):
            for x, z in zip(states, step.after.state, strict=True):
                x[row.flatten(), who] = z.reshape(len(who), *x.shape[2:])
            if steps is not None:
                steps.append(step)
        return PhaseSpace(*(x[:-1].reshape(len(times), *shape) for x in states)), status

    def _walk(self, field: AbstractVectorField, interval: Interval, carried: Carried) -> Iterator[Step]:
        status = torch.zeros(carried.q.value.shape[:-2], dtype=torch.int8, device=carried.q.value.device)
        for step, *_ in self._run(field, torch.stack(interval[:2]), carried, status):
            yield step
        raise_unless_ok(status)

    def _walk_back(
        self, field: AbstractVectorField, interval: Interval, start: PhaseSpace, end: PhaseSpace
    ) -> Iterator[Step]:
        return self._walk_again(field, interval, start)

    def _run(
        self,
        field: AbstractVectorField,
        times: Tensor,
        carried: Carried,
        status: Int8[Tensor, "*batch"],
        narrow: bool = False,
    ) -> Iterator[tuple[Step, Tensor, Tensor]]:
        """Steps to all the times, the index of the time that each trajectory is at, or ``len(times)``, and whose it is.

        A trajectory that cannot be followed any further is given up: its ``status`` says why. With ``narrow`` steps are
        of those alone that are on their way, whenever half of them have arrived: few need many more than the others.
        """
        batch = carried.q.value.shape[:-2]
        narrow = narrow and len(batch) == 1
        who, longest = torch.arange(batch.numel(), device=times.device), self.step
        times = times.reshape(len(times), *times.shape[1:] or (1,) * len(batch)).expand(-1, *batch)
        last = len(times) - 1
        goal = torch.ones(batch, dtype=torch.long, device=times.device)
        start, end = times[0], times[min(1, last)]
        left = (end - start).detach()
        tried = torch.zeros_like(goal)
        nearest = torch.full_like(left, torch.inf)  # where the next jump of the force is, as far as it is known
        some_left = last > 0
        while some_left:
            *reused, suggested = carried.reused
            t, h = end.detach() - left, _length(torch.minimum(suggested, nearest), left, longest)
            smooth, sides = continued(field, carried.state, h)
            derivatives, found = collocation.solve(smooth, t, h, carried.state, guess(h, carried), SWEEPS)
            accepted, longer = self._judged(h, suggested, carried.state, derivatives, found)
            share = first_jump(field, carried.state, h, derivatives, sides)
            jumps = accepted & (share < 1)
            accepted = accepted & ~jumps
            # A step that was cut short to meet a jump says nothing about what is too long.
            suggested = torch.where(jumps | (accepted & nearest.isfinite()), suggested, longer)
            nearest = torch.where(jumps, share * h.abs(), torch.where(accepted, torch.inf, nearest))
            before = carried._replace(reused=(*reused, suggested))
            h = torch.where(accepted, h, 0)
            derivatives = tuple(torch.where(accepted[..., None, None], x, 0) for x in derivatives)
            carried = advanced(field, *_placed(t, h, start, end), before, derivatives)

            left = left - h
            tried = tried + (left != 0)
            # Not even a step of a few units in the last place of what is left; t itself is nothing to the field's law.
            stuck = (left != 0) & (torch.minimum(suggested, nearest) <= 4 * torch.finfo(h.dtype).eps * left.abs())
            tired = (left != 0) & (tried >= self.max_steps)
            ended = stuck | tired
            known = torch.where(tired.flatten(), Status.OUT_OF_STEPS, status.view(-1)[who])
            status.view(-1)[who] = torch.where(stuck.flatten(), Status.SINGULAR, known).to(status.dtype)
            arrived = (left == 0) & (h != 0)
            tried = torch.where(arrived, 0, tried)
            row = torch.where(arrived, goal, len(times))
            goal = torch.where(ended, len(times), goal + arrived)
            ahead = goal.clamp(max=last)[None]
            start, end = times.gather(0, ahead - 1)[0], times.gather(0, ahead)[0]
            left = torch.where(arrived & (goal <= last), end - start, torch.where(ended, 0, left)).detach()
            some_left, some_accepted = torch.stack([x.sum() for x in (left != 0, accepted)]).tolist()
            if some_accepted:
                yield Step(t, h, before, carried), row, who
            if narrow and 2 * some_left <= len(who):
                some = left.nonzero()[:, 0]
                field, carried, times = field.select(some).steady(), _chosen(carried, some), times[:, some]
                who, goal, start, end, left, tried, nearest = (
                    x[some] for x in (who, goal, start, end, left, tried, nearest)
                )
                longest = longest[some] if isinstance(longest, Tensor) and longest.ndim else longest

    def _judged(
        self, h: Tensor, suggested: Tensor, state: PhaseSpace, derivatives: Tensors, found: Tensor
    ) -> tuple[Tensor, Tensor]:
        """Whether a step is accepted, and how long the next should be, each ``(*batch)``; not differentiated."""
        state = PhaseSpace(state.q.detach(), state.p.detach())
        tolerance = self.relative_tolerance(h.dtype)
        rough = collocation.roughness(h, state, derivatives)
        accepted = found & (rough <= 2 * tolerance)
        growth = (SAFETY * (tolerance / rough) ** (1 / (STAGES - 1))).clamp(SHRINK, GROW)
        length = h.abs() * torch.where(found, growth, SHRINK)
        # A step that was cut short to meet an output time says little about what is too long.
        length = torch.where(accepted & (growth >= GROW), torch.maximum(length, suggested), length)
        return accepted, torch.where(h == 0, suggested, length)


def _length(suggested: Tensor, left: Tensor, longest: float | Tensor | None) -> Tensor:
    """Of the next step: what is left in one or two steps if they may be as long as that."""
    length = suggested if longest is None else suggested.clamp(max=longest)
    size = left.abs()
    return torch.where(length >= size, left, torch.where(2 * length > size, left / 2, length * left.sign()))


def _chosen(carried: Carried, some: Tensor) -> Carried:
    """What is carried of some of the trajectories."""
    q, p = (Total(value[some], None if lost is None else lost[some]) for value, lost in (carried.q, carried.p))
    *derivatives, last, suggested = carried.reused
    return Carried(q, p, (*(x[:, some] for x in derivatives), last[some], suggested[some]))


def _first_length(state: PhaseSpace, derivatives: Tensors) -> Tensor:
    """A tenth of the time in which the state would change by its own size."""
    sizes = [
        (z.detach().abs().amax((-2, -1)), k[0].detach().abs().amax((-2, -1)))
        for z, k in zip(state, derivatives, strict=True)
    ]
    spans = [torch.where((size > 0) & (rate > 0), 0.1 * size / rate, torch.inf) for size, rate in sizes]
    return torch.minimum(*spans)


def _placed(t: Tensor, h: Tensor, start: Tensor, end: Tensor) -> tuple[Tensor, Tensor]:
    """t and h as functions of the interval's ends: a step has its share of the interval."""
    if not start.requires_grad:
        return t, h
    shift_start, shift_end = start - start.detach(), end - end.detach()  # both are zero
    span = (end - start).detach()
    place, share = (t - start.detach()) / span, h / span
    return t + (shift_start + place * (shift_end - shift_start)), h + share * (shift_end - shift_start)
