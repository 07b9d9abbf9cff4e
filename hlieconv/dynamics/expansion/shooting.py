"""The coefficients that fit noisy trajectories best: multiple shooting with unknown first states."""

import math
from collections.abc import Sequence
from dataclasses import dataclass, replace

import torch
from jaxtyping import Bool, Float
from torch import Tensor

from hlieconv.dynamics.chunks import Chunks, joined
from hlieconv.dynamics.expansion.forces import Forces
from hlieconv.dynamics.expansion.steps import HALVED, Steps, Substep
from hlieconv.dynamics.expansion.variation import Linear, Variation
from hlieconv.models.expansion.law import Estimate
from hlieconv.models.expansion.terms import Bodies
from systems import PhaseSpace

#: Points of a segment, and segments, at most.
LENGTH, SEGMENTS = 50, 200

#: Segments whose chi^2 is so many times the median are left out: a close passage that no linear step describes.
FAR = 5.0

#: Iterations of Gauss and Newton, at most, and of those by halved steps, which begin near the end; they end where a
#: step lowers the sum of squares by less than this.
ITERATIONS, NEAR, SETTLED = 12, 4, 1.0

#: A step by which the sum of squares grows by so much is shortened to this part, so many times; then the law is left.
WORSE, SHORTER, SHORTENED = 1.1, 0.3, 3

#: Laws that do not hold need no more than this part of what is left of the sum of squares.
ROUGHLY = 0.03

#: Tangents serve again while a step lowers the sum of squares by less than this part of what the step before did.
CHORD = 0.1

#: chi^2 of a law that holds is below this.
CHI_SQUARE = 1.1

#: A segment fits a law if its chi^2 is no more than so many standard deviations from 1.
DEVIATIONS = 5.0

#: Of so many segments one alone does not decide.
MANY = 10

#: Scores that differ by less than this, 2 ln of a Bayes factor, do not decide between two laws.
UNDECIDED = 2.0

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
        """Whether the trajectories speak for this law, or for neither and it is the simpler one.

        Every unknown number has to lower the sum of squares by the logarithm of their number (Schwarz 1978, Ann. Stat.
        6, 461). Where scores then differ by no more than "a bare mention" is worth (Kass and Raftery 1995, J. Am. Stat.
        Assoc. 90, 773), the law with fewer terms is better: a softened power and the first terms of its expansion have
        as many numbers, and meet data without close passages alike.

        Segments that fit none of the two laws say nothing, unless there are few others; nor does of many the one that
        differs most, as where bodies meet between two steps.
        """
        if not (self.finite and other.finite):
            return self.finite
        more_terms = len(self.estimates) - len(other.estimates)
        gain, more = other.each - self.each, self.unknown - other.unknown
        either = self.fitting | other.fitting
        if 2 * int(either.sum()) > len(either):
            gain = gain[either]
            if len(gain) >= MANY:
                gain = gain[gain.abs().argsort()[:-1]]
            doubt = UNDECIDED * ((more_terms > 0) - (more_terms < 0))
            return float(gain.sum()) > more * float(self.freedom.sum().log()) + doubt
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
    return _Segments(estimates, whole.take(keep), own, known).solve(polish)


def _seen(segments: Chunks, bodies: Bodies) -> Bool[Tensor, " segment"]:
    """Those in which every body was seen half of the time, at least; all, if there is no such segment."""
    assert segments.errors is not None  # pieces of `noise_in`
    seen = segments.errors.q.isfinite().all(-1).double().mean(0) >= 0.5
    enough = (seen if bodies.mask is None else seen | ~bodies.mask).all(-1)
    return enough if enough.any() else torch.ones_like(enough)


