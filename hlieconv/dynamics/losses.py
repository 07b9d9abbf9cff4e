"""What a model of dynamics is fitted to: chunks of trajectories, or the derivatives that they imply.

Each loss turns chunks into `samples` once, and gives a scalar for a vector field and some of these samples.
"""

from abc import ABC, abstractmethod
from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import Any, Generic, NamedTuple, TypeVar

import torch
from jaxtyping import Bool, Float, Int
from torch import Tensor

from hlieconv.dynamics.chunks import Chunks
from hlieconv.dynamics.first_states import with_fitted_starts
from hlieconv.dynamics.interpolant import extrema, hermite, lagrange, nodes, truncation
from hlieconv.dynamics.quality import check_derivatives, check_given, check_rates
from hlieconv.dynamics.settings import Settings
from systems import AbstractNewtonian, AbstractVectorField, PhaseSpace, integrators
from systems.checks import check
from systems.clock import started
from systems.integrators import INTEGRATORS, AbstractIntegrator, Recomputed
from systems.integrators.stepping import AbstractStepping
from systems.native.compiled import decided

#: Forces whose error is more than this part of the root mean square force count for less.
KNOWN = 1e-3
#: Why first states are not fitted.
STATES = "force_matching has none, the losses that compare integrated points do"
#: Chunks whose derivatives are computed at once.
BLOCK = 4096
#: Residuals beyond so many times the median count for little, where they are robust.
FAR = 5.0
#: No standard error counts as less than this part of their root mean square.
SMALLEST = 1e-2

Samples = TypeVar("Samples", bound="Chunks | Derivatives")


class Derivatives(NamedTuple):
    """States, and how they change there."""

    trajectory: Int[Tensor, " sample"]
    q: Float[Tensor, "sample n d"]
    p: Float[Tensor, "sample n d"]
    velocity: Float[Tensor, "sample n d"]
    force: Float[Tensor, "sample n d"]
    times: Float[Tensor, " sample"]
    weight: Float[Tensor, "sample n"]
    """1 for forces that are known well, less for others."""

    def take(self, index: Int[Tensor, " batch"]) -> "Derivatives":
        """Some of the samples."""
        return Derivatives(*(tensor[index] for tensor in self))

    def to(self, dtype: torch.dtype, device: torch.device) -> "Derivatives":
        """The same on a device."""
        return Derivatives(self.trajectory.to(device), *(tensor.to(device, dtype) for tensor in self[1:]))


def as_they_are(chunks: Chunks) -> Chunks:
    """In the data's own units."""
    return chunks


class AbstractLoss(ABC, Generic[Samples]):
    """A scalar for a vector field and some samples, 0 for the field that made them: the mean of its `errors`."""

    def check(self, chunks: Chunks, mass: Float[Tensor, "trajectory n"] | None) -> None:
        """A ValueError, in the data's own units, if the chunks do not say what the loss needs."""

    @abstractmethod
    def samples(
        self,
        chunks: Chunks,
        mass: Float[Tensor, "trajectory n"] | None,
        framed: Callable[[Chunks], Chunks] = as_they_are,
        most: int | None = None,
        *,
        seed: int = 0,
    ) -> Samples:
        """What the loss looks at, computed once, in float64.

        Args:
            chunks: pieces of trajectories.
            mass: of the bodies, where it is known, in the units of the samples.
            framed: gives chunks in these units.
            most: how many there is time to look at: of more, so many are taken at random.
            seed: of that.

        Raises:
            ValueError: if the chunks do not have what the loss needs.
        """

    @abstractmethod
    def errors(self, field: AbstractVectorField, samples: Samples) -> tuple[Tensor, ...]:
        """The mean square errors of a field that moves the bodies of these samples, one for each kind of quantity."""

    @abstractmethod
    def sizes(self, samples: Samples, mask: Bool[Tensor, "sample n"] | None) -> tuple[Tensor, ...]:
        """About the errors of a field in which nothing changes. In units of these the forces of planets are not small.

        Args:
            samples: all that there are.
            mask: True where a body of theirs exists.
        """

    def __call__(self, field: AbstractVectorField, samples: Samples) -> Float[Tensor, ""]:
        return _mean(self.errors(field, samples))


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
        return found._replace(errors=_at_least(found.errors))

    def sizes(self, samples: Chunks, mask: Bool[Tensor, "sample n"] | None) -> tuple[Tensor, ...]:
        q, p = samples.q - samples.q[0], samples.p - samples.p[0]
        if samples.errors is None:
            return tuple(_size(x, mask, seen=_seen(samples, x)) for x in (q, p))
        both = torch.cat([q / samples.errors.q, p / samples.errors.p])
        return (_size(both, mask, seen=_seen(samples, both)),)

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
            units = [_size(x - x[0], field.mask, seen=_seen(samples, x)).sqrt() for x in (q, p)]
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


