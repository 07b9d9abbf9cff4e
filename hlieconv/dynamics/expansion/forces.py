"""The force of a law on given bodies, and its derivatives."""

import copy
from collections.abc import Callable, Sequence

import torch
from jaxtyping import Bool, Float, Int
from torch import Tensor

from hlieconv.dynamics.expansion.refinement import EXPONENTS, free_of, moved
from hlieconv.models.expansion.configuration import Configuration, Lengths
from hlieconv.models.expansion.law import Estimate
from hlieconv.models.expansion.terms import Anisotropic, Bodies, Pair, Term

#: The change of a distance, or of a parameter, by which derivatives are taken, relative.
APART = 1e-6

#: A length stays within so many times its first value: a shape that asks for more has lost its form.
RANGE = 100.0

#: Terms with the weights of their sites, coefficients among them.
Weighted = Sequence[tuple[Term, Tensor]]


class Forces:
    """A law whose coefficients and free parameters can be changed.

    Args:
        estimates: its terms.
        bodies: on which it acts.
        known: terms that stay as they are.
    """

    def __init__(self, estimates: Sequence[Estimate], bodies: Bodies, known: Sequence[Estimate] = ()) -> None:
        self.known = [(x.term, x.coefficient * x.term.weight(bodies)) for x in known]
        self.terms: list[Term] = [estimate.term for estimate in estimates]
        self.weights = [term.weight(bodies) for term in self.terms]
        self.coefficients = torch.tensor([estimate.coefficient for estimate in estimates], dtype=torch.float64)
        self.free = free_of(self.terms)
        self.limits = [_limits(self.terms[i], k) for i, k in self.free]

    @property
    def unknown(self) -> int:
        """How many coefficients and free parameters there are."""
        return len(self.terms) + len(self.free)

    @property
    def weighted(self) -> Weighted:
        """All terms with their weights."""
        own = zip(self.terms, self.coefficients, self.weights, strict=True)
        return [*self.known, *((term, coefficient * weight) for term, coefficient, weight in own)]

    def change(self, step: Float[Tensor, " unknown"]) -> Float[Tensor, " unknown"]:
        """Change the coefficients, then the free parameters, by so much, or as far as these go; returns the change."""
        step = step.clone()
        self.coefficients = self.coefficients + step[: len(self.terms)]
        for at, ((i, k), (low, high)) in enumerate(zip(self.free, self.limits, strict=True), start=len(self.terms)):
            now = self.terms[i].parameters[k]
            step[at] = step[at].clamp(low - now, high - now)
            self.terms[i] = moved(self.terms[i], k, float(step[at]))
        return step

    def at_limits(self, step: Float[Tensor, " unknown"]) -> Bool[Tensor, " unknown"]:
        """Which numbers cannot change in the direction of a step."""
        found = torch.zeros(self.unknown, dtype=torch.bool)
        for at, ((i, k), (low, high)) in enumerate(zip(self.free, self.limits, strict=True), start=len(self.terms)):
            found[at] = self.terms[i].parameters[k] == (high if step[at] > 0 else low)
        return found

    def take(self, index: Int[Tensor, " some"]) -> "Forces":
        """The same law for some of the bodies."""
        found = copy.copy(self)
        found.known = [(term, weight[index]) for term, weight in self.known]
        found.weights = [weight[index] for weight in self.weights]
        return found

    def tangents(self, q: Float[Tensor, "segment n d"]) -> Float[Tensor, "segment nd unknown"]:
        """The derivatives of the force in coefficients and free parameters."""
        configuration = Configuration(q)
        columns = [term.force(configuration, w) for term, w in zip(self.terms, self.weights, strict=True)]
        for i, k in self.free:
            step = APART * abs(self.terms[i].parameters[k])
            change = moved(self.terms[i], k, step).force(configuration, self.weights[i]) - columns[i]
            columns.append(self.coefficients[i] * change / step)
        return torch.stack(columns, -1).flatten(1, 2)


