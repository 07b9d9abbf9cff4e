"""LieConv as a vector field: no Hamiltonian, so that nothing is conserved but what the field happens to preserve."""

from collections.abc import Sequence
from typing import Any, TypeVar

import xarray as xr
from jaxtyping import Bool, Float
from torch import Tensor

from hlieconv.groups import T, Trivial
from hlieconv.groups import group as group_of
from hlieconv.models.fields import PUBLISHED, AbstractNetwork, LearnedField
from hlieconv.models.frame import translations_of
from hlieconv.nn import LieResNet

Model = TypeVar("Model", bound="LieConvField")


class LieConvField(AbstractNetwork):
    """dq/dt and dp/dt are the values that a LieConv network gives each body; momenta are among those it takes.

    Its values are numbers, which translations leave alone and rotations do not: only translations (along all axes or
    some) and the trivial group are symmetries of such a field.

    Args:
        group: symmetry group: Trivial, T2, Tx, Ty, ...
        dimension: number of dimensions of space.
        body_features: names of the features of every body.
        pair_features: names of the features of every pair of bodies, of which this model takes none.
        width: number of channels of the network (published: 384).
        blocks: number of bottleneck blocks (published: 4).
        centred: subtract the mean of the positions, as the published models do.
        normalised: measure the units of the data before training; the published baselines do not (False).

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
    field = LearnedField
    presets = {"paper": PUBLISHED["paper"] | {"width": 384, "blocks": 4}}

    def __init__(
        self,
        group: str = "T2",
        *,
        dimension: int = 2,
        body_features: Sequence[str] = ("mass", "stiffness"),
        pair_features: Sequence[str] = (),
        width: int = 64,
        blocks: int = 2,
        centred: bool = False,
        normalised: bool = True,
    ) -> None:
        symmetry = group_of(group, dimension)
        if not isinstance(symmetry, T | Trivial):
            raise ValueError(f"group: expected translations or Trivial, whose values do not turn, got {group}")
        super().__init__(
            dimension=dimension,
            body_features=body_features,
            pair_features=pair_features,
            centred=centred,
            normalised=normalised,
            translations=translations_of(symmetry),
        )
        if self.pair_features:
            raise ValueError(f"pair_features: expected none, got {', '.join(self.pair_features)}")
        self.group, self.width, self.blocks = group, width, blocks
        self.resnet = LieResNet(
            symmetry,
            dimension + len(self.body_features),
            2 * dimension,
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
