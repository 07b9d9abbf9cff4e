"""Pair laws of short range: cut off smoothly, and summed over neighbours alone."""

from __future__ import annotations

from abc import abstractmethod
from typing import Any

import torch
from jaxtyping import Float
from torch import Tensor

from systems.checks import check
from systems.minimum_image import nearest_images
from systems.neighbours import NeighbourList
from systems.pairs import AbstractPairs, PairValues
from systems.tracing import outside, readable, value_of
from systems.vector_field import AbstractNewtonian, Variable

#: Where the cutoff begins to be felt, as a fraction of it.
ONSET = 0.8
#: Bodies whose pairs are all looked at; of more, neighbours are listed.
FEW = 100


class AbstractShortRange(AbstractPairs):
    """V(q) = sum over i<j of v(r^2) s(r^2), r = |q_i - q_j|: a subclass needs only `uncut_potential`, the function v.

    Without a cutoff, s = 1. With one, s falls from 1 to 0 between `ONSET` of the cutoff and the cutoff, by a polynomial
    of the squared distance with four continuous derivatives: what is simulated is this smooth law itself, and
    integrators of order 2 and 4 see no edge. Of more than `FEW` bodies only neighbours are looked at, by a list that
    holds the pairs up to a tenth beyond the cutoff and is made again when a body has moved by half of that tenth; when
    it is made changes no bit of a result.

    In a `systems.PeriodicBox`, which is added to it, distances are those of the nearest images.

    Args:
        cutoff: ``(*batch)``, the distance from which on bodies do not feel each other; without it, they always do.
        **options: see `AbstractPairs`.

    Raises:
        ValueError: as `AbstractPairs`; in a sum with a periodic box, for a cutoff larger than half of it.
    """

    variables = (
        *AbstractPairs.variables,
        Variable("cutoff", (), "1", "distance beyond which bodies do not act", positive=True, optional=True, si="m"),
    )
    cutoff: Tensor | None

    def __init__(self, **options: Any) -> None:
        super().__init__(**options)
        self._neighbours = NeighbourList()

    @abstractmethod
    def uncut_potential(self, square: Float[Tensor, "*pairs"], pair: Any) -> Float[Tensor, "*pairs"]:
        """v of pairs, as `AbstractPairs.pair_potential`."""

    def uncut_force(self, square: Float[Tensor, "*pairs"], pair: Any) -> Float[Tensor, "*pairs"]:
        """-2 dv/dsquare."""
        return -2 * torch.func.grad(lambda x: self.uncut_potential(x, pair).sum())(square)

    def pair_potential(self, square: Float[Tensor, "*pairs"], pair: Any) -> Float[Tensor, "*pairs"]:
        if self.cutoff is None:
            return self.uncut_potential(square, pair)
        return _switch(square, pair.cutoff)[0] * self.uncut_potential(square, pair)

    def pair_force(self, square: Float[Tensor, "*pairs"], pair: Any) -> Float[Tensor, "*pairs"]:
        if self.cutoff is None:
            return self.uncut_force(square, pair)
        inside, slope = _switch(square, pair.cutoff)
        return inside * self.uncut_force(square, pair) - 2 * slope * self.uncut_potential(square, pair)

    @property
    def is_sum(self) -> bool:
        own = type(self)
        as_it_is = own.force is AbstractShortRange.force and own.forward is AbstractNewtonian.forward
        return as_it_is and self.cutoff is None

    def select(self, index: slice | Tensor) -> Any:
        chosen = super().select(index)
        chosen._neighbours = NeighbourList()
        return chosen

    def pair_count(self, bodies: int) -> int:
        every = super().pair_count(bodies)
        return every if self.cutoff is None else min(every, 100 * bodies)

    def potential(self, q: Float[Tensor, "*batch n d"]) -> Float[Tensor, "*batch"]:
        if not self._is_listed(q):
            return super().potential(q)
        i, _, _, square, pair = self._of_neighbours(q)
        value = self._finite(self.pair_potential, square, pair)
        count = q.shape[:-2].numel()
        return value.new_zeros(count).index_add(0, i // q.shape[-2], value).reshape(q.shape[:-2])

    def force(self, q: Float[Tensor, "*batch n d"]) -> Float[Tensor, "*batch n d"]:
        if not self._is_listed(q):
            return super().force(q)
        i, j, apart, square, pair = self._of_neighbours(q)
        weight = self._finite(self.pair_force, square, pair)
        total = weight.new_zeros(q.shape[:-1].numel())
        pulls = [weight * x for x in apart]
        sums = [total.index_add(0, i, pull).index_add(0, j, -pull) for pull in pulls]
        return torch.stack(sums, -1).reshape(q.shape)

    def _is_listed(self, q: Tensor) -> bool:
        if self.cutoff is None or self.edges is not None or q.shape[-2] <= FEW:
            return False
        check("q", "one that is traced", readable(q), f"values of more than {FEW} bodies, whose neighbours are listed")
        return True

    def _of_neighbours(self, q: Tensor) -> tuple[Tensor, Tensor, list[Tensor], Tensor, PairValues]:
        """The neighbours i and j among all bodies of all trajectories, and what is known of them."""
        batch, n = q.shape[:-2], q.shape[-2]
        q = self.existing(q)
        assert self.cutoff is not None
        places, cutoff, box = value_of(q), value_of(self.cutoff), None if self.box is None else value_of(self.box)
        with outside():  # a list is kept
            i, j = self._neighbours.of(
                places.reshape(-1, *places.shape[-2:]),
                float(cutoff.max()),
                None if box is None else box.expand(*batch, q.shape[-1]).reshape(-1, q.shape[-1]),
                None if self.mask is None else self.mask.expand(*batch, n).reshape(-1, n),
            )
        columns = [x.reshape(-1) for x in q.unbind(-1)]
        apart = [x.index_select(0, i) - x.index_select(0, j) for x in columns]

        def place(dims: tuple[str, ...], x: Tensor, end: Tensor) -> Tensor:
            if x.numel() == 1:
                return x.reshape(1)
            if dims == ("body", "other_body"):
                return x.expand(*batch, n, n).reshape(-1).index_select(0, i * n + j % n)
            shape = (*batch, n) if dims else batch
            return x.expand(shape).reshape(-1).index_select(0, end if dims else end // n)

        pair = self._placed(lambda dims, x: place(dims, x, i), lambda dims, x: place(dims, x, j))
        if self.box is not None:
            sides = self.box.expand(*batch, q.shape[-1]).reshape(-1, q.shape[-1])
            apart = nearest_images(apart, sides.index_select(0, i // n))
        return i, j, apart, sum((x.square() for x in apart[1:]), apart[0].square()), pair


def _switch(square: Tensor, cutoff: Tensor) -> tuple[Tensor, Tensor]:
    """s and its derivative by the square: of degree 9, with four derivatives that vanish at both ends."""
    width = (1 - ONSET**2) * cutoff.square()
    x = ((square - ONSET**2 * cutoff.square()) / width).clamp(0, 1)
    y = 1 - x
    return y**5 * (1 + x * (5 + x * (15 + x * (35 + x * 70)))), -630 * (x * y) ** 4 / width
