"""Pairs of lifted points: what the kernel sees of them, and how far apart they are."""

import math
from dataclasses import dataclass

import torch
from jaxtyping import Float, Int
from torch import Tensor

from hlieconv.groups import AbstractGroup, Product
from hlieconv.groups.smooth import norm
from hlieconv.nn.lifting import LiftedPoints

#: What the kernel may see of v^-1 u, and the group's method that computes it.
COORDINATES = {"embedding": "embedding", "log": "relative", "bi_invariants": "bi_invariants"}

#: Pairs for which distances are computed at a time, and the most that are kept.
BLOCK, KEPT = 2**20, 2**26

#: How far apart equal distances are set, as a fraction.
TIE = 1e-4


@dataclass(frozen=True)
class Metric:
    """What the kernel sees of a pair of lifted points u and v, and a left-invariant distance of the two.

    Elements and orbits of the two may have any broadcastable batch shapes.

    Args:
        group: the group of the elements.
        coordinates: the coordinates of v^-1 u for the kernel. "embedding": smooth everywhere, angles as sine and
            cosine. "log": the paper's, which jumps where an angle passes pi. "bi_invariants": nothing of the
            stabiliser, neither for the kernel nor in the distance.
        alpha: the weight of the rotation and scale part of the distance against its translation and orbit part.
        smooth: the distance is the root of `square`, which is smooth everywhere, instead of the `norm` of a logarithm.

    Raises:
        ValueError: for unknown coordinates.

    Example:
        >>> from hlieconv.groups import T
        >>> from hlieconv.nn import lift
        >>> u, v = lift(T(2), torch.zeros(1, 2)), lift(T(2), torch.tensor([[3.0, 4.0]]))
        >>> Metric(T(2)).features(u, v), Metric(T(2)).distance(u, v)
        (tensor([[-3., -4.]]), tensor([5.]))
    """

    group: AbstractGroup
    coordinates: str = "embedding"
    alpha: float = 0.2
    smooth: bool = False

    def __post_init__(self) -> None:
        if self.coordinates not in COORDINATES:
            raise ValueError(f"coordinates: expected one of {', '.join(COORDINATES)}, got {self.coordinates!r}")

    @property
    def channels(self) -> int:
        """How many features a pair has."""
        identity = self.group.identity((1,), dtype=torch.get_default_dtype())
        point = LiftedPoints(identity, identity.new_zeros(1, self.group.orbit_dimension))
        return self.features(point, point).shape[-1]

    @property
    def is_root_of_square(self) -> bool:
        """Whether the distance is the root of `square`."""
        return self.smooth or self.coordinates == "bi_invariants"

    def features(self, u: LiftedPoints, v: LiftedPoints) -> Float[Tensor, "*batch a"]:
        """(v^-1 u in the coordinates, orbit of u, orbit of v)."""
        relation = getattr(self.group, COORDINATES[self.coordinates])(u.elements, v.elements)
        orbits = [orbit.expand(*relation.shape[:-1], orbit.shape[-1]) for orbit in (u.orbit, v.orbit)]
        return torch.cat([relation, *orbits], -1)

    def square(self, u: LiftedPoints, v: LiftedPoints) -> Float[Tensor, "*batch"]:
        """A squared distance that is smooth everywhere: |embedding|^2 + |orbit difference|^2.

        Chords take the place of angles. In "bi_invariants" nothing depends on the stabiliser (on SE(n): |x_i - x_j|^2).
        """
        apart = (u.orbit - v.orbit).square().sum(-1)
        square = _square_of_points if self.coordinates == "bi_invariants" else _square_of_elements
        return square(self.group, u.elements, v.elements) + apart

    def norm(
        self, a: Float[Tensor, "*batch a"], orbit: Float[Tensor, "*batch o"] | None = None
    ) -> Float[Tensor, "*batch"]:
        """Length alpha |a_group| + (1 - alpha) |(a_translation, orbit)| of an algebra vector and an orbit difference.

        It is the weighted sum of the two lengths; the paper's text has d^2 + alpha |q - q'|^2 instead. A group that has
        one of the two parts only, as T(d), gets the plain length.
        """
        spatial = a[..., : self.group.translation_dimension]
        angular = a[..., self.group.translation_dimension :]
        if orbit is not None:
            spatial = torch.cat([spatial, orbit], -1)
        if not angular.shape[-1]:
            return norm(spatial)
        if not spatial.shape[-1]:
            return norm(angular)
        return self.alpha * norm(angular) + (1 - self.alpha) * norm(spatial)

    def distance(self, u: LiftedPoints, v: LiftedPoints, *, tie: float = 0.0) -> Float[Tensor, "*batch"]:
        """The `norm` of log(v^-1 u) and of the difference of the orbits, or the root of `square`.

        Args:
            u, v: the points.
            tie: samples of the stabiliser at angles t and -t are equally far; up to this fraction of the distance is
                added to set them apart, so that rounding does not decide which of them is nearer.
        """
        if self.is_root_of_square:
            return self.square(u, v).clamp(min=0).sqrt()
        relation = self.group.relative(u.elements, v.elements)
        distance = self.norm(relation, u.orbit - v.orbit)
        if tie and self.group.stabiliser_dimension:
            uneven = torch.arange(1, relation.shape[-1] + 1, device=relation.device).to(relation).sqrt()
            distance = distance * (1 + tie * torch.tanh((relation * uneven).sum(-1)))
        return distance


