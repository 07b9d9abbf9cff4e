"""A polynomial of the sides of triangles where no known function of three bodies explains the forces."""

from collections.abc import Sequence

from hlieconv.dynamics.expansion.equations import Equations, Solution
from hlieconv.dynamics.expansion.search import ERRORS, GAIN, Candidates, finished, forward, snapped
from hlieconv.models.expansion.polynomial import Polynomial, basis
from hlieconv.models.expansion.terms import Factor, Pair, Term

#: Lengths, in units of the typical distance, and degrees from which cross-validation chooses: of these the first is
#: that of a polynomial by which features are told apart, the second that beside which terms of pairs are chosen.
LENGTHS, DEGREES = (0.5, 1.0, 2.0, 4.0), (6, 8, 10, 12)

#: Rows at which features are told apart.
ROWS = 3_000

#: Terms of pairs beside a polynomial, at most; and by how much each has to lower the score.
PAIRS, LEAST = 3, 0.1


def with_polynomial(library: Candidates, best: Solution, arms: Sequence[tuple[Factor, Factor]]) -> Solution:
    """A law with a polynomial of three sides in place of the terms of three bodies found so far.

    Its features and its length are those with which forces left out are predicted best, beside the terms of pairs found
    so far. Then terms of pairs are chosen anew, and the degree grows while that predicts better beyond doubt.

    Args:
        library: terms of pairs that may stand beside it.
        best: the law found so far.
        arms: the features of centres and of arms that are tried.
    """
    equations = best.equations
    pairs = [term for term in best.terms if type(term) is Pair]

    def predicted(on: Equations, length: float, degree: int, bodies: tuple[Factor, Factor]) -> tuple[float, Solution]:
        found = on.solve([*pairs, *basis(length * equations.length, degree, bodies)])
        return float(found.score.mean()), found

    first, second, *higher = DEGREES
    few = equations.few(ROWS)
    bodies = min(arms, key=lambda own: min(predicted(few, x, first, own)[0] for x in LENGTHS[1::2]))
    options = [predicted(equations, x, second, bodies) for x in LENGTHS]
    start = _triples(min(options, key=lambda option: option[0])[1])
    solution = snapped(forward(library, start, most=len(start) + PAIRS))
    length = start[0].parameters[0]
    for degree in higher:
        richer = equations.solve([*_pairs(solution), *basis(length, degree, bodies)])
        gain, error = equations.better(richer.score, solution.score)
        if not (gain < -ERRORS * error and gain < -GAIN):
            break
        solution = richer
    return finished(_without_pairs(solution))


def _pairs(solution: Solution) -> list[Term]:
    return [term for term in solution.terms if not isinstance(term, Polynomial)]


def _triples(solution: Solution) -> list[Polynomial]:
    return [term for term in solution.terms if isinstance(term, Polynomial)]


def _without_pairs(solution: Solution) -> Solution:
    """Without the terms of pairs that a polynomial makes up for."""
    equations = solution.equations
    for pair in _pairs(solution):
        smaller = equations.solve([term for term in solution.terms if term != pair])
        loss, error = equations.better(smaller.score, solution.score)
        if loss < max(ERRORS * error, LEAST):
            solution = smaller
    return solution
