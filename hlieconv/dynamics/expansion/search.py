"""Which terms: the best pair, forward, backward, snapped exponents."""

from collections.abc import Collection, Sequence
from dataclasses import dataclass, replace

import torch
from jaxtyping import Float
from torch import Tensor

from hlieconv.dynamics.expansion.equations import Equations, Solution, least_squares, normalised
from hlieconv.dynamics.expansion.refinement import free_of, refined
from hlieconv.models.expansion.terms import Pair, Term

#: A step must lower the score by this, and by so many standard errors.
GAIN, ERRORS = 0.02, 2.0

#: Singular functions together can mimic a softened law where there are data, and explode where there are none.
SINGULAR = 2

#: Rows at which candidates are compared, and pairs of them.
ROWS, ROWS_OF_PAIRS = 12_000, 6_000

#: Pairs of families of terms of which shapes are refined.
PAIRS = 6

#: Steps that gained nothing before a search ends; candidates whose shape is refined at each step.
PATIENCE, TRIED = 2, 3

#: Squared norm of a column, relative, below which the other columns explain it.
DEPENDENT = 1e-9


@dataclass(frozen=True)
class Candidates:
    """A library of terms, and their columns at some of the states."""

    equations: Equations
    terms: Sequence[Term]
    few: Equations
    columns: Float[Tensor, "row term"]


def candidates(equations: Equations, terms: Sequence[Term]) -> Candidates:
    """The columns of a library, of the terms that act on anything: one body has no pairs."""
    few = equations.few(ROWS)
    columns = few.library(terms)
    acts = columns.any(0)
    kept = [term for term, some in zip(terms, acts.tolist(), strict=True) if some]
    return Candidates(equations, kept, few, columns if acts.all() else columns.mT[acts].mT)


