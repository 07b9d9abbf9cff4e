"""Translations."""

from collections.abc import Sequence

import torch
from jaxtyping import Float
from torch import Tensor

from hlieconv.groups.abstract import AbstractGroup
from hlieconv.groups.affine import translation
from hlieconv.groups.algebra import Entries, axis_name


class T(AbstractGroup):
    """Translations of R^d, along all axes or some of them: the other coordinates are the orbit.

    An invariant Hamiltonian conserves the total momentum along these axes.

    Example:
        >>> import torch
        >>> from hlieconv.groups import T
        >>> along_x = T(2, axes=(0,))
        >>> along_x.lift(torch.tensor([[1.0, 2.0]])).orbit
        tensor([[[2.]]])
    """

    def __init__(self, dimension: int, axes: Sequence[int] | None = None) -> None:
        self.axes = tuple(range(dimension)) if axes is None else tuple(sorted(set(axes)))
        if not self.axes or not set(self.axes) <= set(range(dimension)):
            raise ValueError(f"axes: expected some of 0 to {dimension - 1}, got {axes}")
        self.dimension, self.element_size = dimension, dimension + 1
        self.translation_dimension = len(self.axes)
        self.others = tuple(axis for axis in range(dimension) if axis not in self.axes)
        self.orbit_dimension = len(self.others)
        letters = "".join(axis_name(axis) for axis in self.axes)
        self.name = (
            f"T{dimension}" if not self.others else f"T{letters}" if dimension == 2 else f"T{dimension}{letters}"
        )

    @property
    def algebra(self) -> dict[str, Entries]:
        return {f"P_{axis_name(axis)}": ((axis, self.dimension, 1.0),) for axis in self.axes}

    def exp(self, a: Float[Tensor, "*batch a"]) -> Float[Tensor, "*batch r r"]:
        return translation(self._place(a, self.axes))

    def log(self, g: Float[Tensor, "*batch r r"]) -> Float[Tensor, "*batch a"]:
        return self._pick(g[..., :-1, -1], self.axes)

    def inverse(self, g: Float[Tensor, "*batch r r"]) -> Float[Tensor, "*batch r r"]:
        return 2 * self.identity(dtype=g.dtype, device=g.device) - g

    def relative(self, u: Float[Tensor, "*#batch r r"], v: Float[Tensor, "*#batch r r"]) -> Float[Tensor, "*batch a"]:
        return self._log(u) - self._log(v)

    def embedding(self, u: Float[Tensor, "*#batch r r"], v: Float[Tensor, "*#batch r r"]) -> Float[Tensor, "*batch e"]:
        return self.relative(u, v)

    def section(
        self, points: Float[Tensor, "*batch d"]
    ) -> tuple[Float[Tensor, "*batch r r"], Float[Tensor, "*batch o"]]:
        return self.exp(self._pick(points, self.axes)), self._pick(points, self.others)

    def origin(self, orbit: Float[Tensor, "*batch o"]) -> Float[Tensor, "*batch d"]:
        return self._place(orbit, self.others)

    def _pick(self, points: Tensor, axes: tuple[int, ...]) -> Tensor:
        # No index tensors: they would be copied to a GPU at each call.
        if len(axes) == self.dimension:
            return points
        return torch.stack([points[..., axis] for axis in axes], -1) if axes else points[..., :0]

    def _place(self, values: Tensor, axes: tuple[int, ...]) -> Tensor:
        if len(axes) == self.dimension:
            return values
        zero = values.new_zeros(values.shape[:-1])
        columns = [values[..., axes.index(axis)] if axis in axes else zero for axis in range(self.dimension)]
        return torch.stack(columns, -1)
