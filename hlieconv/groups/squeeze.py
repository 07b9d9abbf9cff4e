"""Squeezes of the positive quadrant (x, y) -> (e^s x, e^-s y), alone and with scalings."""

import torch
from jaxtyping import Float
from torch import Tensor

from hlieconv.groups.abstract import AbstractGroup
from hlieconv.groups.algebra import Entries
from systems.tracing import readable


class SQ(AbstractGroup):
    """Squeezes of the open positive quadrant, which keep the product x y; the orbit of a point is sqrt(x y).

    An invariant Hamiltonian conserves sum_i (x p_x - y p_y).

    Example:
        >>> import torch
        >>> from hlieconv.groups import SQ
        >>> SQ().lift(torch.tensor([[4.0, 9.0]])).orbit
        tensor([[[6.]]])
        >>> SQ().lift(torch.tensor([[2.0, -8.0]]))
        Traceback (most recent call last):
        ...
        ValueError: points: SQ acts on positive coordinates, got -8
    """

    name = "SQ"
    dimension = 2
    element_size = 2
    orbit_dimension = 1

    @property
    def algebra(self) -> dict[str, Entries]:
        return {"squeeze": ((0, 0, 1.0), (1, 1, -1.0))}

    def exp(self, a: Float[Tensor, "*batch a"]) -> Float[Tensor, "*batch r r"]:
        return torch.cat([a, -a], -1).exp().diag_embed()

    def log(self, g: Float[Tensor, "*batch r r"]) -> Float[Tensor, "*batch a"]:
        return (g[..., 0, :1] / g[..., 1, 1:]).log() / 2

    def inverse(self, g: Float[Tensor, "*batch r r"]) -> Float[Tensor, "*batch r r"]:
        return _inverse(g)

    def embedding(self, u: Float[Tensor, "*#batch r r"], v: Float[Tensor, "*#batch r r"]) -> Float[Tensor, "*batch e"]:
        return self.relative(u, v)

    def section(
        self, points: Float[Tensor, "*batch d"]
    ) -> tuple[Float[Tensor, "*batch r r"], Float[Tensor, "*batch o"]]:
        x, y = _positive(self, points).sqrt().unbind(-1)
        return torch.stack([x / y, y / x], -1).diag_embed(), (x * y)[..., None]

    def origin(self, orbit: Float[Tensor, "*batch o"]) -> Float[Tensor, "*batch d"]:
        return torch.cat([orbit, orbit], -1)


class RxSQ(AbstractGroup):
    """Squeezes and scalings of the open positive quadrant: each coordinate by a factor of its own. One orbit.

    Algebra vectors are the logarithms (squeeze, scale); an invariant Hamiltonian conserves sum_i x p_x and
    sum_i y p_y, here as their difference and their sum.

    Example:
        >>> import torch
        >>> from hlieconv.groups import RxSQ
        >>> RxSQ().log(torch.tensor([[2.0, 0.0], [0.0, 2.0]]))
        tensor([0.0000, 0.6931])
    """

    name = "RxSQ"
    dimension = 2
    element_size = 2

    @property
    def algebra(self) -> dict[str, Entries]:
        return {"squeeze": ((0, 0, 1.0), (1, 1, -1.0)), "dilation": ((0, 0, 1.0), (1, 1, 1.0))}

    def exp(self, a: Float[Tensor, "*batch a"]) -> Float[Tensor, "*batch r r"]:
        squeeze, scale = a.unbind(-1)
        return torch.stack([scale + squeeze, scale - squeeze], -1).exp().diag_embed()

    def log(self, g: Float[Tensor, "*batch r r"]) -> Float[Tensor, "*batch a"]:
        x, y = g.diagonal(dim1=-2, dim2=-1).log().unbind(-1)
        return torch.stack([(x - y) / 2, (x + y) / 2], -1)

    def inverse(self, g: Float[Tensor, "*batch r r"]) -> Float[Tensor, "*batch r r"]:
        return _inverse(g)

    def embedding(self, u: Float[Tensor, "*#batch r r"], v: Float[Tensor, "*#batch r r"]) -> Float[Tensor, "*batch e"]:
        return self.relative(u, v)

    def section(
        self, points: Float[Tensor, "*batch d"]
    ) -> tuple[Float[Tensor, "*batch r r"], Float[Tensor, "*batch o"]]:
        return _positive(self, points).diag_embed(), points[..., :0]

    def origin(self, orbit: Float[Tensor, "*batch o"]) -> Float[Tensor, "*batch d"]:
        return orbit.new_ones(*orbit.shape[:-1], 2)


def _inverse(g: Tensor) -> Tensor:
    return (1 / g.diagonal(dim1=-2, dim2=-1)).diag_embed()


def _positive(group: AbstractGroup, points: Tensor) -> Tensor:
    if readable(points, wait=True) and not bool((points > 0).all()):
        raise ValueError(f"points: {group.name} acts on positive coordinates, got {points.min().item():g}")
    return points
