"""Coefficients and shapes of a law by which bodies end where they were seen."""

import copy
import math
from collections.abc import Sequence

import torch
from jaxtyping import Float
from torch import Tensor

from hlieconv.dynamics.expansion.ends import Ends
from hlieconv.dynamics.expansion.equations import normalised, robust_weights
from hlieconv.dynamics.expansion.paths import POINTS
from hlieconv.dynamics.expansion.refinement import free_of
from hlieconv.models.expansion.law import Estimate
from hlieconv.models.expansion.model import PairExpansion
from systems.integrators import AbstractIntegrator

#: The change of a parameter by which derivatives are taken, relative.
APART = 1e-6


def polished(
    model: PairExpansion, law: Sequence[Estimate], ends: Ends, integrator: AbstractIntegrator, *, steps: int
) -> tuple[list[Estimate], Float[Tensor, "point sample n d"]]:
    """The law whose coefficients and shapes meet the last positions best, by Gauss-Newton, and its paths.

    Positions that are missed by far redescend (see `robust_weights`), and those that any change of the law moves by far
    count for as little: how they move is not linear. So a few close passages decide nothing.
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
        reach = 1 + sensitivity(a)
        least = torch.full_like(residual, 1e-12 * float(ends.end.abs().max()))
        weight = usable * robust_weights(residual / reach, least) / reach.square()
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


def sensitivity(a: Float[Tensor, "row term"]) -> Float[Tensor, " row"]:
    """How much more a row changes with the parameters than rows usually do."""
    usual = torch.stack([x[x > 0].median() if (x > 0).any() else x.new_ones(()) for x in a.abs().mT])
    return (a / usual).norm(dim=1)


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
