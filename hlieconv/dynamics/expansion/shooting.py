"""The coefficients that fit noisy trajectories best: multiple shooting with unknown first states."""

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace

import torch
from jaxtyping import Bool, Float
from torch import Tensor

from hlieconv.dynamics.chunks import Chunks, joined
from hlieconv.dynamics.expansion.noise import typical_noise
from hlieconv.dynamics.expansion.refinement import free_of
from hlieconv.models.expansion.configuration import Configuration
from hlieconv.models.expansion.law import Estimate
from hlieconv.models.expansion.terms import Bodies, Term
from systems import PhaseSpace

#: Points of a segment, and segments, at most.
LENGTH, SEGMENTS = 50, 200

#: Segments whose chi^2 is so many times the median are left out: a close passage that no linear step describes.
FAR = 5.0

#: Iterations of Gauss and Newton, at most; they end where a step lowers the sum of squares by less than this.
ITERATIONS, SETTLED = 6, 1.0

#: chi^2 of a law that holds is below this.
CHI_SQUARE = 1.1

#: A segment fits a law if its chi^2 is no more than so many standard deviations from 1.
DEVIATIONS = 5.0

#: Of so many segments one alone does not decide.
MANY = 10

#: Of two laws of which none holds one is better if this many standard errors of the sum over segments say so.
ERRORS = 2.0


@dataclass(frozen=True, eq=False)
class Shot:
    """What shooting found."""

    estimates: list[Estimate]
    unknown: int
    """How many numbers of the law were found."""
    each: Float[Tensor, " segment"]
    """The sum of the squared residuals of every segment."""
    freedom: Float[Tensor, " segment"]
    """How many degrees of freedom these have."""

    @property
    def passing(self) -> Bool[Tensor, " segment"]:
        """The segments without close passages."""
        return self.each < FAR * self.each.median()

    @property
    def chi_square(self) -> float:
        """Of these, divided by the degrees of freedom: 1 for a right law."""
        return float(self.each[self.passing].sum() / self.freedom[self.passing].sum())

    @property
    def holds(self) -> bool:
        """Whether chi^2 speaks for the law."""
        return self.chi_square < CHI_SQUARE

    @property
    def finite(self) -> bool:
        """Whether all that was found is a number."""
        numbers = [x for estimate in self.estimates for x in (estimate.coefficient, *estimate.term.parameters)]
        return all(map(math.isfinite, (self.chi_square, *numbers)))

    @property
    def fitting(self) -> Bool[Tensor, " segment"]:
        """The segments that fit the law."""
        return self.each < self.freedom + DEVIATIONS * (2 * self.freedom).sqrt()

    def better(self, other: "Shot") -> bool:
        """Whether the trajectories speak for this law, or for neither and fewer of its numbers were unknown.

        Every unknown number has to lower the sum of squares by the logarithm of their number (Schwarz 1978, Ann. Stat.
        6, 461). Segments that fit none of the two laws say nothing, unless there are few others; nor does of many the
        one that differs most, as where bodies meet between two steps.
        """
        if not (self.finite and other.finite):
            return self.finite
        gain, more = other.each - self.each, self.unknown - other.unknown
        either = self.fitting | other.fitting
        if 2 * int(either.sum()) > len(either):
            gain = gain[either]
            alone = gain[gain.abs().argmax()] if len(gain) >= MANY else 0.0
            return float(gain.sum() - alone) > more * float(self.freedom.sum().log())
        gain = gain[self.passing & other.passing]
        return float(gain.sum()) > ERRORS * float(gain.std(correction=0)) * math.sqrt(len(gain))


def shoot(
    estimates: Sequence[Estimate],
    pieces: Chunks,
    bodies: Bodies,
    *,
    known: Sequence[Estimate] = (),
    polish: bool = True,
    seed: int = 0,
) -> Shot:
    """Coefficients and shapes by Gauss-Newton on the trajectories themselves, whose first states are unknown too.

    The first states of a segment concern that segment alone, so they are eliminated from the equations.

    Args:
        estimates: the law to begin with.
        pieces: whole trajectories with standard errors, infinite ones where nothing was seen.
        bodies: of these.
        known: terms that stay as they are.
        polish: whether to improve the law, or only the first states.
        seed: of the choice of segments.
    """
    length = min(LENGTH, len(pieces.times))
    starts = range(0, len(pieces.times) - length + 1, length)
    spans = [slice(a, a + length) for a in starts]
    whole = joined([pieces.points(span) for span in spans])
    number = torch.arange(len(pieces.trajectory)).repeat(len(starts))
    keep = _seen(whole, bodies.take(number)).nonzero().flatten()
    if len(keep) > SEGMENTS:
        keep = keep[torch.randperm(len(keep), generator=torch.Generator().manual_seed(seed))[:SEGMENTS]]
    own = bodies.take(number[keep])
    return _Segments(estimates, whole.take(keep), own, force_of(known, own)).solve(polish)


