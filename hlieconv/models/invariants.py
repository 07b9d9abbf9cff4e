"""What a potential may see of a pair of bodies: smooth functions of their positions that the group leaves unchanged."""

from typing import NamedTuple

import torch
from jaxtyping import Bool, Float, Int
from torch import Tensor, nn

from hlieconv.groups import SE2, SE3, SO2, SO3, AbstractGroup, T, Trivial
from hlieconv.nn.edge_list import EdgeList


class Invariants(NamedTuple):
    """Of pairs of positions, ``(*batch, channels)`` each."""

    square: Tensor
    """Squared lengths: never negative."""
    signed: Tensor
    """Coordinates, and products of the two positions."""
    quadratic: Tensor
    """Products of two coordinates, where coordinates are invariant."""


def invariants(group: AbstractGroup, a: Float[Tensor, "*batch d"], b: Float[Tensor, "*batch d"]) -> Invariants:
    """The smooth invariants of two positions: the smaller the group, the more there are.

    =======  ==================================================
    group    besides the squared distance of a and b
    =======  ==================================================
    SE(d)    nothing
    T(d)     a - b; of T along some axes, a and b along others
    SO(d)    the squared lengths of a and b; in the plane a x b
    Trivial  a, b
    =======  ==================================================

    Raises:
        ValueError: for another group.
    """
    distance = (a - b).square().sum(-1, keepdim=True)
    nothing = a[..., :0]
    if isinstance(group, SE2 | SE3):
        return Invariants(distance, nothing, nothing)
    if isinstance(group, SO2 | SO3):
        square = torch.cat([distance, *(x.square().sum(-1, keepdim=True) for x in (a, b))], -1)
        area = a[..., :1] * b[..., 1:] - a[..., 1:] * b[..., :1] if group.dimension == 2 else nothing
        return Invariants(square, area, nothing)
    if isinstance(group, T):
        along = [a[..., axis] - b[..., axis] for axis in group.axes]
        signed = torch.stack(along + [x[..., axis] for axis in group.others for x in (a, b)], -1)
    elif isinstance(group, Trivial):
        signed = torch.cat([a, b], -1)
    else:
        raise ValueError(f"group: expected Trivial, T, SO or SE for invariant pairs, got {group.name}: take pairs log")
    i, j = torch.triu_indices(signed.shape[-1], signed.shape[-1])
    return Invariants(distance, signed, signed[..., i] * signed[..., j])


#: Before there are data nothing is far.
FREE = 1e30

#: Where the bounded features bend, in units of the median. Sums of x / (x + b) with such b approximate powers, roots
#: and softened inverses of x over four decades.
BENDS = (0.004, 0.016, 0.06, 0.25, 1.0, 4.0)


#: Squares grow as they are up to so many times the largest one of the data, and as lengths beyond: forces are bounded.
REACH = 100.0