@dataclass(frozen=True)
class ForceMatching(AbstractLoss[Derivatives]):
    """The mean square error of the force, against what the chunks imply.

    The Hermite interpolant of q and dq/dt = p / m through the points of a chunk gives the force m d^2q/dt^2 at its
    `nodes`. Where dq/dt and dp/dt are data (`Chunks.rates`), they are taken as they are, at the points. A field that is
    not Newtonian has to give dq/dt as well.

    A force whose own error t is not small (see `truncation`) weighs 1 / (1 + (t / s)^2), s being `KNOWN` of the root
    mean square force, or the median of t: a few close passages, where the points are too far apart, would otherwise be
    most of the loss. Where standard errors of the momenta are known, t is taken as proportional to these, and s is
    their median: at the ends of smoothed trajectories forces are known worst.

    Args:
        canonical: whether p may be another thing than mass dq/dt, as for generalised coordinates and in magnetic
            fields: then polynomials through q and through p, each by itself, give dq/dt and dp/dt.
        robust: whether few large residuals count for little (see `mean_square`).
    """

    canonical: bool = False
    robust: bool = False

    def check(self, chunks: Chunks, mass: Float[Tensor, "trajectory n"] | None) -> None:
        if chunks.rates is not None:
            if mass is not None and not self.canonical:
                check_given(chunks, torch.where(mass > 0, mass, 1)[chunks.trajectory][..., None])
        elif self.canonical:
            check_rates(chunks)
        elif mass is not None:
            check_derivatives(chunks, torch.where(mass > 0, mass, 1)[chunks.trajectory][..., None])

    def samples(
        self,
        chunks: Chunks,
        mass: Float[Tensor, "trajectory n"] | None,
        framed: Callable[[Chunks], Chunks] = as_they_are,
        most: int | None = None,
        *,
        seed: int = 0,
    ) -> Derivatives:
        if mass is None and not self.canonical and chunks.rates is None:
            raise ValueError(
                "loss: force_matching needs known masses, the variable mass, or derivatives, q_rate and p_rate; or use "
                "rollout, one_step or multiple_shooting"
            )
        points, count = len(chunks.times), len(chunks.trajectory)
        at = extrema(points) if self.canonical else nodes(points)
        at = at if chunks.rates is None else torch.linspace(0, 1, points, dtype=torch.float64)
        chosen = _chosen(len(at) * count, most, seed)
        node, place = chosen // max(1, count), chosen % max(1, count)
        columns, times = list[Tensor](), torch.empty(len(chosen), dtype=torch.float64)
        for first in range(0, max(1, count), BLOCK):  # what it takes on the way is many times what it gives
            some = framed(chunks.take(torch.arange(first, min(first + BLOCK, count))))
            found = self._at(some, at, mass)
            columns = columns or [x.new_empty(len(chosen), *x.shape[2:]) for x in found]
            own = (place >= first) & (place < first + BLOCK)
            for column, x in zip((times, *columns), (_moments(some, at), *found), strict=True):
                column[own] = x[node[own], place[own] - first]
        q, p, velocity, force, error = columns
        least = KNOWN * force.square().mean().sqrt() if chunks.errors is None else torch.zeros(())
        weight = weights_of(error, least)
        return Derivatives(chunks.trajectory[place], q, p, velocity, force, times, weight)

    def _at(
        self, chunks: Chunks, at: Float[Tensor, " node"], mass: Float[Tensor, "trajectory n"] | None
    ) -> tuple[Tensor, ...]:
        """q, p, their derivatives and the error of the force at fractions of the chunks, ``(node, chunk, ...)``."""
        if chunks.rates is not None:
            return chunks.q, chunks.p, *chunks.rates, torch.zeros_like(chunks.q[..., 0])
        if self.canonical or mass is None:
            (q, velocity), (p, force) = (lagrange(chunks.times, x, at) for x in (chunks.q, chunks.p))
            error = torch.zeros_like(q[..., 0]) if chunks.errors is None else _near(chunks.errors.p, at)
            return q, p, velocity, force, error
        m = torch.where(mass > 0, mass, 1)[chunks.trajectory][..., None]  # 0 where there is no body
        given = (chunks.times, chunks.q, chunks.p / m, at)
        q, velocity, acceleration = hermite(*given)
        cut = truncation(*given, acceleration) * m[..., 0] if chunks.errors is None else _near(chunks.errors.p, at)
        return q, m * velocity, velocity, m * acceleration, cut

    def sizes(self, samples: Derivatives, mask: Bool[Tensor, "sample n"] | None) -> tuple[Tensor, ...]:
        return _size(samples.force, mask), _size(samples.velocity, mask)

    def errors(self, field: AbstractVectorField, samples: Derivatives) -> tuple[Tensor, ...]:
        if isinstance(field, AbstractNewtonian):
            off = field.force(samples.q) - samples.force
            return (mean_square(off, field.mask, samples.weight, robust=self.robust),)
        derivative = field(samples.times[:, None, None], PhaseSpace(samples.q, samples.p))
        force = mean_square(derivative.p - samples.force, field.mask, samples.weight, robust=self.robust)
        return force, mean_square(derivative.q - samples.velocity, field.mask, robust=self.robust)


