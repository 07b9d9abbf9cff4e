"""What a potential may see of a pair of bodies: smooth functions that the group leaves unchanged."""

from collections.abc import Callable
from typing import NamedTuple

import torch
from jaxtyping import Bool, Float
from torch import Tensor, nn

from hlieconv.groups import SE2, SE3, SO2, SO3, AbstractGroup, T, Trivial


class Invariants(NamedTuple):
    """Of the positions of two bodies, ``(*batch, n, n, channels)`` each."""

    square: Tensor
    """Never negative: squared lengths."""
    signed: Tensor
    """Of either sign: coordinates and products."""


Function = Callable[[Tensor, Tensor], Invariants]


def invariants_of(group: AbstractGroup) -> Function:
    """The function of two positions that has all their smooth invariants under the group.

    ==========  =======================  ==========================
    group       square                   signed
    ==========  =======================  ==========================
    Trivial                              q_i, q_j
    T(d)                                 q_i - q_j (along the axes)
    SO(2)       \\|q_i\\|^2, \\|q_j\\|^2  q_i . q_j, q_i x q_j
    SO(3)       \\|q_i\\|^2, \\|q_j\\|^2  q_i . q_j
    SE(d)       \\|q_i - q_j\\|^2
    ==========  =======================  ==========================

    Raises:
        ValueError: for a group of which they are not known.
    """
    for kind, function in FUNCTIONS.items():
        if isinstance(group, kind):
            return function(group)
    known = ", ".join(kind.__name__ for kind in FUNCTIONS)
    raise ValueError(f"pairs: expected log for {group.name}: invariants are known for {known}")


def _trivial(group: AbstractGroup) -> Function:
    def function(a: Tensor, b: Tensor) -> Invariants:
        return Invariants(a[..., :0], torch.cat([a, b], -1))

    return function


def _translation(group: AbstractGroup) -> Function:
    assert isinstance(group, T)

    def function(a: Tensor, b: Tensor) -> Invariants:
        along = [a[..., axis] - b[..., axis] for axis in group.axes]
        across = [x[..., axis] for axis in group.others for x in (a, b)]
        return Invariants(a[..., :0], torch.stack(along + across, -1))

    return function


def _rotation(group: AbstractGroup) -> Function:
    def function(a: Tensor, b: Tensor) -> Invariants:
        square = torch.stack([a.square().sum(-1), b.square().sum(-1)], -1)
        products = [(a * b).sum(-1)]
        if group.dimension == 2:
            products.append(a[..., 0] * b[..., 1] - a[..., 1] * b[..., 0])
        return Invariants(square, torch.stack(products, -1))

    return function


def _motion(group: AbstractGroup) -> Function:
    def function(a: Tensor, b: Tensor) -> Invariants:
        return Invariants((a - b).square().sum(-1, keepdim=True), a[..., :0])

    return function


FUNCTIONS: dict[type[AbstractGroup], Callable[[AbstractGroup], Function]] = {
    Trivial: _trivial,
    T: _translation,
    SO2: _rotation,
    SO3: _rotation,
    SE2: _motion,
    SE3: _motion,
}

#: Fractions and multiples of the median at which the bounded features bend: sums of such features approximate
#: powers, roots and softened inverses over four decades.
BENDS = (0.004, 0.016, 0.06, 0.25, 1.0, 4.0)


class PairFeatures(nn.Module):
    """Features of all pairs of bodies: bounded ones, and the invariants themselves, in units of their medians.

    A squared length x gives x / (x + b), a signed invariant y gives y / sqrt(y^2 + b), for all bends b.

    Example:
        >>> from hlieconv.groups import SE2
        >>> features = PairFeatures(SE2())
        >>> bounded, growing = features(torch.randn(10, 6, 2))
        >>> bounded.shape, growing.shape
        (torch.Size([10, 6, 6, 6]), torch.Size([10, 6, 6, 1]))
    """

    square_scale: Tensor
    signed_scale: Tensor
    bends: Tensor

    def __init__(self, group: AbstractGroup) -> None:
        super().__init__()
        self.function = invariants_of(group)
        origin = torch.zeros(group.dimension)
        square, signed = self.function(origin, origin)
        self.growing_channels = len(square) + len(signed)
        self.bounded_channels = len(BENDS) * self.growing_channels
        self.register_buffer("square_scale", torch.ones(len(square)))
        self.register_buffer("signed_scale", torch.ones(len(signed)))
        self.register_buffer("bends", torch.tensor(BENDS)[:, None], persistent=False)

    def forward(
        self, q: Float[Tensor, "*batch n d"]
    ) -> tuple[Float[Tensor, "*batch n n bounded"], Float[Tensor, "*batch n n growing"]]:
        square, signed = self.function(*torch.broadcast_tensors(q[..., :, None, :], q[..., None, :, :]))
        square, signed = square / self.square_scale, signed / self.signed_scale
        x, y = square[..., None, :], signed[..., None, :]
        bounded = torch.cat([x / (x + self.bends), y * (y.square() + self.bends).rsqrt()], -1).flatten(-2)
        return bounded, torch.cat([square, signed], -1)

    @torch.no_grad()
    def calibrate(self, q: Float[Tensor, "*batch n d"], mask: Bool[Tensor, "*batch n"] | None) -> None:
        """Measure the medians, over all pairs of two bodies that exist."""
        n = q.shape[-2]
        i, j = torch.triu_indices(n, n, 1, device=q.device)
        invariants = self.function(q[..., i, :], q[..., j, :])
        present = torch.ones((), dtype=torch.bool, device=q.device) if mask is None else mask[..., i] & mask[..., j]
        present = present.expand(invariants.square.shape[:-1])
        for scale, values in zip((self.square_scale, self.signed_scale), invariants, strict=True):
            if len(scale) and present.any():
                scale.copy_(values[present].abs().median(0).values.clamp(min=torch.finfo(q.dtype).tiny))
