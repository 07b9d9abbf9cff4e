"""The parameters of shapes, by variable projection."""

import math
from collections.abc import Sequence
from typing import Any

import numpy as np
import scipy.optimize
import torch
from jaxtyping import Float
from torch import Tensor

from hlieconv.dynamics.expansion.equations import Equations, least_squares, normalised
from hlieconv.models.expansion.terms import Term

#: A length lies between these parts of the typical distance, an exponent within so much of its first value.
LENGTHS, EXPONENTS = (0.01, 4.0), 1.5

#: The change of a parameter by which derivatives are taken, of a length relative: the cube root of eps.
APART = torch.finfo(torch.float64).eps ** (1 / 3)


def free_of(terms: Sequence[Term]) -> list[tuple[int, int]]:
    """Which terms have free parameters, and which of them."""
    return [(i, k) for i, term in enumerate(terms) for k, free in enumerate(term.free) if free]


def refined(
    equations: Equations,
    terms: Sequence[Term],
    weights: Float[Tensor, " row"],
    *,
    only: int | None = None,
    evaluations: int = 6,
) -> list[Term]:
    """The same terms with better parameters: the weighted residual is least, whatever their coefficients are.

    Coefficients are eliminated: the residual is a function of the parameters alone, and its derivative is taken in
    Kaufman's approximation. Lengths are searched in their logarithms.

    Args:
        equations: what is to be solved.
        terms: with their present parameters.
        weights: of the rows.
        only: the index of the one term to refine; by default all.
        evaluations: of the residual, at most.

    Source: Golub and Pereyra (1973), SIAM J. Numer. Anal. 10, 413; Kaufman (1975), BIT 15, 49.
    """
    terms = list(terms)
    places = [place for place in free_of(terms) if only is None or place[0] == only]
    if not places:
        return terms
    root = weights.sqrt()
    kinds = [terms[i].kinds[k] for i, k in places]
    start = np.array(
        [terms[i].parameters[k] if kind == "exponent" else math.log(terms[i].parameters[k])
         for (i, k), kind in zip(places, kinds, strict=True)]
    )  # fmt: skip
    edges = [math.log(part * equations.length) for part in LENGTHS]
    low = np.array([x - EXPONENTS if kind == "exponent" else edges[0] for x, kind in zip(start, kinds, strict=True)])
    high = np.array([x + EXPONENTS if kind == "exponent" else edges[1] for x, kind in zip(start, kinds, strict=True)])
    start = np.clip(start, low + 1e-6, high - 1e-6)
    y = equations.y * root
    moving = sorted({i for i, _ in places})
    fixed = [term for i, term in enumerate(terms) if i not in moving]
    still = equations.columns(fixed) * root[:, None]
    last: dict[bytes, tuple[Tensor, Tensor, list[Tensor]]] = {}

    def placed(x: np.ndarray) -> list[Term]:
        found = list(terms)
        for (i, k), kind, value in zip(places, kinds, x, strict=True):
            parameters = list(found[i].parameters)
            parameters[k] = float(value) if kind == "exponent" else math.exp(value)
            found[i] = found[i].at(tuple(parameters))
        return found

    def project(x: np.ndarray) -> tuple[Tensor, Tensor, list[Tensor]]:
        """An orthonormal basis of all columns, the coefficients, and the tangents of the columns in the parameters."""
        key = x.tobytes()
        if key not in last:
            found, tangents, columns = placed(x), [], {}
            for i in moving:
                own = [(k, kind) for (j, k), kind in zip(places, kinds, strict=True) if j == i]
                columns[i], derivatives = with_tangents(equations, found[i], own)
                tangents += derivatives
            a = torch.cat([still, torch.stack([columns[i] for i in moving], 1) * root[:, None]], 1)
            last.clear()
            last[key] = a, least_squares(a, y), tangents
        return last[key]

    def residual(x: np.ndarray) -> np.ndarray:
        a, coefficients, _ = project(x)
        return (y - a @ coefficients).numpy()

    def jacobian(x: np.ndarray) -> np.ndarray:
        a, coefficients, tangents = project(x)
        own = dict(zip(moving, coefficients[len(fixed) :], strict=True))
        change = torch.stack([-own[i] * tangent * root for (i, _), tangent in zip(places, tangents, strict=True)], 1)
        basis = torch.linalg.qr(normalised(a)[0])[0]
        return (change - basis @ (basis.mT @ change)).numpy()

    if not np.isfinite(residual(start)).all():
        return terms
    options: dict[str, Any] = {"x_scale": 0.3, "max_nfev": evaluations} | dict.fromkeys(("xtol", "ftol", "gtol"), 1e-13)
    options["jac"] = jacobian
    found = scipy.optimize.least_squares(residual, start, bounds=(low, high), **options)
    return placed(found.x) if np.isfinite(found.cost) else terms


def with_tangents(equations: Equations, term: Term, own: Sequence[tuple[int, str]]) -> tuple[Tensor, list[Tensor]]:
    """The column of a term, and its derivatives in some parameters: in the logarithm of a length."""
    weight = equations.weight(term)

    def column(term: Term) -> Tensor:
        return equations.flat(term.force(equations.configuration, weight))

    tangents = []
    for k, kind in own:
        unit = 1.0 if kind == "exponent" else term.parameters[k]
        up, down = (column(moved(term, k, sign * APART * unit)) for sign in (1, -1))
        tangents.append((up - down) / (2 * APART))
    return column(term), tangents


def moved(term: Term, k: int, by: float) -> Term:
    """A term with another value of a parameter."""
    parameters = list(term.parameters)
    parameters[k] += by
    return term.at(tuple(parameters))
