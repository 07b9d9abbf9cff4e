"""Rotations of the plane."""

import math
from collections.abc import Sequence

import torch
from jaxtyping import Float
from torch import Tensor

from hlieconv.groups.abstract import AbstractGroup
from hlieconv.groups.algebra import Entries
from hlieconv.groups.smooth import norm


class SO2(AbstractGroup):
    """Rotations of R^2 about the origin; the orbit of a point is its distance from there.

    An invariant Hamiltonian conserves the total angular momentum. The point 0 is an orbit by itself, of radius 0,
    which every rotation leaves in place: its element is the identity.

    Example:
        >>> import torch
        >>> from hlieconv.groups import SO2
        >>> SO2().log(SO2().exp(torch.tensor([0.5])))
        tensor([0.5000])
    """

    name = "SO2"
    dimension = 2
    element_size = 2
    orbit_dimension = 1

    @property
    def algebra(self) -> dict[str, Entries]:
        return {"L_z": ((0, 1, -1.0), (1, 0, 1.0))}

    def exp(self, a: Float[Tensor, "*batch a"]) -> Float[Tensor, "*batch r r"]:
        return rotation(a[..., 0].cos(), a[..., 0].sin())

    def log(self, g: Float[Tensor, "*batch r r"]) -> Float[Tensor, "*batch a"]:
        return torch.atan2(g[..., 1, :1], g[..., 0, :1])

    def inverse(self, g: Float[Tensor, "*batch r r"]) -> Float[Tensor, "*batch r r"]:
        return g.mT

    def relative(self, u: Float[Tensor, "*#batch r r"], v: Float[Tensor, "*#batch r r"]) -> Float[Tensor, "*batch a"]:
        cosine, sine = angle_between(u, v)
        return torch.atan2(sine, cosine)[..., None]

    def embedding(self, u: Float[Tensor, "*#batch r r"], v: Float[Tensor, "*#batch r r"]) -> Float[Tensor, "*batch e"]:
        cosine, sine = angle_between(u, v)
        return torch.stack([sine, 1 - cosine], -1)

    def section(
        self, points: Float[Tensor, "*batch d"]
    ) -> tuple[Float[Tensor, "*batch r r"], Float[Tensor, "*batch o"]]:
        radius = norm(points)
        fixed = radius == 0
        cosine, sine = (points / torch.where(fixed, 1, radius)[..., None]).unbind(-1)
        return rotation(torch.where(fixed, 1, cosine), torch.where(fixed, 0, sine)), radius[..., None]

    def origin(self, orbit: Float[Tensor, "*batch o"]) -> Float[Tensor, "*batch d"]:
        return torch.cat([orbit, torch.zeros_like(orbit)], -1)


def rotation(cosine: Float[Tensor, "*batch"], sine: Float[Tensor, "*batch"]) -> Float[Tensor, "*batch 2 2"]:
    """The rotation matrix of an angle."""
    return torch.stack([cosine, -sine, sine, cosine], -1).unflatten(-1, (2, 2))


def angle_between(u: Float[Tensor, "*#batch r r"], v: Float[Tensor, "*#batch r r"]) -> tuple[Tensor, Tensor]:
    """Cosine and sine of the angle of v^-1 u, for elements that begin with a rotation of the plane."""
    c, s, cosine, sine = v[..., 0, 0], v[..., 1, 0], u[..., 0, 0], u[..., 1, 0]
    return c * cosine + s * sine, c * sine - s * cosine


def equal_angles(count: int, dtype: torch.dtype, device: torch.device | str | None) -> Float[Tensor, " count"]:
    """Angles 2 pi k / count: the trapezoidal rule, which converges exponentially for smooth periodic functions."""
    return torch.arange(count, dtype=dtype, device=device) * (2 * math.pi / count)


def random_angles(
    batch: Sequence[int], generator: torch.Generator, dtype: torch.dtype, device: torch.device | str | None
) -> Float[Tensor, "*batch"]:
    """Uniform angles in [-pi, pi)."""
    uniform = torch.rand(tuple(batch), generator=generator, dtype=dtype, device=generator.device)
    return (2 * uniform - 1).to(device or "cpu") * math.pi
