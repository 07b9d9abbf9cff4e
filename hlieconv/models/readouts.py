"""From the values of the bodies to the energy."""

from typing import Any

import torch
from jaxtyping import Bool, Float
from torch import Tensor, nn
from torch.nn.functional import silu

from hlieconv.nn import LieConv, Pairs
from hlieconv.nn.convolution import gather, perceptron


class PairReadout(nn.Module):
    """sum_i e(h_i) + sum_ij f(h_i) . k(a_ij) g(h_j): nodes and pairs, so that the energy is extensive.

    Two pair kernels k share the work: a perceptron of the bounded features, and a linear one of all features, which
    grows no faster than they do, so that a body far away meets no surprise.

    Args:
        width: channels of the values.
        narrow: channels of f and g.
        near: how many bounded features a pair has.
        far: how many features of the linear kernel.
    """

    def __init__(self, width: int, narrow: int, near: int, far: int) -> None:
        super().__init__()
        self.node = perceptron((width, width, 1))
        self.left, self.right = nn.Linear(width, narrow), nn.Linear(width, narrow)
        self.near = LieConv(narrow, narrow, near, aggregation="sum")
        self.far = LieConv(narrow, narrow, far, widths=(), aggregation="sum")

    @property
    def kernels(self) -> tuple[LieConv, LieConv]:
        """The two pair kernels, in whose weights the energy is linear."""
        return self.near, self.far

    @property
    def last(self) -> tuple[Any, ...]:
        """The layers without whose weights there is no force."""
        return *self.kernels, self.node[-1]

    def forward(
        self, values: Float[Tensor, "*batch n c"], mask: Bool[Tensor, "*batch n"] | None, near: Pairs, far: Pairs
    ) -> Float[Tensor, "*batch"]:
        right = self.right(values)
        pulled = self.near(right, near) + self.far(right, far)
        energy = self.node(values)[..., 0] + (self.left(values) * pulled).mean(-1)
        return (energy if mask is None else energy.where(mask, 0)).sum(-1)

    def products(
        self,
        values: Float[Tensor, "*batch n c"],
        mask: Bool[Tensor, "*batch n"] | None,
        near: Pairs,
        far: Pairs,
        directions: tuple[Float[Tensor, "narrow a"], Float[Tensor, "narrow b"]],
    ) -> tuple[Float[Tensor, "*batch mid a b"], Float[Tensor, "*batch mid_far a b"]]:
        """The energies of weights that are products of directions of f and of g, of both kernels.

        Whatever the weights are, their energy is a sum of these: that is what a last layer is solved for by.
        """
        f, g = self.left(values) @ directions[0], self.right(values) @ directions[1]
        f = f if mask is None else f.where(mask[..., None], 0)
        found = []
        for layer, pairs in ((self.near, near), (self.far, far)):
            kernel = layer.kernel(pairs.features)
            kernel = kernel if pairs.weight is None else kernel * pairs.weight[..., None]
            if pairs.neighbour is None:
                energy = torch.einsum("...ijm,...ia,...jb->...mab", kernel, f, g)
            else:
                energy = torch.einsum("...ikm,...ia,...ikb->...mab", kernel, f, gather(g, pairs.neighbour))
            found.append(energy / self.left.out_features)
        return found[0], found[1]


class MeanReadout(nn.Module):
    """The mean over all points of a linear function of swish(h_i), as published."""

    def __init__(self, width: int) -> None:
        super().__init__()
        self.linear = nn.Linear(width, 1)

    @property
    def last(self) -> tuple[Any, ...]:
        """The layer without whose weights there is no force."""
        return (self.linear,)

    def forward(
        self, values: Float[Tensor, "*batch n c"], mask: Bool[Tensor, "*batch n"] | None
    ) -> Float[Tensor, "*batch"]:
        energy = self.linear(silu(values))[..., 0]
        if mask is None:
            return energy.mean(-1)
        return energy.where(mask, 0).sum(-1) / mask.sum(-1)
