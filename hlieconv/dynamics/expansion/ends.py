"""The law behind frames far apart: states at one time and positions at another, between which nothing was seen."""

import copy
import math
import warnings
from collections.abc import Iterator, Sequence
from typing import Any, NamedTuple

import torch
from jaxtyping import Float
from torch import Tensor

from hlieconv.dynamics.chunks import Chunks
from hlieconv.dynamics.expansion.equations import Equations, normalised, robust_weights
from hlieconv.dynamics.expansion.refinement import free_of
from hlieconv.dynamics.expansion.shooting import force_of
from hlieconv.dynamics.expansion.solving import estimates_of, library_of, searched
from hlieconv.dynamics.expansion.targets import Targets
from hlieconv.models.expansion.configuration import Configuration
from hlieconv.models.expansion.law import Estimate
from hlieconv.models.expansion.model import PairExpansion
from hlieconv.models.expansion.terms import Bodies
from systems import PhaseSpace
from systems.checks import check
from systems.integrators import AbstractIntegrator

#: Points of a path, an odd number; systems on which forms are compared, and on which coefficients are found.
POINTS, COMPARED, POLISHED = 21, 400, 2000

#: Rounds of a search; single terms that are tried; steps of Gauss and Newton for each law.
ROUNDS, ALONE, STEPS = 4, 6, 6

#: Rows of middling size lie between these quantiles.
MIDDLING = (0.3, 0.8)

#: The part of the systems by which laws are compared, if nothing else is said; the part by which each more number of a
#: law has to lower the error.
HELD_OUT, PRICE = 0.2, 0.1

#: The change of a parameter by which derivatives are taken, relative.
APART = 1e-6

#: A typical error of this part of what forces did settles the law.
SETTLED = 1e-3

#: A typical error that is more than this part of what forces did leaves the law unexplained.
UNEXPLAINED = 0.1


class Ends(NamedTuple):
    """States of systems, and where their bodies were seen later."""

    start: PhaseSpace
    end: Float[Tensor, "sample n d"]
    duration: Float[Tensor, " sample"]
    bodies: Bodies

    def take(self, index: Tensor) -> "Ends":
        """Some of the systems."""
        start = PhaseSpace(self.start.q[index], self.start.p[index])
        return Ends(start, self.end[index], self.duration[index], self.bodies.take(index))

    @property
    def mass(self) -> Float[Tensor, "sample n 1"]:
        """Of the bodies, 1 where there is none."""
        mass = self.bodies.features["mass"][..., None]
        return torch.where(mass > 0, mass, 1)

    @property
    def real(self) -> Float[Tensor, "sample n 1"]:
        """1 where a body exists, else 0."""
        one = torch.ones_like(self.mass)
        return one if self.bodies.mask is None else self.bodies.mask[..., None].to(one)


class PathEquations(Equations):
    """Equations for what forces along given paths do to positions until the end.

    From Newton's law, m (q(T) - q(0) - T v(0)) = int (T - t) F(q(t)) dt: linear in the coefficients of F, where the
    paths are known about.

    Args:
        paths: of all bodies, ``(point, sample, n, d)``, at equally spaced times from the start to the end.
        targets: the left side, divided by T^2 / 2, as forces.
        features, mask, seed: as of `Equations`.
    """

    def __init__(
        self, paths: Float[Tensor, "point sample n d"], targets: Targets, features: Any, mask: Any, *, seed: int = 0
    ) -> None:
        points = len(paths)
        simpson = torch.ones(points, dtype=paths.dtype)
        simpson[1::2], simpson[2:-1:2] = 4, 2
        self.paths = paths
        self.share = simpson * torch.linspace(1, 0, points, dtype=paths.dtype) * 2 / (3 * (points - 1))
        super().__init__(targets, features, mask, seed=seed)
        self.configuration = Configuration(paths)

    def flat(self, x: Tensor) -> Tensor:
        if x.ndim == self.paths.ndim:
            x = torch.einsum("t,t...->...", self.share.to(x), x)
        return super().flat(x)

    def few(self, rows: int) -> "PathEquations":
        return self  # there are few already


def ends_of(chunks: Chunks, bodies: Bodies) -> Ends:
    """The first states and last positions of pieces; those are left out of which a last position was not seen.

    Args:
        chunks: pieces of trajectories.
        bodies: of all trajectories.

    Raises:
        ValueError: if there are fewer than ten.
    """
    own = bodies.take(chunks.trajectory)
    real = torch.ones_like(chunks.q[-1], dtype=torch.bool)
    real = real if own.mask is None else own.mask[..., None].expand_as(real)
    whole = (chunks.q[-1].isfinite() | ~real).flatten(1).all(1).nonzero().flatten()
    check("dataset", f"{len(whole)} systems", len(whole) >= 10, "at least 10 systems with all positions at both times")
    start = PhaseSpace(chunks.q[0], chunks.p[0])
    return Ends(start, chunks.q[-1], chunks.times[-1] - chunks.times[0], own).take(whole)


