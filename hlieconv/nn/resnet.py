"""The bottleneck residual network of convolutions."""

from collections.abc import Callable, Sequence
from itertools import pairwise
from typing import NamedTuple

import torch
import torch.nn.functional as F
from jaxtyping import Bool, Float, Int
from torch import Tensor, nn

from hlieconv.groups import AbstractGroup
from hlieconv.nn.convolution import LieConv, Pairs, linear, rows_of
from hlieconv.nn.lifting import LiftedPoints, lift
from hlieconv.nn.metric import Distances, Metric
from hlieconv.nn.neighbourhood import Neighbourhood
from hlieconv.nn.normalisation import MaskedBatchNorm
from hlieconv.nn.subsampling import farthest_points, random_points


class BottleneckBlock(nn.Module):
    """norm, Swish, Linear to a quarter, norm, Swish, LieConv, norm, Swish, Linear back; plus the input.

    Where the block has fewer queries than input points, the residual is the input at the queries; where it has more
    channels, the residual leaves the new ones alone.

    Args:
        in_channels: channels of the input values.
        out_channels: channels of the output values, at least as many.
        pair_channels: how many features a pair has.
        bottleneck: by how much the channels shrink for the convolution.
        normalise: masked batch norm at the three places; off for dynamics.
        widths, mid_channels, aggregation, activation, tile: of the `LieConv`.

    Example:
        >>> import torch
        >>> block = BottleneckBlock(in_channels=8, out_channels=8, pair_channels=2)
        >>> points, values = torch.randn(10, 5, 2), torch.randn(10, 5, 8)
        >>> block(values, Pairs(points[:, :, None] - points[:, None])).shape
        torch.Size([10, 5, 8])
    """

    def __init__(
        self,
        in_channels: int,
        out_channels: int,
        pair_channels: int,
        *,
        bottleneck: int = 4,
        normalise: bool = False,
        widths: Sequence[int] = (32, 32),
        mid_channels: int = 16,
        aggregation: str = "mean",
        activation: Callable[[], nn.Module] = nn.SiLU,
        tile: int | None = None,
    ) -> None:
        super().__init__()
        if out_channels < in_channels:
            raise ValueError(f"out_channels: expected at least in_channels = {in_channels}, got {out_channels}")
        narrow_in, narrow_out = max(1, in_channels // bottleneck), max(1, out_channels // bottleneck)
        self.widening = out_channels - in_channels
        self.norms = nn.ModuleList(
            MaskedBatchNorm(channels) if normalise else Unnormalised()
            for channels in (in_channels, narrow_in, narrow_out)
        )
        self.activation = activation()
        self.narrow = linear(in_channels, narrow_in)
        self.convolution = LieConv(
            narrow_in,
            narrow_out,
            pair_channels,
            widths=widths,
            mid_channels=mid_channels,
            aggregation=aggregation,
            activation=activation,
            tile=tile,
        )
        self.widen = linear(narrow_out, out_channels)

    def forward(
        self,
        values: Float[Tensor, "*batch n c_in"],
        pairs: Pairs,
        mask: Bool[Tensor, "*shared n"] | None = None,
        queries: Int[Tensor, "*shared m"] | None = None,
        weighted: Float[Tensor, "*some n c"] | None = None,
    ) -> Float[Tensor, "*batch m c_out"]:
        """The values at the query points.

        Args:
            values: at the input points, finite everywhere.
            pairs: queries and their neighbours.
            mask: which input points exist; None if all do.
            queries: which input points the queries are; None if they are all of them, in order.
            weighted: what the method of this name returned for these values, to spare it.
        """
        query_mask, residual = mask, values
        if queries is not None:
            residual = rows_of(values, queries)
            query_mask = None if mask is None else mask.gather(-1, queries)
        if weighted is None:
            hidden = self.convolution(self._narrowed(values, mask), pairs)
        else:
            hidden = self.convolution.sum(weighted, pairs)
        hidden = self.widen(self.activation(self.norms[2](hidden, query_mask)))
        return hidden + (F.pad(residual, (0, self.widening)) if self.widening else residual)

    def weighted(
        self, values: Float[Tensor, "*batch n c_in"], mask: Bool[Tensor, "*batch n"] | None = None
    ) -> Float[Tensor, "*batch n c"]:
        """All that the block computes before the geometry matters: once, for values that stay while the points move."""
        return self.convolution.weighted(self._narrowed(values, mask))

    def _narrowed(self, values: Tensor, mask: Tensor | None) -> Tensor:
        hidden = self.narrow(self.activation(self.norms[0](values, mask)))
        return self.activation(self.norms[1](hidden, mask))


class Unnormalised(nn.Module):
    """Stands where a norm would: values unchanged."""

    def forward(self, values: Tensor, mask: Tensor | None = None) -> Tensor:
        return values


class Layer(NamedTuple):
    """The geometry of one block."""

    pairs: Pairs
    mask: Tensor | None
    queries: Tensor | None
    """Rows of the points that the block keeps; None: all."""


class Geometry(NamedTuple):
    """All that a network needs to know of its points."""

    start: LiftedPoints
    end: LiftedPoints
    """The points that are left after the last block."""
    layers: list[Layer]


class LieResNet(nn.Module):
    """Lift, Linear, bottleneck blocks, norm, Swish, Linear, and pool: values on points in, values out.

    Outputs are invariant numbers: they do not change when the group moves all points, up to what the lift does (see
    ``samples``). The geometry is computed once a call; blocks that keep all points share it. Where points do not change
    from call to call, compute it once (`geometry`) and give it to the calls in their place.

    With ``subsampling`` each block keeps ``subsampling^(1/layers)`` of its points; channels and the fill of the balls
    grow by one over the root of that.

    Args:
        group: which the network is equivariant to.
        in_channels: channels of the input values.
        out_channels: channels of the output values.
        channels: of the first block.
        layers: how many blocks.
        samples: group elements a point. Only groups with a stabiliser (SE(2), SE(3), SO(3)) need more than one.
        stabiliser: "nodes" of a quadrature, the same for all points and at each call; or drawn at "random".
        subsampling: fraction of the points that is left after the last block.
        sampling: the "farthest" points are kept, or "random" ones.
        pooling: "mean" over points and samples, "sum" over points of the mean over samples, "points" the mean over the
            samples of each point; None: the lifted points and the values there.
        radius, fill, neighbours, choice, edge, coordinates, alpha: of the `Neighbourhood`. With a ``fill``, call
            `update_radius` in training.
        bottleneck, normalise, widths, mid_channels, aggregation, activation: of the `BottleneckBlock`.
        tile: queries computed at a time, and again in the backward pass, to save memory; None: all at once.
        seed: of what is drawn at random in a call that is given no generator: each such call draws the same.

    Raises:
        ValueError: for values outside their range.

    Source: Finzi et al. 2020 (arXiv:2002.12880), fig. 5 and appendix C.3.

    Example:
        >>> from hlieconv.groups import SE2
        >>> network = LieResNet(SE2(), in_channels=3, out_channels=1, channels=16, layers=2, samples=4)
        >>> network(torch.randn(10, 5, 2), torch.randn(10, 5, 3)).shape
        torch.Size([10, 1])
    """

    def __init__(
        self,
        group: AbstractGroup,
        in_channels: int,
        out_channels: int,
        *,
        channels: int = 64,
        layers: int = 4,
        samples: int = 1,
        stabiliser: str = "nodes",
        subsampling: float = 1.0,
        sampling: str = "farthest",
        pooling: str | None = "mean",
        radius: float | None = None,
        fill: float | None = None,
        neighbours: int | None = None,
        choice: str = "nearest",
        edge: str = "hard",
        coordinates: str = "embedding",
        alpha: float = 0.2,
        bottleneck: int = 4,
        normalise: bool = False,
        widths: Sequence[int] = (32, 32),
        mid_channels: int = 16,
        aggregation: str = "mean",
        activation: Callable[[], nn.Module] = nn.SiLU,
        tile: int | None = None,
        seed: int = 0,
    ) -> None:
        super().__init__()
        _check("layers", layers, layers >= 1, "at least 1")
        _check("samples", samples, samples >= 1, "at least 1")
        _check("stabiliser", stabiliser, stabiliser in ("nodes", "random"), "nodes or random")
        _check("subsampling", subsampling, 0 < subsampling <= 1, "a fraction in (0, 1]")
        _check("sampling", sampling, sampling in ("farthest", "random"), "farthest or random")
        _check("pooling", pooling, pooling in ("mean", "sum", "points", None), "mean, sum, points or None")
        _check(
            "pooling", pooling, pooling != "points" or subsampling == 1, "mean, sum or None where points are left out"
        )
        self.group, self.samples, self.stabiliser = group, samples, stabiliser
        self.in_channels, self.pooling, self.sampling, self.seed = in_channels, pooling, sampling, seed
        self.fraction = subsampling ** (1 / layers)
        growth = self.fraction**-0.5
        widths_of_blocks = [round(channels * growth**layer) for layer in range(layers + 1)]
        self.neighbourhoods = nn.ModuleList(
            Neighbourhood(
                group,
                radius=radius,
                fill=None if fill is None else min(1.0, fill * growth**layer),
                neighbours=neighbours,
                choice=choice,
                edge=edge,
                coordinates=coordinates,
                alpha=alpha,
                tile=tile,
            )
            for layer in range(1 if subsampling == 1 else layers)
        )
        self.embed = nn.Linear(in_channels, channels)
        self.blocks = nn.ModuleList(
            BottleneckBlock(
                narrow,
                wide,
                Metric(group, coordinates).channels,
                bottleneck=bottleneck,
                normalise=normalise,
                widths=widths,
                mid_channels=mid_channels,
                aggregation=aggregation,
                activation=activation,
                tile=tile,
            )
            for narrow, wide in pairwise(widths_of_blocks)
        )
        self.norm = MaskedBatchNorm(widths_of_blocks[-1]) if normalise else Unnormalised()
        self.activation = activation()
        self.readout = nn.Linear(widths_of_blocks[-1], out_channels)

    def forward(
        self,
        points: Float[Tensor, "*batch n d"] | LiftedPoints | Geometry,
        values: Float[Tensor, "*batch n c"],
        mask: Bool[Tensor, "*batch n"] | None = None,
        *,
        generator: torch.Generator | None = None,
    ) -> Tensor | tuple[LiftedPoints, Tensor]:
        """The pooled values ``(*batch, out)``, those of the points ``(*batch, n, out)``, or those of the lifted points.

        Args:
            points: in R^d; or lifted already (by `lift`); or their `geometry`, whose points may be the same for a whole
                batch of values.
            values: at the points; what is masked may be anything, also NaN.
            mask: which points exist; None if all do, or if the points are lifted and know it.
            generator: of lifts, neighbours and points drawn at random.

        Raises:
            ValueError: for wrong shapes, no points, none that exist, or points outside the group's domain.
        """
        start, lifted, layers = (
            points if isinstance(points, Geometry) else self.geometry(points, mask, generator=generator)
        )
        values = self.embed(self._spread(values, start))
        for block, layer in zip(self.blocks, layers, strict=True):
            values = block(values, *layer)
        values = self.readout(self.activation(self.norm(values, lifted.mask)))
        return (lifted, values) if self.pooling is None else self._pool(values, lifted.mask)

    def geometry(
        self,
        points: Float[Tensor, "*batch n d"] | LiftedPoints,
        mask: Bool[Tensor, "*batch n"] | None = None,
        *,
        generator: torch.Generator | None = None,
    ) -> Geometry:
        """The lifted points, and of each block its pairs and the points it keeps."""
        generator = generator or self._own_generator(
            points.orbit.device if isinstance(points, LiftedPoints) else points.device
        )
        start = points if isinstance(points, LiftedPoints) else self.lift(points, mask, generator=generator)
        return Geometry(start, *self._geometry(start, generator))

    def lift(
        self,
        points: Float[Tensor, "*batch n d"],
        mask: Bool[Tensor, "*batch n"] | None = None,
        *,
        generator: torch.Generator | None = None,
    ) -> LiftedPoints:
        """The points as the network lifts them."""
        if self.stabiliser == "nodes":
            return lift(self.group, points, self.samples, mask=mask)
        generator = generator or self._own_generator(points.device)
        return lift(self.group, points, self.samples, mask=mask, generator=generator)

    def update_radius(
        self,
        points: Float[Tensor, "*batch n d"] | LiftedPoints,
        mask: Bool[Tensor, "*batch n"] | None = None,
        *,
        generator: torch.Generator | None = None,
    ) -> None:
        """Let the radii follow the ``fill`` on these points: once a training step; nothing in eval mode.

        Never part of `forward`, which would make the network another function at each call of an ODE solver.
        """
        if self.training:
            lifted = points if isinstance(points, LiftedPoints) else self.lift(points, mask, generator=generator)
            self._geometry(lifted, generator or self._own_generator(lifted.orbit.device), update=True)

    def _geometry(
        self, lifted: LiftedPoints, generator: torch.Generator | None, update: bool = False
    ) -> tuple[LiftedPoints, list[Layer]]:
        """The points that are left at the end, and the geometry of each block; or only the radii's update."""
        neighbourhoods: list[Neighbourhood] = list(self.neighbourhoods)  # type: ignore[arg-type]
        distances = neighbourhoods[0].distances(lifted)
        if self.fraction < 1 and self.sampling == "farthest":
            distances.keep()
        layers: list[Layer] = []
        for neighbourhood in neighbourhoods:
            if update:
                neighbourhood.update(distances)
            queries, kept = self._subsample(lifted, distances, generator)
            if not update:
                pairs = neighbourhood(lifted, queries, distances=distances, generator=generator)
                layers.append(Layer(pairs, lifted.mask, queries))
            if queries is not None:
                lifted = lifted.at(queries)._replace(mask=kept)
                distances = distances.at(queries, lifted)
        return lifted, layers * (len(self.blocks) // len(neighbourhoods))

    def _subsample(
        self, lifted: LiftedPoints, distances: Distances, generator: torch.Generator | None
    ) -> tuple[Tensor | None, Tensor | None]:
        if self.fraction == 1:
            return None, lifted.mask
        if self.sampling == "farthest":
            return farthest_points(distances, self.fraction)
        assert generator is not None
        return random_points(lifted.mask, lifted.orbit.shape[:-1], self.fraction, generator=generator)

    def _own_generator(self, device: torch.device) -> torch.Generator | None:
        """Made only if something is to be drawn."""
        random = self.neighbourhoods[0].choice == "random" or self.sampling == "random" or self.stabiliser == "random"
        return torch.Generator(device).manual_seed(self.seed) if random else None

    def _spread(self, values: Tensor, lifted: LiftedPoints) -> Tensor:
        """The values of each point at each of its samples, and 0 where there is no point."""
        n = lifted.orbit.shape[-2] // self.samples
        batch = lifted.orbit.shape[:-2] or values.shape[:-2]
        if values.shape != (*batch, n, self.in_channels):
            expected = (*batch, n, self.in_channels)
            raise ValueError(f"values: expected shape {expected} for these points, got {tuple(values.shape)}")
        values = values.repeat_interleave(self.samples, -2)
        return values if lifted.mask is None else torch.where(lifted.mask[..., None], values, 0)

    def _pool(self, values: Tensor, mask: Tensor | None) -> Tensor:
        if self.pooling == "points":
            return values.unflatten(-2, (-1, self.samples)).mean(-2)
        if mask is not None:
            values = torch.where(mask[..., None], values, 0)
        if self.pooling == "sum":
            return values.sum(-2) / self.samples
        return values.mean(-2) if mask is None else values.sum(-2) / mask.sum(-1, keepdim=True)


def _check(name: str, value: object, good: bool, expected: str) -> None:
    if not good:
        raise ValueError(f"{name}: expected {expected}, got {value!r}")