def _seen(segments: Chunks, bodies: Bodies) -> Bool[Tensor, " segment"]:
    """Those in which every body was seen half of the time, at least; all, if there is no such segment."""
    assert segments.errors is not None  # pieces of `noise_in`
    seen = segments.errors.q.isfinite().all(-1).double().mean(0) >= 0.5
    enough = (seen if bodies.mask is None else seen | ~bodies.mask).all(-1)
    return enough if enough.any() else torch.ones_like(enough)


def force_of(estimates: Sequence[Estimate], bodies: Bodies) -> Callable[[Tensor], Tensor]:
    """The force of some terms on bodies, as a function of their positions ``(*batch, n, d)``."""
    weighted = [(x.term, x.coefficient * x.term.weight(bodies)) for x in estimates]

    def force(q: Tensor) -> Tensor:
        configuration = Configuration(q)
        return sum((term.force(configuration, weight) for term, weight in weighted), torch.zeros_like(q))

    return force


class _Segments:
    """Pieces of trajectories, and what a law predicts of them."""

    def __init__(
        self,
        estimates: Sequence[Estimate],
        pieces: Chunks,
        bodies: Bodies,
        known: Callable[[Tensor], Tensor],
    ) -> None:
        self.known = known
        self.estimates, self.pieces, self.bodies = list(estimates), pieces, bodies
        terms = [estimate.term for estimate in estimates]
        self.weights = [term.weight(bodies) for term in terms]
        self.free = free_of(terms)
        self.coefficients = torch.tensor([estimate.coefficient for estimate in estimates], dtype=torch.float64)
        self.terms: list[Term] = terms
        self.mass = bodies.features["mass"][..., None]
        self.real = torch.ones_like(self.mass) if bodies.mask is None else bodies.mask[..., None].to(self.mass)
        assert pieces.errors is not None  # pieces of `noise_in`
        self.size = PhaseSpace(*(self.real / error for error in pieces.errors))
        seen = sum((x > 0).sum((0, 2, 3)) for x in self.size)
        self.freedom = (seen - 2 * pieces.q.shape[-1] * self.real.sum((1, 2))).clamp(min=1)
        self.q, self.p = pieces.q[0].clone(), pieces.p[0].clone()
        self.data = self._scaled(pieces.q, pieces.p, slice(None)).movedim(0, -2).flatten(-2)
        noise, duration = typical_noise(pieces), float((pieces.times[-1] - pieces.times[0]).mean())
        moving = noise.q * float(self.mass.mean()) / duration  # a momentum by which a body is off as by the noise of q
        self.steps = 1e-3 * torch.tensor([noise.q, min(noise.p, moving)], dtype=torch.float64)

    def solve(self, polish: bool) -> Shot:
        errors = torch.zeros(len(self.terms) + len(self.free), dtype=torch.float64)
        shot = Shot([], 0, self.freedom, self.freedom)
        for k in range(ITERATIONS):
            before, (shot, errors) = shot, self._iterate(polish)
            if k and float((before.each - shot.each)[shot.passing].sum()) < SETTLED:
                break
        coefficients, others = errors[: len(self.terms)], dict(zip(self.free, errors[len(self.terms) :], strict=True))
        estimates = []
        for i, (term, old) in enumerate(zip(self.terms, self.estimates, strict=True)):
            of_shape = tuple(float(others.get((i, k), 0.0)) for k in range(len(term.parameters)))
            new = Estimate(term, float(self.coefficients[i]), float(coefficients[i]), of_shape)
            estimates.append(new if polish else old)
        return replace(shot, estimates=estimates, unknown=len(errors) if polish else 0)

    def _iterate(self, polish: bool) -> tuple[Shot, Tensor]:
        """One step; what is known before it, and the standard errors of what is unknown of the law."""
        n, d = self.q.shape[-2:]
        unknown = 2 * n * d
        move = torch.zeros(unknown + 1, 2, 1, n, d, dtype=torch.float64)
        steps = self.steps
        for k in range(unknown):
            move[k + 1].view(2, -1)[divmod(k, n * d)] = 1.0
        q, p = self.q + move[:, 0] * steps[0], self.p + move[:, 1] * steps[1]
        rolled = self._roll(q, p, self.coefficients, self.terms)
        base = rolled[0]
        tangents = (rolled[1:] - base) / steps.repeat_interleave(n * d)[:, None, None]
        a = tangents.movedim(0, -1)  # (segment, residual, unknown)
        normal = a.mT @ a
        size = normal.diagonal(dim1=-2, dim2=-1).amax(-1)[:, None, None]
        normal = normal + 1e-13 * size * torch.eye(unknown, dtype=a.dtype)
        residual = self.data - base

        def states(x: Tensor) -> Tensor:
            """The first states that explain most of columns ``(segment, residual, columns)``."""
            return torch.linalg.solve(normal, a.mT @ x)

        law = self._tangents_of_law(base) if polish else base.new_zeros(*base.shape, 0)
        left = residual[..., None] - a @ states(residual[..., None])
        b = law - a @ states(law)
        each = left.square().sum((1, 2))
        shot = Shot([], 0, each.nan_to_num(nan=math.inf), self.freedom)
        step, errors = base.new_zeros(law.shape[-1]), base.new_zeros(len(self.terms) + len(self.free))
        if polish:
            columns = b[shot.passing].flatten(0, 1)
            scale = columns.norm(dim=0)
            scale = torch.where(scale > 0, scale, 1.0)  # the length of (r^2 + e^2)^1 does nothing
            inverse = torch.linalg.pinv((columns / scale).mT @ (columns / scale), rtol=1e-13)
            step = inverse @ ((columns / scale).mT @ left[shot.passing].flatten()) / scale
            errors = (inverse.diagonal().clamp(min=0) * max(shot.chi_square, 1.0)).sqrt() / scale
        change = states((residual - law @ step)[..., None])[..., 0].unflatten(-1, (2, n, d))
        self.q, self.p = self.q + change[:, 0] * self.real, self.p + change[:, 1] * self.real
        if polish:
            self.coefficients = self.coefficients + step[: len(self.terms)]
            self.terms = self._moved(step[len(self.terms) :])
        return shot, errors

    def _tangents_of_law(self, base: Tensor) -> Tensor:
        columns = []
        for i, coefficient in enumerate(self.coefficients):
            step = 1e-5 * float(coefficient.abs().clamp(min=1e-3 * float(self.coefficients.abs().max())))
            changed = self.coefficients.clone()
            changed[i] += step
            columns.append((self._roll(self.q[None], self.p[None], changed, self.terms)[0] - base) / step)
        for k, (i, j) in enumerate(self.free):
            step = 1e-5 * abs(self.terms[i].parameters[j])
            change = [step if m == k else 0.0 for m in range(len(self.free))]
            moved = self._roll(self.q[None], self.p[None], self.coefficients, self._moved(change))[0]
            columns.append((moved - base) / step)
        return torch.stack(columns, -1)

    def _moved(self, change: Sequence[float] | Tensor) -> list[Term]:
        """The terms with other values of their free parameters."""
        terms = list(self.terms)
        for (i, k), step in zip(self.free, change, strict=True):
            parameters = list(terms[i].parameters)
            parameters[k] += float(step)
            terms[i] = terms[i].at(tuple(parameters))
        return terms

    def _roll(
        self, q: Tensor, p: Tensor, coefficients: Tensor, terms: Sequence[Term]
    ) -> Float[Tensor, "moved segment residual"]:
        """Where states ``(b, segment, n, d)`` go by RK4 from point to point, in units of the noise."""
        out, times = [self._scaled(q, p, 0)], self.pieces.times

        def force(x: Tensor) -> Tensor:
            configuration = Configuration(x)
            parts = zip(coefficients, terms, self.weights, strict=True)
            return sum((c * term.force(configuration, weight) for c, term, weight in parts), self.known(x))

        for k, h in enumerate(times.diff(dim=0)[..., None, None], start=1):
            a1, b1 = p / self.mass, force(q)
            a2, b2 = (p + h / 2 * b1) / self.mass, force(q + h / 2 * a1)
            a3, b3 = (p + h / 2 * b2) / self.mass, force(q + h / 2 * a2)
            a4, b4 = (p + h * b3) / self.mass, force(q + h * a3)
            q, p = q + h / 6 * (a1 + 2 * a2 + 2 * a3 + a4), p + h / 6 * (b1 + 2 * b2 + 2 * b3 + b4)
            out.append(self._scaled(q, p, k))
        return torch.stack(out, -2).flatten(-2)

    def _scaled(self, q: Tensor, p: Tensor, k: int | slice) -> Tensor:
        """The states at a point in units of their errors, zero where nothing was seen: ``(*batch, 2 n d)``."""
        return torch.cat([(q * self.size.q[k]).flatten(-2), (p * self.size.p[k]).flatten(-2)], -1)
