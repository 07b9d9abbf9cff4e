"""What kind of force a law leaves unexplained."""

import torch
from jaxtyping import Float
from torch import Tensor

from hlieconv.dynamics.expansion.equations import Equations, least_squares
from hlieconv.dynamics.expansion.splines import basis
from hlieconv.dynamics.expansion.targets import Targets
from hlieconv.groups import Trivial
from hlieconv.models.expansion.library import TermLibrary
from hlieconv.models.expansion.spline import DEGREE, knots
from hlieconv.models.expansion.terms import Bodies, Factor, Monomial

#: Components of forces that are looked at; functions of which a spline is made, and products of features, at most.
ROWS, FUNCTIONS, PRODUCTS = 6_000, 12, 18

#: The highest degree of an external potential.
EXTERNAL = 3

#: Singular values of the columns below this part of the largest are damped: kinds are told apart, not laws.
DAMPED = 1e-2

#: How a force of three bodies is named.
THREE = "a force of three bodies"

#: A kind of force is named that predicts so much of what is left in other trajectories.
NAMED = 0.5

#: Of kinds that predict about as much the simplest is named.
ALIKE = 0.1

#: What is left cannot be read where so much of it may be the error of the forces themselves.
BURIED = 0.5


def kind_of(targets: Targets, bodies: Bodies, library: TermLibrary) -> str:
    """In words, what predicts forces best in trajectories that it was not fitted to; empty where these are errors only.

    Families of functions are compared that are far richer than those of which laws are made: splines of the distance of
    two bodies, external potentials, forces that depend on velocities, and terms of three bodies.

    Args:
        targets: forces that are left, with their errors.
        bodies: of all trajectories.
        library: of the terms that were tried.
    """
    length = Equations(targets, bodies.features, bodies.mask).length
    targets = targets._replace(q=(targets.q - targets.q.mean((0, 1))) / length)  # far from 0 all polynomials are alike
    equations = Equations(targets, bodies.features, bodies.mask).few(ROWS)
    weights = equations.weights(equations.y)
    whole = float((weights * equations.y.square()).sum())
    error = float((weights * equations.t.square()).sum())
    if not whole > 0 or error > BURIED * whole:
        return ""
    inner = knots(equations.distances, FUNCTIONS - DEGREE + 1)
    products, singles = library.products()[:PRODUCTS], [(), *((Factor(name),) for name in library.body_features)]
    everywhere = TermLibrary(Trivial(targets.q.shape[-1]), library.body_features).plain()
    external = [x for x in everywhere if isinstance(x, Monomial) and sum(x.parameters) <= EXTERNAL]
    found = dict[str, Tensor]()
    if len(equations.configuration.sites.first):
        pairs = [term for product in products for term in basis(inner, product)]
        found["a function of the distances of pairs"] = equations.columns(pairs)
    found["an external field"] = equations.columns(external)
    found["a force that depends on velocities"] = of_velocities(equations, singles)
    if len(equations.configuration.sites.centre):
        found[THREE] = equations.columns(library.triples())
    explained = {name: 1 - _missed(equations, a, weights) / whole for name, a in found.items()}
    most = max(explained.values())
    simplest = next(name for name, part in explained.items() if part > most - ALIKE)
    part = explained[simplest] / (1 - error / whole)
    if part < NAMED:
        return f"what is left is none of: {', '.join(found)}"
    return f"{100 * min(part, 1):.0f} % of what is left may be {simplest}"


def of_velocities(equations: Equations, singles: list[tuple[Factor, ...]]) -> Float[Tensor, "row term"]:
    """Forces linear in the own velocity (drag, and what turns it), in that of all bodies, and in the speed too."""
    v, bodies = equations.targets.velocity, equations.bodies
    unit = torch.eye(v.shape[-1], dtype=v.dtype)
    mixed = [v[..., b, None] * unit[a] for a in range(len(unit)) for b in range(len(unit))]
    shapes = [*mixed, v * v.norm(dim=-1, keepdim=True), v.sum(-2, keepdim=True).expand_as(v)]
    weights = [bodies.body(single[0] if single else None)[..., None] for single in singles]
    return torch.stack([equations.flat(shape * weight) for shape in shapes for weight in weights], 1)


def _missed(equations: Equations, a: Float[Tensor, "row term"], weights: Float[Tensor, " row"]) -> float:
    """The weighted sum of squares that columns miss of trajectories to which they were not fitted."""
    root, total = weights.sqrt(), 0.0
    a, y = a * root[:, None], equations.y * root
    for fold in equations.fold.unique():
        out = equations.fold == fold
        missed = y[out] - a[out] @ least_squares(a[~out], y[~out], DAMPED)
        total += float(missed.square().sum().nan_to_num(nan=torch.inf))
    return total