class _Segments:
    """Pieces of trajectories, and what a law predicts of them."""

    def __init__(
        self, estimates: Sequence[Estimate], pieces: Chunks, bodies: Bodies, known: Sequence[Estimate]
    ) -> None:
        self.estimates, self.pieces, self.law = list(estimates), pieces, Forces(estimates, bodies, known)
        self.mass = bodies.features["mass"][..., None]
        self.real = torch.ones_like(self.mass) if bodies.mask is None else bodies.mask[..., None].to(self.mass)
        assert pieces.errors is not None  # pieces of `noise_in`
        self.size = PhaseSpace(*(self.real / error for error in pieces.errors))
        seen = sum((x > 0).sum((0, 2, 3)) for x in self.size)
        self.freedom = (seen - 2 * pieces.q.shape[-1] * self.real.sum((1, 2))).clamp(min=1)
        self.q, self.p = pieces.q[0].clone(), pieces.p[0].clone()
        self.data = self._scaled(pieces.q, pieces.p, slice(None)).movedim(0, -2).flatten(-2)

    def solve(self, polish: bool) -> Shot:
        """The first states, and the law if it is to be polished, that fit best.

        At first by one step from point to point. Tangents are taken again only where those of earlier states and
        coefficients bring little.
        """
        shot, errors, linear = self._descended(polish, None, halved=0)
        if linear is not None and shot.finite and any(len(steps) > 1 for steps in self._roll(HALVED)[1]):
            shot, errors, _ = self._descended(polish, linear, halved=HALVED)
        return replace(shot, estimates=self._found(shot, errors) if polish else self.estimates)

    def _descended(self, polish: bool, linear: Linear | None, *, halved: int) -> tuple[Shot, Tensor, Linear | None]:
        """Iterations of Gauss and Newton; the errors of what they found, and the last tangents, none if they failed."""
        unknown, near = self.law.unknown if polish else 0, linear is not None
        shot, errors = Shot([], unknown, self.freedom, self.freedom), torch.zeros(unknown, dtype=torch.float64)
        move, before, size, shortened, stale = tuple[Tensor, Tensor](), 0.0, math.inf, 0, linear is None
        for k in range(NEAR if near else ITERATIONS):
            path, taken = self._roll(halved)
            residual = self.data - path
            size, last = float(residual.square().sum(1).nan_to_num(nan=math.inf).median()), size
            if size > WORSE * last:  # too far: back to a part of the step, or all the way
                shortened += 1
                part = SHORTER if shortened < SHORTENED else 0.0
                self._move(*((part - 1) * x for x in move))
                if not part:
                    return shot, errors, None
                stale, move, size = True, tuple(part * x for x in move), last
                continue
            shortened = 0
            if linear is None or stale:
                linear = Linear(self._tangents(taken, polish=polish), unknown)
            left = linear.without_states(residual)
            shot = replace(shot, each=left.square().sum(1).nan_to_num(nan=math.inf))
            step, errors, gain = linear.law(left, shot.passing)
            if polish and (held := self.law.at_limits(step)).any():
                step, errors, gain = linear.law(left, shot.passing, held)
            gain += float((residual.square().sum(1) - shot.each)[shot.passing].sum())
            move = self._move(linear.states(residual, step), step)
            excess = float((shot.each - shot.freedom)[shot.passing].sum().nan_to_num().clamp(min=0))
            if (k or near) and gain < max(SETTLED, ROUGHLY * excess * (not shot.holds)):
                break
            stale, before = gain >= CHORD * before, gain
        return shot, errors, linear

    def _found(self, shot: Shot, errors: Tensor) -> list[Estimate]:
        """The terms of the law with standard errors, which grow where it does not fit."""
        law, errors = self.law, errors * max(shot.chi_square, 1.0) ** 0.5
        of_terms, of_shapes = errors[: len(law.terms)].tolist(), errors[len(law.terms) :].tolist()
        places, found = dict(zip(law.free, of_shapes, strict=True)), []
        for i, (term, coefficient) in enumerate(zip(law.terms, law.coefficients.tolist(), strict=True)):
            own = tuple(places.get((i, k), 0.0) for k in range(len(term.parameters)))
            found.append(Estimate(term, coefficient, of_terms[i], own))
        return found

    def _move(self, states: Tensor, law: Tensor) -> tuple[Tensor, Tensor]:
        """Change the first states by so much, and the law, as far as it goes; returns the changes."""
        q, p = states.unflatten(-1, (2, *self.q.shape[-2:])).unbind(1)
        self.q, self.p = self.q + q * self.real, self.p + p * self.real
        return states, self.law.change(law) if len(law) else law

    def _roll(self, halved: int) -> tuple[Float[Tensor, "segment residual"], list[list[Substep]]]:
        """Where the first states go from point to point, in units of the noise, and the steps between the points.

        Each is halved so many times, at most.
        """
        state, steps = PhaseSpace(self.q, self.p), Steps(self.law.weighted, self.mass, self._fine)
        path, taken = [self._scaled(*state, 0)], []
        for k, h in enumerate(self._intervals, start=1):
            state, own = steps.across(state, h, halved)
            path.append(self._scaled(*state, k))
            taken.append(own)
        return torch.stack(path, -2).flatten(-2), taken

    def _tangents(self, taken: Sequence[list[Substep]], *, polish: bool) -> Float[Tensor, "segment residual unknown"]:
        """The derivatives of a path in the first states and the law."""
        variation = Variation(self.q, self.mass, self.law, polish=polish)
        moved = [self._in_noise(variation, 0)]
        for k, steps in enumerate(taken, start=1):
            for step in steps:
                variation.step(step)
            moved.append(self._in_noise(variation, k))
        return torch.stack(moved, 1).flatten(1, 2)

    @property
    def _intervals(self) -> Float[Tensor, "interval segment 1 1"]:
        return self.pieces.times.diff(dim=0)[..., None, None]

    @property
    def _fine(self) -> Float[Tensor, "segment n d"]:
        """What makes of a change of p one of states up to the end of a segment, at most, in units of their noise."""
        duration = self._intervals.sum(0)
        return torch.maximum(self.size.p.amax(0), self.size.q.amax(0) * duration / self.mass)

    def _in_noise(self, variation: Variation, k: int) -> Float[Tensor, "segment state unknown"]:
        """The derivatives of the states at a point in units of their errors."""
        sizes = (size[k].expand_as(self.q).flatten(1)[..., None] for size in self.size)
        return torch.cat([variation.q * next(sizes), variation.p * next(sizes)], 1)

    def _scaled(self, q: Tensor, p: Tensor, k: int | slice) -> Tensor:
        """The states at a point in units of their errors, zero where nothing was seen: ``(*batch, 2 n d)``."""
        return torch.cat([(q * self.size.q[k]).flatten(-2), (p * self.size.p[k]).flatten(-2)], -1)
