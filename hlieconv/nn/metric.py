"""Pairs of lifted points: what the kernel sees of them, and how far apart they are."""

import math

import torch
from jaxtyping import Float, Int
from torch import Tensor

from hlieconv.groups import AbstractGroup
from hlieconv.nn.lifting import LiftedPoints

#: What the kernel may see of v^-1 u, and the group's method that computes it.
COORDINATES = {"embedding": "embedding", "log": "relative", "bi_invariants": "bi_invariants"}

#: Pairs for which distances are computed at a time, and the most that are kept.
BLOCK, KEPT = 2**20, 2**26

#: How far apart equal distances are set, as a fraction.
TIE = 1e-4


def check_coordinates(coordinates: str) -> None:
    if coordinates not in COORDINATES:
        raise ValueError(f"coordinates: expected one of {', '.join(COORDINATES)}, got {coordinates!r}")


def pair_features(
    group: AbstractGroup, coordinates: str, u: LiftedPoints, v: LiftedPoints
) -> Float[Tensor, "*batch a"]:
    """(v^-1 u, orbit of u, orbit of v), for elements and orbits of broadcastable batch shapes.

    Args:
        coordinates: of v^-1 u. "embedding": smooth everywhere, angles as sine and cosine. "log": the paper's, which
            jumps where an angle passes pi. "bi_invariants": nothing of the stabiliser.
    """
    relation = getattr(group, COORDINATES[coordinates])(u.elements, v.elements)
    orbits = [orbit.expand(*relation.shape[:-1], orbit.shape[-1]) for orbit in (u.orbit, v.orbit)]
    return torch.cat([relation, *orbits], -1)


def pair_channels(group: AbstractGroup, coordinates: str) -> int:
    """How many features a pair has."""
    check_coordinates(coordinates)
    identity = group.identity(dtype=torch.get_default_dtype())
    return getattr(group, COORDINATES[coordinates])(identity, identity).shape[-1] + 2 * group.orbit_dimension


def squared_distance(
    group: AbstractGroup, coordinates: str, u: LiftedPoints, v: LiftedPoints
) -> Float[Tensor, "*batch"]:
    """A left-invariant squared distance that is smooth everywhere: |embedding|^2 + |orbit difference|^2.

    Chords take the place of angles. In "bi_invariants" nothing depends on the stabiliser (on SE(n): |x_i - x_j|^2).
    """
    apart = (u.orbit - v.orbit).square().sum(-1)
    square = group.square_without_stabiliser if coordinates == "bi_invariants" else group.square
    return square(u.elements, v.elements) + apart


class Metric:
    """The distances among lifted points, without gradients: kept where they are few, else computed when asked for.

    Args:
        group: of the elements.
        lifted: the points.
        coordinates: as the kernel's; "bi_invariants" leaves the stabiliser out of the distance too.
        smooth: the root of `squared_distance` instead of `AbstractGroup.distance`.
        alpha: weight of the group part against the translation and orbit part in `AbstractGroup.distance`.
    """

    def __init__(
        self,
        group: AbstractGroup,
        lifted: LiftedPoints,
        *,
        coordinates: str = "log",
        smooth: bool = False,
        alpha: float = 0.2,
    ) -> None:
        self.group, self.coordinates, self.alpha = group, coordinates, alpha
        self.smooth = smooth or coordinates == "bi_invariants"
        self.lifted = LiftedPoints(lifted.elements.detach(), lifted.orbit.detach(), lifted.mask)
        self.matrix: Tensor | None = None

    @property
    def size(self) -> int:
        """How many points there are."""
        return self.lifted.elements.shape[-3]

    @property
    def batch(self) -> torch.Size:
        return self.lifted.elements.shape[:-3]

    def keep(self) -> "Metric":
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

    @torch.no_grad()
    def _between(self, some: LiftedPoints, v: LiftedPoints) -> Tensor:
        u = LiftedPoints(some.elements[..., :, None, :, :], some.orbit[..., :, None, :])
        if self.smooth:
            distance = squared_distance(self.group, self.coordinates, u, v).clamp(min=0).sqrt()
        else:
            relation = self.group.relative(u.elements, v.elements)
            distance = self.group.norm(relation, u.orbit - v.orbit, self.alpha)
            if self.group.stabiliser_dimension:
                # Samples at angles t and -t are equally far: which one is nearer must not be left to rounding.
                uneven = torch.arange(1, relation.shape[-1] + 1, device=relation.device).to(relation).sqrt()
                distance = distance * (1 + TIE * torch.tanh(relation @ uneven))
        return distance if v.mask is None else torch.where(v.mask, distance, math.inf)

    def sums(self) -> Float[Tensor, "*batch n"]:
        """The sum of the distances from each point to those that exist."""
        blocks = [self.rows(rows) for rows in self.blocks()] if self.matrix is None else [self.matrix]
        return torch.cat([torch.where(block.isinf(), 0, block).sum(-1) for block in blocks], -1)

    def at(self, rows: Int[Tensor, "*batch m"], lifted: LiftedPoints) -> "Metric":
        """The distances among some of the points, which are ``lifted``."""
        part = Metric(self.group, lifted, coordinates=self.coordinates, smooth=self.smooth, alpha=self.alpha)
        if self.matrix is not None:
            among = self.rows(rows).gather(-1, rows[..., None, :].expand(*rows.shape, rows.shape[-1]))
            part.matrix = among if lifted.mask is None else torch.where(lifted.mask[..., None, :], among, math.inf)
        return part