def _near(errors: Float[Tensor, "point chunk n d"], at: Float[Tensor, " node"]) -> Float[Tensor, "node chunk n"]:
    """The errors of the points that are nearest to nodes, of all components together."""
    return errors[(at * (len(errors) - 1)).round().long()].square().sum(-1).sqrt()


def _at_least(errors: PhaseSpace | None) -> PhaseSpace | None:
    """Standard errors of which none is far below the others, infinite where they are not known; None if all are 0."""
    if errors is None or not all((x > 0).any() for x in errors):
        return None
    floors = [SMALLEST * float(x[x.isfinite()].square().mean().sqrt()) for x in errors]
    return PhaseSpace(
        *(torch.where(x.isfinite(), x.clamp(min=floor), torch.inf) for x, floor in zip(errors, floors, strict=True))
    )


def weights_of(error: Float[Tensor, "*shape"], least: Float[Tensor, ""]) -> Float[Tensor, "*shape"]:
    """How much what is known up to these errors weighs; an error below their median, or the least, hardly counts."""
    known = torch.maximum(least.to(error), error.median())
    return 1 / (1 + (error / torch.where(known > 0, known, 1)).square())


def _moments(chunks: Chunks, at: Float[Tensor, " node"]) -> Float[Tensor, "node chunk"]:
    """When the nodes are: the points, where derivatives are data."""
    if chunks.rates is not None:
        return chunks.times + (0 if chunks.origin is None else chunks.origin)
    start, end = chunks.times[0], chunks.times[-1]
    return start + at[:, None] * (end - start) + (0 if chunks.origin is None else chunks.origin)


def _chosen(count: int, most: int | None, seed: int) -> Int[Tensor, " chosen"]:
    """The numbers below a count, in order: all, or so many of them at random."""
    if most is None or count <= most:
        return torch.arange(count)
    return torch.randperm(count, generator=torch.Generator().manual_seed(seed))[:most].sort().values


