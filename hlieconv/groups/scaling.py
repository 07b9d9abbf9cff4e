"""Scalings, alone and with the rotations of the plane."""

import torch
from jaxtyping import Float
from torch import Tensor

from hlieconv.groups.abstract import AbstractGroup
from hlieconv.groups.algebra import Entries
from hlieconv.groups.smooth import norm
from hlieconv.groups.so2 import angle_between, rotation


class R(AbstractGroup):
    """Positive scalings of R^d about the origin; the orbit of a point is its direction x / |x|.

    Algebra vectors are logarithms of the scale. An invariant Hamiltonian conserves sum_i q_i . p_i. The point 0 is an
    orbit by itself, embedded as 0; its element is the identity.

    Example:
        >>> import torch
        >>> from hlieconv.groups import R
        >>> R(2).lift(torch.tensor([[3.0, 4.0]])).orbit
        tensor([[[0.6000, 0.8000]]])
    """

    def __init__(self, dimension: int = 2) -> None:
        self.name = "R" if dimension == 2 else f"R{dimension}"
        self.dimension = self.element_size = self.orbit_dimension = dimension

    @property
    def algebra(self) -> dict[str, Entries]:
        return {"dilation": tuple((axis, axis, 1.0) for axis in range(self.dimension))}

    def exp(self, a: Float[Tensor, "*batch a"]) -> Float[Tensor, "*batch r r"]:
        return a.exp()[..., None] * self.identity(dtype=a.dtype, device=a.device)

    def log(self, g: Float[Tensor, "*batch r r"]) -> Float[Tensor, "*batch a"]:
        return g[..., 0, :1].log()

    def inverse(self, g: Float[Tensor, "*batch r r"]) -> Float[Tensor, "*batch r r"]:
        return self.identity(dtype=g.dtype, device=g.device) / g[..., :1, :1]

    def relative(self, u: Float[Tensor, "*#batch r r"], v: Float[Tensor, "*#batch r r"]) -> Float[Tensor, "*batch a"]:
        return (u[..., 0, :1] / v[..., 0, :1]).log()

    def embedding(self, u: Float[Tensor, "*#batch r r"], v: Float[Tensor, "*#batch r r"]) -> Float[Tensor, "*batch e"]:
        return self.relative(u, v)

    def section(
        self, points: Float[Tensor, "*batch d"]
    ) -> tuple[Float[Tensor, "*batch r r"], Float[Tensor, "*batch o"]]:
        radius = norm(points)[..., None]
        scale = torch.where(radius == 0, 1, radius)
        return scale[..., None] * self.identity(dtype=points.dtype, device=points.device), points / scale

    def origin(self, orbit: Float[Tensor, "*batch o"]) -> Float[Tensor, "*batch d"]:
        return orbit


class RxSO2(AbstractGroup):
    """Rotations and positive scalings of R^2 about the origin. Written R* x SO(2) in the paper.

    Algebra vectors are (angle, logarithm of the scale): log-polar coordinates. An invariant Hamiltonian conserves the
    total angular momentum and sum_i q_i . p_i. All points but 0 are one orbit, embedded as 1; the point 0 is another,
    embedded as 0, and its element is the identity.

    Example:
        >>> import torch
        >>> from hlieconv.groups import RxSO2
        >>> RxSO2().log(RxSO2().lift(torch.tensor([[0.0, 1.0]])).elements)
        tensor([[[1.5708, 0.0000]]])
    """

    name = "RxSO2"
    dimension = 2
    element_size = 2
    orbit_dimension = 1

    @property
    def algebra(self) -> dict[str, Entries]:
        return {"L_z": ((0, 1, -1.0), (1, 0, 1.0)), "dilation": ((0, 0, 1.0), (1, 1, 1.0))}

    def exp(self, a: Float[Tensor, "*batch a"]) -> Float[Tensor, "*batch r r"]:
        angle, scale = a[..., 0], a[..., 1].exp()
        return rotation(scale * angle.cos(), scale * angle.sin())

    def log(self, g: Float[Tensor, "*batch r r"]) -> Float[Tensor, "*batch a"]:
        cosine, sine = g[..., 0, 0], g[..., 1, 0]
        return torch.stack([torch.atan2(sine, cosine), (cosine * cosine + sine * sine).log() / 2], -1)

    def inverse(self, g: Float[Tensor, "*batch r r"]) -> Float[Tensor, "*batch r r"]:
        return g.mT / _square(g)[..., None, None]

    def relative(self, u: Float[Tensor, "*#batch r r"], v: Float[Tensor, "*#batch r r"]) -> Float[Tensor, "*batch a"]:
        cosine, sine, scale = _between(u, v)
        return torch.stack([torch.atan2(sine, cosine), scale], -1)

    def embedding(self, u: Float[Tensor, "*#batch r r"], v: Float[Tensor, "*#batch r r"]) -> Float[Tensor, "*batch e"]:
        cosine, sine, scale = _between(u, v)
        return torch.stack([sine, 1 - cosine, scale], -1)

    def section(
        self, points: Float[Tensor, "*batch d"]
    ) -> tuple[Float[Tensor, "*batch r r"], Float[Tensor, "*batch o"]]:
        fixed = norm(points) == 0
        x, y = points.unbind(-1)
        elements = rotation(torch.where(fixed, 1, x), torch.where(fixed, 0, y))
        return elements, (~fixed)[..., None].to(points.dtype)

    def origin(self, orbit: Float[Tensor, "*batch o"]) -> Float[Tensor, "*batch d"]:
        return torch.cat([orbit, torch.zeros_like(orbit)], -1)


def _between(u: Tensor, v: Tensor) -> tuple[Tensor, Tensor, Tensor]:
    """v^-1 u as cosine, sine and logarithm of the scale; each is normed by itself, whatever the sizes of the two."""
    u2, v2 = _square(u), _square(v)
    cosine, sine = angle_between(u / u2.sqrt()[..., None, None], v / v2.sqrt()[..., None, None])
    return cosine, sine, (u2.log() - v2.log()) / 2


def _square(g: Tensor) -> Tensor:
    """The square of the scale."""
    return g[..., 0, 0].square() + g[..., 1, 0].square()
