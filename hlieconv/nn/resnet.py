"""The bottleneck residual network of convolutions."""

from collections.abc import Callable
from dataclasses import dataclass
from itertools import pairwise
from typing import NamedTuple

import torch
import torch.nn.functional as F
from jaxtyping import Bool, Float, Int
from torch import Tensor, nn

from hlieconv.groups import AbstractGroup
from hlieconv.nn.bottleneck import BottleneckBlock
from hlieconv.nn.convolution import LieConv, Pairs
from hlieconv.nn.edge_list import edge_list
from hlieconv.nn.lifting import LiftedPoints, Lifting
from hlieconv.nn.metric import Distances
from hlieconv.nn.neighbourhood import Neighbourhood
from hlieconv.nn.normalisation import normalisation
from hlieconv.nn.subsampling import farthest_points, random_points
from systems.tracing import autocast_dtype

POOLINGS = ("mean", "sum", "points", None)


class Layer(NamedTuple):
    """The geometry of one block."""

    pairs: Pairs
    mask: Tensor | None
    queries: Tensor | None
    """Rows of the points that are left after the block; None: all."""


class Geometry(NamedTuple):
    """The geometry of all blocks of a network."""

    start: LiftedPoints
    end: LiftedPoints
    """The points that are left after the last block."""
    layers: list[Layer]
    stem: Layer | None = None
    """The geometry of the convolution before the blocks, if there is one."""


@dataclass(frozen=True)
class Stem:
    """A convolution before the blocks, for many points with few channels, such as pixels.

    Each of the points that it leaves sees its nearest points among all, as many as ``neighbours`` of the network's
    neighbourhood, wherever they are.

    Args:
        points: how many it leaves, of each lift if there are several; all, if there are no more.
        convolution: makes the `LieConv` of its in_channels, out_channels and pair_channels.

    Raises:
        ValueError: for no points.
    """

    points: int
    convolution: Callable[..., LieConv] = LieConv

    def __post_init__(self) -> None:
        if self.points < 1:
            raise ValueError(f"points: expected at least 1, got {self.points}")


