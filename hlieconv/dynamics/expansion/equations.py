"""One equation a component of a force: columns of terms, robust solutions, cross-validation."""

import itertools
import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property

import torch
from jaxtyping import Float
from torch import Tensor

from hlieconv.dynamics.expansion.targets import Targets
from hlieconv.models.expansion.configuration import Configuration
from hlieconv.models.expansion.terms import Bodies, Pair, Term

#: Nine of ten squared residuals of a normal distribution are below so many variances.
QUANTILE, CHI_SQUARE = 0.9, 2.706

#: Beyond so many standard deviations a residual counts for less and less.
REDESCENT = 3.0

#: Relative residuals below this are all alike: no term is taken to explain them.
FLOOR = 1e-8

#: Trajectories (pieces of them, if there are fewer than this) are dealt into so many parts, each of which is predicted
#: from the others.
FOLDS = 5

#: Singular values below this part of the largest are damped.
RIDGE = 1e-13

#: Iterations of the reweighted solution.
ITERATIONS = 12


def least_squares(
    a: Float[Tensor, "row term"], y: Float[Tensor, " row"], ridge: float = RIDGE
) -> Float[Tensor, " term"]:
    """The w that minimises |A w - y|, with columns in units of their size and small singular values damped."""
    return least_squares_by_ridge(a, y, (ridge,))[0]


def least_squares_by_ridge(
    a: Float[Tensor, "row term"], y: Float[Tensor, " row"], ridges: Sequence[float]
) -> list[Float[Tensor, " term"]]:
    """`least_squares` for several ridges."""
    a, scale = normalised(a)
    q, r = torch.linalg.qr(a)
    u, s, vh = torch.linalg.svd(r)
    along = u.mT @ (q.mT @ y)
    least = torch.finfo(s.dtype).tiny  # where all columns are zero, so is w
    damped = [s / (s.square() + (ridge * s[0]).square()).clamp(min=least) for ridge in ridges]
    return [(vh.mT @ (x * along)) / scale for x in damped]


def robust_weights(residual: Float[Tensor, " row"], t: Float[Tensor, " row"]) -> Float[Tensor, " row"]:
    """1 / (s^2 + t^2), t the error of the target, s what is needed for 9 of 10 residuals to be as they should.

    Residuals that are larger than that redescend: a few far targets, as of close passages, decide nothing.
    """
    square = residual.square()
    s = torch.quantile(square / CHI_SQUARE - t.square(), QUANTILE).clamp(min=0)
    variance = s + t.square()
    return 1 / variance / (1 + square / variance / REDESCENT**2).square()


def normalised(a: Float[Tensor, "row term"]) -> tuple[Float[Tensor, "row term"], Float[Tensor, " term"]]:
    """Columns of length 1, and how long they were; columns of zeros stay."""
    scale = a.norm(dim=0)
    scale = torch.where(scale > 0, scale, 1)
    return a / scale, scale


