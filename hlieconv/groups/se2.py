"""Rotations and translations of the plane."""

from collections.abc import Sequence

import torch
from jaxtyping import Float
from torch import Tensor

from hlieconv.groups.affine import AbstractMotions, motion, turn_about_the_origin
from hlieconv.groups.algebra import Entries
from hlieconv.groups.smooth import cosc, half_cotangent, sinc
from hlieconv.groups.so2 import angle_between, equal_angles, random_angles, rotation


class SE2(AbstractMotions):
    """Rotations and translations of R^2; one orbit, and the stabiliser SO(2).

    An invariant Hamiltonian conserves the total momentum and angular momentum. Algebra vectors are
    (x, y, angle), and exp(x, y, angle) moves by V(angle) (x, y), where V = integral of the rotation from 0 to 1.

    Example:
        >>> import torch
        >>> from hlieconv.groups import SE2
        >>> SE2().log(SE2().exp(torch.tensor([1.0, 2.0, 0.5])))
        tensor([1.0000, 2.0000, 0.5000])
    """

    name = "SE2"
    dimension = 2
    element_size = 3
    translation_dimension = 2
    stabiliser_dimension = 1

    @property
    def algebra(self) -> dict[str, Entries]:
        return {"P_x": ((0, 2, 1.0),), "P_y": ((1, 2, 1.0),), "L_z": ((0, 1, -1.0), (1, 0, 1.0))}

    def exp(self, a: Float[Tensor, "*batch a"]) -> Float[Tensor, "*batch r r"]:
        x, y, angle = a.unbind(-1)
        along, across = sinc(angle.square()), angle * cosc(angle.square())
        shift = torch.stack([along * x - across * y, across * x + along * y], -1)
        return motion(rotation(angle.cos(), angle.sin()), shift)

    def log(self, g: Float[Tensor, "*batch r r"]) -> Float[Tensor, "*batch a"]:
        return _log(g[..., 0, 0], g[..., 1, 0], g[..., 0, 2], g[..., 1, 2])

    def relative(self, u: Float[Tensor, "*#batch r r"], v: Float[Tensor, "*#batch r r"]) -> Float[Tensor, "*batch a"]:
        return _log(*_between(u, v))

    def embedding(self, u: Float[Tensor, "*#batch r r"], v: Float[Tensor, "*#batch r r"]) -> Float[Tensor, "*batch e"]:
        cosine, sine, x, y = _between(u, v)
        return torch.stack([x, y, sine, 1 - cosine], -1)

    def stabiliser_nodes(
        self, count: int, *, dtype: torch.dtype, device: torch.device | str | None = None
    ) -> Float[Tensor, "count r r"]:
        """Rotations by equally spaced angles."""
        return _turn(equal_angles(count, dtype, device))

    def stabiliser_samples(
        self,
        batch: Sequence[int],
        *,
        generator: torch.Generator,
        dtype: torch.dtype,
        device: torch.device | str | None = None,
    ) -> Float[Tensor, "*batch r r"]:
        """Rotations by uniform angles."""
        return _turn(random_angles(batch, generator, dtype, device))


def _turn(angle: Tensor) -> Tensor:
    return turn_about_the_origin(rotation(angle.cos(), angle.sin()))


def _between(u: Tensor, v: Tensor) -> tuple[Tensor, Tensor, Tensor, Tensor]:
    """v^-1 u as cosine, sine, x, y."""
    c, s = v[..., 0, 0], v[..., 1, 0]
    x, y = (u[..., :2, 2] - v[..., :2, 2]).unbind(-1)
    cosine, sine = angle_between(u, v)
    return cosine, sine, c * x + s * y, c * y - s * x


def _log(cosine: Tensor, sine: Tensor, x: Tensor, y: Tensor) -> Tensor:
    angle = torch.atan2(sine, cosine)
    along, across = half_cotangent(angle.square()), angle / 2
    return torch.stack([along * x + across * y, along * y - across * x, angle], -1)