def solve_from_ends(
    model: PairExpansion, ends: Ends, integrator: AbstractIntegrator, *, held_out: float = HELD_OUT, seed: int = 0
) -> float:
    """Find the law that takes states to where bodies were seen later.

    A first guess of the paths, parabolas through what was seen, makes the law a linear problem, in which terms are
    found as from forces. Its coefficients and shapes are then those that meet the last positions best by the
    integrator's steps, which gives better paths; and so on, while systems that were held out are met better.

    Args:
        model: whose estimates are replaced by what is found.
        ends: what was seen.
        integrator: takes the steps from one frame to the other.
        held_out: the part of the systems by which laws are compared.
        seed: of the choice of these.

    Returns:
        The median square error of the positions of systems held out.

    Warns:
        UserWarning: if the law does not explain the positions.
    """
    order = torch.randperm(len(ends.end), generator=torch.Generator().manual_seed(seed))
    count = max(2, int((held_out or HELD_OUT) * len(order)))
    unseen, seen = ends.take(order[:count][:POLISHED]), ends.take(order[count:])
    some = seen.take(torch.arange(min(len(seen.end), COMPARED)))

    def tried(law: Sequence[Estimate]) -> TriedLaw:
        law, paths = polished(model, law, some, integrator, steps=STEPS)
        return TriedLaw(law, paths, typical(model, law, unseen, integrator))

    def laws(best: TriedLaw) -> Iterator[list[Estimate]]:
        """Those that are worth a trial after the best so far, the simplest first."""
        equations, length = equations_of_paths(model, some, best.paths, seed)
        if not best.law:
            yield from ([x] for x in alone(model, equations, length))
        yield from ([x for x in best.law if x is not term] for term in best.law if len(best.law) > 1)
        yield estimates_of(searched(model, equations, thorough=False).best, length)

    still = best = TriedLaw([], parabolas(some), typical(model, [], unseen, integrator))
    settled = SETTLED**2 * still.error
    for _ in range(ROUNDS):
        before = best
        for law in laws(before):
            trial = tried(law)
            best = trial if trial.better(best) else best
            if best.error < settled:
                break
        if best is before or best.error < settled:
            break
    law, _ = polished(model, best.law, seen.take(torch.arange(min(len(seen.end), POLISHED))), integrator, steps=STEPS)
    model.estimates, error = law, typical(model, law, unseen, integrator)
    if error > UNEXPLAINED**2 * still.error:
        part = math.sqrt(error / still.error)
        warnings.warn(
            f"expansion: a typical position is off by {part:.1e} of what the forces did: the library does not hold the "
            "law, or the steps are too long",
            UserWarning,
            stacklevel=2,
        )
    return error


class TriedLaw(NamedTuple):
    """A law, the paths under it, and the median square error of positions of systems that were held out."""

    law: list[Estimate]
    paths: Float[Tensor, "point sample n d"]
    error: float

    @property
    def numbers(self) -> int:
        """How many numbers of it were found."""
        return sum(1 + sum(x.term.free) for x in self.law)

    def better(self, other: "TriedLaw") -> bool:
        """Whether its error is smaller by a part for each number that it has more, or not larger with fewer."""
        more = self.numbers - other.numbers
        return self.error * (1 + PRICE) ** more < other.error * (1 - (more == 0) * PRICE / 10)


def alone(model: PairExpansion, equations: Equations, length: float) -> list[Estimate]:
    """The terms without free parameters that explain most by themselves, with their coefficients.

    A coefficient is the median of what rows say by themselves, of those of middling size: on a path that is only about
    known the largest forces are the most wrong ones.
    """
    found = []
    for term in library_of(model, equations).plain():
        column = equations.column(term)
        low, high = column.abs().quantile(torch.tensor(MIDDLING, dtype=column.dtype))
        some = (column.abs() >= low) & (column.abs() <= high) & (column != 0)
        if some.any():
            coefficient = (equations.y[some] / column[some]).median()
            left = float((equations.y - coefficient * column).abs().median())
            found.append((left, Estimate(term.in_units(1 / length), float(coefficient) * length**-term.degree)))
    found.sort(key=lambda pair: pair[0])
    return [estimate for _, estimate in found[:ALONE]]


def parabolas(ends: Ends) -> Float[Tensor, "point sample n d"]:
    """The paths of constant forces that begin and end as was seen."""
    t = ends.duration[:, None, None]
    velocity = ends.start.p / ends.mass
    bend = ends.end - ends.start.q - t * velocity
    part = torch.linspace(0, 1, POINTS, dtype=t.dtype)[:, None, None, None]
    return (ends.start.q + part * t * velocity + part.square() * bend) * ends.real


