"""Fully connected networks of the whole state: a Neural ODE, Hamiltonian neural networks. No symmetry."""

from collections.abc import Mapping
from typing import ClassVar, Unpack

import torch
from jaxtyping import Bool, Float
from torch import Tensor

from hlieconv.models.fields import (
    PUBLISHED,
    AbstractNetwork,
    LearnedField,
    LearnedHamiltonian,
    LearnedPotential,
    NetworkOptions,
)
from hlieconv.nn.convolution import perceptron


class AbstractFullyConnected(AbstractNetwork):
    """One perceptron (swish, as published) of all positions, momenta and features.

    Args:
        bodies: number of bodies, which is fixed; masked bodies enter as zeros.
        width: number of channels of a hidden layer.
        depth: number of hidden layers of the models fc, hfc and hnn.
        **options: see `AbstractNetwork`.

    Raises:
        ValueError: if it is conditioned on another number of bodies.
    """

    values: ClassVar[int | None]
    """How many values the perceptron gives; None: dq/dt and dp/dt of every body."""
    sees_momenta: ClassVar[bool] = True
    """Whether the perceptron is a function of the momenta too."""

    def __init__(
        self,
        bodies: int = 6,
        *,
        width: int = 256,
        depth: int = 4,
        **options: Unpack[NetworkOptions],
    ) -> None:
        super().__init__(**options)
        self.bodies, self.width, self.depth = bodies, width, depth
        state = (2 if self.sees_momenta else 1) * self.dimension
        columns = bodies * (state + len(self.body_features)) + bodies**2 * len(self.pair_features)
        self.perceptron = perceptron((columns, *[width] * depth, self.values or 2 * bodies * self.dimension))

    def checked(self, features: Mapping[str, Tensor], mask: Tensor | None = None) -> dict[str, Tensor]:
        found = super().checked(features, mask)
        if (n := found[self.features[0]].shape[-1]) != self.bodies:
            raise ValueError(f"bodies: {type(self).__name__} was made for {self.bodies}, got {n}")
        return found

    def network(
        self,
        bodies: Float[Tensor, "*batch n columns"],
        pairs: Float[Tensor, "*some n n channels"] | None,
        mask: Bool[Tensor, "*some n"] | None,
    ) -> Tensor:
        columns = bodies.flatten(-2)
        if pairs is not None:
            columns = torch.cat([columns, pairs.flatten(-3).expand(*columns.shape[:-1], -1)], -1)
        values = self.perceptron(columns)
        return values[..., 0] if self.values == 1 else values.unflatten(-1, (self.bodies, -1))


class FC(AbstractFullyConnected):
    """A Neural ODE: the perceptron is dq/dt and dp/dt.

    Source: Chen et al. 2018 (arXiv:1806.07366), as a baseline in Finzi et al. 2020.

    Example:
        >>> model = FC(bodies=3, width=16)
        >>> field = model.condition({"mass": torch.ones(10, 3), "stiffness": torch.ones(10, 3)})
        >>> from systems import PhaseSpace
        >>> state = PhaseSpace(torch.randn(10, 3, 2), torch.randn(10, 3, 2))
        >>> field(torch.tensor(0.0), state).q.shape
        torch.Size([10, 3, 2])
    """

    name = "fc"
    is_closed = False
    takes_generalised = True
    field = LearnedField
    presets = PUBLISHED
    values = None


class HFC(AbstractFullyConnected):
    """H = sum_i |p_i|^2 / 2 m_i + V(q), where the perceptron is V.

    Source: the baseline of Finzi et al. 2020.

    Example:
        >>> hamiltonian = HFC(bodies=3, width=16).condition({"mass": torch.ones(10, 3), "stiffness": torch.ones(10, 3)})
        >>> hamiltonian.force(torch.randn(10, 3, 2)).shape
        torch.Size([10, 3, 2])
    """

    name = "hfc"
    field = LearnedPotential
    presets = PUBLISHED
    values = 1
    sees_momenta = False


class HNN(AbstractFullyConnected):
    """A Hamiltonian neural network: the perceptron is H(q, p), nothing of it is known.

    Source: Greydanus et al. 2019 (arXiv:1906.01563).

    Example:
        >>> model = HNN(bodies=3, width=16)
        >>> hamiltonian = model.condition({"mass": torch.ones(10, 3), "stiffness": torch.ones(10, 3)})
        >>> from systems import PhaseSpace
        >>> hamiltonian.energy(PhaseSpace(torch.randn(10, 3, 2), torch.randn(10, 3, 2))).shape
        torch.Size([10])
    """

    name = "hnn"
    takes_generalised = True
    field = LearnedHamiltonian
    presets = PUBLISHED
    values = 1
