"""The vector fields that conditioned networks are."""

from abc import ABC, abstractmethod
from collections.abc import Mapping, Sequence
from typing import Any, ClassVar, TypedDict

import torch
from jaxtyping import Bool, Float
from torch import Tensor

from hlieconv.models.abstract import AbstractModel
from hlieconv.models.conditioned import Conditioned
from hlieconv.models.frame import Frame
from hlieconv.models.inputs import Inputs, existing
from systems import AbstractHamiltonian, AbstractNewtonian, AbstractVectorField, PhaseSpace

#: Preset of the published baselines: positions from their mean, and no units.
PUBLISHED: dict[str, dict[str, Any]] = {"paper": {"centred": True, "normalised": False}}

#: Rates are no larger than so many units of the data: beyond these nothing was learnt.
FASTEST = 1e4


class NetworkOptions(TypedDict, total=False):
    """What every `AbstractNetwork` can be told by name."""

    dimension: int
    body_features: Sequence[str]
    pair_features: Sequence[str]
    centred: bool
    normalised: bool


class AbstractNetwork(AbstractModel):
    """A model whose network sees bodies as columns (`Inputs`).

    Args:
        dimension: number of dimensions of space.
        body_features: names of the features of every body.
        pair_features: names of the features of every pair of bodies.
        centred: subtract the mean of the positions, as the published models do: any potential is then translation
            invariant.
        normalised: measure the units of the data before training; the published baselines do not (False).
    """

    recomputes = True
    field: ClassVar[Any]
    """What it is once conditioned: `LearnedField`, `LearnedHamiltonian` or `LearnedPotential`."""

    def __init__(
        self,
        *,
        dimension: int = 2,
        body_features: Sequence[str] = ("mass", "stiffness"),
        pair_features: Sequence[str] = (),
        centred: bool = False,
        normalised: bool = True,
    ) -> None:
        super().__init__()
        self.dimension = dimension
        self.body_features, self.pair_features = tuple(body_features), tuple(pair_features)
        self.centred, self.normalised = centred, normalised
        if not self.body_features:
            raise ValueError("body_features: expected at least one, such as mass, got none")
        self.inputs = Inputs(self.body_features, self.pair_features, centred=centred, normalised=normalised)
        self.frame = self.frame_along(None)

    def frame_along(self, translations: Float[Tensor, "count d"] | None) -> Frame:
        """The frame of its data, whose origin is free along some translations: an orthonormal basis, None for none."""
        directions = torch.eye(self.dimension, dtype=torch.float64) if self.centred else translations
        return Frame(self.dimension, self.features, directions, units=self.normalised)

    def condition(
        self, features: Mapping[str, Tensor], mask: Bool[Tensor, "*batch n"] | None = None
    ) -> AbstractVectorField:
        features = self.checked(features, mask)
        return self.frame.outside(self.framed(self.frame.features(features), mask), features.get("mass"))

    def framed(
        self, features: Mapping[str, Tensor], mask: Bool[Tensor, "*batch n"] | None = None
    ) -> AbstractVectorField:
        return self.field(self, self.checked(features, mask), mask)

    def calibrate(
        self,
        q: Float[Tensor, "*sample n d"],
        p: Float[Tensor, "*sample n d"],
        features: Mapping[str, Tensor],
        mask: Bool[Tensor, "*batch n"] | None = None,
    ) -> None:
        self.inputs.calibrate(q, p, self.checked(features, mask), mask)

    @abstractmethod
    def network(
        self,
        bodies: Float[Tensor, "*batch n columns"],
        pairs: Float[Tensor, "*some n n channels"] | None,
        mask: Bool[Tensor, "*some n"] | None,
    ) -> Tensor:
        """Values of all bodies ``(*batch, n, values)``, or one value ``(*batch,)``, from columns."""


class ConditionedField(Conditioned, ABC):
    """A network and its context, the features of the bodies: computed once."""

    model: AbstractNetwork

    def __init__(self, model: AbstractNetwork, features: dict[str, Tensor], mask: Tensor | None, **values: Any) -> None:
        super().__init__(model, features, mask, **values)
        self.body_columns = model.inputs.features.bodies(features, self.mask)
        self.pair_channels = model.inputs.features.pairs(features, self.mask)

    def evaluate(self, *state: Float[Tensor, "*batch n d"]) -> Tensor:
        """The network of scaled positions (and momenta) beside the features."""
        bodies = self.body_columns.expand(*state[0].shape[:-1], self.body_columns.shape[-1])
        return self.model.network(torch.cat([*state, bodies], -1), self.pair_channels, self.mask)


class LearnedField(ConditionedField):
    """dq/dt and dp/dt are what the network says, where units were measured within bounds that no data come near.

    So no weights throw bodies away exponentially: rates of networks grow with the distance, those of messages with a
    power of it.
    """

    def forward(self, t: Float[Tensor, "*times"], state: PhaseSpace) -> PhaseSpace:
        self.check_state(state)
        inputs = self.model.inputs
        values = self.evaluate(inputs.positions(state.q, self.mask), inputs.momenta(state.p, self.mask))
        bounded = values.clamp(-FASTEST, FASTEST) if self.model.normalised else values
        derivative = existing(bounded, self.mask)
        d = state.q.shape[-1]
        return PhaseSpace(inputs.velocity * derivative[..., :d], inputs.force * derivative[..., d:])


class LearnedHamiltonian(ConditionedField, AbstractHamiltonian):
    """H(q, p) is what the network says."""

    def energy(self, state: PhaseSpace) -> Float[Tensor, "*batch"]:
        self.check_state(state)
        inputs = self.model.inputs
        values = self.evaluate(inputs.positions(state.q, self.mask), inputs.momenta(state.p, self.mask))
        return inputs.energy * values


class LearnedPotential(ConditionedField, AbstractNewtonian):
    """H = sum_i |p_i|^2 / 2 m_i + V(q), and V(q) is what the network says."""

    checked_on_gpu = False

    def __init__(self, model: AbstractNetwork, features: dict[str, Tensor], mask: Tensor | None) -> None:
        super().__init__(model, features, mask, mass=features["mass"])

    def potential(self, q: Float[Tensor, "*batch n d"]) -> Float[Tensor, "*batch"]:
        self.check_points(q)
        return self.model.inputs.energy * self.evaluate(self.model.inputs.positions(q, self.mask))