class LieResNet(nn.Module):
    """Lift, Linear, bottleneck blocks, norm, Swish, Linear, and pool: values on points in, values out.

    Outputs are invariant numbers: they do not change when the group moves all points, up to what the lift does (see
    `Lifting`). The geometry is computed once a call; blocks that leave all points share it. Where points do not change
    from call to call, compute it once (`geometry`) and give it to the calls in their place.

    With ``subsampling`` each block leaves ``subsampling^(1/layers)`` of its points; channels and the fill of the balls
    grow by one over the root of that.

    Args:
        group: the network is equivariant to it.
        in_channels: channels of the input values.
        out_channels: channels of the output values.
        channels: channels of the first block.
        layers: how many blocks there are.
        lifting: how many group elements a point has, and which. None: one, the first node.
        neighbourhood: which points a convolution sees; the network has copies of it. None: all pairs. With a ``fill``,
            call `update_radius` in training.
        block: makes the block of its in_channels, out_channels and pair_channels, and of ``normalise``. Its options are
            set once, as in ``partial(BottleneckBlock, bottleneck=2)``.
        subsampling: fraction of the points that is left after the last block.
        sampling: the "farthest" points are kept, or "random" ones.
        stem: a first convolution, which looks at the values themselves and leaves some of the points. None: there is
            none.
        pooling: "mean" over points and samples, "sum" over points of the mean over samples, "points" the mean over the
            samples of each point; None: the lifted points and the values there.
        normalise: what normalises in the blocks and before the last linear layer: "none", "layer", or "batch" (True).
        seed: the seed of what is drawn at random in a call without a generator: each such call draws the same.

    Raises:
        ValueError: for values outside their range, or a neighbourhood of another group.

    Source: Finzi et al. 2020 (arXiv:2002.12880), fig. 5 and appendix C.3.

    Example:
        >>> from hlieconv.groups import SE2
        >>> few = Neighbourhood(SE2(), neighbours=8)
        >>> network = LieResNet(SE2(), in_channels=3, out_channels=1, lifting=Lifting(samples=4), neighbourhood=few)
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
        lifting: Lifting | None = None,
        neighbourhood: Neighbourhood | None = None,
        block: Callable[..., BottleneckBlock] = BottleneckBlock,
        subsampling: float = 1.0,
        sampling: str = "farthest",
        stem: Stem | None = None,
        pooling: str | None = "mean",
        normalise: bool | str = False,
        seed: int = 0,
    ) -> None:
        super().__init__()
        if layers < 1:
            raise ValueError(f"layers: expected at least 1, got {layers}")
        if not 0 < subsampling <= 1:
            raise ValueError(f"subsampling: expected a fraction in (0, 1], got {subsampling}")
        if sampling not in ("farthest", "random"):
            raise ValueError(f"sampling: expected farthest or random, got {sampling!r}")
        if pooling not in POOLINGS:
            raise ValueError(f"pooling: expected mean, sum, points or None, got {pooling!r}")
        if pooling == "points" and (subsampling < 1 or stem is not None):
            raise ValueError(f"pooling: expected mean, sum or None where points are left out, got {pooling!r}")
        neighbourhood = neighbourhood or Neighbourhood(group)
        if (other := neighbourhood.metric.group) != group:
            raise ValueError(f"neighbourhood: expected one of {group.name}, got one of {other.name}")
        self.group, self.lifting = group, lifting or Lifting()
        self.in_channels, self.pooling, self.sampling, self.seed = in_channels, pooling, sampling, seed
        self.fraction = subsampling ** (1 / layers)
        growth = self.fraction**-0.5
        widths = [round(channels * growth**layer) for layer in range(layers + 1)]
        self.neighbourhoods = nn.ModuleList(
            neighbourhood.enlarged(growth**layer) for layer in range(1 if subsampling == 1 else layers)
        )
        self.stem = stem
        if stem is not None:
            self.first_neighbourhood = neighbourhood.unbounded()
            self.first = stem.convolution(in_channels, channels, neighbourhood.channels)
            self.first_norm = normalisation(channels, normalise)
        self.embed = nn.Linear(in_channels if stem is None else channels, channels)
        self.blocks = nn.ModuleList(
            block(narrow, wide, neighbourhood.channels, normalise=normalise) for narrow, wide in pairwise(widths)
        )
        self.norm = normalisation(widths[-1], normalise)
        self.readout = nn.Linear(widths[-1], out_channels)

    def forward(
        self,
        points: Float[Tensor, "*batch n d"] | LiftedPoints | Geometry,
        values: Float[Tensor, "*batch n c"],
        mask: Bool[Tensor, "*batch n"] | None = None,
        *,
        generator: torch.Generator | None = None,
        edges: Int[Tensor, "2 edge"] | None = None,
    ) -> Tensor | tuple[LiftedPoints, Tensor]:
        """The pooled values ``(*batch, out)``, those of the points ``(*batch, n, out)``, or those of the lifted points.

        Args:
            points: points in R^d; or points lifted already (by `lift`); or their `geometry`, whose points may be
                the same for a whole batch of values.
            values: the values at the points; what is masked may be anything, also NaN.
            mask: which points exist; None if all do, or if the points are lifted with their mask.
            generator: the source of lifts, neighbours and points that are drawn at random.
            edges: (i, j) of a graph of the points: each then sees its neighbours along them alone, in all blocks.

        Raises:
            ValueError: for wrong shapes, no points, none that exist, or points outside the group's domain; for edges
                where points are left out, or a ball or a number of neighbours is asked for.
        """
        start, lifted, layers, stem = (
            points if isinstance(points, Geometry) else self.geometry(points, mask, generator=generator, edges=edges)
        )
        values = self._spread(values, start)
        if stem is not None:
            values = F.silu(self.first_norm(self.first(values, stem.pairs), layers[0].mask))
        values = self.embed(values).to(self.embed.weight)  # autocast rounds no sums over blocks
        for block, layer in zip(self.blocks, layers, strict=True):
            values = block(values, *layer)
        values = self._read(F.silu(self.norm(values, lifted.mask)))
        return (lifted, values) if self.pooling is None else self._pool(values, lifted.mask)

    def _read(self, values: Tensor) -> Tensor:
        if autocast_dtype(values) is None:
            return self.readout(values)
        with torch.autocast(values.device.type, enabled=False):  # outputs are not rounded
            return self.readout(values.to(self.readout.weight))

    def geometry(
        self,
        points: Float[Tensor, "*batch n d"] | LiftedPoints,
        mask: Bool[Tensor, "*batch n"] | None = None,
        *,
        generator: torch.Generator | None = None,
        edges: Int[Tensor, "2 edge"] | None = None,
    ) -> Geometry:
        """The lifted points, and of each block its pairs and the points that are left after it."""
        generator = generator or self._own_generator(
            points.orbit.device if isinstance(points, LiftedPoints) else points.device
        )
        start = points if isinstance(points, LiftedPoints) else self.lift(points, mask, generator=generator)
        if edges is None:
            return Geometry(start, *self._geometry(start, generator))
        if self.fraction < 1:
            raise ValueError(f"edges: expected all points in all blocks, got subsampling to {self.fraction:g} in each")
        if self.stem is not None:
            raise ValueError("edges: expected all points in all blocks, got a stem, which leaves some out")
        along = edge_list(edges, start.orbit.shape[-2] // self.lifting.samples).of_lifts(self.lifting.samples)
        pairs = self.neighbourhoods[0](start, along=along)
        return Geometry(start, start, [Layer(pairs, start.mask, None)] * len(self.blocks))

    def lift(
        self,
        points: Float[Tensor, "*batch n d"],
        mask: Bool[Tensor, "*batch n"] | None = None,
        *,
        generator: torch.Generator | None = None,
    ) -> LiftedPoints:
        """The points as the network lifts them."""
        generator = generator or self._own_generator(points.device)
        return self.lifting(self.group, points, mask, generator=generator)

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
    ) -> tuple[LiftedPoints, list[Layer], Layer | None]:
        """The points that are left at the end, the geometry of each block, the stem's; or only the radii's update."""
        neighbourhoods: list[Neighbourhood] = list(self.neighbourhoods)  # type: ignore[arg-type]
        distances = neighbourhoods[0].distances(lifted)
        if (self.fraction < 1 or self.stem is not None) and self.sampling == "farthest":
            distances.keep()
        stem: Layer | None = None
        if self.stem is not None:
            left = self.stem.points * self.lifting.samples
            queries, kept = self._subsample(lifted, distances, left, generator)
            if not update:
                pairs = self.first_neighbourhood(lifted, queries, distances=distances, generator=generator)
                stem = Layer(pairs, lifted.mask, queries)
            if queries is not None:
                lifted = lifted.at(queries)._replace(mask=kept)
                distances = distances.at(queries, lifted)
        layers: list[Layer] = []
        for neighbourhood in neighbourhoods:
            if update:
                neighbourhood.update(distances)
            queries, kept = self._subsample(lifted, distances, self.fraction, generator)
            if not update:
                pairs = neighbourhood(lifted, queries, distances=distances, generator=generator)
                layers.append(Layer(pairs, lifted.mask, queries))
            if queries is not None:
                lifted = lifted.at(queries)._replace(mask=kept)
                distances = distances.at(queries, lifted)
        return lifted, layers * (len(self.blocks) // len(neighbourhoods)), stem

    def _subsample(
        self, lifted: LiftedPoints, distances: Distances, part: float | int, generator: torch.Generator | None
    ) -> tuple[Tensor | None, Tensor | None]:
        if part >= distances.size if isinstance(part, int) else part == 1:
            return None, lifted.mask
        if self.sampling == "farthest":
            return farthest_points(distances, part)
        assert generator is not None
        return random_points(lifted.mask, lifted.orbit.shape[:-1], part, generator=generator)

    def _own_generator(self, device: torch.device) -> torch.Generator | None:
        """Made only if something is to be drawn."""
        random = self.neighbourhoods[0].choice == "random" or self.sampling == "random" or self.lifting.random
        return torch.Generator(device).manual_seed(self.seed) if random else None

    def _spread(self, values: Tensor, lifted: LiftedPoints) -> Tensor:
        """The values of each point at each of its samples, and 0 where there is no point."""
        n = lifted.orbit.shape[-2] // self.lifting.samples
        batch = lifted.orbit.shape[:-2] or values.shape[:-2]
        if values.shape != (*batch, n, self.in_channels):
            expected = (*batch, n, self.in_channels)
            raise ValueError(f"values: expected shape {expected} for these points, got {tuple(values.shape)}")
        values = values.repeat_interleave(self.lifting.samples, -2)
        return values if lifted.mask is None else torch.where(lifted.mask[..., None], values, 0)

    def _pool(self, values: Tensor, mask: Tensor | None) -> Tensor:
        if self.pooling == "points":
            return values.unflatten(-2, (-1, self.lifting.samples)).mean(-2)
        if mask is not None:
            values = torch.where(mask[..., None], values, 0)
        if self.pooling == "sum":
            return values.sum(-2) / self.lifting.samples
        return values.mean(-2) if mask is None else values.sum(-2) / mask.sum(-1, keepdim=True)
