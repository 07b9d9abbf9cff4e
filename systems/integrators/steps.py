"""Steps, and what is carried from one to the next."""

from __future__ import annotations

from typing import NamedTuple

import torch
from torch import Tensor

from systems.integrators.sums import Total
from systems.phase_space import PhaseSpace


class Carried(NamedTuple):
    """What a method carries from step to step."""

    q: Total
    p: Total
    reused: tuple[Tensor, ...] = ()
    """What the next step can use again: the last force, say."""

    @property
    def state(self) -> PhaseSpace:
        return PhaseSpace(self.q.value, self.p.value)


class Step(NamedTuple):
    """A step that was taken."""

    t: Tensor
    """Where it started, ``()`` or ``(*batch)``."""
    h: Tensor
    """How long it is; 0 for a trajectory that does not move in it."""
    before: Carried
    after: Carried


class Interval(NamedTuple):
    """From one output time to the next, in ``most`` equal substeps.

    Trajectories may need different numbers of them, ``counts``: one that has arrived takes steps of length zero, which
    change nothing, until the last has.
    """

    start: Tensor
    end: Tensor
    least: int = 1
    most: int = 1
    counts: Tensor | int = 1

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


def substep_counts(times: Tensor, step: float | Tensor) -> Tensor:
    """How many equal steps no longer than ``step`` lead from each time to the next.

    Args:
        times: ``(time,)`` or ``(time, *batch)``.
        step: a number, or ``(*batch)``.

    Returns:
        Whole numbers of at least 1, in the dtype of the times: ``(time - 1,)`` or ``(time - 1, *batch)``.

    Example:
        >>> substep_counts(torch.tensor([0.0, 0.3, 0.35]), 0.1)
        tensor([3., 1.])
        >>> substep_counts(torch.linspace(0, 100, 1001).double(), 0.001).unique()
        tensor([100.], dtype=torch.float64)
    """
    # Times are rounded: a span of one step and a half unit in the last place is one step. Those that float32 holds were
    # rounded to it, and would else be a step more apart now and then.
    narrow = ((times.to(torch.float32).to(times.dtype) == times) | times.isnan()).all()
    eps = torch.where(narrow, torch.finfo(torch.float32).eps, torch.finfo(times.dtype).eps)
    blur = 2 * eps * torch.maximum(times[:-1].abs(), times[1:].abs())
    spans = times.diff(dim=0).abs() - blur
    if isinstance(step, Tensor) and times.ndim == 1:  # the same times for all, but steps of each
        spans = spans.reshape(-1, *(1,) * step.ndim)
    return (spans / step).detach().ceil().clamp(min=1)


def wide(h: Tensor) -> Tensor:
    """h of shape () or ``(*batch)``, so that it multiplies ``(*batch, n, d)``."""
    return h[..., None, None] if h.ndim else h
