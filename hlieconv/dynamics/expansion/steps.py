"""Steps of RK4 from point to point, halved where one is too long."""

from typing import NamedTuple

import torch
from jaxtyping import Bool, Float, Int
from torch import Tensor

from hlieconv.dynamics.expansion.forces import Weighted, force
from systems import PhaseSpace

#: A step is halved where its halves end elsewhere by more than this part of the noise; a step so many times, at most.
EXACT, HALVED = 0.1, 5


class Substep(NamedTuple):
    """A step of some segments, by what derivatives along it depend on."""

    segments: Int[Tensor, " some"]
    length: Float[Tensor, "some 1 1"]
    middle: Float[Tensor, "some n d"]
    """The positions halfway."""
    end: Float[Tensor, "some n d"]


class _Taken(NamedTuple):
    """What one step gave."""

    end: PhaseSpace
    middle: Tensor
    bend: Tensor
    """By how much Simpson's rule differs from the trapezoid, of the change of p."""

    def take(self, index: Tensor) -> "_Taken":
        return _Taken(_some(self.end, index), self.middle[index], self.bend[index])


class Steps:
    """Goes from one point of segments to the next: by one step of RK4, or by more where bodies pass closely.

    Between two points a force may turn about, as that of a spring with a rest length whose ends meet. One step there
    smears it, as another law would.

    Args:
        law: whose force acts.
        mass: of the bodies, ``(segment, n, 1)``.
        fine: what a change of p is multiplied by to be in units of the noise of whatever comes later.
    """

    def __init__(self, law: Weighted, mass: Tensor, fine: Float[Tensor, "segment n d"]) -> None:
        self.law, self.mass, self.fine = law, mass, fine

    def across(
        self, start: PhaseSpace, h: Float[Tensor, "segment 1 1"], most: int = HALVED, whole: _Taken | None = None
    ) -> tuple[PhaseSpace, list[Substep]]:
        """The states at the next point, and the steps to it in the order of time.

        Args:
            start: the states at this point.
            h: the time between them.
            most: how often a step may be halved.
            whole: the step from one to the other, if it was taken already.
        """
        every, whole = torch.arange(len(h)), whole or self._step(start, h)
        long = self._exceeds(whole.bend).nonzero().flatten() if most else every[:0]  # these may be too long
        if not len(long):
            return whole.end, [Substep(every, h, whole.middle, whole.end.q)]
        few, half, begin = self._take(long), h[long] / 2, _some(start, long)
        first = few._step(begin, half)
        off = few._exceeds(few._step(first.end, half).end.p - whole.end.p[long]).nonzero().flatten()
        few, half, state, first, long = few._take(off), half[off], _some(begin, off), first.take(off), long[off]
        short = torch.ones(len(h), dtype=torch.bool).index_fill(0, long, False).nonzero().flatten()
        steps = [Substep(short, h[short], whole.middle[short], whole.end.q[short])] if len(short) else []
        if not len(long):
            return whole.end, steps
        for taken in (first, None):
            state, own = few.across(state, half, most - 1, taken)
            steps += [step._replace(segments=long[step.segments]) for step in own]
        return PhaseSpace(*(x.index_copy(0, long, new) for x, new in zip(whole.end, state, strict=True))), steps

    def _step(self, start: PhaseSpace, h: Tensor) -> _Taken:
        (q, p), m, law = start, self.mass, self.law
        a1, b1 = p / m, force(law, q)
        a2, b2 = (p + h / 2 * b1) / m, force(law, q + h / 2 * a1)
        middle = q + h / 2 * a2
        a3, b3 = (p + h / 2 * b2) / m, force(law, middle)
        a4, b4 = (p + h * b3) / m, force(law, q + h * a3)
        end = PhaseSpace(q + h / 6 * (a1 + 2 * a2 + 2 * a3 + a4), p + h / 6 * (b1 + 2 * b2 + 2 * b3 + b4))
        return _Taken(end, middle, h / 3 * (b2 + b3 - b1 - b4))

    def _exceeds(self, change: Float[Tensor, "segment n d"]) -> Bool[Tensor, " segment"]:
        """Where a change of p shows in the noise."""
        return (change.abs() * self.fine > EXACT).flatten(1).any(1)

    def _take(self, index: Tensor) -> "Steps":
        """Those of some segments."""
        return Steps([(term, weight[index]) for term, weight in self.law], self.mass[index], self.fine[index])


def _some(state: PhaseSpace, index: Tensor) -> PhaseSpace:
    """The states of some segments."""
    return PhaseSpace(*(x[index] for x in state))
