"""Chunks against what an integrator makes of their first states: rollout, one-step, multiple shooting."""

from collections.abc import Callable
from dataclasses import dataclass, replace

import torch
from jaxtyping import Bool, Float
from torch import Tensor

from hlieconv.dynamics.abstract_loss import AbstractLoss, as_they_are, mean_square, size_of
from hlieconv.dynamics.chunks import Chunks
from hlieconv.dynamics.first_states import with_fitted_starts
from systems import AbstractVectorField, PhaseSpace
from systems.checks import check
from systems.clock import started
from systems.integrators import AbstractIntegrator
from systems.native.compiled import decided

#: No standard error counts as less than this part of their root mean square.
SMALLEST = 1e-2


@dataclass(frozen=True)
class Shooting(AbstractLoss[Chunks]):
    """The mean square error of (q, p) where the integrator is restarted from the data every ``segment`` points.

    What was not seen (NaN) does not count: where no segment begins, positions alone will do, or those of some bodies.
    All segments run in parallel: time is one more dimension of the batch. A segment that spans the whole chunk is the
    rollout loss of the paper (Finzi et al. 2020), one that spans one step is the one-step loss. The mean is over all
    points of all segments, their exact first ones included.

    Where standard errors of the points are known, residuals are in units of these.

    Args:
        integrator: takes its steps between the points of the data.
        segment: steps from one restart to the next; the chunk's number of steps is a multiple of it.
        first_states: "measured", or "fitted" to all points of a segment (see `with_fitted_starts`); "auto" fits them
            where standard errors are known.
        robust: whether few large residuals count for little (see `mean_square`).
    """

    integrator: AbstractIntegrator
    segment: int
    first_states: str = "measured"
    robust: bool = False

    def samples(
        self,
        chunks: Chunks,
        mass: Float[Tensor, "trajectory n"] | None,
        framed: Callable[[Chunks], Chunks] = as_they_are,
        most: int | None = None,
        *,
        seed: int = 0,
    ) -> Chunks:
        steps = len(chunks.times) - 1
        if steps % self.segment:
            raise ValueError(f"segment: expected a divisor of the chunk's {steps} steps, got {self.segment}")
        found = framed(chunks if most is None else chunks.take(torch.arange(min(most, len(chunks.trajectory)))))
        return found._replace(errors=at_least(found.errors))

    def sizes(self, samples: Chunks, mask: Bool[Tensor, "sample n"] | None) -> tuple[Tensor, ...]:
        q, p = samples.q - samples.q[0], samples.p - samples.p[0]
        if samples.errors is None:
            return tuple(size_of(x, mask, seen=_seen(samples, x)) for x in (q, p))
        both = torch.cat([q / samples.errors.q, p / samples.errors.p])
        return (size_of(both, mask, seen=_seen(samples, both)),)

    def errors(self, field: AbstractVectorField, samples: Chunks) -> tuple[Tensor, ...]:
        # (point of a segment, segment, sample, ...): a restart belongs to the segment that it begins
        times, q, p = (self._segments(x) for x in (samples.times, samples.q, samples.p))
        if samples.origin is not None:
            field = started(field, samples.origin + times[0])
        times, start = (times - times[0]).to(q.dtype), PhaseSpace(q[0], p[0])
        errors = None if samples.errors is None else PhaseSpace(*(self._segments(x) for x in samples.errors))

        def left(start: PhaseSpace) -> PhaseSpace:
            predicted = self.integrator.integrate(field, start, times)
            return PhaseSpace(predicted.q - q, predicted.p - p)

        if self.first_states == "measured" or (self.first_states == "auto" and errors is None):
            off = left(start)
        else:
            units = [size_of(x - x[0], field.mask, seen=_seen(samples, x)).sqrt() for x in (q, p)]
            real = True if field.mask is None else field.mask[..., None]
            pairs = zip((q, p), errors or units, strict=True)
            known = PhaseSpace(*(torch.where(x.isfinite() & real, error, torch.inf) for x, error in pairs))
            off = with_fitted_starts(left, field, start, times, known, units)
        if errors is None:
            both = ((off.q, q), (off.p, p))
            return tuple(mean_square(x, field.mask, seen=_seen(samples, y), robust=self.robust) for x, y in both)
        both, seen = torch.cat([off.q / errors.q, off.p / errors.p]), _seen(samples, torch.cat([q, p]))
        return (mean_square(both, field.mask, seen=seen, robust=self.robust),)

    def decided(self, field: AbstractVectorField, samples: Chunks, steps: int) -> "Shooting":
        """Whether machine code pays, by the counts of a whole training: so many steps with so many samples."""
        times, q, p = (self._segments(x) for x in (samples.times, samples.q, samples.p))
        times = (times - times[0]).to(q.dtype)
        return replace(self, integrator=decided(self.integrator, field, PhaseSpace(q[0], p[0]), times, steps))

    def _segments(self, x: Float[Tensor, "point sample *shape"]) -> Float[Tensor, "step segment sample *shape"]:
        """One segment beside the other; where one begins the last one ends."""
        return x.unfold(0, self.segment + 1, self.segment).movedim(-1, 0)


def at_least(errors: PhaseSpace | None) -> PhaseSpace | None:
    """Standard errors of which none is far below the others, infinite where they are not known; None if all are 0.

    A ValueError if some are negative, or those of q are known and those of p are not.
    """
    if errors is None or not any(x.any() for x in errors):
        return None
    for name, x in zip(("q_error", "p_error"), errors, strict=True):
        good = bool((x > 0).any()) and not (x < 0).any()
        check(name, float(x.min()), good, "standard errors above 0, of q and p both or of none")
    floors = [SMALLEST * float(x[x.isfinite()].square().mean().sqrt()) for x in errors]
    return PhaseSpace(
        *(torch.where(x.isfinite(), x.clamp(min=floor), torch.inf) for x, floor in zip(errors, floors, strict=True))
    )


def _seen(samples: Chunks, x: Float[Tensor, "*batch n d"]) -> Bool[Tensor, "*batch n d"] | None:
    """Which numbers of the samples were seen; None if all were."""
    return x.isfinite() if samples.gaps else None
