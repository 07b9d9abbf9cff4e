"""Groups side by side, each on axes of its own."""

from collections.abc import Callable, Sequence
from typing import Any

import torch
from jaxtyping import Float
from torch import Tensor

from hlieconv.groups.abstract import AbstractGroup
from hlieconv.groups.algebra import Entries, axis_name, generator_name


class Product(AbstractGroup):
    """The direct product of groups that act on disjoint axes of R^d.

    Stabilisers, orbits and what is conserved are those of the factors, one after the other.

    Args:
        factors: pairs of a group and the axes it acts on; together they cover R^d.

    Raises:
        ValueError: if the axes are not those of R^d, each once.

    Example:
        >>> from hlieconv.groups import SE2, T, Product
        >>> Product((SE2(), (0, 1)), (T(1), (2,))).generator_names
        ('P_x', 'P_y', 'P_z', 'L_z')
    """

    def __init__(self, *factors: tuple[AbstractGroup, Sequence[int]]) -> None:
        self.factors = tuple(group for group, _ in factors)
        self.axes = tuple(tuple(axes) for _, axes in factors)
        self.dimension = sum(group.dimension for group in self.factors)
        if [len(axes) for axes in self.axes] != [group.dimension for group in self.factors] or (
            sorted(axis for axes in self.axes for axis in axes) != list(range(self.dimension))
        ):
            raise ValueError(f"factors: expected every axis once, as many as each group acts on, got {self.axes}")
        affine = [group.element_size > group.dimension for group in self.factors]
        self.places = tuple(
            (*axes, self.dimension) if extra else axes for axes, extra in zip(self.axes, affine, strict=True)
        )
        self.element_size = self.dimension + any(affine)
        self.name = "x".join(
            f"{group.name}({''.join(map(axis_name, axes))})"
            for group, axes in zip(self.factors, self.axes, strict=True)
        )
        self.orbit_dimension = sum(group.orbit_dimension for group in self.factors)
        self.translation_dimension = sum(group.translation_dimension for group in self.factors)
        self.stabiliser_dimension = sum(group.stabiliser_dimension for group in self.factors)

    @property
    def algebra(self) -> dict[str, Entries]:
        first, last = {}, {}
        for index, (group, places) in enumerate(zip(self.factors, self.places, strict=True)):
            for k, (name, entries) in enumerate(group.algebra.items()):
                placed = tuple((places[row], places[column], value) for row, column, value in entries)
                name = generator_name(placed, self.dimension) or f"{name}_{index}"
                (first if k < group.translation_dimension else last)[name] = placed
        return first | last

    def each(self, function: Callable[..., Tensor], *elements: Float[Tensor, "*#batch r r"]) -> list[Tensor]:
        """The values of a function of every factor and its own blocks of the elements."""
        return [
            function(group, *(_block(g, places) for g in elements))
            for group, places in zip(self.factors, self.places, strict=True)
        ]

    def exp(self, a: Float[Tensor, "*batch a"]) -> Float[Tensor, "*batch r r"]:
        return self._element([group.exp(part) for group, part in zip(self.factors, self._vectors(a), strict=True)])

    def log(self, g: Float[Tensor, "*batch r r"]) -> Float[Tensor, "*batch a"]:
        return self._vector(self.each(lambda group, part: group._log(part), g))

    def inverse(self, g: Float[Tensor, "*batch r r"]) -> Float[Tensor, "*batch r r"]:
        return self._element(self.each(lambda group, part: group.inverse(part), g))

    def relative(self, u: Float[Tensor, "*#batch r r"], v: Float[Tensor, "*#batch r r"]) -> Float[Tensor, "*batch a"]:
        return self._vector(self.each(lambda group, *pair: group.relative(*pair), u, v))

    def embedding(self, u: Float[Tensor, "*#batch r r"], v: Float[Tensor, "*#batch r r"]) -> Float[Tensor, "*batch e"]:
        return torch.cat(self.each(lambda group, *pair: group.embedding(*pair), u, v), -1)

    def bi_invariants(
        self, u: Float[Tensor, "*#batch r r"], v: Float[Tensor, "*#batch r r"]
    ) -> Float[Tensor, "*batch b"]:
        return torch.cat(self.each(lambda group, *pair: group.bi_invariants(*pair), u, v), -1)

    def section(
        self, points: Float[Tensor, "*batch d"]
    ) -> tuple[Float[Tensor, "*batch r r"], Float[Tensor, "*batch o"]]:
        parts = [
            group.section(torch.stack([points[..., axis] for axis in axes], -1))
            for group, axes in zip(self.factors, self.axes, strict=True)
        ]
        return self._element([element for element, _ in parts]), torch.cat([orbit for _, orbit in parts], -1)

    def origin(self, orbit: Float[Tensor, "*batch o"]) -> Float[Tensor, "*batch d"]:
        parts = orbit.split([group.orbit_dimension for group in self.factors], -1)
        columns: dict[int, Tensor] = {}
        for group, axes, part in zip(self.factors, self.axes, parts, strict=True):
            columns |= dict(zip(axes, group.origin(part).unbind(-1), strict=True))
        return torch.stack([columns[axis] for axis in range(self.dimension)], -1)

    def stabiliser_nodes(
        self, count: int, *, dtype: torch.dtype, device: torch.device | str | None = None
    ) -> Float[Tensor, "count r r"]:
        """The nodes of the one factor that has a stabiliser."""
        if sum(group.stabiliser_dimension > 0 for group in self.factors) > 1:
            raise ValueError(f"stabiliser: {self.name} has several factors with one: give a generator, or the nodes")
        like: Any = {"dtype": dtype, "device": device}
        return self._element([group.stabiliser_nodes(count, **like) for group in self.factors])

    def stabiliser_samples(
        self,
        batch: Sequence[int],
        *,
        generator: torch.Generator,
        dtype: torch.dtype,
        device: torch.device | str | None = None,
    ) -> Float[Tensor, "*batch r r"]:
        like: Any = {"generator": generator, "dtype": dtype, "device": device}
        return self._element([group.stabiliser_samples(batch, **like) for group in self.factors])

    def _element(self, parts: list[Tensor]) -> Tensor:
        blocks = {
            (row, column): part[..., i, j]
            for part, places in zip(parts, self.places, strict=True)
            for i, row in enumerate(places)
            for j, column in enumerate(places)
        }
        size = range(self.element_size)
        zero = torch.zeros_like(parts[0][..., 0, 0])
        return torch.stack([torch.stack([blocks.get((i, j), zero) for j in size], -1) for i in size], -2)

    def _vector(self, parts: list[Tensor]) -> Tensor:
        counts = [group.translation_dimension for group in self.factors]
        first = [part[..., :count] for part, count in zip(parts, counts, strict=True)]
        return torch.cat(first + [part[..., count:] for part, count in zip(parts, counts, strict=True)], -1)

    def _vectors(self, a: Tensor) -> list[Tensor]:
        first = [group.translation_dimension for group in self.factors]
        last = [group.algebra_dimension - group.translation_dimension for group in self.factors]
        parts = a.split(first + last, -1)
        return [torch.cat(pair, -1) for pair in zip(parts[: len(first)], parts[len(first) :], strict=True)]


def _block(g: Tensor, places: tuple[int, ...]) -> Tensor:
    return torch.stack([torch.stack([g[..., i, j] for j in places], -1) for i in places], -2)