def best_pairs(library: Candidates, weights: Float[Tensor, " row"]) -> list[list[Term]]:
    """The two terms that explain most together, of all pairs: attraction and repulsion explain nothing one by one.

    The best pair of each two families, as shapes are refined later.
    """
    few = library.few
    step = max(1, len(few.y) // ROWS_OF_PAIRS)
    root = weights[few.of_whole][::step].sqrt()
    b, _ = normalised(library.columns[::step] * root[:, None])
    gram, along = b.mT @ b, b.mT @ (few.y[::step] * root)
    apart = 1 - gram.square()
    together = along[:, None].square() + along.square() - 2 * gram * along[:, None] * along
    gain = torch.where(apart > 1e-6, together / apart.clamp(min=1e-6), 0).triu(1).flatten()
    found: dict[frozenset, list[Term]] = {}
    for index in gain.topk(min(len(gain), 500)).indices.tolist():
        pair = [library.terms[k] for k in divmod(index, len(along))]
        found.setdefault(frozenset(term.family for term in pair), pair)
        if len(found) == PAIRS:
            break
    return [*found.values()]


def forward(library: Candidates, start: Sequence[Term] = (), *, most: int = 12) -> Solution:
    """Terms are added one by one while the cross-validated score falls.

    Of the candidates that explain most of the residual, those with free parameters are refined before they are
    compared; after each step all parameters are.
    """
    equations = library.equations
    found = good = equations.solve(start)
    idle = 0
    while len(found.terms) < most:
        picks = _most_promising(library, found)
        if not picks:
            break
        found = _extended(equations, found, picks)
        gain, error = equations.better(found.score, good.score)
        if gain < -ERRORS * error and gain < -GAIN:
            good, idle = found, 0
        else:
            idle += 1
        if idle > PATIENCE or (idle and found.typical < float(equations.t.median())):
            break
    return good


def _most_promising(library: Candidates, found: Solution) -> list[Term]:
    """The terms that explain most of a residual, one of each family."""
    equations, few = library.equations, library.few
    root = found.weights[few.of_whole].sqrt()
    b, y = library.columns * root[:, None], few.y * root
    b, _ = normalised(b)
    if found.terms:
        own = equations.columns(found.terms)[few.of_whole] * root[:, None]
        basis = torch.linalg.qr(normalised(own)[0])[0]
        b, y = b - basis @ (basis.mT @ b), y - basis @ (basis.mT @ y)
    square = b.square().sum(0)
    gain = torch.where(square > DEPENDENT, (b.mT @ y).square() / square.clamp(min=DEPENDENT), 0)
    singular = {term.function for term in found.terms if term.singular}
    picks: dict[tuple, Term] = {}
    for index in gain.argsort(descending=True).tolist():
        term = library.terms[index]
        if not (gain[index] > 0) or len(picks) == TRIED:
            break
        if term not in found.terms and not (term.singular and len(singular | {term.function}) > SINGULAR):
            picks.setdefault(term.family, term)
    return list(picks.values())


def _extended(equations: Equations, found: Solution, picks: Sequence[Term]) -> Solution:
    """With the best of some more terms."""
    best, root = None, found.weights.sqrt()
    for term in picks:
        terms: list[Term] = [*found.terms, term]
        if any(term.free):
            terms = refined(equations, terms, found.weights, only=len(terms) - 1)
        a = equations.columns(terms) * root[:, None]
        y = equations.y * root
        left = float((y - a @ least_squares(a, y)).square().sum())
        if best is None or left < best[0] * (0.98 if any(term.free) else 1):
            best = left, terms
    assert best is not None  # there was a pick
    solution = equations.solve(best[1])
    if free_of(solution.terms):
        solution = equations.solve(refined(equations, solution.terms, solution.weights))
    return solution


def backward(solution: Solution, *, tolerance: float = GAIN, least: float = 0.1) -> Solution:
    """Without the terms whose loss costs no more than two standard errors of the score."""
    equations = solution.equations
    while len(solution.terms) > 1:
        options = []
        for index in solution.sizes.argsort()[: max(3, len(solution.terms) // 2)].tolist():
            rest = [term for k, term in enumerate(solution.terms) if k != index]
            smaller = equations.solve(rest)
            loss, error = equations.better(smaller.score, solution.score)
            options.append((loss, error, smaller))
        loss, error, smaller = min(options, key=lambda option: option[0])
        if loss >= max(ERRORS * error, tolerance) or loss >= least:
            break
        solution = smaller
    return solution


def without_each(solution: Solution, *, tolerance: float = 0.05, least: float = 0.2) -> Solution:
    """`backward`, where the shapes of the others are refined anew without each term."""
    equations, again = solution.equations, bool(free_of(solution.terms))
    while again and len(solution.terms) > 1:
        again = False
        for index in solution.sizes.argsort()[:5].tolist():
            rest = [term for k, term in enumerate(solution.terms) if k != index]
            smaller = settled(equations, rest, solution.weights, rounds=2, evaluations=20)
            loss, error = equations.better(smaller.score, solution.score)
            if loss < max(ERRORS * error, tolerance) and loss < least:
                solution, again = smaller, True
                break
    return solution


def settled(equations: Equations, terms: Sequence[Term], weights: Tensor, *, rounds: int, evaluations: int) -> Solution:
    """Shapes and coefficients, in turn with the weights of the rows."""
    terms, solution = list(terms), None
    for _ in range(rounds):
        terms = refined(equations, terms, weights, evaluations=evaluations)
        solution = equations.solve(terms)
        weights = solution.weights
    assert solution is not None  # of at least one round
    return solution


def snapped(solution: Solution) -> Solution:
    """With exponents at whole or half numbers where that costs nothing."""
    equations = solution.equations
    for i, k in free_of(solution.terms):
        term = solution.terms[i]
        if term.kinds[k] != "exponent":
            continue
        for value in (float(round(term.parameters[k])), round(2 * term.parameters[k]) / 2):
            if value == 0:
                continue
            parameters, free = list(term.parameters), list(term.free)
            parameters[k], free[k] = value, False
            own = expanded(replace(term, parameters=tuple(parameters), free=tuple(free)))
            terms = [*solution.terms[:i], *own, *solution.terms[i + 1 :]]
            tried = equations.solve(list(dict.fromkeys(terms)))
            loss, error = equations.better(tried.score, solution.score)
            if loss < max(ERRORS * error, 0.05):
                if len(tried.terms) != len(solution.terms):
                    return snapped(backward(tried))
                solution = tried
                break
    return solution


def expanded(term: Term) -> list[Term]:
    """A softened square, or the square of one, as powers of the distance: the same force by as many numbers.

    (r^2 + e^2)^2 = r^4 + 2 e^2 r^2 + e^4, of which the constant moves nothing.

    Example:
        >>> [term.parameters for term in expanded(Pair("softened", (0.3, 4.0), (True, False)))]
        [(4.0,), (2.0,)]
    """
    powers = {2.0: (2.0,), 4.0: (4.0, 2.0)}.get(term.parameters[-1], ()) if term.shape == "softened" else ()
    return [replace(term, shape="power", parameters=(p,), free=(False,)) for p in powers] or [term]


def relatives(solution: Solution, needed: Collection[tuple] = ()) -> list[Solution]:
    """Laws that noise may hide behind this one: without one of the smaller terms, or with a shape much like another.

    Behind a single term it may be that there is no force at all.

    Forces do not tell these apart; trajectories do.

    Args:
        solution: a law.
        needed: families of terms without which, and with nothing else in their place, none need be tried; and with
            the index of a parameter, those without which no shape need be.
    """
    terms, largest = solution.terms, int(solution.sizes.argmax())
    without = {k: (*terms[:k], *terms[k + 1 :]) for k in range(len(terms)) if k != largest or len(terms) == 1}
    found = [some for k, some in without.items() if (terms[k].family,) not in needed]
    for some in (terms, *without.values()):
        for i, term in enumerate(some):
            if (term.family, 0) not in needed:
                found += [(*some[:i], other, *some[i + 1 :]) for other in _much_like(term)]
    return [solution.equations.solve(terms) for terms in dict.fromkeys(found)]


def _much_like(term: Term) -> list[Term]:
    """An inverse power that is softened, or screened, which is one more number to be found; and back again."""
    if type(term) is not Pair:
        return []
    if term.shape == "softened":
        return [Pair("power", term.parameters[1:], term.free[1:], term.bodies, term.pairs)]
    if term.shape != "power" or term.parameters[0] >= 0:
        return []
    shapes = [("softened", (0.1, term.parameters[0]), (True, False))]  # the length is a guess
    shapes += [("yukawa", (4.0,), (True,))] if term.parameters[0] == -1 else []
    return [Pair(*shape, term.bodies, term.pairs) for shape in shapes]


def finished(solution: Solution) -> Solution:
    """With shapes and coefficients as exact as they get."""
    equations = solution.equations
    if free_of(solution.terms):
        solution = settled(equations, solution.terms, solution.weights, rounds=3, evaluations=25)
    return equations.solve(solution.terms, iterations=20)


def from_nothing(library: Candidates, *, most: int = 12) -> Solution:
    """The terms of a library that explain the forces, added one by one."""
    return from_terms(library, (), most=most)


def from_terms(library: Candidates, start: Sequence[Term], *, most: int = 12) -> Solution:
    """The same, beginning with a law found before."""
    found = forward(library, start, most=most)
    return _pruned(found) if found.terms else found


def from_best_pair(library: Candidates, *, most: int = 12) -> Solution:
    """The same, beginning with the two terms that explain most together."""
    best = _of_best_pairs(library, library.equations.solve(()))
    best = _of_best_pairs(library, best)
    return _pruned(forward(library, best.terms, most=most))


def _of_best_pairs(library: Candidates, before: Solution) -> Solution:
    """The best pair of terms, shapes refined, by the weights of an earlier law."""
    equations, weights = library.equations, before.weights
    pairs = (refined(equations, pair, weights, evaluations=12) for pair in best_pairs(library, weights))
    return min((equations.solve(pair) for pair in pairs), key=lambda solution: solution.typical, default=before)


def _pruned(solution: Solution) -> Solution:
    return finished(snapped(without_each(backward(solution))))