class InvariantPairs(nn.Module):
    """Features of all pairs of bodies: bounded ones for messages, and the invariants themselves for the energy.

    In units of its median over the data, a squared length x gives x / (x + b) and a signed invariant y gives
    y / sqrt(y^2 + b) for all `BENDS` b. Far beyond the data x itself goes on as its root does, so that whatever weights
    there are, no energy grows faster than the distance: bodies cannot run away exponentially.

    Args:
        group: whose invariants they are.
        growing: whether there are invariants themselves; without, all features level off far away, as gravity does.

    Example:
        >>> from hlieconv.groups import SE2
        >>> bounded, growing = InvariantPairs(SE2())(torch.randn(10, 5, 2))
        >>> bounded.shape, growing.shape
        (torch.Size([10, 5, 5, 6]), torch.Size([10, 5, 5, 1]))
    """

    samples = 1
    """Group elements of a body."""
    square_median: Tensor
    square_reach: Tensor
    quadratic_reach: Tensor
    signed_median: Tensor
    quadratic_median: Tensor
    bends: Tensor

    def __init__(self, group: AbstractGroup, *, growing: bool = True) -> None:
        super().__init__()
        self.group, self.growing = group, growing
        origin = torch.zeros(group.dimension)
        sizes = {kind: len(values) for kind, values in invariants(group, origin, origin)._asdict().items()}
        for kind, size in sizes.items():
            self.register_buffer(f"{kind}_median", torch.ones(size))
        for kind in ("square", "quadratic"):
            self.register_buffer(f"{kind}_reach", torch.full((sizes[kind],), FREE))
        self.register_buffer("bends", torch.tensor(BENDS)[:, None], persistent=False)
        self.channels = len(BENDS) * (sizes["square"] + sizes["signed"])
        self.growing_channels = sum(sizes.values()) if growing else 0

    def forward(
        self,
        q: Float[Tensor, "*batch n d"],
        mask: Bool[Tensor, "*some n"] | None = None,
        along: EdgeList | None = None,
    ) -> tuple[Float[Tensor, "*batch n k channels"], Float[Tensor, "*batch n k growing"]]:
        """Of all pairs, k = n, or of the pairs along edges."""
        others = q[..., None, :, :] if along is None else along.of_neighbours(q)
        found = invariants(self.group, *torch.broadcast_tensors(q[..., :, None, :], others))
        square, signed = found.square / self.square_median, found.signed / self.signed_median
        if isinstance(self.group, SO2):  # a x b grows as a square does
            signed = signed * shortening(square, self.square_reach)[..., 1:].prod(-1, keepdim=True).sqrt()
        x, y = square[..., None, :], signed[..., None, :]
        bounded = torch.cat([x / (x + self.bends), y * (y.square() + self.bends).rsqrt()], -1).flatten(-2)
        if not self.growing:
            return bounded, bounded[..., :0]
        quadratic = restrained(found.quadratic / self.quadratic_median, self.quadratic_reach)
        return bounded, torch.cat([restrained(square, self.square_reach), signed, quadratic], -1)

    @property
    def of_distances(self) -> bool:
        """Whether distances are all that there is, as under SE(d)."""
        return isinstance(self.group, SE2 | SE3)

    def of_squares(self, square: Float[Tensor, "*batch 1"]) -> tuple[tuple[Tensor, Tensor], tuple[Tensor, Tensor]]:
        """The same features of squared distances, where these are all; and their derivatives in the squares."""
        x, bend = square / self.square_median, self.bends[:, 0]
        bounded, unit = 1 / (x + bend), 1 / self.square_median
        growth = unit * (self.square_reach / torch.maximum(x, self.square_reach)).sqrt()
        values, tangents = (x * bounded, restrained(x, self.square_reach)), (bend * bounded.square() * unit, growth)
        if not self.growing:
            return (values[0], x[..., :0]), (tangents[0], x[..., :0])
        return values, tangents

    @torch.no_grad()
    def calibrate(
        self,
        q: Float[Tensor, "*batch n d"],
        mask: Bool[Tensor, "*some n"] | None,
        edges: Int[Tensor, "2 edge"] | None = None,
    ) -> None:
        """Measure the medians of the magnitudes, over all pairs of two bodies that exist, or those along edges."""
        i, j = torch.triu_indices(q.shape[-2], q.shape[-2], 1, device=q.device) if edges is None else edges
        pairs = invariants(self.group, q[..., i, :], q[..., j, :])
        present = torch.ones((), dtype=torch.bool, device=q.device) if mask is None else mask[..., i] & mask[..., j]
        present = present.expand(q.shape[:-2] + i.shape)
        if present.any():
            for kind, values in pairs._asdict().items():
                size = values[present].abs()
                median = size.median(0).values
                median = torch.where(median > 0, median, 1)
                getattr(self, f"{kind}_median").copy_(median)
                if kind != "signed":
                    getattr(self, f"{kind}_reach").copy_(REACH * (size.amax(0) / median).clamp(min=1))


def restrained(x: Float[Tensor, "*batch c"], reach: Float[Tensor, " c"]) -> Float[Tensor, "*batch c"]:
    """x, and where it is larger than the reach its root, with the same value and derivative there.

    Example:
        >>> restrained(torch.tensor([[1.0], [4.0], [-100.0]]), torch.tensor([4.0])).flatten()
        tensor([  1.,   4., -36.])
    """
    return x * shortening(x, reach)


def shortening(x: Float[Tensor, "*batch c"], reach: Float[Tensor, " c"]) -> Float[Tensor, "*batch c"]:
    """By what `restrained` multiplies x: 1 within the reach."""
    part = reach / torch.maximum(x.abs(), reach)
    return 2 * part.sqrt() - part