def _square_of_elements(group: AbstractGroup, u: Tensor, v: Tensor) -> Tensor:
    """|embedding|^2."""
    return group.embedding(u, v).square().sum(-1)


def _square_of_points(group: AbstractGroup, u: Tensor, v: Tensor) -> Tensor:
    """The same for the points that the elements take an origin to: nothing of the stabiliser parts."""
    if isinstance(group, Product):
        return torch.stack(group.each(_square_of_points, u, v)).sum(0)
    return group.bi_invariants(u, v).sum(-1) if group.stabiliser_dimension else _square_of_elements(group, u, v)


class Distances:
    """The distances among lifted points, without gradients: kept where they are few, else computed when asked for.

    Args:
        metric: which distance.
        lifted: the points.
    """

    def __init__(self, metric: Metric, lifted: LiftedPoints) -> None:
        self.metric = metric
        self.lifted = LiftedPoints(lifted.elements.detach(), lifted.orbit.detach(), lifted.mask)
        self.matrix: Tensor | None = None

    @property
    def size(self) -> int:
        """How many points there are."""
        return self.lifted.elements.shape[-3]

    @property
    def batch(self) -> torch.Size:
        return self.lifted.elements.shape[:-3]

    def keep(self) -> "Distances":
        """Compute all distances now, if they are not too many to be kept."""
        if self.matrix is None and math.prod(self.batch) * self.size**2 <= KEPT:
            self.matrix = torch.cat([self._rows(rows) for rows in self.blocks()], -2)
        return self

    def blocks(self) -> list[Int[Tensor, "*batch m"]]:
        """All rows, in blocks of at most `BLOCK` pairs."""
        rows = torch.arange(self.size, device=self.lifted.elements.device).expand(*self.batch, self.size)
        return list(rows.split(max(1, BLOCK // (self.size * max(1, math.prod(self.batch)))), -1))

    def rows(self, rows: Int[Tensor, "*batch m"]) -> Float[Tensor, "*batch m n"]:
        """Distances from some of the points to all; infinite to those that do not exist."""
        if self.matrix is None:
            return self._rows(rows)
        return self.matrix.gather(-2, rows[..., None].expand(*rows.shape, self.size))

    def among(self, rows: Int[Tensor, "*batch m"], others: Int[Tensor, "*batch m k"]) -> Float[Tensor, "*batch m k"]:
        """Distances from some of the points to some others each."""
        return self._between(self.lifted.at(rows), self.lifted.at(others))

    def _rows(self, rows: Tensor) -> Tensor:
        everyone = self.lifted
        mask = None if everyone.mask is None else everyone.mask[..., None, :]
        v = LiftedPoints(everyone.elements[..., None, :, :, :], everyone.orbit[..., None, :, :], mask)
        return self._between(everyone.at(rows), v)

    def _between(self, some: LiftedPoints, v: LiftedPoints) -> Tensor:
        u = LiftedPoints(some.elements[..., :, None, :, :], some.orbit[..., :, None, :])
        with torch.no_grad():  # not as a decorator, which torch.compile does not follow here
            distance = self.metric.distance(u, v, tie=TIE)
        return distance if v.mask is None else torch.where(v.mask, distance, math.inf)

    def sums(self) -> Float[Tensor, "*batch n"]:
        """The sum of the distances from each point to those that exist."""
        blocks = [self.rows(rows) for rows in self.blocks()] if self.matrix is None else [self.matrix]
        return torch.cat([torch.where(block.isinf(), 0, block).sum(-1) for block in blocks], -1)

    def at(self, rows: Int[Tensor, "*batch m"], lifted: LiftedPoints) -> "Distances":
        """The distances among some of the points, which are ``lifted``."""
        part = Distances(self.metric, lifted)
        if self.matrix is not None:
            among = self.rows(rows).gather(-1, rows[..., None, :].expand(*rows.shape, rows.shape[-1]))
            part.matrix = among if lifted.mask is None else torch.where(lifted.mask[..., None, :], among, math.inf)
        return part