class Equations:
    """The equations sum over terms of coefficient times force of the term = force of the target.

    Args:
        targets: forces and their errors.
        features: of the bodies of every trajectory.
        mask: of every trajectory, True where a body exists.
        seed: of the folds.
    """

    def __init__(self, targets: Targets, features: Mapping[str, Tensor], mask: Tensor | None, *, seed: int = 0) -> None:
        self.targets, self.features, self.mask, self.seed = targets, features, mask, seed
        own = {name: value[targets.trajectory] for name, value in features.items()}
        real = None if mask is None else mask[targets.trajectory]
        self.configuration, self.bodies = Configuration(targets.q), Bodies(own, real)
        self.rows = None if real is None else real[..., None].expand(targets.q.shape).flatten()
        self.y = self.flat(targets.force)
        self.scale = float(self.y.square().mean().sqrt())
        error = self.flat(targets.error[..., None].expand(targets.q.shape))
        self.t = error.clamp(min=1e-15 * self.scale)
        many = len(targets.trajectory.unique()) >= FOLDS
        seen, group = (targets.trajectory if many else targets.piece).unique(return_inverse=True)
        self.count = len(seen)
        deal = torch.randperm(self.count, generator=torch.Generator().manual_seed(seed)) % FOLDS
        self.group = self.flat(group[:, None, None].expand(targets.q.shape))
        self.fold = deal[self.group]
        self.weight_cache: dict = {}
        self.cache: dict[Term, Tensor] = {}

    def flat(self, x: Tensor) -> Tensor:
        """One number a row: of the components of the forces on all bodies that exist."""
        x = x.reshape(-1)
        return x if self.rows is None else x[self.rows]

    @cached_property
    def distances(self) -> Float[Tensor, " distance"]:
        """Of all pairs of bodies that exist; of bodies from the origin, where there is one body only."""
        if not len(self.configuration.sites.first):
            return self.configuration.bodies.length.flatten()
        found = self.configuration.pairs.length
        return found[self.bodies.existing(torch.ones_like(found), *self.configuration.sites[:2]) > 0]

    @cached_property
    def length(self) -> float:
        """A typical distance."""
        return float(self.distances.median())

    def few(self, rows: int) -> "Equations":
        """The same equations at some of the states, drawn at random, with about so many rows."""
        count = len(self.targets.trajectory)
        number = max(1, min(count, rows * count // len(self.y)))
        if number == count:
            return self
        keep = torch.randperm(count, generator=torch.Generator().manual_seed(self.seed + 1))[:number].sort().values
        few = Equations(self.targets.take(keep), self.features, self.mask, seed=self.seed)
        whole = torch.zeros_like(self.targets.q, dtype=torch.bool)
        whole[keep] = True
        few.of_whole = self.flat(whole).nonzero().flatten()
        return few

    @cached_property
    def of_whole(self) -> Tensor:
        """Which rows of the whole these are."""
        return torch.arange(len(self.y))

    def weight(self, term: Term) -> Tensor:
        """The features of a term at all its sites."""
        key = (type(term), term.bodies, term.pairs)
        if key not in self.weight_cache:
            self.weight_cache[key] = term.weight(self.bodies)
        return self.weight_cache[key]

    def column(self, term: Term) -> Float[Tensor, " row"]:
        """The forces of a term with coefficient 1."""
        if term not in self.cache:
            if len(self.cache) > 400:
                self.cache.clear()
            self.cache[term] = self.flat(term.force(self.configuration, self.weight(term)))
        return self.cache[term]

    def columns(self, terms: Sequence[Term]) -> Float[Tensor, "row term"]:
        """The forces of some terms."""
        if not terms:
            return self.y.new_zeros(len(self.y), 0)
        return torch.stack([self.column(term) for term in terms], 1)

    def library(self, terms: Sequence[Term]) -> Float[Tensor, "row term"]:
        """The forces of many terms, where those of one shape lie beside each other: each shape is evaluated once."""
        found = self.y.new_empty(len(terms), len(self.y))
        for _, group in itertools.groupby(enumerate(terms), key=lambda pair: pair[1].function):
            tangent = None
            for index, term in group:
                if type(term) is Pair:
                    tangent = term.tangent(self.configuration) if tangent is None else tangent
                    found[index] = self.flat(self.configuration.force_of_pairs(self.weight(term) * tangent))
                else:
                    found[index] = self.flat(term.force(self.configuration, self.weight(term)))
        return found.mT

    def weights(self, residual: Float[Tensor, " row"]) -> Float[Tensor, " row"]:
        """See `robust_weights`."""
        return robust_weights(residual, self.t)

    def solve(
        self, terms: Sequence[Term], *, ridge: float = RIDGE, iterations: int = ITERATIONS, start: Tensor | None = None
    ) -> "Solution":
        """The coefficients of some terms by iteratively reweighted least squares."""
        a = self.columns(terms)
        residual = self.y if start is None else start
        coefficients, median = self.y.new_zeros(len(terms)), math.inf
        for k in range(iterations if terms else 0):
            root = self.weights(residual).sqrt()
            coefficients = least_squares(a * root[:, None], self.y * root, ridge)
            residual = self.y - a @ coefficients
            last, median = median, float(residual.abs().median())
            if k > 3 and median > 0.98 * last:
                break
        return Solution(self, tuple(terms), coefficients, residual, ridge)

    def better(self, new: Float[Tensor, " row"], old: Float[Tensor, " row"]) -> tuple[float, float]:
        """By how much a score differs, and the standard error of that over trajectories: negative is better."""
        sums = torch.zeros(self.count, dtype=new.dtype).index_add(0, self.group, new - old)
        mean = sums / torch.bincount(self.group, minlength=self.count)
        return float(mean.mean()), float(mean.std(correction=0)) / math.sqrt(self.count)


@dataclass(frozen=True, eq=False)
class Solution:
    """Terms with their best coefficients."""

    equations: Equations
    terms: tuple[Term, ...]
    coefficients: Tensor
    residual: Tensor
    ridge: float = RIDGE

    @cached_property
    def weights(self) -> Float[Tensor, " row"]:
        """The robust weights of its residuals."""
        return self.equations.weights(self.residual)

    @property
    def typical(self) -> float:
        """The median residual."""
        return float(self.residual.abs().median())

    @property
    def explained(self) -> bool:
        """Whether the residuals are as small as the errors of the targets, or as small as we look.

        So are nine of ten as well: where a force has one axis alone, the typical residual is that of the other.
        """
        residual, t, least = self.residual.abs(), self.equations.t, FLOOR * self.equations.scale
        return all(float(residual.quantile(q)) < max(1.2 * float(t.quantile(q)), least) for q in (0.5, QUANTILE))

    @cached_property
    def score(self) -> Float[Tensor, " row"]:
        """log(t^2 + e^2) of every row, e its residual when its trajectory was left out of the solution."""
        equations, residual = self.equations, self.residual
        if self.terms:
            a, root = equations.columns(self.terms), self.weights.sqrt()
            residual = torch.empty_like(residual)
            for fold in range(FOLDS):
                out = equations.fold == fold
                within = ~out
                if not out.any():
                    continue
                found = least_squares(a[within] * root[within, None], equations.y[within] * root[within], self.ridge)
                residual[out] = equations.y[out] - a[out] @ found
            residual = torch.nan_to_num(residual, nan=1e3 * equations.scale)
        return (equations.t.clamp(min=FLOOR * equations.scale).square() + residual.square()).log()

    @property
    def sizes(self) -> Float[Tensor, " term"]:
        """How much each term contributes."""
        a = self.equations.columns(self.terms)
        return self.coefficients.abs() * (a.square() * self.weights[:, None]).sum(0).sqrt()
