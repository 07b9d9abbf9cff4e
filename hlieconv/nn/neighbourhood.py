"""Which points a convolution sees from each query: all, those in a ball, or some of them."""

import copy
import math

import torch
from jaxtyping import Int
from torch import Tensor, nn

from hlieconv.groups import AbstractGroup
from hlieconv.nn.convolution import Pairs, gather
from hlieconv.nn.edge_list import EdgeList
from hlieconv.nn.lifting import LiftedPoints
from hlieconv.nn.metric import BLOCK, TIE, Distances, Metric
from hlieconv.nn.neighbour_list import FEW, nearest
from hlieconv.nn.placement import Placement, placement_of
from hlieconv.nn.radial import RadialFunctions
from hlieconv.nn.recomputation import recomputed
from systems.tracing import readable

#: Points whose balls are looked at to move the radius.
SURVEYED = 128

#: Coordinates by which the cells of a GPU are laid out: each one more makes for three times as many around a query.
AXES = 4


class Neighbourhood(nn.Module):
    """Pairs of queries and their neighbours: the input points in a ball about each query, or some of those.

    Without ``radius`` and ``fill`` the ball has no edge: all pairs. With a ``radius`` it is fixed. With a ``fill`` the
    radius follows the data: `update` moves it, in training mode only, towards the radius of balls that hold this
    fraction of the points. The forward pass never moves it.

    The edge is "hard" (as in the paper) or "smooth": weights fall to 0 at the radius as (1 - d^2 / r^2)^3, with two
    continuous derivatives, so that a Hamiltonian's forces stay differentiable when bodies cross it.

    Args:
        group: the group of the elements.
        radius: the radius of the ball, in the group's distance; where the edge is smooth, in the root of
            `Metric.square`.
        fill: the fraction of the points that a ball should hold.
        neighbours: the most neighbours that a query has; None: all points in the ball.
        choice: which points they are if the ball holds more: the "nearest", or some drawn at "random" by the generator.
        edge: the edge of the ball, "hard" or "smooth".
        coordinates: the coordinates of a pair, "embedding", "log" or "bi_invariants" (see `Metric`).
        radial: functions of the squared distance that take its place as the features of a pair, where it is the only
            coordinate ("bi_invariants" of SE2 and SE3).
        alpha: the weight of the rotation and scale part of the distance against its translation and orbit part.
        momentum: the weight of the newest batch in the radius.
        tile: queries whose pair features are computed at a time, and again in the backward pass; None: all at once.

    Raises:
        ValueError: for values outside their range.

    Example:
        >>> from hlieconv.groups import T
        >>> from hlieconv.nn import lift
        >>> pairs = Neighbourhood(T(2), neighbours=3)(lift(T(2), torch.randn(10, 5, 2)))
        >>> pairs.features.shape
        torch.Size([10, 5, 3, 2])
    """

    radius: Tensor
    placement: Placement | None
    """Coordinates in which a list finds the nearest; None: all distances are looked at."""

    def __init__(
        self,
        group: AbstractGroup,
        *,
        radius: float | None = None,
        fill: float | None = None,
        neighbours: int | None = None,
        choice: str = "nearest",
        edge: str = "hard",
        coordinates: str = "embedding",
        radial: RadialFunctions | None = None,
        alpha: float = 0.2,
        momentum: float = 0.1,
        tile: int | None = None,
    ) -> None:
        super().__init__()
        if radius is not None and not radius > 0:
            raise ValueError(f"radius: expected a positive number, got {radius}")
        if fill is not None and not 0 < fill <= 1:
            raise ValueError(f"fill: expected a fraction in (0, 1], got {fill}")
        if neighbours is not None and neighbours < 1:
            raise ValueError(f"neighbours: expected at least 1, got {neighbours}")
        if choice not in ("nearest", "random"):
            raise ValueError(f"choice: expected nearest or random, got {choice!r}")
        if edge not in ("hard", "smooth"):
            raise ValueError(f"edge: expected hard or smooth, got {edge!r}")
        if edge == "smooth" and choice == "random":
            raise ValueError("choice: expected nearest with a smooth edge, got random, whose draws are not smooth")
        self.smooth = edge == "smooth"
        self.metric = Metric(group, coordinates, alpha, self.smooth)
        self.radial = radial
        if radial is not None and (seen := self.metric.channels) != 1:
            raise ValueError(
                "radial: expected coordinates that are one squared distance, as bi_invariants of SE2 and SE3 are, "
                f"got {seen} numbers a pair ({coordinates} of {group.name})"
            )
        self.fill = None if fill == 1 else fill
        self.radius_given = radius is not None
        self.neighbours, self.choice = neighbours, choice
        self.momentum, self.tile = momentum, tile
        self.register_buffer("radius", torch.tensor(math.inf if radius is None else float(radius)))
        self.placement = placement_of(self.metric)

    @property
    def bounded(self) -> bool:
        """Whether the ball has an edge at all."""
        return self.radius_given or self.fill is not None

    @property
    def channels(self) -> int:
        """How many features a pair has."""
        return self.metric.channels if self.radial is None else self.radial.count

    def enlarged(self, factor: float) -> "Neighbourhood":
        """A copy of it whose balls hold so many times the fraction ``fill`` of the points, all of them at most."""
        copied = copy.copy(self)
        copied._buffers = {"radius": self.radius.clone()}
        if self.fill is not None:
            fill = min(1.0, self.fill * factor)
            copied.fill = None if fill == 1 else fill
        return copied

    def unbounded(self) -> "Neighbourhood":
        """A copy of it whose balls have no edge: as many neighbours, wherever they are."""
        copied = copy.copy(self)
        copied._buffers = {"radius": torch.full_like(self.radius, math.inf)}
        copied.fill, copied.radius_given = None, False
        return copied

    def distances(self, lifted: LiftedPoints) -> Distances:
        """The distances among these points that the balls are made of."""
        return Distances(self.metric, lifted)

    def forward(
        self,
        lifted: LiftedPoints,
        queries: Int[Tensor, "*batch m"] | None = None,
        *,
        distances: Distances | None = None,
        generator: torch.Generator | None = None,
        along: EdgeList | None = None,
    ) -> Pairs:
        """The pairs of the queries.

        Args:
            lifted: the input points.
            queries: which of them to look from; None: all, in order.
            distances: among the input points, if they are known already.
            generator: the source of the draws where the choice is random.
            along: the neighbours of all points along the edges of a graph: these are the pairs.

        Raises:
            ValueError: if the choice is random and there is no generator, or if the edge is smooth and a ball holds
                more than ``neighbours`` points, so that the edge would be cut off (looked up on the CPU only); for
                edges of a graph beside queries, a ball or a number of neighbours.
        """
        n, rows = lifted.elements.shape[-3], queries
        if rows is None:
            rows = torch.arange(n, device=lifted.orbit.device).expand(*lifted.orbit.shape[:-2], n)
        some = lifted if queries is None else lifted.at(queries)
        u = LiftedPoints(some.elements[..., :, None, :, :], some.orbit[..., :, None, :])
        if along is not None:
            if self.bounded or self.neighbours is not None or queries is not None:
                raise ValueError("along: expected all points and no ball, radius or number of neighbours beside edges")
            neighbour, present = (x.expand(*lifted.orbit.shape[:-2], *x.shape) for x in along[:2])
            v = lifted.at(neighbour)
            return self._pairs(u, v, present if v.mask is None else present & v.mask, neighbour)
        if self.neighbours is not None and self.neighbours < n:
            neighbour = self._choose(distances or self.distances(lifted), rows, self.neighbours, generator)
            certain = lifted.mask is None and (self.smooth or not self.bounded)  # that there are as many as asked for
            neighbour, present = neighbour.clamp(min=0), None if certain else neighbour >= 0
            return self._pairs(u, lifted.at(neighbour), present, neighbour)
        everyone = LiftedPoints(lifted.elements[..., None, :, :, :], lifted.orbit[..., None, :, :])
        present = None if lifted.mask is None else lifted.mask[..., None, :].expand(*rows.shape, n)
        if self.bounded and not self.smooth:
            present = (distances or self.distances(lifted)).rows(rows) < self.radius
        return self._pairs(u, everyone, present, None)

    @torch.no_grad()
    def update(self, distances: Distances) -> None:
        """Move the radius towards the one whose balls hold the fraction ``fill`` of these points.

        It moves by a factor, (newest / radius)^momentum, so that it stays positive and converges from any start. Does
        nothing in eval mode or without a ``fill``.
        """
        if not self.training or self.fill is None:
            return
        # Some of the points, evenly from the whole list, are enough.
        count = min(distances.size, SURVEYED)
        rows = torch.linspace(0, distances.size - 1, count, device=self.radius.device).round().long()
        rows = rows.expand(*distances.batch, count)
        found = distances.rows(rows)
        if distances.lifted.mask is not None:
            found = torch.where(distances.lifted.mask.gather(-1, rows)[..., None], found, math.inf)
        finite = found[found.isfinite()]
        newest = finite.kthvalue(max(1, round(self.fill * len(finite)))).values.to(self.radius.dtype)
        newest = newest * (1 + 1e-3)  # just beyond the last of them, so that rounding does not decide
        if newest > 0:
            known = self.radius.isfinite()
            self.radius.copy_(self.radius * (newest / self.radius) ** self.momentum if known else newest)

    def _choose(
        self, distances: Distances, rows: Tensor, count: int, generator: torch.Generator | None
    ) -> Int[Tensor, "*batch m k"]:
        """Which points are the neighbours of the queries; -1 where there are no more."""
        if self.choice == "nearest" and self.placement is not None:
            if self.placement.exact and (distances.lifted.orbit.device.type == "cpu" or self.placement.size <= AXES):
                return self._within(*self._searched(distances, rows, count))
            if distances.size > FEW and readable(distances.lifted.elements, wait=True):
                return self._within(*self._confirmed(distances, rows, count, 2 * count))
        if self.choice == "random" and generator is None:
            raise ValueError("generator: a random choice of neighbours needs one, got None")
        block = max(1, BLOCK // (distances.size * max(1, math.prod(distances.batch))))
        return torch.cat([self._choose_all(distances, part, count, generator) for part in rows.split(block, -1)], -2)

    def _within(self, neighbour: Tensor, distance: Tensor) -> Tensor:
        """The neighbours that lie in the ball; -1 in place of the others."""
        return neighbour if self.smooth or not self.bounded else torch.where(distance < self.radius, neighbour, -1)

    def _searched(self, distances: Distances, rows: Tensor, count: int) -> tuple[Tensor, Tensor]:
        """The nearest by their coordinates, and how far apart these are; -1 and infinity where there are no more."""
        assert self.placement is not None
        places = self.placement(distances.lifted)
        if places.device.type != "cpu":
            places = places[..., :AXES]
        found = nearest(gather(places, rows), places, count, distances.lifted.mask)
        away = (gather(places, found.clamp(min=0)) - gather(places, rows)[..., None, :]).square().sum(-1).sqrt()
        return found, torch.where(found < 0, math.inf, away)

    @torch.no_grad()
    def _confirmed(self, distances: Distances, rows: Tensor, count: int, looked_at: int) -> tuple[Tensor, Tensor]:
        """The nearest by their distance, from ever more of the nearest by their coordinates."""
        looked_at = min(looked_at, distances.size)
        block = max(1, BLOCK // (looked_at * max(1, math.prod(distances.batch))))
        if rows.shape[-1] > block:
            parts = [self._confirmed(distances, part, count, looked_at) for part in rows.split(block, -1)]
            return torch.cat([found for found, _ in parts], -2), torch.cat([distance for _, distance in parts], -2)
        candidates, away = self._searched(distances, rows, looked_at)
        among = torch.where(candidates < 0, math.inf, distances.among(rows, candidates.clamp(min=0)))
        best = among.topk(count, -1, largest=False)
        found = torch.where(best.values.isinf(), -1, candidates.gather(-1, best.indices))
        # Whatever was not looked at is at least as far as the last of those that were.
        enough = best.values[..., -1].clamp(max=self.radius if self.bounded and not self.smooth else math.inf)
        open_rows = enough * (1 + 2 * TIE) > away[..., -1]
        if looked_at == distances.size or not open_rows.any():
            return found, best.values
        again = open_rows.float().topk(int(open_rows.sum(-1).max())).indices
        deeper = self._confirmed(distances, rows.gather(-1, again), count, 4 * looked_at)
        place = again[..., None].expand(*again.shape, count)
        return found.scatter(-2, place, deeper[0]), best.values.scatter(-2, place, deeper[1])

    def _choose_all(self, distances: Distances, rows: Tensor, count: int, generator: torch.Generator | None) -> Tensor:
        away = distances.rows(rows)
        if self.bounded and not self.smooth:
            away = torch.where(away < self.radius, away, math.inf)
        if self.choice == "random":
            assert generator is not None
            draws = torch.rand(away.shape, generator=generator, device=generator.device).to(away)
            away = torch.where(away.isinf(), math.inf, draws)
        best = away.topk(count, -1, largest=False)
        return torch.where(best.values.isinf(), -1, best.indices)

    def _pairs(self, u: LiftedPoints, v: LiftedPoints, present: Tensor | None, neighbour: Tensor | None) -> Pairs:
        """The features of broadcastable pairs, and their weights."""
        features, *squares = self._tiled_geometry(u.elements, u.orbit, v.elements, v.orbit)
        weight = None if present is None else present.to(features.dtype)
        if squares:
            inside = (1 - squares[0] / self.radius.square()).clamp(min=0) ** 3
            weight = inside if weight is None else inside * weight
            if neighbour is not None:
                _check_edge(weight)
        return Pairs(features, weight, neighbour)

    def _geometry(self, *tensors: Tensor) -> tuple[Tensor, ...]:
        """Features and, where the edge is smooth, squared distances."""
        u, v = LiftedPoints(*tensors[:2]), LiftedPoints(*tensors[2:])
        features = self.metric.features(u, v)
        if self.radial is not None:
            features = self.radial(features)
        return (features, self.metric.square(u, v)) if self.smooth and self.bounded else (features,)

    def _tiled_geometry(self, *tensors: Tensor) -> tuple[Tensor, ...]:
        if self.tile is None:
            return self._geometry(*tensors)
        # Dimension -4 of elements and -3 of orbits are the queries; what all queries share has size 1 there.
        count = -(-tensors[0].shape[-4] // self.tile)
        parts = [
            x.split(self.tile, axis) if x.shape[axis] > 1 else [x] * count
            for x, axis in zip(tensors, (-4, -3, -4, -3), strict=True)
        ]
        features, *squares = zip(*(recomputed(self._geometry, *tile) for tile in zip(*parts, strict=True)), strict=True)
        return torch.cat(features, -3), *(torch.cat(blocks, -2) for blocks in squares)


def _check_edge(weight: Tensor) -> None:
    """A ValueError if the last neighbour of some query still lies inside the smooth edge."""
    if readable(weight) and (weight[..., -1] > 0).any():
        k = weight.shape[-1]
        raise ValueError(
            f"neighbours: expected balls of fewer than neighbours = {k} points, which a smooth edge needs, "
            f"got one with {k} or more: raise neighbours or lower the radius"
        )
