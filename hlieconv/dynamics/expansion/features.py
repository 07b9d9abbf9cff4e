"""What laws make of features of bodies where these, their roots and squares do not explain the forces."""

import itertools
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import replace

import numpy as np
import scipy.optimize
import torch

from hlieconv.dynamics.expansion import search
from hlieconv.dynamics.expansion.equations import Equations, Solution
from hlieconv.models.expansion.terms import Factor, Pair, Term

#: The search for an exponent begins at the best of these, and stays between the first and the last.
EXPONENTS = tuple(float(x) for x in np.arange(-3, 3.1, 0.5) if x)

#: Rows at which exponents are compared; rounds over exponents and shapes, at most.
ROWS, ROUNDS = 3_000, 3

#: To what an exponent is rounded where that costs nothing.
SNAP = 0.1


#: Degrees of polynomials in the feature of each of two bodies; functions of the distance beside them, at most.
DEGREES, FUNCTIONS = (2, 4, 6, 8, 10, 12), 2


def positive(equations: Equations, features: Sequence[str]) -> list[str]:
    """Those features of bodies of which powers can be taken."""
    real = torch.ones_like(equations.features["mass"]) if equations.mask is None else equations.mask
    return [name for name in features if bool((equations.features[name][real.bool()] > 0).all())]


def repeats(terms: Sequence[Term]) -> bool:
    """Whether a function stands in several terms, with other features: it may be one, with a power of these.

    Example:
        >>> k, root = Factor("stiffness"), Factor("stiffness", 0.5)
        >>> terms = [Pair("power", (2.0,), (False,), (x, x)) for x in (k, root)]
        >>> repeats(terms), repeats(terms[:1])
        (True, False)
    """
    return len({(type(term), term.function) for term in terms}) < len(terms)


def with_exponents(solution: Solution, features: Sequence[str]) -> Solution | None:
    """The law whose terms have one exponent for each feature of bodies, whichever explains the forces best.

    Exponents are searched one after the other, in turn with shapes; coefficients are eliminated.

    Args:
        solution: a law whose terms have these features to some powers.
        features: of bodies, all positive.

    Returns:
        None if no term of two bodies has such a feature.
    """
    equations, few = solution.equations, solution.equations.few(ROWS)
    used = {x.feature for term in solution.terms if isinstance(term, Pair) for x in term.bodies}
    exponents = dict.fromkeys((name for name in features if name in used), 1.0)
    if not exponents:
        return None

    def left(value: float, name: str) -> float:
        return float(np.log(few.solve(raised(solution.terms, exponents | {name: value})).typical + few.scale * 1e-15))

    for k in range(ROUNDS):
        before = dict(exponents)
        for name in exponents:
            start = exponents[name] if k else min(EXPONENTS, key=lambda x, name=name: left(x, name))
            bounds, options = (start - 0.5 / 5**k, start + 0.5 / 5**k), {"xatol": 1e-10}
            found = scipy.optimize.minimize_scalar(left, args=(name,), bounds=bounds, method="bounded", options=options)
            exponents[name] = float(found.x)
        terms = raised(solution.terms, exponents)
        solution = search.settled(equations, terms, solution.weights, rounds=2, evaluations=12)
        if all(abs(exponents[name] - before[name]) < 1e-9 for name in exponents):
            break
    return search.finished(search.without_each(search.backward(_snapped(solution, exponents))))


def raised(terms: Sequence[Term], exponents: Mapping[str, float]) -> list[Term]:
    """Terms of which all factors of a feature have its exponent; each is there once.

    Example:
        >>> k, root = Factor("stiffness"), Factor("stiffness", 0.5)
        >>> terms = [Pair("power", (2.0,), (False,), (x, x)) for x in (k, root)]
        >>> [term.bodies for term in raised(terms, {"stiffness": 0.7})]
        [(Factor(feature='stiffness', exponent=0.7), Factor(feature='stiffness', exponent=0.7))]
    """

    def factor(x: Factor) -> Factor:
        return Factor(x.feature, exponents.get(x.feature, x.exponent))

    return list(dict.fromkeys(replace(term, bodies=tuple(map(factor, term.bodies))) for term in terms))


def _snapped(solution: Solution, exponents: Mapping[str, float]) -> Solution:
    """With round exponents where that costs nothing."""
    equations = solution.equations
    for name, value in exponents.items():
        tried = equations.solve(raised(solution.terms, {name: round(round(value / SNAP) * SNAP, 6)}))
        loss, error = equations.better(tried.score, solution.score)
        if loss < max(search.ERRORS * error, search.GAIN):
            solution = tried
    return solution


def with_functions(solution: Solution, features: Sequence[str]) -> Iterator[Solution]:
    """Laws in which an unknown function w of a feature of both bodies stands before each function of the distance.

    It is a polynomial w(k_i, k_j) = w(k_j, k_i) of the feature that explains most: one law for each degree, the lowest
    first.

    Args:
        solution: the law whose functions of distances these are; terms of other kinds stay.
        features: of bodies.
    """
    equations = solution.equations
    functions = list(dict.fromkeys(term.function for term in solution.terms if type(term) is Pair))[:FUNCTIONS]
    if not functions or not features:
        return
    others = [term for term in solution.terms if type(term) is not Pair]

    def law(name: str, degree: int) -> list[Term]:
        powers = [Factor(name, float(k)) for k in range(1, degree + 1)]
        products = [(), *((x,) for x in powers), *itertools.combinations_with_replacement(powers, 2)]
        return [*others, *(replace(function, bodies=bodies) for function in functions for bodies in products)]

    few = equations.few(ROWS)
    best = min(features, key=lambda name: few.solve(law(name, DEGREES[1])).typical)
    yield from (equations.solve(law(best, degree)) for degree in DEGREES)