@dataclass(frozen=True)
class Relative(Generic[Samples]):
    """A loss in units of its `sizes` on all samples, so that it does not depend on the units of the data.

    Args:
        loss: whose errors are measured.
        sizes: of its kinds of errors; a field may have fewer of these than there are.
        separate: whether each kind is measured by its own size; else all are by their mean, and weigh as in the loss.
    """

    loss: AbstractLoss[Samples]
    sizes: tuple[Tensor, ...]
    separate: bool

    def __call__(self, field: AbstractVectorField, samples: Samples) -> Float[Tensor, ""]:
        errors = self.loss.errors(field, samples)
        if not self.separate:
            return _mean(errors) / _mean(self.sizes[: len(errors)])
        return _mean(tuple(error / size for error, size in zip(errors, self.sizes, strict=False)))


def _mean(values: tuple[Tensor, ...]) -> Float[Tensor, ""]:
    return sum(values[1:], values[0]) / len(values)


def _seen(samples: Chunks, x: Float[Tensor, "*batch n d"]) -> Bool[Tensor, "*batch n d"] | None:
    """Which numbers of the samples were seen; None if all were."""
    return x.isfinite() if samples.gaps else None


def _size(
    values: Float[Tensor, "*batch n d"], mask: Tensor | None, *, seen: Bool[Tensor, "*batch n d"] | None = None
) -> Float[Tensor, ""]:
    """The mean square of what exists and was seen, 1 if all of it is 0."""
    square = mean_square(values, mask, seen=seen)
    return torch.where(square > 0, square, 1)


def mean_square(
    error: Float[Tensor, "*batch n d"],
    mask: Tensor | None,
    weight: Float[Tensor, "*batch n"] | None = None,
    *,
    seen: Bool[Tensor, "*batch n d"] | None = None,
    robust: bool = False,
) -> Float[Tensor, ""]:
    """The mean of the squares, times their weights, over the bodies that exist, and of them over what was seen.

    Robust ones, of which a few may be as large as they like, are u / (1 + u / s) in place of a body's square u, with s
    `FAR` squared times the median of what is not 0 (Geman & McClure 1987).

    Example:
        >>> error = torch.tensor([[[0.1]], [[0.1]], [[0.2]], [[1e6]]])
        >>> bool(mean_square(error, None) > 1e11), bool(mean_square(error, None, robust=True) < 0.1)
        (True, True)
    """
    if mask is None and seen is None and not robust:
        return (error.square() if weight is None else weight[..., None] * error.square()).mean()
    real = torch.ones_like(error, dtype=torch.bool) if mask is None else mask[..., None].expand(error.shape)
    real = real if seen is None else real & seen
    square = torch.where(real, error, 0).square()
    square = square if weight is None else weight[..., None] * square
    if robust:
        square = square.sum(-1)
        typical = torch.where(square > 0, square, torch.nan).detach().nanmedian().nan_to_num(1.0)
        square = square / (1 + square / (FAR**2 * typical))
    return square.sum() / real.sum().clamp(min=1)


def make_loss(
    settings: Settings,
    second: float = 1.0,
    *,
    canonical: bool = False,
    compile: str = "off",
    recompute: bool = False,
) -> AbstractLoss:
    """The loss that the settings name.

    Args:
        settings: of the training.
        second: in the unit of time of the samples.
        canonical: see `ForceMatching`.
        compile: whether steps are taken in machine code, "on", "off" or "auto".
        recompute: whether steps are taken again for gradients, whose memory then does not grow with their number.

    Raises:
        ValueError: if there is no such integrator, the integrator has no step to choose, or the loss no first states.
    """
    robust = settings.residuals == "robust"
    if settings.loss == "force_matching":
        check("first_states", settings.first_states, settings.first_states != "fitted", f"auto or measured: {STATES}")
        return ForceMatching(canonical, robust)
    kind = getattr(integrators, INTEGRATORS[settings.integrator].partition(":")[2])
    integrator: Any = kind(step=settings.step * second) if settings.step else kind()
    if isinstance(integrator, AbstractStepping):
        integrator = replace(integrator, compile=compile)
        integrator = Recomputed(integrator) if recompute else integrator
    return Shooting(integrator, restart_length(settings), settings.first_states, robust)


def restart_length(settings: Settings) -> int:
    """From how many points to the next the integrator is restarted, in the losses that compare integrated points."""
    return {"rollout": settings.chunk - 1, "one_step": 1, "multiple_shooting": settings.segment}[settings.loss]
