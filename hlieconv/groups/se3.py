"""Rotations and translations of space."""

from collections.abc import Sequence

import torch
from jaxtyping import Float
from torch import Tensor

from hlieconv.groups.affine import AbstractMotions, motion, turn_about_the_origin
from hlieconv.groups.algebra import Entries
from hlieconv.groups.matrices import image, product
from hlieconv.groups.rotation_quadrature import random_rotations, rotation_nodes
from hlieconv.groups.smooth import cosc, half_cotangent_rest, sinc_rest
from hlieconv.groups.so3 import ROTATIONS, rotation_of_vector, rotation_vector, two_columns


class SE3(AbstractMotions):
    """Rotations and translations of R^3; one orbit, and the stabiliser SO(3).

    An invariant Hamiltonian conserves the total momentum and angular momentum. Algebra vectors are the translation
    part t and the rotation vector w; exp(t, w) turns by w and moves by V(w) t, where
    V = I + (1 - cos|w|)/|w|^2 K + (|w| - sin|w|)/|w|^3 K^2 with K = hat(w).

    Example:
        >>> import torch
        >>> from hlieconv.groups import SE3
        >>> a = torch.tensor([1.0, 2.0, 3.0, 0.0, 0.5, 0.0])
        >>> SE3().log(SE3().exp(a))
        tensor([1.0000, 2.0000, 3.0000, 0.0000, 0.5000, 0.0000])
    """

    name = "SE3"
    dimension = 3
    element_size = 4
    translation_dimension = 3
    stabiliser_dimension = 3

    @property
    def algebra(self) -> dict[str, Entries]:
        return {"P_x": ((0, 3, 1.0),), "P_y": ((1, 3, 1.0),), "P_z": ((2, 3, 1.0),), **ROTATIONS}

    def exp(self, a: Float[Tensor, "*batch a"]) -> Float[Tensor, "*batch r r"]:
        shift, w = a[..., :3], a[..., 3:]
        s = w.square().sum(-1, keepdim=True)
        once = torch.linalg.cross(w, shift, dim=-1)
        twice = torch.linalg.cross(w, once, dim=-1)
        return motion(rotation_of_vector(w), shift + cosc(s) * once + sinc_rest(s) * twice)

    def log(self, g: Float[Tensor, "*batch r r"]) -> Float[Tensor, "*batch a"]:
        return _log(g[..., :3, :3], g[..., :3, 3])

    def relative(self, u: Float[Tensor, "*#batch r r"], v: Float[Tensor, "*#batch r r"]) -> Float[Tensor, "*batch a"]:
        return _log(*_between(u, v))

    def embedding(self, u: Float[Tensor, "*#batch r r"], v: Float[Tensor, "*#batch r r"]) -> Float[Tensor, "*batch e"]:
        turn, shift = _between(u, v)
        return torch.cat([shift, two_columns(turn)], -1)

    def stabiliser_nodes(
        self, count: int, *, dtype: torch.dtype, device: torch.device | str | None = None
    ) -> Float[Tensor, "count r r"]:
        """Rotations that integrate exactly up to a degree: see `rotation_nodes` for the counts."""
        return turn_about_the_origin(rotation_nodes(count, dtype, device))

    def stabiliser_samples(
        self,
        batch: Sequence[int],
        *,
        generator: torch.Generator,
        dtype: torch.dtype,
        device: torch.device | str | None = None,
    ) -> Float[Tensor, "*batch r r"]:
        """Rotations by uniform unit quaternions."""
        return turn_about_the_origin(random_rotations(batch, generator, dtype).to(device))


def _between(u: Tensor, v: Tensor) -> tuple[Tensor, Tensor]:
    """v^-1 u as a rotation and a translation."""
    back = v[..., :3, :3].mT
    return product(back, u[..., :3, :3]), image(back, u[..., :3, 3] - v[..., :3, 3])


def _log(turn: Tensor, shift: Tensor) -> Tensor:
    w = rotation_vector(turn)
    once = torch.linalg.cross(w, shift, dim=-1)
    twice = torch.linalg.cross(w, once, dim=-1)
    return torch.cat([shift - once / 2 + half_cotangent_rest(w.square().sum(-1, keepdim=True)) * twice, w], -1)