def _limits(term: Term, k: int) -> tuple[float, float]:
    """Between which values a parameter may change."""
    first = term.parameters[k]
    if term.kinds[k] == "exponent":
        return first - EXPONENTS, first + EXPONENTS
    return min(first / RANGE, first * RANGE), max(first / RANGE, first * RANGE)


def force_of(estimates: Sequence[Estimate], bodies: Bodies) -> Callable[[Tensor], Tensor]:
    """The force of some terms on bodies, as a function of their positions ``(*batch, n, d)``."""
    law = Forces((), bodies, estimates).known
    return lambda q: force(law, q)


def force(law: Weighted, q: Float[Tensor, "*batch n d"]) -> Float[Tensor, "*batch n d"]:
    """-dV/dq of weighted terms."""
    configuration, found = Configuration(q), torch.zeros_like(q)
    radial, others = _parted(law)
    if radial:
        tangent = sum((weight * term.tangent(configuration) for term, weight in radial), q.new_zeros(()))
        found = configuration.force_of_pairs(tangent)
    return sum((term.force(configuration, weight) for term, weight in others), found)


def _parted(law: Weighted) -> tuple[list[tuple[Pair, Tensor]], list[tuple[Term, Tensor]]]:
    """Functions of the distance of two bodies, and others."""
    radial = [(x, weight) for x, weight in law if isinstance(x, Pair) and not isinstance(x, Anisotropic)]
    return radial, [(x, weight) for x, weight in law if not isinstance(x, Pair) or isinstance(x, Anisotropic)]


def jacobian(law: Weighted, q: Float[Tensor, "segment n d"]) -> Float[Tensor, "segment nd nd"]:
    """dF/dq of weighted terms: of those that are functions of distances in closed form, of others by `torch.autograd`.

    Example:
        >>> spring = Pair("power", (2.0,), (False,)), torch.ones(1)
        >>> jacobian([spring], torch.tensor([[[0.0], [1.0]]], dtype=torch.float64)).round(decimals=4).tolist()
        [[[-2.0, 2.0], [2.0, -2.0]]]
    """
    radial, others = _parted(law)
    found = _jacobian_of_pairs(radial, q)
    if others:
        basis = torch.eye(q[0].numel(), dtype=q.dtype).view(-1, 1, *q.shape[1:]).expand(-1, *q.shape).contiguous()
        again = q.expand_as(basis).contiguous().requires_grad_()
        with torch.enable_grad():
            (rows,) = torch.autograd.grad(force(others, again), again, basis)
        found = found + rows.flatten(-2).movedim(0, -2)
    return found


def _jacobian_of_pairs(
    law: Sequence[tuple[Pair, Tensor]], q: Float[Tensor, "segment n d"]
) -> Float[Tensor, "segment nd nd"]:
    """Of a pair, t + (t' / r) x x^T, where t = phi'(r) / r and x = q_i - q_j."""
    here, apart = Configuration(q), Configuration(q)
    (x, r, vanishing), (first, second, *_) = here.pairs, here.sites
    apart.pairs = Lengths(x, r * (1 + APART), vanishing)
    tangent = slope = torch.zeros_like(r)
    for term, weight in law:
        own = weight * term.tangent(here)
        tangent = tangent + own
        slope = slope + (weight * term.tangent(apart) - own) / (APART * r.square())
    n, d = q.shape[-2:]
    x, one = x.movedim(1, -1), torch.eye(d, dtype=q.dtype)
    block = slope[..., None, None] * x[..., :, None] * x[..., None, :] + tangent[..., None, None] * one
    found = q.new_zeros(len(q), n, n, d, d)
    found[:, first, second] = found[:, second, first] = block
    own = torch.arange(n)
    found[:, own, own] = -found.sum(2)
    return found.transpose(2, 3).flatten(1, 2).flatten(2)
