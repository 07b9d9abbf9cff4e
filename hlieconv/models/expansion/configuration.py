"""The distances and angles of bodies, and how forces along them add up."""

import functools
from typing import NamedTuple

import torch
from jaxtyping import Bool, Float, Int
from torch import Tensor

from hlieconv.models.expansion.shapes import SHAPES, singular
from systems.tracing import constant


class Sites(NamedTuple):
    """Which bodies a term sums over: all pairs i < j, and all triples of a centre i and two others j < k."""

    first: Int[Tensor, " pair"]
    second: Int[Tensor, " pair"]
    centre: Int[Tensor, " triple"]
    left: Int[Tensor, " triple"]
    right: Int[Tensor, " triple"]


@constant
def sites(n: int, device: torch.device) -> Sites:
    """The pairs and triples of n bodies.

    Example:
        >>> sites(3, torch.device("cpu")).first
        tensor([0, 0, 1])
    """
    first, second = torch.triu_indices(n, n, 1, device=device)
    pairs = len(first)
    centre = torch.arange(n, device=device).repeat_interleave(pairs)
    left, right = first.repeat(n), second.repeat(n)
    real = (left != centre) & (right != centre)
    return Sites(first, second, centre[real], left[real], right[real])


class Lengths(NamedTuple):
    """Vectors, and their lengths, between bodies or from the origin."""

    vector: Float[Tensor, "*batch d site"]
    length: Float[Tensor, "*batch site"]
    """Never zero: of a vector so short that powers of it overflow it is a tiny constant."""
    vanishing: Bool[Tensor, "*batch site"]

    def value(self, shape: str, parameters: tuple) -> Float[Tensor, "*batch site"]:
        """phi(r)."""
        return self._of(SHAPES[shape].value, shape, parameters)

    def tangent(self, shape: str, parameters: tuple) -> Float[Tensor, "*batch site"]:
        """phi'(r) / r. Bodies at one point do not act on each other through a singular shape."""
        return self._of(SHAPES[shape].tangent, shape, parameters)

    def _of(self, function, shape: str, parameters: tuple) -> Tensor:
        if not singular(shape, parameters):
            return function(torch, self.length, *parameters)
        found = function(torch, torch.where(self.vanishing, 1, self.length), *parameters)
        return torch.where(self.vanishing, 0, found)


def distances(vector: Float[Tensor, "*batch d site"]) -> Lengths:
    """The lengths of vectors, with finite derivatives where they vanish."""
    square = vector.square().sum(-2)
    least = torch.finfo(square.dtype).tiny ** (2 / 5)
    vanishing = square <= least
    length = torch.where(vanishing, least**0.5, torch.where(vanishing, 1, square).sqrt())
    return Lengths(vector, length, vanishing)


class Configuration:
    """What terms need of the positions of bodies ``(*batch, n, d)``, each computed once and on first use.

    Example:
        >>> pair = Configuration(torch.tensor([[0.0, 0.0], [3.0, 4.0]]))
        >>> pair.pairs.length
        tensor([5.])
        >>> pair.force_of_pairs(torch.tensor([1.0]))
        tensor([[ 3.,  4.],
                [-3., -4.]])
    """

    def __init__(self, q: Float[Tensor, "*batch n d"]) -> None:
        self.q, self.sites = q, sites(q.shape[-2], q.device)

    @functools.cached_property
    def pairs(self) -> Lengths:
        """q_i - q_j of all pairs."""
        x = self.q.mT
        return distances(x[..., self.sites.first] - x[..., self.sites.second])

    @functools.cached_property
    def bodies(self) -> Lengths:
        """q_i itself: the distance from the origin."""
        return distances(self.q.mT)

    @functools.cached_property
    def arms(self) -> tuple[Float[Tensor, "*batch d triple"], Float[Tensor, "*batch d triple"]]:
        """q_i - q_j and q_i - q_k of all triples."""
        x = self.q.mT
        centre = x[..., self.sites.centre]
        return centre - x[..., self.sites.left], centre - x[..., self.sites.right]

    def force_of_pairs(self, tangent: Float[Tensor, "*batch pair"]) -> Float[Tensor, "*batch n d"]:
        """The force -dV/dq where dV = tangent (q_i - q_j) . d(q_i - q_j), summed over pairs."""
        pull = tangent[..., None, :] * self.pairs.vector
        return self.spread(pull, self.sites.second) - self.spread(pull, self.sites.first)

    def spread(self, x: Float[Tensor, "*batch d site"], to: Int[Tensor, " site"]) -> Float[Tensor, "*batch n d"]:
        """Sums of what acts on each body."""
        empty = x.new_zeros((*x.shape[:-1], self.q.shape[-2]))
        return empty.index_add(-1, to, x).mT
