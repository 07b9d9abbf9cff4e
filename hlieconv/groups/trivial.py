"""No symmetry at all."""

from jaxtyping import Float
from torch import Tensor

from hlieconv.groups.abstract import AbstractGroup
from hlieconv.groups.algebra import Entries


class Trivial(AbstractGroup):
    """The group of the identity alone: every point of R^d is an orbit, its own origin.

    Example:
        >>> import torch
        >>> from hlieconv.groups import Trivial
        >>> Trivial(2).lift(torch.tensor([[1.0, 2.0]])).orbit
        tensor([[[1., 2.]]])
    """

    def __init__(self, dimension: int) -> None:
        self.name = f"Trivial{dimension}"
        self.dimension = self.element_size = self.orbit_dimension = dimension

    @property
    def algebra(self) -> dict[str, Entries]:
        return {}

    def exp(self, a: Float[Tensor, "*batch a"]) -> Float[Tensor, "*batch r r"]:
        return self.identity(a.shape[:-1], dtype=a.dtype, device=a.device)

    def log(self, g: Float[Tensor, "*batch r r"]) -> Float[Tensor, "*batch a"]:
        return g[..., 0, :0]

    def inverse(self, g: Float[Tensor, "*batch r r"]) -> Float[Tensor, "*batch r r"]:
        return g

    def relative(self, u: Float[Tensor, "*#batch r r"], v: Float[Tensor, "*#batch r r"]) -> Float[Tensor, "*batch a"]:
        return (u - v)[..., 0, :0]

    def embedding(self, u: Float[Tensor, "*#batch r r"], v: Float[Tensor, "*#batch r r"]) -> Float[Tensor, "*batch e"]:
        return self.relative(u, v)

    def section(
        self, points: Float[Tensor, "*batch d"]
    ) -> tuple[Float[Tensor, "*batch r r"], Float[Tensor, "*batch o"]]:
        return self.identity(points.shape[:-1], dtype=points.dtype, device=points.device), points

    def origin(self, orbit: Float[Tensor, "*batch o"]) -> Float[Tensor, "*batch d"]:
        return orbit
