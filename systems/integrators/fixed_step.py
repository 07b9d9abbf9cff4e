"""What methods of fixed step share: substeps, output times, what backpropagation stores.

A method adds what it carries from step to step (`_begin`) and one step (`_step`).
"""

from __future__ import annotations

from abc import abstractmethod
from dataclasses import dataclass
from itertools import pairwise
from typing import Literal, NamedTuple

import torch
from jaxtyping import Float
from torch import Tensor

from systems.integrators.abstract import AbstractIntegrator, check_step
from systems.integrators.sums import Total
from systems.phase_space import PhaseSpace
from systems.vector_field import AbstractVectorField


class Carried(NamedTuple):
    """What a method carries from step to step."""

    q: Total
    p: Total
    reused: tuple[Tensor, ...] = ()
    """What the next step can use again: the last force, say."""

    @property
    def state(self) -> PhaseSpace:
        return PhaseSpace(self.q.value, self.p.value)


class Interval(NamedTuple):
    """The substeps from one output time to the next.

    Trajectories may need different numbers of them: one that has arrived takes steps of length zero, which change
    nothing, until the last has.
    """

    start: Tensor
    end: Tensor
    least: int
    most: int
    counts: Tensor | int

    @property
    def length(self) -> Tensor:
        """Of a substep."""
        return (self.end - self.start) / self.counts

    def substep(self, k: int, length: Tensor) -> tuple[Tensor, Tensor]:
        """Start and length of substep k."""
        t = self.start + k * length
        if isinstance(self.counts, int) or k < self.least:
            return t, length
        moving = k < self.counts
        return torch.where(moving, t, self.end), torch.where(moving, length, 0)


@dataclass(frozen=True, eq=False)
class AbstractFixedStep(AbstractIntegrator):
    """Equal steps from each output time to the next.

    Args:
        step: the longest step, a number or one a trajectory ``(*batch)``; None for one step from time to time.
        compensated: whether sums remember what rounding took from them (compensated summation), which makes the
            round-off of long runs smaller by about the ratio of an increment to the state.
        memory: what backpropagation stores: "steps" (every step's graph) or "outputs" (only the states at the output
            times; the steps between are taken again, so that memory does not grow with their number).
    """

    step: float | Tensor | None = None
    compensated: bool = False
    memory: Literal["steps", "outputs"] = "steps"

    def integrate(
        self, field: AbstractVectorField, state: PhaseSpace, times: Float[Tensor, " time *batch"]
    ) -> PhaseSpace:
        self.check(field, state, times)
        check_step(self.step, state)
        carried = self._begin(field, times[0], state)
        outputs = [state]
        for interval in self._intervals(times):
            length = interval.length
            for k in range(interval.most):
                carried = self._step(field, *interval.substep(k, length), carried)
            outputs.append(carried.state)
        return PhaseSpace(torch.stack([x.q for x in outputs]), torch.stack([x.p for x in outputs]))

    @abstractmethod
    def _begin(self, field: AbstractVectorField, t: Tensor, state: PhaseSpace) -> Carried:
        """What the first step needs."""

    @abstractmethod
    def _step(self, field: AbstractVectorField, t: Tensor, h: Tensor, carried: Carried) -> Carried:
        """One step of length h from t, both of shape () or ``(*batch)``."""

    def _totals(self, state: PhaseSpace) -> tuple[Total, Total]:
        q, p = state
        return (
            (Total(q, torch.zeros_like(q)), Total(p, torch.zeros_like(p))) if self.compensated else (Total(q), Total(p))
        )

    def _intervals(self, times: Tensor) -> list[Interval]:
        ends = list(pairwise(times))
        if self.step is None:
            return [Interval(start, end, 1, 1, 1) for start, end in ends]
        # Times are rounded: a span of one step and a half unit in the last place is one step.
        blur = 2 * torch.finfo(times.dtype).eps * torch.maximum(times[:-1].abs(), times[1:].abs())
        counts = ((times.diff(dim=0).abs() - blur) / self.step).ceil().clamp(min=1)
        whole = counts.flatten(1) if counts.ndim > 1 else counts[:, None]
        least, most = torch.stack([whole.amin(1), whole.amax(1)]).long().tolist()
        return [
            Interval(start, end, low, high, high if low == high else count)
            for (start, end), low, high, count in zip(ends, least, most, counts, strict=True)
        ]


def wide(h: Tensor) -> Tensor:
    """h of shape () or ``(*batch)``, so that it multiplies ``(*batch, n, d)``."""
    return h[..., None, None] if h.ndim else h
