"""Maps x -> R x + t as matrices in homogeneous coordinates, and the groups of all rotations and translations."""

import torch
from jaxtyping import Float
from torch import Tensor

from hlieconv.groups.abstract import AbstractGroup
from hlieconv.groups.matrices import image


def motion(turn: Float[Tensor, "*batch d d"], shift: Float[Tensor, "*batch d"]) -> Float[Tensor, "*batch r r"]:
    """The element that turns first and then shifts, in homogeneous coordinates."""
    d = shift.shape[-1]
    bottom = torch.eye(d + 1, dtype=shift.dtype, device=shift.device)[d:].expand(*shift.shape[:-1], 1, d + 1)
    return torch.cat([torch.cat([turn, shift[..., None]], -1), bottom], -2)


def translation(shift: Float[Tensor, "*batch d"]) -> Float[Tensor, "*batch r r"]:
    """The element that shifts and does not turn."""
    turn = torch.eye(shift.shape[-1], dtype=shift.dtype, device=shift.device)
    return motion(turn.expand(*shift.shape[:-1], *turn.shape), shift)


def turn_about_the_origin(turn: Float[Tensor, "*batch d d"]) -> Float[Tensor, "*batch r r"]:
    """The element that turns and does not shift."""
    return motion(turn, turn.new_zeros(turn.shape[:-1]))


class AbstractMotions(AbstractGroup):
    """SE(d): all rotations and translations of R^d. There is one orbit, and 0 is its origin, with the stabiliser SO(d).

    A subclass has the exponential, the logarithm and the quadrature of its rotations.
    """

    def inverse(self, g: Float[Tensor, "*batch r r"]) -> Float[Tensor, "*batch r r"]:
        """x -> R^T (x - t)."""
        back = g[..., :-1, :-1].mT
        return motion(back, -image(back, g[..., :-1, -1]))

    def bi_invariants(
        self, u: Float[Tensor, "*#batch r r"], v: Float[Tensor, "*#batch r r"]
    ) -> Float[Tensor, "*batch b"]:
        """The squared distance |x - y|^2 of the points x and y that the two elements take the origin to."""
        return (u[..., :-1, -1] - v[..., :-1, -1]).square().sum(-1, keepdim=True)

    def section(
        self, points: Float[Tensor, "*batch d"]
    ) -> tuple[Float[Tensor, "*batch r r"], Float[Tensor, "*batch o"]]:
        return translation(points), points[..., :0]

    def origin(self, orbit: Float[Tensor, "*batch o"]) -> Float[Tensor, "*batch d"]:
        return orbit.new_zeros(*orbit.shape[:-1], self.dimension)
