"""A smooth function of the distance where no known one explains the forces."""

from collections import Counter
from collections.abc import Sequence

import torch
from torch import Tensor

from hlieconv.dynamics.expansion.equations import Equations, Solution, least_squares
from hlieconv.dynamics.expansion.search import ERRORS, GAIN
from hlieconv.models.expansion.polynomial import Polynomial
from hlieconv.models.expansion.spline import DEGREE, Spline, knots
from hlieconv.models.expansion.terms import Pair, Term

#: Functions of which a spline is made, and ridges from which cross-validation chooses.
FUNCTIONS, RIDGES = 40, (1e-11, 1e-9, 1e-7, 1e-5)

#: Splines in a law, and products of features that are tried for each, at most.
MOST, PRODUCTS = 3, 4


def with_splines(equations: Equations, best: Solution, products: Sequence[tuple]) -> list[Solution]:
    """Laws with splines in place of the terms of pairs found so far, and beside those without free parameters.

    Args:
        equations: what is to be solved.
        best: the law found so far; its products of features are tried first.
        products: all products of features.
    """
    used = Counter((term.bodies, term.pairs) for term in best.terms if type(term) is Pair)
    tried = [product for product, _ in used.most_common(PRODUCTS)] or list(products)[:PRODUCTS]
    inner = knots(equations.distances, FUNCTIONS - DEGREE + 1)
    kept = [term for term in best.terms if type(term) is not Pair or not any(term.free)]
    others = [term for term in best.terms if type(term) is not Pair]
    found = []
    for start in dict.fromkeys((tuple(others), tuple(kept))):
        solution = equations.solve(start)
        left = list(tried)
        for _ in range(MOST):
            extended = _extended(solution, left, inner)
            if extended is None:
                break
            product, tried_solution = extended
            gain, error = equations.better(tried_solution.score, solution.score)
            if not (gain < -ERRORS * error and gain < -GAIN):
                break
            solution = tried_solution
            left.remove(product)
        if any(isinstance(term, Spline) for term in solution.terms):
            found.append(solution)
    return found


def basis(inner: tuple[float, ...], product: tuple) -> list[Term]:
    """The functions that a spline is made of."""
    one = torch.eye(len(inner) + DEGREE - 1, dtype=torch.float64).tolist()
    return [Spline("spline", (*inner, *row), (False,) * (len(inner) + len(row)), *product) for row in one]


def _extended(solution: Solution, products: Sequence[tuple], inner: tuple[float, ...]) -> tuple[tuple, Solution] | None:
    """With one more spline: of the product that explains most, with the ridge that predicts best."""
    equations, root = solution.equations, solution.weights.sqrt()
    best: tuple[float, tuple, list[Term]] | None = None
    for product in products:
        terms = [*solution.terms, *basis(inner, product)]
        a, y = equations.columns(terms) * root[:, None], equations.y * root
        left = float((y - a @ least_squares(a, y, 1e-7)).square().sum())
        if best is None or left < best[0]:
            best = left, product, terms
    if best is None:
        return None
    options = [equations.solve(best[2], ridge=ridge, iterations=8) for ridge in RIDGES]
    return best[1], min(options, key=lambda option: float(option.score.mean()))


def collapsed(terms: Sequence[Term], coefficients: Tensor) -> list[tuple[Term, float]]:
    """Terms and their coefficients, where all functions of one spline, or polynomial, are that, with coefficient 1."""
    found: list[tuple[Term, float]] = []
    sums: dict[Spline | Polynomial, Tensor] = {}
    for term, coefficient in zip(terms, coefficients, strict=True):
        if isinstance(term, Spline | Polynomial):
            key = term.at((*term.parameters[: term.inner], *(0.0,) * (len(term.parameters) - term.inner)))
            row = coefficient * torch.tensor(term.parameters[term.inner :], dtype=torch.float64)
            sums[key] = sums.get(key, 0) + row
        else:
            found.append((term, float(coefficient)))
    for whole, row in sums.items():
        found.append((whole.at((*whole.parameters[: whole.inner], *row.tolist())), 1.0))
    return found
