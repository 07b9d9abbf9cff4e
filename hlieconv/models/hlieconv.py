"""HLieConv: a Hamiltonian whose potential is a LieConv network."""

import functools
import math
from collections.abc import Callable, Mapping, Sequence
from typing import Any, NamedTuple

import torch
import torch._functorch.config as functorch_config
from jaxtyping import Bool, Float, Int
from torch import Tensor, nn

from hlieconv.groups import AbstractGroup
from hlieconv.groups.registry import resolved
from hlieconv.models.abstract import AbstractModel
from hlieconv.models.conditioned import Conditioned
from hlieconv.models.expansion.model import PairExpansion
from hlieconv.models.frame import Frame, translations_of
from hlieconv.models.inputs import Features, check_mass, existing, from_mean
from hlieconv.models.invariants import InvariantPairs
from hlieconv.models.logarithms import LogPairs
from hlieconv.models.pair_forces import PairSums, pair_force, pair_sums, readout_features
from hlieconv.models.readouts import MeanReadout, PairReadout
from hlieconv.nn import BottleneckBlock, Pairs
from hlieconv.nn.convolution import LieConv, perceptron
from hlieconv.nn.edge_list import EdgeList, edge_list
from systems import AbstractNewtonian, AbstractVectorField
from systems.dataset.schema import EDGES
from systems.tracing import autocast_dtype


class Context(NamedTuple):
    """All that a potential depends on besides the positions: computed once."""

    values: Float[Tensor, "*batch m width"]
    """The embedded features of the bodies, of each of their lifts."""
    weighted: Float[Tensor, "*batch m c"] | None
    """The first projection of these, None without blocks."""
    pairs: Float[Tensor, "*batch m k c"] | None
    """The embedded features of pairs, None if there are none."""
    mask: Bool[Tensor, "*batch n"] | None
    """Which bodies exist."""
    sums: PairSums | None
    """What pairs of them have in an energy that is a sum over pairs, None for others."""
    along: EdgeList | None = None
    """The neighbours of each body along edges, None where all are neighbours."""


