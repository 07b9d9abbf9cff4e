"""HLieConv: a Hamiltonian whose potential is a LieConv network."""

from collections.abc import Mapping, Sequence

import torch
from jaxtyping import Bool, Float
from torch import Tensor, nn

from hlieconv.groups import group as group_of
from hlieconv.models.abstract import AbstractModel
from hlieconv.models.invariants import PairFeatures
from hlieconv.nn import BottleneckBlock, LieConv, Pairs
from hlieconv.nn.convolution import perceptron
from systems import AbstractNewtonian


class HLieConv(AbstractModel):
    """H = sum_i |p_i|^2 / 2 m_i + V(q), where V is a LieConv network that a group leaves unchanged.

    Example:
        >>> import torch
        >>> model = HLieConv(group="SE2")
        >>> bodies = {"mass": torch.ones(10, 6), "stiffness": torch.ones(10, 6)}
        >>> hamiltonian = model.condition(bodies)
        >>> hamiltonian.force(torch.randn(10, 6, 2)).shape
        torch.Size([10, 6, 2])
    """

    name = "hlieconv"
    energy_unit: Tensor
    feature_mean: Tensor
    feature_scale: Tensor
    pair_mean: Tensor
    pair_scale: Tensor

    def __init__(
        self,
        group: str = "SE2",
        *,
        dimension: int = 2,
        body_features: Sequence[str] = ("mass", "stiffness"),
        pair_features: Sequence[str] = (),
        width: int = 64,
        blocks: int = 2,
        bottleneck: int = 2,
    ) -> None:
        super().__init__()
        self.group, self.dimension = group, dimension
        self.body_features, self.pair_features = tuple(body_features), tuple(pair_features)
        self.width, self.blocks, self.bottleneck = width, blocks, bottleneck
        if "mass" not in self.body_features:
            raise ValueError(f"body_features: expected mass among them, got {', '.join(self.body_features) or 'none'}")
        self.geometry = PairFeatures(group_of(group, dimension))
        told = 4 if self.pair_features else 0
        self.told = perceptron((len(self.pair_features), 32, told)) if told else None
        bounded = self.geometry.bounded_channels + told
        linear = (self.geometry.bounded_channels + self.geometry.growing_channels) * (1 + told)
        half = width // 2
        self.embed = nn.Linear(len(self.body_features), width)
        self.layers = nn.ModuleList(
            BottleneckBlock(width, width, bounded, bottleneck=bottleneck) for _ in range(blocks)
        )
        self.node = perceptron((width, width, 1))
        self.left, self.right = nn.Linear(width, half), nn.Linear(width, half)
        self.near = LieConv(half, half, bounded, aggregation="sum")
        self.far = LieConv(half, half, linear, widths=(), aggregation="sum")
        for buffer, size in {"feature": len(self.body_features), "pair": len(self.pair_features)}.items():
            self.register_buffer(f"{buffer}_mean", torch.zeros(size))
            self.register_buffer(f"{buffer}_scale", torch.ones(size))
        self.register_buffer("energy_unit", torch.tensor(1.0))

    def condition(
        self, features: Mapping[str, Tensor], mask: Bool[Tensor, "*batch n"] | None = None
    ) -> "LearnedPotential":
        return LearnedPotential(self, self.checked(features, mask), mask)

    @torch.no_grad()
    def calibrate(
        self,
        q: Float[Tensor, "*sample n d"],
        p: Float[Tensor, "*sample n d"],
        features: Mapping[str, Tensor],
        mask: Bool[Tensor, "*batch n"] | None = None,
    ) -> None:
        found = self.checked(features, mask)
        self.geometry.calibrate(q, mask)
        bodies = torch.stack([found[name] for name in self.body_features], -1)
        bodies = bodies.flatten(0, -2) if mask is None else bodies[mask]
        self.feature_mean.copy_(bodies.mean(0))
        self.feature_scale.copy_(_spread(bodies))
        if self.pair_features:
            pairs = torch.stack([found[name] for name in self.pair_features], -1)
            other = ~torch.eye(pairs.shape[-2], dtype=torch.bool, device=q.device)
            present = other if mask is None else other & mask[..., :, None] & mask[..., None, :]
            pairs = pairs[present.expand(pairs.shape[:-1])]
            self.pair_mean.copy_(pairs.mean(0))
            self.pair_scale.copy_(_spread(pairs))
        energy = p.square().sum(-1) / (2 * found["mass"])
        real = torch.ones_like(energy, dtype=torch.bool) if mask is None else mask.expand(energy.shape)
        self.energy_unit.copy_(energy[real].mean() / energy.shape[-1])


class LearnedPotential(AbstractNewtonian):
    """The Hamiltonian of given bodies."""

    def __init__(self, model: HLieConv, features: dict[str, Tensor], mask: Tensor | None) -> None:
        super().__init__(mass=features["mass"], mask=mask)
        self.model, self.features = model, features
        bodies = torch.stack([features[name] for name in model.body_features], -1)
        self.embedded = model.embed((bodies - model.feature_mean) / model.feature_scale)
        self.told = None
        if model.told is not None:
            pairs = torch.stack([features[name] for name in model.pair_features], -1)
            itself = torch.eye(pairs.shape[-2], dtype=torch.bool, device=pairs.device)[..., None]
            self.told = model.told(torch.where(itself, 0, (pairs - model.pair_mean) / model.pair_scale))

    def select(self, index: slice | Tensor) -> "LearnedPotential":
        features = {name: value[index] for name, value in self.features.items()}
        return LearnedPotential(self.model, features, None if self.mask is None else self.mask[index])

    def potential(self, q: Float[Tensor, "*batch n d"]) -> Float[Tensor, "*batch"]:
        model, values = self.model, self.embedded
        bounded, growing = model.geometry(self.existing(q))
        linear = torch.cat([growing, bounded], -1)
        if self.told is not None:
            told = self.told.expand(*bounded.shape[:-1], -1)
            bounded = torch.cat([bounded, told], -1)
            linear = torch.cat([linear, (linear[..., :, None] * told[..., None, :]).flatten(-2)], -1)
        weight = None
        if self.mask is not None:
            weight = self.mask[..., None, :].to(q.dtype).expand(bounded.shape[:-1])
        near, far = Pairs(bounded, weight), Pairs(linear, weight)
        values = values.expand(*q.shape[:-1], -1)
        for block in model.layers:
            values = block(values, near, None if self.mask is None else self.mask.expand(q.shape[:-1]))
        right = model.right(values)
        pulled = model.near(right, near) + model.far(right, far)
        energy = model.node(values)[..., 0] + (model.left(values) * pulled).mean(-1)
        if self.mask is not None:
            energy = torch.where(self.mask, energy, 0)
        return model.energy_unit * energy.sum(-1)


def _spread(values: Tensor) -> Tensor:
    """The standard deviation of each column, 1 where nothing varies."""
    spread = values.std(0, correction=0)
    return torch.where(spread > 0, spread, 1)
