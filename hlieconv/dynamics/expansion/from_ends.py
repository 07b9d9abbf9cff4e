"""The law behind frames far apart."""

import math
import warnings
from collections.abc import Iterator, Sequence
from typing import NamedTuple

import torch
from jaxtyping import Float
from torch import Tensor

from hlieconv.dynamics.expansion.ends import Ends
from hlieconv.dynamics.expansion.equations import Equations
from hlieconv.dynamics.expansion.paths import equations_of_paths, parabolas
from hlieconv.dynamics.expansion.polishing import polished, typical
from hlieconv.dynamics.expansion.solving import estimates_of, library_of, searched
from hlieconv.models.expansion.law import Estimate
from hlieconv.models.expansion.model import PairExpansion
from systems.integrators import AbstractIntegrator

#: Systems on which forms are compared, and on which coefficients are found.
COMPARED, POLISHED = 400, 2000

#: Rounds of a search; single terms that are tried; steps of Gauss and Newton for each law.
ROUNDS, ALONE, STEPS = 4, 6, 6

#: Rows of middling size lie between these quantiles.
MIDDLING = (0.3, 0.8)

#: The part of the systems by which laws are compared, if nothing else is said; the part by which each more number of a
#: law has to lower the error.
HELD_OUT, PRICE = 0.2, 0.1

#: A typical error of this part of what forces did settles the law.
SETTLED = 1e-3

#: A typical error that is more than this part of what forces did leaves the law unexplained.
UNEXPLAINED = 0.1


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
