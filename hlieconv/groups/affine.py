"""Maps x -> R x + t as matrices in homogeneous coordinates."""

import torch
from jaxtyping import Float
from torch import Tensor


def motion(turn: Float[Tensor, "*batch d d"], shift: Float[Tensor, "*batch d"]) -> Float[Tensor, "*batch r r"]:
    """The element that turns first and then shifts, in homogeneous coordinates."""
    d = shift.shape[-1]
    bottom = torch.eye(d + 1, dtype=shift.dtype, device=shift.device)[d:].expand(*shift.shape[:-1], 1, d + 1)
    return torch.cat([torch.cat([turn, shift[..., None]], -1), bottom], -2)


def inverse_motion(g: Float[Tensor, "*batch r r"]) -> Float[Tensor, "*batch r r"]:
    """The inverse of a rotation and translation: x -> R^T (x - t)."""
    back = g[..., :-1, :-1].mT
    return motion(back, -(back @ g[..., :-1, -1:])[..., 0])


def squared_distance(u: Float[Tensor, "*#batch r r"], v: Float[Tensor, "*#batch r r"]) -> Float[Tensor, "*batch 1"]:
    """|x - y|^2 of the points that two motions take the origin to."""
    return (u[..., :-1, -1] - v[..., :-1, -1]).square().sum(-1, keepdim=True)
