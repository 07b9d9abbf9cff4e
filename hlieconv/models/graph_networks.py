"""Graph networks: messages along all pairs of bodies. They know permutations, and no symmetry of space."""

from typing import ClassVar, NamedTuple, Unpack

import torch
import torch.nn.functional as F
from jaxtyping import Bool, Float
from torch import Tensor, nn

from hlieconv.models.fields import (
    PUBLISHED,
    AbstractNetwork,
    LearnedField,
    LearnedHamiltonian,
    LearnedPotential,
    NetworkOptions,
)
from hlieconv.models.inputs import existing
from hlieconv.nn.convolution import linear


class Graph(NamedTuple):
    """What a layer makes of the bodies, their pairs and the whole."""

    bodies: Float[Tensor, "*batch n c"]
    pairs: Float[Tensor, "*some n n e"] | None
    whole: Float[Tensor, "*batch g"] | None


class GraphLayer(nn.Module):
    """New values of pairs, bodies and the whole; each from the old ones, and sums of the new ones before it.

    Source: Battaglia et al. 2018 (arXiv:1806.01261), algorithm 1. The published baselines also feed constant ones as
    values of pairs and of the whole into the first layer: those are its biases here.

    Args:
        body: channels of the bodies.
        pair: channels of the pairs, 0 if there are none.
        whole: channels of the whole, 0 if there are none.
        width: channels of everything afterwards.
        summarises: whether it gives new values of the whole, too.
    """

    def __init__(self, body: int, pair: int, whole: int, width: int, *, summarises: bool = True) -> None:
        super().__init__()
        self.columns = (body, body, *(size for size in (pair, whole) if size))
        self.first = linear(sum(self.columns), width)
        self.message = nn.Sequential(nn.SiLU(), linear(width, width), nn.SiLU())
        self.body = nn.Sequential(linear(body + width + whole, width), nn.SiLU(), linear(width, width), nn.SiLU())
        self.all = None
        if summarises:
            self.all = nn.Sequential(linear(2 * width + whole, width), nn.SiLU(), linear(width, width), nn.SiLU())

    def forward(self, graph: Graph, mask: Bool[Tensor, "*some n"] | None) -> Graph:
        bodies, pairs, whole = graph
        # The first matrix of a pair acts on receiver, sender, pair and whole apart: n products in place of n^2.
        receiver, sender, *rest = self.first.weight.split(self.columns, -1)
        values = (
            F.linear(bodies, receiver, self.first.bias)[..., :, None, :] + F.linear(bodies, sender)[..., None, :, :]
        )
        for matrix, given in zip(rest, (x for x in (pairs, _for_pairs(whole)) if x is not None), strict=True):
            values = values + F.linear(given, matrix)
        messages = self.message(values)
        if mask is not None:
            messages = torch.where((mask[..., :, None] & mask[..., None, :])[..., None], messages, 0)
        received = messages.sum(-2)
        about = [] if whole is None else [whole[..., None, :].expand(*bodies.shape[:-1], -1)]
        bodies = existing(self.body(torch.cat([bodies, received, *about], -1)), mask)
        if self.all is None:
            return Graph(bodies, messages, None)
        summed = [received.sum(-2), bodies.sum(-2), *([] if whole is None else [whole])]
        return Graph(bodies, messages, self.all(torch.cat(summed, -1)))


def _for_pairs(whole: Tensor | None) -> Tensor | None:
    return None if whole is None else whole[..., None, None, :]


class AbstractGraphNetwork(AbstractNetwork):
    """A graph network on all pairs of bodies.

    Args:
        width: number of channels of a hidden layer.
        layers: number of graph layers of the models ogn, hogn and vogn.
        **options: see `AbstractNetwork`.
    """

    of_the_whole: ClassVar[bool]
    """Whether the output is one value of the whole, and not 2 d of every body."""
    moving: ClassVar[bool] = True
    """Whether the network sees the momenta."""

    def __init__(
        self,
        *,
        width: int = 256,
        layers: int = 1,
        **options: Unpack[NetworkOptions],
    ) -> None:
        super().__init__(**options)
        self.width, self.layers = width, layers
        columns = (2 if self.moving else 1) * self.dimension + len(self.body_features)
        channels = [(columns, len(self.pair_features), 0), *[(width, width, width)] * (layers - 1)]
        self.graph_layers = nn.ModuleList(
            GraphLayer(*sizes, width, summarises=self.of_the_whole or layer < layers - 1)
            for layer, sizes in enumerate(channels)
        )
        self.readout = nn.Linear(width, 1 if self.of_the_whole else 2 * self.dimension)

    def network(
        self,
        bodies: Float[Tensor, "*batch n columns"],
        pairs: Float[Tensor, "*some n n channels"] | None,
        mask: Bool[Tensor, "*some n"] | None,
    ) -> Tensor:
        graph = Graph(bodies, pairs, None)
        for layer in self.graph_layers:
            graph = layer(graph, mask)
        return self.readout(graph.whole)[..., 0] if graph.whole is not None else self.readout(graph.bodies)


class OGN(AbstractGraphNetwork):
    """A graph network whose bodies give dq/dt and dp/dt.

    Source: Sanchez-Gonzalez et al. 2019 (arXiv:1909.12790), as a baseline in Finzi et al. 2020.

    Example:
        >>> field = OGN(width=16).condition({"mass": torch.ones(10, 3), "stiffness": torch.ones(10, 3)})
        >>> from systems import PhaseSpace
        >>> state = PhaseSpace(torch.randn(10, 3, 2), torch.randn(10, 3, 2))
        >>> field(torch.tensor(0.0), state).q.shape
        torch.Size([10, 3, 2])
    """

    name = "ogn"
    is_closed = False
    field = LearnedField
    presets = PUBLISHED
    of_the_whole = False


class HOGN(AbstractGraphNetwork):
    """A graph network whose global output is H(q, p).

    Source: Sanchez-Gonzalez et al. 2019 (arXiv:1909.12790), as a baseline in Finzi et al. 2020.

    Example:
        >>> hamiltonian = HOGN(width=16).condition({"mass": torch.ones(10, 3), "stiffness": torch.ones(10, 3)})
        >>> from systems import PhaseSpace
        >>> hamiltonian.energy(PhaseSpace(torch.randn(10, 3, 2), torch.randn(10, 3, 2))).shape
        torch.Size([10])
    """

    name = "hogn"
    field = LearnedHamiltonian
    presets = PUBLISHED
    of_the_whole = True


class VOGN(AbstractGraphNetwork):
    """H = sum_i |p_i|^2 / 2 m_i + V(q), where V is the global output of a graph network.

    Source: after Sanchez-Gonzalez et al. 2019 (arXiv:1909.12790), as a baseline in Finzi et al. 2020.

    Example:
        >>> hamiltonian = VOGN(width=16).condition({"mass": torch.ones(10, 3), "stiffness": torch.ones(10, 3)})
        >>> hamiltonian.force(torch.randn(10, 3, 2)).shape
        torch.Size([10, 3, 2])
    """

    name = "vogn"
    field = LearnedPotential
    presets = PUBLISHED
    of_the_whole = True
    moving = False
