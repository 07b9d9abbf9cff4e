"""LieConv as a vector field: no Hamiltonian, so that nothing is conserved but what the field happens to preserve."""

from typing import Any, TypeVar, Unpack

import xarray as xr
from jaxtyping import Bool, Float
from torch import Tensor

from hlieconv.groups import AbstractGroup, T, Trivial
from hlieconv.groups.registry import resolved
from hlieconv.models.fields import PUBLISHED, AbstractNetwork, LearnedField, NetworkOptions
from hlieconv.models.frame import translations_of
from hlieconv.nn import LieResNet

Model = TypeVar("Model", bound="LieConvField")


class LieConvField(AbstractNetwork):
    """dq/dt and dp/dt are the values that a LieConv network gives each body; momenta are among those it takes.

    Its values are numbers, which translations leave alone and rotations do not: only translations (along all axes or
    some) and the trivial group are symmetries of such a field.

    Args:
        group: symmetry group: Trivial, T2, Tx, Ty, ..., or a group, whose dimension is that of space.
        width: number of channels of the network (published: 384).
        blocks: number of bottleneck blocks (published: 4).
        **options: see `AbstractNetwork`.

    Raises:
        ValueError: for a group that rotates or scales, and for pair features.

    Source: Finzi et al. 2020 (arXiv:2002.12880), section 6.

    Example:
        >>> import torch
        >>> from systems import PhaseSpace
        >>> field = LieConvField(width=16).condition({"mass": torch.ones(10, 3), "stiffness": torch.ones(10, 3)})
        >>> state = PhaseSpace(torch.randn(10, 3, 2), torch.randn(10, 3, 2))
        >>> field(torch.tensor(0.0), state).p.shape
        torch.Size([10, 3, 2])
    """

    name = "lieconv"
    is_closed = False
    field = LearnedField
    presets = {"paper": PUBLISHED["paper"] | {"width": 384, "blocks": 4}}

    def __init__(
        self,
        group: str | AbstractGroup = "T2",
        *,
        width: int = 64,
        blocks: int = 2,
        **options: Unpack[NetworkOptions],
    ) -> None:
        name, symmetry = resolved(group, options.get("dimension"))
        super().__init__(**(options | {"dimension": symmetry.dimension}))
        if not isinstance(symmetry, T | Trivial):
            raise ValueError(f"group: expected translations or Trivial, whose values do not turn, got {name}")
        self.frame = self.frame_along(translations_of(symmetry))
        if self.pair_features:
            raise ValueError(f"pair_features: expected none, got {', '.join(self.pair_features)}")
        self.group, self.width, self.blocks = name, width, blocks
        self.resnet = LieResNet(
            symmetry,
            self.dimension + len(self.body_features),
            2 * self.dimension,
            channels=width,
            layers=blocks,
            pooling="points",
        )

    @classmethod
    def of(cls: type[Model], dataset: xr.Dataset, **options: Any) -> Model:
        return super().of(dataset, **({"group": f"T{dataset.sizes['space']}"} | options))

    def network(
        self,
        bodies: Float[Tensor, "*batch n columns"],
        pairs: Float[Tensor, "*some n n channels"] | None,
        mask: Bool[Tensor, "*some n"] | None,
    ) -> Tensor:
        q, values = bodies[..., : self.dimension], bodies[..., self.dimension :]
        return self.resnet(q, values, None if mask is None else mask.expand(bodies.shape[:-1]))
