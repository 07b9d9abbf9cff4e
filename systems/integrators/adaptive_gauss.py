"""A Gauss method of order 16 that chooses each trajectory's steps: exact to round-off."""

from collections.abc import Iterator
from dataclasses import dataclass
from itertools import pairwise

import torch
from jaxtyping import Float
from torch import Tensor

from systems.integrators import collocation
from systems.integrators.collocation import Tensors
from systems.integrators.gauss import advanced, first_guess, guess
from systems.integrators.stepping import AbstractStepping
from systems.integrators.steps import Carried, Interval, Step
from systems.phase_space import PhaseSpace
from systems.vector_field import AbstractVectorField

STAGES = 8
#: A sweep gains about a digit in a step of the right length; if these do not suffice, it is too long.
SWEEPS = 40
#: How much shorter or longer than the last a step may be.
SHRINK, GROW = 0.2, 4.0


@dataclass(frozen=True, eq=False)
class AdaptiveGauss(AbstractStepping):
    """Order 16, each trajectory with its own steps, exact to round-off: the Gauss method with eight stages.

    A step is accepted where the slopes in it are smooth: their last coefficient in Legendre polynomials is below
    ``tolerance`` times their size. The method gains twice the digits that this says, so that the default, the square
    root of the machine's precision, leaves round-off alone. The next step is sized by the same coefficient.

    Advantages: no step to choose; the energy error is that of rounding and grows like the square root of the number of
    steps; keeps all quadratic charges whatever the steps; works for any vector field; close encounters cost only the
    trajectory that has one. All stages are evaluated at once: few calls of the field, on eight times the states.
    Drawbacks: about 20 evaluations for an output time that is near the last, about 40 a step far from it, more for a
    field that is not separable; a trajectory that has arrived at an output time waits there for the slowest of its
    batch. Not symplectic: the steps depend on the state.

    Sources: Hairer, Lubich & Wanner, Geometric Numerical Integration (2006), sections II.1.3 and VIII.3; the idea that
    the last coefficient sizes the step: Everhart (1985), Rein & Spiegel (2015), MNRAS 446, 1424.

    Args:
        step: the longest step, a number or one a trajectory ``(*batch)``; None for no limit.
        compensated, memory: see `AbstractStepping`; the derivative is that of the accepted steps at their lengths.
        tolerance: the largest share of the last coefficient; None for the square root of the machine's precision.

    Raises:
        ValueError: where the solution leaves no step of a length that counts: it is singular, or not finite.

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
    order = 16
    symplectic = False
    keeps = "quadratic"
    requires = AbstractVectorField

    def integrate(
        self, field: AbstractVectorField, state: PhaseSpace, times: Float[Tensor, " time *batch"]
    ) -> PhaseSpace:
        if self.tolerance is not None and not self.tolerance > 0:
            raise ValueError(f"tolerance: expected a positive number, got {self.tolerance}")
        return super().integrate(field, state, times)

    def _intervals(self, times: Tensor) -> list[Interval]:
        return [Interval(start, end) for start, end in pairwise(times)]

    def _begin(self, field: AbstractVectorField, t: Tensor, state: PhaseSpace) -> Carried:
        t = t.expand(state.q.shape[:-2])
        slopes, last = first_guess(field, t, state, STAGES)
        return Carried(*self._totals(state), (*slopes, last, _first_length(state, slopes)))

    def _step(self, field: AbstractVectorField, t: Tensor, h: Tensor, carried: Carried) -> Carried:
        slopes, _ = collocation.solve(field, t, h, carried.state, guess(h, carried), SWEEPS)
        return advanced(field, t, h, carried, slopes)

    def _walk(self, field: AbstractVectorField, interval: Interval, carried: Carried) -> Iterator[Step]:
        batch = carried.q.value.shape[:-2]
        start, end = (x.detach().expand(batch) for x in interval[:2])
        left, some_left = end - start, True
        while some_left:
            *reused, suggested = carried.reused
            t, h = end - left, self._length(suggested, left)
            slopes, found = collocation.solve(field, t, h, carried.state, guess(h, carried), SWEEPS)
            accepted, suggested = self._judged(h, suggested, carried.state, slopes, found)
            h = torch.where(accepted, h, 0)
            left = left - h
            stuck = (left != 0) & (suggested <= 4 * torch.finfo(h.dtype).eps * torch.maximum(left, end).abs())
            some_left, some_accepted, some_stuck = torch.stack(
                [(left != 0).any(), accepted.any(), stuck.any()]
            ).tolist()
            if some_stuck:
                raise ValueError(
                    f"field: {stuck.sum().item()} of {stuck.numel()} solutions cannot be followed beyond "
                    f"t = {t[stuck][0].item():g}: no step is short enough (the field is singular, or not finite)"
                )
            before = carried._replace(reused=(*reused, suggested))
            if some_accepted:
                slopes = tuple(torch.where(accepted[..., None, None], x, 0) for x in slopes)
                carried = advanced(field, *_placed(t, h, interval), before, slopes)
                yield Step(t, h, before, carried)
            else:
                carried = before

    def _walk_back(
        self, field: AbstractVectorField, interval: Interval, start: PhaseSpace, end: PhaseSpace
    ) -> Iterator[Step]:
        return self._walk_again(field, interval, start)

    def _length(self, suggested: Tensor, left: Tensor) -> Tensor:
        """Of the next step: what is left in one or two steps if they may be as long as that."""
        longest = suggested if self.step is None else suggested.clamp(max=self.step)
        size = left.abs()
        return torch.where(longest >= size, left, torch.where(2 * longest > size, left / 2, longest * left.sign()))

    def _judged(
        self, h: Tensor, suggested: Tensor, state: PhaseSpace, slopes: Tensors, found: Tensor
    ) -> tuple[Tensor, Tensor]:
        """Whether a step is accepted, and how long the next should be, each ``(*batch)``; not differentiated."""
        state = PhaseSpace(state.q.detach(), state.p.detach())
        tolerance = torch.finfo(h.dtype).eps ** 0.5 if self.tolerance is None else self.tolerance
        rough = collocation.roughness(h, state, slopes)
        accepted = found & (rough <= 2 * tolerance)
        growth = (0.9 * (tolerance / rough) ** (1 / (STAGES - 1))).clamp(SHRINK, GROW)
        length = h.abs() * torch.where(found, growth, SHRINK)
        # A step that was cut short to meet an output time says little about what is too long.
        length = torch.where(accepted & (growth >= GROW), torch.maximum(length, suggested), length)
        return accepted, torch.where(h == 0, suggested, length)


def _first_length(state: PhaseSpace, slopes: Tensors) -> Tensor:
    """A tenth of the time in which the state would change by its own size."""
    sizes = [
        (z.detach().abs().amax((-2, -1)), k[0].detach().abs().amax((-2, -1)))
        for z, k in zip(state, slopes, strict=True)
    ]
    spans = [torch.where((size > 0) & (rate > 0), 0.1 * size / rate, torch.inf) for size, rate in sizes]
    return torch.minimum(*spans)


def _placed(t: Tensor, h: Tensor, interval: Interval) -> tuple[Tensor, Tensor]:
    """t and h as functions of the interval's ends: a step keeps its share of the interval."""
    start, end = interval[:2]
    if not (start.requires_grad or end.requires_grad):
        return t, h
    span = (end - start).detach()
    shift_start, shift_end = start - start.detach(), end - end.detach()  # both are zero
    place, share = (t - start.detach()) / span, h / span
    return t + (shift_start + place * (shift_end - shift_start)), h + share * (shift_end - shift_start)