def equations_of_paths(model: PairExpansion, ends: Ends, paths: Tensor, seed: int) -> tuple[PathEquations, float]:
    """The equations for the last positions, were these the paths, in units of a typical length; and this length."""
    t = ends.duration[:, None, None]
    force = 2 * (ends.mass * (ends.end - ends.start.q) / t - ends.start.p) / t
    number, bodies, none = torch.arange(len(force)), ends.bodies, torch.zeros_like(force[..., 0])
    if model.known:
        same = PathEquations(paths, Targets(number, number, paths[0], force, none), bodies.features, bodies.mask)
        force = force - torch.einsum("t,t...->...", same.share, force_of(model.known, bodies)(paths))
    length = PathEquations(paths, Targets(number, number, paths[0], force, none), bodies.features, bodies.mask).length
    scaled = Targets(number, number, paths[0] / length, force * length, none)
    return PathEquations(paths / length, scaled, bodies.features, bodies.mask, seed=seed), length


def polished(
    model: PairExpansion, law: Sequence[Estimate], ends: Ends, integrator: AbstractIntegrator, *, steps: int
) -> tuple[list[Estimate], Float[Tensor, "point sample n d"]]:
    """The law whose coefficients and shapes meet the last positions best, by Gauss-Newton, and its paths.

    Positions that are missed by far redescend (see `robust_weights`): a few close passages decide nothing.
    """
    law, error = list(law), torch.zeros(0)
    places = free_of([x.term for x in law])
    paths = paths_of(model, law, ends, integrator)
    for _ in range(steps if law else 0):
        residual = _rows(ends, ends.end - paths[-1])
        columns = []
        for place in [(i, None) for i in range(len(law))] + places:
            changed, change = _moved(law, place, relative=APART)
            columns.append(_rows(ends, paths_of(model, changed, ends, integrator)[-1] - paths[-1]) / change)
        a = torch.stack(columns, 1)
        usable = (a.isfinite().all(1) & residual.isfinite()).to(a)
        a, residual = (x.nan_to_num(0.0, 0.0, 0.0) for x in (a, residual))
        weight = usable * robust_weights(residual, torch.full_like(residual, 1e-12 * float(ends.end.abs().max())))
        scaled, size = normalised(a * weight.sqrt()[:, None])
        inverse = torch.linalg.pinv(scaled.mT @ scaled, rtol=1e-12)
        step = (inverse @ (scaled.mT @ (weight.sqrt() * residual))) / size
        variance = float((weight * residual.square()).sum()) / max(1, len(residual) - len(step))
        error = (inverse.diagonal().clamp(min=0) * variance).sqrt() / size
        for shorter in (1.0, 0.3, 0.1, 0.0):
            tried = law
            for k, place in enumerate([(i, None) for i in range(len(law))] + places):
                tried, _ = _moved(tried, place, by=shorter * float(step[k]))
            new = paths_of(model, tried, ends, integrator)
            if _size(ends, new) < _size(ends, paths):
                law, paths = tried, new
                break
        else:
            break
    errors = error.tolist() or [0.0] * (len(law) + len(places))
    of_shape = dict(zip(places, errors[len(law) :], strict=True))
    found = []
    for i, x in enumerate(law):
        shapes = tuple(of_shape.get((i, k), 0.0) for k in range(len(x.term.parameters)))
        found.append(Estimate(x.term, x.coefficient, errors[i], shapes))
    return found, paths


def paths_of(
    model: PairExpansion, law: Sequence[Estimate], ends: Ends, integrator: AbstractIntegrator
) -> Float[Tensor, "point sample n d"]:
    """Where the bodies go under a law."""
    own = copy.copy(model)
    own.estimates = list(law)
    field = own.condition(ends.bodies.features, ends.bodies.mask)
    times = torch.linspace(0, 1, POINTS, dtype=torch.float64)[:, None] * ends.duration
    with torch.no_grad():
        return integrator.attempt(field, ends.start, times).trajectory.q


def typical(model: PairExpansion, law: Sequence[Estimate], ends: Ends, integrator: AbstractIntegrator) -> float:
    """The median square error of the last positions of systems under a law."""
    return _size(ends, paths_of(model, law, ends, integrator))


def _size(ends: Ends, paths: Tensor) -> float:
    """The median over systems of the mean square error of the last positions."""
    square = ((ends.end - paths[-1]).square() * ends.real).sum((1, 2)) / (ends.real.sum((1, 2)) * paths.shape[-1])
    return float(square.nan_to_num(nan=math.inf).median())


def _rows(ends: Ends, x: Tensor) -> Tensor:
    """The numbers of bodies that exist, in a row."""
    return (x * ends.real).flatten()


def _moved(
    law: Sequence[Estimate], place: tuple[int, int | None], *, relative: float = 0.0, by: float = 0.0
) -> tuple[list[Estimate], float]:
    """A law with another coefficient, or another parameter of a shape; and the change."""
    law, (i, k) = list(law), place
    old = law[i].coefficient if k is None else law[i].term.parameters[k]
    change = by or relative * abs(old)
    if k is None:
        law[i] = law[i]._replace(coefficient=old + change)
    else:
        values = list(law[i].term.parameters)
        values[k] = old + change
        law[i] = law[i]._replace(term=law[i].term.at(tuple(values)))
    return law, change
