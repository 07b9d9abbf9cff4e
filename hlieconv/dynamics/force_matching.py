"""Forces against those that chunks imply, between their points or as data."""

from collections.abc import Callable
from dataclasses import dataclass

import torch
from jaxtyping import Bool, Float, Int
from torch import Tensor

from hlieconv.dynamics.abstract_loss import AbstractLoss, as_they_are, mean_square, size_of
from hlieconv.dynamics.chunks import Chunks
from hlieconv.dynamics.derivatives import Derivatives
from hlieconv.dynamics.interpolant import extrema, hermite, lagrange, nodes, truncation
from hlieconv.dynamics.quality import check_derivatives, check_given, check_rates
from systems import AbstractNewtonian, AbstractVectorField, PhaseSpace

#: Forces whose error is more than this part of the root mean square force count for less.
KNOWN = 1e-3

#: Chunks whose derivatives are computed at once.
BLOCK = 1024


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
        return size_of(samples.force, mask), size_of(samples.velocity, mask)

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
