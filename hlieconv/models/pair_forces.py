"""The force of an energy that is a sum over pairs of bodies, in closed form."""

from typing import NamedTuple

import torch
from jaxtyping import Float
from torch import Tensor, nn

from hlieconv.models.invariants import InvariantPairs
from hlieconv.models.readouts import PairReadout
from hlieconv.nn.convolution import LieConv


class PairSums(NamedTuple):
    """Pairs of bodies, and the factors of their energy that do not depend on positions: one for each mid channel."""

    i: Tensor
    j: Tensor
    known: Float[Tensor, "*batch pair e"] | None
    """Embedded features of the pairs."""
    near: Float[Tensor, "*batch pair mid"]
    far: Float[Tensor, "*batch pair mid"]


def pair_sums(
    readout: PairReadout,
    values: Float[Tensor, "*batch n c"],
    pairs: Float[Tensor, "*batch n n e"] | None,
    mask: Tensor | None,
) -> PairSums:
    """The pairs i < j of bodies; both orders of a pair are two pairs where they may have other features.

    Args:
        readout: whose energy it is.
        values: of the bodies.
        pairs: embedded features of pairs.
        mask: which bodies exist.
    """
    n, (left, right) = values.shape[-2], (readout.left(values), readout.right(values))
    if mask is not None:
        left, right = (torch.where(mask[..., None], x, 0) for x in (left, right))
    i, j = torch.triu_indices(n, n, 1, device=values.device)
    if pairs is not None:
        i, j = torch.cat([i, j]), torch.cat([j, i])

    def factors(kernel: LieConv) -> Tensor:
        """left_i . W_m right_j for all m."""
        weighted = kernel.weighted(right).unflatten(-1, (-1, left.shape[-1]))
        found = torch.einsum("...io,...jmo->...ijm", left, weighted)
        return (found if pairs is not None else found + found.transpose(-3, -2))[..., i, j, :]

    known = None if pairs is None else pairs[..., i, j, :]
    return PairSums(i, j, known, factors(readout.near), factors(readout.far))


def pair_force(
    q: Float[Tensor, "*batch n d"], geometry: InvariantPairs, readout: PairReadout, of: PairSums
) -> Float[Tensor, "*batch n d"]:
    """-dV/dq of V = sum over pairs of u_ij . s(|q_i - q_j|^2) / c: the mean over c channels of `PairReadout`.

    The derivative of the kernels s in the one squared distance is computed along with them, each pair once; then the
    weights' derivatives are those of plain layers, and not of a gradient.
    """
    apart = q[..., of.i, :] - q[..., of.j, :]
    (bounded, growing), tangents = geometry.of_squares(apart.square().sum(-1, keepdim=True))
    near, far = readout_features(bounded, growing, of.known)
    near_tangent, far_tangent = readout_features(*tangents, of.known)
    if of.known is not None:
        near_tangent = torch.cat([tangents[0], torch.zeros_like(near[..., tangents[0].shape[-1] :])], -1)
    slope = (tangent_of(readout.near.kernel, near, near_tangent) * of.near).sum(-1)
    slope = slope + (tangent_of(readout.far.kernel, far, far_tangent) * of.far).sum(-1)
    pull = -2 / readout.left.out_features * slope[..., None] * apart
    return torch.zeros_like(q).index_add(-2, of.i, pull).index_add(-2, of.j, pull, alpha=-1)


def tangent_of(layers: nn.Sequential, x: Float[Tensor, "*batch a"], tangent: Float[Tensor, "*batch a"]) -> Tensor:
    """By how much the output of linear layers with Swish between them changes where x does by a tangent.

    Example:
        >>> from hlieconv.nn.convolution import perceptron
        >>> layers, x = perceptron((3, 4, 2)), torch.randn(5, 3)
        >>> expected = torch.func.jvp(layers, (x,), (torch.ones(5, 3),))[1]
        >>> torch.allclose(tangent_of(layers, x, torch.ones(5, 3)), expected, atol=1e-6)
        True
    """
    for layer in layers:
        if isinstance(layer, nn.Linear):
            x, tangent = layer(x), tangent @ layer.weight.mT
        else:
            gate = torch.sigmoid(x)
            x, tangent = x * gate, tangent * gate * (1 + x * (1 - gate))
    return tangent


def readout_features(
    bounded: Float[Tensor, "*batch b"], growing: Float[Tensor, "*batch g"], known: Float[Tensor, "*some e"] | None
) -> tuple[Tensor, Tensor]:
    """What the two kernels of a `PairReadout` see of a pair: its bounded features, and all of them.

    Args:
        bounded, growing: of the positions, from `InvariantPairs`.
        known: embedded features of the pair: beside the bounded ones, and in products with all.
    """
    linear = torch.cat([growing, bounded], -1)
    if known is None:
        return bounded, linear
    known = known.expand(*bounded.shape[:-1], -1)
    products = (linear[..., :, None] * known[..., None, :]).flatten(-2)
    return torch.cat([bounded, known], -1), torch.cat([linear, products], -1)