class HLieConv(AbstractModel):
    """H = sum_i |p_i|^2 / 2 m_i + V(q), where V is a LieConv network that a group leaves unchanged.

    Args:
        group: the symmetry: Trivial, T2, Tx, SO2, SE2, T3, SO3, SE3, ..., a group, or the import path of your own.
        dimension: number of dimensions of space; by default that of the group, and 2 where a name leaves it open.
        body_features: names of the features of every body, mass among them.
        pair_features: names of the features of every pair of bodies.
        pairs: features of a pair that the kernel sees: "invariant", smooth invariants of the group, or "log", the
            published network's log(v^-1 u).
        width: number of channels of the network (published: 384).
        blocks: number of bottleneck blocks (published: 4); 0 suffices where only pairs interact.
        bottleneck: factor by which a block reduces the channels for its convolution.
        readout: energy as a sum over bodies and pairs of bodies, "pairs", or as the published network's mean over
            bodies, "mean"; by default "pairs" with the pair features "invariant", "mean" with "log".
        samples: number of lifts of a body with the pair features "log"; 0 takes 8 for SO(2) stabilisers, 12 for SO(3).
        normalised: measure the units of the data before training; the published network does not.
        centred: subtract the mean of the positions, as published: any potential is then translation invariant.
        edges: let bodies see each other along the edges of the data alone, those of a chain, a lattice or a graph:
            then ``pair_features`` are features of edges, and memory and time are linear in the bodies.
        residual: learn only what is left of a law of known functions, `known`, which `fit` reads from the data first.
        growing: let forces grow with the distance, as those of springs do; without, the pair features "invariant" level
            off far away, as gravity and charges ask for.

    Raises:
        ValueError: for an unknown group, a group without known invariants, features without mass, edges or forces that
            do not grow with the pair features "log", and a residual along edges or of centred positions.

    Source: Finzi et al. 2020 (arXiv:2002.12880), section 6. The readout "pairs" sums over pairs of bodies the product
    of a pair kernel and functions of both bodies.

    Example:
        >>> import torch
        >>> model = HLieConv(group="SE2")
        >>> bodies = {"mass": torch.ones(10, 6), "stiffness": torch.ones(10, 6)}
        >>> hamiltonian = model.condition(bodies)
        >>> hamiltonian.force(torch.randn(10, 6, 2)).shape
        torch.Size([10, 6, 2])
    """

    name = "hlieconv"
    presets = {
        "paper": {"pairs": "log", "readout": "mean", "width": 384, "blocks": 4, "bottleneck": 4, "normalised": False}
    }
    compiles = True
    energy_unit: Tensor
    known: PairExpansion | None
    """The law of which it learns the residual, if it does."""
    left: Tensor
    """The part of the forces that this law leaves."""

    def __init__(
        self,
        group: str | AbstractGroup = "SE2",
        *,
        dimension: int | None = None,
        body_features: Sequence[str] = ("mass", "stiffness"),
        pair_features: Sequence[str] = (),
        pairs: str = "invariant",
        readout: str = "",
        width: int = 64,
        blocks: int = 2,
        bottleneck: int = 4,
        samples: int = 0,
        normalised: bool = True,
        centred: bool = False,
        edges: bool = False,
        residual: bool = False,
        growing: bool = True,
    ) -> None:
        super().__init__()
        self.group, symmetry = resolved(group, dimension)
        self.dimension = dimension = symmetry.dimension
        self.pairs, self.samples = pairs, samples
        self.body_features, self.pair_features = tuple(body_features), tuple(pair_features)
        self.width, self.blocks, self.bottleneck = width, blocks, bottleneck
        self.normalised, self.centred, self.edges, self.residual = normalised, centred, edges, residual
        self.growing = growing
        check_mass(self.body_features)
        if pairs not in ("invariant", "log"):
            raise ValueError(f"pairs: expected invariant or log, got {pairs!r}")
        if edges and pairs != "invariant":
            raise ValueError(f"pairs: expected invariant along edges, got {pairs!r}")
        if pairs == "log" and not growing:
            raise ValueError("growing: expected True with the pair features log, which it has no effect on, got False")
        if residual and (edges or centred):
            raise ValueError("residual: expected False along edges, and for centred positions, got True")
        self.readout = readout or {"invariant": "pairs", "log": "mean"}[pairs]
        if self.readout not in ("pairs", "mean"):
            raise ValueError(f"readout: expected pairs or mean, got {readout!r}")
        for name, value, least in (("width", width, bottleneck), ("blocks", blocks, 0), ("samples", samples, 0)):
            if value < least:
                raise ValueError(f"{name}: expected at least {least}, got {value}")
        invariant = pairs == "invariant"
        self.geometry = InvariantPairs(symmetry, growing=growing) if invariant else LogPairs(symmetry, samples)
        embedded = 4 if self.pair_features else 0
        self.embed_pairs = perceptron((len(self.pair_features), 32, embedded)) if embedded else None
        channels = self.geometry.channels + embedded
        self.embed = nn.Linear(len(self.body_features), width)
        self.layers = nn.ModuleList(
            BottleneckBlock(width, width, channels, bottleneck=bottleneck) for _ in range(blocks)
        )
        if self.readout == "pairs":
            linear = (self.geometry.channels + self.geometry.growing_channels) * (1 + embedded)
            self.energy = PairReadout(width, width // bottleneck, channels, linear)
        else:
            self.energy = MeanReadout(width)
        self.apply(_first_weights)
        self.known = None
        if residual:
            self.known = PairExpansion(
                symmetry, dimension=dimension, body_features=self.body_features, pair_features=self.pair_features
            )
            self.register_buffer("left", torch.tensor(1.0))
            for layer in self.energy.last:  # it begins at the law
                nn.init.zeros_(layer.weight)
        self.columns = Features(self.body_features, self.pair_features, normalised=normalised, edges=edges)
        self.register_buffer("energy_unit", torch.tensor(1.0))
        directions = torch.eye(dimension, dtype=torch.float64) if centred else translations_of(symmetry)
        scaled = [name for name in self.features if name not in EDGES]
        self.frame = Frame(dimension, scaled, directions, units=normalised)

    def condition(
        self, features: Mapping[str, Tensor], mask: Bool[Tensor, "*batch n"] | None = None
    ) -> AbstractVectorField:
        features = self.checked(features, mask)
        return self.frame.outside(self.framed(self.frame.features(features), mask), features["mass"])

    def framed(
        self, features: Mapping[str, Tensor], mask: Bool[Tensor, "*batch n"] | None = None
    ) -> "LieConvPotential":
        return LieConvPotential(self, self.checked(features, mask), mask)

    def initialise(self, seed: int) -> None:
        """First weights of a seed in place of all that was learned; scales that were measured stay."""
        with torch.random.fork_rng(devices=[]):
            torch.default_generator.manual_seed(seed)
            first = type(self)(**self.config)
        own = dict(first.named_parameters())
        with torch.no_grad():
            for name, parameter in self.named_parameters():
                parameter.copy_(own[name])

    @property
    def last_of_blocks(self) -> list[nn.Parameter]:
        """The weights without which the blocks add nothing to what is known of a body."""
        return [parameter for block in self.layers for parameter in block.widen.parameters()]  # type: ignore[union-attr]

    @property
    def is_silent(self) -> bool:
        """Whether no messages are sent: there are no blocks, or a fit found that they are of no use."""
        return not any(bool(parameter.any()) for parameter in self.last_of_blocks)

    def law(self) -> str:
        return "" if self.known is None else f"{self.known.law()} + a network"

    def context(self, features: Mapping[str, Tensor], mask: Bool[Tensor, "*batch n"] | None) -> Context:
        """What does not depend on positions."""
        samples = self.geometry.samples
        values = self.embed(self.columns.bodies(features, mask)).repeat_interleave(samples, -2)
        pairs = self.columns.pairs(features, mask)
        if self.edges:
            along = edge_list(_ends(features), values.shape[-2])
            if self.embed_pairs is not None:
                pairs = along.of_edges(self.embed_pairs(pairs))
            return Context(values, None, pairs, mask, None, along)
        if self.embed_pairs is not None:
            pairs = self.embed_pairs(pairs).repeat_interleave(samples, -2).repeat_interleave(samples, -3)
        weighted = self.layers[0].weighted(values) if self.blocks else None  # type: ignore[operator]
        of_pairs = None if self.closed_form is None else pair_sums(self.closed_form[1], values, pairs, mask)
        return Context(values, weighted, pairs, mask, of_pairs)

    @property
    def closed_form(self) -> tuple[InvariantPairs, PairReadout] | None:
        """What `pair_force` takes, where the energy is a sum over pairs of functions of their distance."""
        geometry, readout = self.geometry, self.energy
        if self.blocks or self.centred or self.edges or not isinstance(readout, PairReadout):
            return None
        return (geometry, readout) if isinstance(geometry, InvariantPairs) and geometry.of_distances else None

    def forward(self, q: Float[Tensor, "*batch n d"], context: Context) -> Float[Tensor, "*batch"]:
        """The potential of the bodies that the context describes."""
        seen = self.before_readout(q, context)
        return self.energy_unit * (self.energy(*seen[:2]) if self.readout == "mean" else self.energy(*seen))

    def before_readout(
        self, q: Float[Tensor, "*batch n d"], context: Context
    ) -> tuple[Float[Tensor, "*batch m width"], Bool[Tensor, "*batch m"] | None, Pairs, Pairs]:
        """What the readout sees: values of the bodies, which of them exist, and pairs for its two kernels."""
        mask, q = context.mask, existing(q, context.mask)
        if self.centred:
            q = from_mean(q, mask)
        if mask is not None:
            mask = mask.repeat_interleave(self.geometry.samples, -1).expand(*q.shape[:-2], context.values.shape[-2])
        if context.along is None:
            bounded, growing = self.geometry(q, context.mask)
            neighbour, weight = None, None if mask is None else mask[..., None, :].to(q.dtype)
        else:
            bounded, growing = self.geometry(q, context.mask, context.along)
            neighbour = context.along.neighbour.expand(bounded.shape[:-1])
            weight = context.along.present.to(q.dtype)
            weight = weight if mask is None else weight * context.along.of_neighbours(mask[..., None].to(q))[..., 0]
        bounded, linear = readout_features(bounded, growing, context.pairs)
        weight = None if weight is None else weight.expand(bounded.shape[:-1])
        near, values = Pairs(bounded, weight, neighbour), context.values.expand(*bounded.shape[:-2], -1)
        for index, block in enumerate(self.layers):
            values = block(values, near, weighted=None if index else context.weighted)
        return values, mask, near, Pairs(linear, weight, neighbour)

    @torch.no_grad()
    def calibrate(
        self,
        q: Float[Tensor, "*sample n d"],
        p: Float[Tensor, "*sample n d"],
        features: Mapping[str, Tensor],
        mask: Bool[Tensor, "*batch n"] | None = None,
    ) -> None:
        if not self.normalised:
            return
        found = self.checked(features, mask)
        places = from_mean(existing(q, mask), mask) if self.centred else q
        if self.edges:
            assert isinstance(self.geometry, InvariantPairs)  # the constructor has looked
            self.geometry.calibrate(places, mask, _ends(found))
        else:
            self.geometry.calibrate(places, mask)
        self.columns.calibrate(found, mask)
        energy = p.square().sum(-1) / (2 * found["mass"])
        real = torch.ones_like(energy, dtype=torch.bool) if mask is None else mask.expand(energy.shape)
        mean = energy[real].mean() * (self.left if self.residual else 1)
        self.energy_unit.copy_(torch.where(mean > 0, mean, 1))


def _ends(features: Mapping[str, Tensor]) -> Int[Tensor, "2 edge"]:
    """The bodies at the ends of the edges, which are those of all trajectories."""
    return torch.stack([features[name].reshape(-1, features[name].shape[-1])[0].long() for name in EDGES])


def force(model: HLieConv, q: Float[Tensor, "*batch n d"], context: Context) -> Float[Tensor, "*batch n d"]:
    """-dV/dq: one function for all bodies, so that it is compiled once and not for each `LieConvPotential`."""
    parts = model.closed_form
    if parts is not None and context.sums is not None and autocast_dtype(q) is None:
        return model.energy_unit * pair_force(existing(q, context.mask), *parts, context.sums)
    return -torch.func.grad(lambda x: model(x, context).sum())(q)


@functools.cache
def compiled_force() -> Callable[[HLieConv, Tensor, Context], Tensor]:
    """`force` through torch.compile, made on first use."""
    return torch.compile(force, dynamic=False, backend=_recomputing)


def _recomputing(graph: torch.fx.GraphModule, inputs: list[Tensor]) -> Callable:
    """The usual compiler; the backward pass computes all but products again: half the memory, and no slower."""
    with functorch_config.patch(aggressive_recomputation=True):
        return torch._dynamo.lookup_backend("inductor")(graph, inputs)


class LieConvPotential(Conditioned, AbstractNewtonian):
    """The Hamiltonian of given bodies."""

    checked_on_gpu = False
    model: HLieConv
    known: Any
    """The law of which the network learns the residual, in the frame; None for none."""

    def __init__(self, model: HLieConv, features: dict[str, Tensor], mask: Tensor | None) -> None:
        super().__init__(model, features, mask, mass=features["mass"])
        self.context, self.known = model.context(features, mask), None
        if model.known is not None and model.known.estimates:
            outside = model.frame.inverse()
            law = model.known.condition(outside.features(features), mask)
            self.known = outside.outside(law, features["mass"])

    def pair_count(self, bodies: int) -> int:
        along = self.context.along
        return super().pair_count(bodies) if along is None else along.neighbour.numel()

    def potential(self, q: Float[Tensor, "*batch n d"]) -> Float[Tensor, "*batch"]:
        self.check_points(q)
        energy = self.model(q, self.context)
        return energy if self.known is None else energy + self.known.potential(q)

    def force(self, q: Float[Tensor, "*batch n d"]) -> Float[Tensor, "*batch n d"]:
        self.check_points(q)
        found = (compiled_force() if self.model.compiled else force)(self.model, q, self.context)
        return found if self.known is None else found + self.known.force(q)


def _first_weights(part: nn.Module) -> None:
    """torch's own first weights: on potentials they end four to seven times below He's, which suit deep networks."""
    if isinstance(part, nn.Linear):
        part.reset_parameters()
    elif isinstance(part, LieConv):
        bound = 1 / math.sqrt(part.weight.shape[0] * part.weight.shape[1])
        nn.init.uniform_(part.weight, -bound, bound)
