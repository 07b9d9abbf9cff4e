"""Pair laws: a potential that is a sum over pairs of bodies, of a function of their distance."""

from __future__ import annotations

import copy
from abc import abstractmethod
from collections.abc import Callable, Mapping
from dataclasses import replace
from typing import Any, ClassVar

import torch
from jaxtyping import Bool, Float
from torch import Tensor

from systems.edges import checked_edges
from systems.minimum_image import nearest_images
from systems.tracing import readable
from systems.vector_field import AbstractNewtonian

#: Tensors by name, with their own dimensions after those of the batch: ``("body",)``, ``()``, ...
Parameters = Mapping[str, tuple[tuple[str, ...], Tensor]]
PAIR_DIMS = (("body", "other_body"), ("edge",))

#: The part of itself by which a square may change for six nodes to have its mean to round-off, 0 being a singularity.
MUCH = 0.1


class PairValues:
    """What a law knows of pairs of bodies beside their distance. All of it broadcasts with the squares.

    ``pair.i.charge`` and ``pair.j.charge`` are what is declared of each body, ``pair.rest_length`` is what is declared
    of each pair, ``pair.softening`` of each trajectory.

    Args:
        own: tensors by name, of a pair or a trajectory.
        i, j: tensors by name, of the two bodies.
        kept: what `once` has found, where that stays true; None where it is found each time.

    Example:
        >>> pair = PairValues({"strength": torch.tensor(2.0)}, {"charge": torch.ones(3)}, {"charge": -torch.ones(3)})
        >>> pair.strength * pair.i.charge * pair.j.charge
        tensor([-2., -2., -2.])
    """

    def __init__(self, own: Any, i: Any, j: Any, kept: dict[Any, Tensor] | None = None) -> None:
        self._own, self._i, self._j, self._kept = own, i, j, kept

    @property
    def i(self) -> Any:
        return _Names(self._i)

    @property
    def j(self) -> Any:
        return _Names(self._j)

    @property
    def swapped(self) -> PairValues:
        """The same pair seen from the other body."""
        return PairValues(self._own, self._j, self._i)

    def once(self, function: Callable[[PairValues], Tensor]) -> Tensor:
        """A function of these values alone, of no distance: computed once by a field that is `steady`.

        Example:
            >>> pair = PairValues({"strength": torch.tensor(2.0)}, {}, {})
            >>> pair.once(lambda pair: 3 * pair.strength)
            tensor(6.)
        """
        return _once(self._kept, function, lambda: function(self))

    def __getattr__(self, name: str) -> Any:
        return _looked_up(self._own, name)


class _Names:
    """A mapping's values as attributes."""

    def __init__(self, values: Any) -> None:
        self._values = values

    def __getattr__(self, name: str) -> Tensor:
        return _looked_up(self._values, name)


def _looked_up(values: Any, name: str) -> Tensor:
    try:
        return values[name]
    except KeyError:
        known = getattr(values, "names", values)
        raise AttributeError(f"{name}: expected one of {', '.join(known) or 'none'}") from None


class _Placed:
    """Parameters of some dims, each put where it broadcasts with the squares when it is asked for."""

    def __init__(
        self,
        parameters: Parameters,
        dims: tuple[tuple[str, ...], ...],
        place: Callable[..., Tensor],
        kept: dict[Any, Tensor] | None,
    ) -> None:
        self._parameters, self._dims, self._place, self._kept = parameters, dims, place, kept

    @property
    def names(self) -> list[str]:
        return [name for name, (own, _) in self._parameters.items() if own in self._dims]

    def __getitem__(self, name: str) -> Tensor:
        own, value = self._parameters[name]
        if own not in self._dims:
            raise KeyError(name)
        return _once(self._kept, (self._place, name), lambda: self._place(own, value))


def _once(kept: dict[Any, Tensor] | None, key: Any, make: Callable[[], Tensor]) -> Tensor:
    """What is made, or what was kept of it."""
    if kept is None:
        return make()
    if key not in kept:
        kept[key] = make()
    return kept[key]


class AbstractPairs(AbstractNewtonian):
    """V(q) = sum over i<j of v(|q_i - q_j|^2): a subclass needs only `pair_potential`, the function v.

    The force on i from j is `pair_force` times q_i - q_j: by default from the derivative of `pair_potential`. It is
    antisymmetric to the last bit. Momentum and angular momentum are conserved.

    Where two bodies are at one point they do not act on each other and the state is `singular`, unless the law is
    ``regular``.

    Args:
        edges: (i, j), each ``(edges,)``: which pairs there are, the same ones in all trajectories; by default all
            pairs. Memory and time are then linear in the edges, and what is declared of each pair, with the dims
            ``("body", "other_body")``, has one number an edge instead: the dims ``("edge",)``.
        **options: see `AbstractNewtonian`.

    Raises:
        ValueError: as `AbstractVectorField`; for edges out of range, doubled, or from a body to itself.

    Example:
        >>> import torch
        >>> from systems import AbstractPairs, Variable
        >>> class Yukawa(AbstractPairs):
        ...     variables = (*AbstractPairs.variables, Variable("charge", ("body",), "1", "charge"))
        ...     def pair_potential(self, square, pair):
        ...         distance = square.sqrt()
        ...         return pair.i.charge * pair.j.charge * torch.exp(-distance) / distance
        >>> system = Yukawa(mass=torch.ones(2), charge=torch.tensor([1.0, 2.0]))
        >>> system.force(torch.tensor([[0.0, 0.0], [1.0, 0.0]]))
        tensor([[-1.4715,  0.0000],
                [ 1.4715,  0.0000]])
    """

    regular: ClassVar[bool] = False
    """Whether `pair_potential` and `pair_force` are finite, with finite derivatives, for bodies at one point too."""
    edges: Tensor | None
    _steady: PairValues | None = None

    def __init__(self, *, edges: Any = None, **options: Any) -> None:
        if edges is not None:
            pairwise = (replace(v, dims=("edge",)) if v.dims == PAIR_DIMS[0] else v for v in self.variables)
            self.variables = tuple(pairwise)
        super().__init__(**options)
        self.register_buffer("edges", None if edges is None else checked_edges(edges, self.bodies))
        for variable in self.variables:
            if self.edges is not None and variable.dims == PAIR_DIMS[1]:
                _check_length(variable.name, getattr(self, variable.name), self.edges.shape[1])

    @abstractmethod
    def pair_potential(self, square: Float[Tensor, "*pairs"], pair: Any) -> Float[Tensor, "*pairs"]:
        """v of pairs, element by element: of a matrix of all pairs, of a list of edges, or of one pair.

        Args:
            square: |q_i - q_j|^2; its shape says nothing.
            pair: what else is known of the pairs (see `PairValues`). The values of ``self`` itself do not broadcast.
        """

    def pair_force(self, square: Float[Tensor, "*pairs"], pair: Any) -> Float[Tensor, "*pairs"]:
        """-2 dv/dsquare, by which q_i - q_j is multiplied to give the force on i."""
        return -2 * torch.func.grad(lambda x: self.pair_potential(x, pair).sum())(square)

    def pair_parameters(self) -> Parameters:
        """What `PairValues` offers to the law, with its dims: what is declared. Of each pair it is symmetric."""
        return {variable.name: (variable.dims, getattr(self, variable.name)) for variable in self.variables}

    @property
    def reciprocal(self) -> bool:
        """Whether j feels i as i feels j: then `pair_force` is the same for both."""
        return True

    @property
    def conserved(self) -> tuple[str, ...]:
        return ("energy",) if self.fixed is not None else ("energy", "momentum", "angular_momentum")

    @property
    def is_sum(self) -> bool:
        """Whether the force is what `force` adds up here, and nothing else moves the bodies."""
        own = type(self)
        return own.force is AbstractPairs.force and own.forward is AbstractNewtonian.forward

    @property
    def bodies(self) -> int:
        edges = self._buffers.get("edges")  # not while these are being checked
        return super().bodies if edges is None or not edges.numel() else max(super().bodies, int(edges.max()) + 1)

    def steady(self) -> Any:
        tensors = (*self.parameters(), *self.buffers())
        learned = torch.is_grad_enabled() and any(x.requires_grad for x in tensors)
        if learned or not readable(*tensors, wait=True):  # what is kept without a graph would have no gradient
            return self
        field = copy.copy(self)
        field._steady = self._all_pair_values(kept={})
        return field

    def select(self, index: slice | Tensor) -> Any:
        chosen = super().select(index)
        chosen._steady = None
        return chosen

    def pair_count(self, bodies: int) -> int:
        return super().pair_count(bodies) if self.edges is None else self.edges.shape[1]

    def potential(self, q: Float[Tensor, "*batch n d"]) -> Float[Tensor, "*batch"]:
        _, square, pair = self._of_pairs(q)
        value = self._existing_pairs(self._finite(self.pair_potential, square, pair))
        return value.triu(1).sum((-2, -1)) if self.edges is None else value.sum(-1)

    def force(self, q: Float[Tensor, "*batch n d"]) -> Float[Tensor, "*batch n d"]:
        apart, square, pair = self._of_pairs(q)
        weight = self._finite(self.pair_force, square, pair)
        back = weight
        if self.edges is not None and not self.reciprocal:
            back = self._finite(self.pair_force, square, pair.swapped)
        return self._pulls(q.shape[-2], apart, weight, back)

    def mean_force(
        self,
        q: Float[Tensor, "*batch n d"],
        end: Float[Tensor, "*ends n d"],
        nodes: Float[Tensor, " node"],
        weights: Float[Tensor, " node"],
    ) -> Float[Tensor, "*ends n d"]:
        """The force from one state to another: its work along the straight line is what the potential loses.

        On i from j it is the mean of q_i - q_j at both ends, times the mean of -2 dv/dsquare while the square goes
        evenly from |q_i - q_j|^2 to that at the end. That mean is a quotient of differences where the square changes by
        much, and a quadrature where it changes by little and the difference of potentials would lose its digits. j has
        to feel i as i feels j.

        Args:
            q: ``(*batch, n, d)``.
            end: the same, or several for each of them: ``(end, *batch, n, d)``.
            nodes, weights: of a quadrature from 0 to 1.
        """
        apart, square, pair = self._of_pairs(torch.stack(torch.broadcast_tensors(q, end)))
        change = square[1] - square[0]
        squares = square[0] + nodes[(..., *(None,) * change.ndim)] * change
        first, *others = (a * x for a, x in zip(weights, self._finite(self.pair_force, squares, pair), strict=True))
        before, after = self._finite(self.pair_potential, square, pair)
        much = change.abs() > MUCH * square.sum(0)
        mean = torch.where(much, 2 * (before - after) / torch.where(much, change, 1), sum(others, first))
        return self._pulls(q.shape[-2], [(x[0] + x[1]) / 2 for x in apart], mean, mean)

    def _pulls(self, bodies: int, apart: list[Tensor], weight: Tensor, back: Tensor) -> Tensor:
        """What bodies feel from all pairs, or all edges: q_i - q_j times a weight, and of edges times one for j."""
        weight = self._existing_pairs(weight)
        if self.edges is None:
            weight = self._mirrored(weight) if self.reciprocal else weight
            return torch.stack([(weight * x).sum(-1) for x in apart], -1)
        back = self._existing_pairs(back)
        return torch.stack([self._along_edges(weight * x, back * x, bodies) for x in apart], -1)

    def _along_edges(self, pull: Tensor, back: Tensor, bodies: int) -> Tensor:
        """What the bodies feel along edges: i what j pulls, and j the opposite of what it pulls back."""
        assert self.edges is not None  # whoever asks has looked
        i, j = self.edges
        total = pull.new_zeros(*pull.shape[:-1], bodies)
        return total.index_add(-1, i, pull).index_add(-1, j, -back)

    def singular(self, q: Float[Tensor, "*batch n d"]) -> Bool[Tensor, "*batch"] | None:
        """Where two bodies are at one point, unless the law is regular there."""
        if self.regular:
            return None
        _, square, _ = self._of_pairs(q)
        return self._any_pair(square <= nearest(q.dtype))

    def _any_pair(self, found: Tensor) -> Tensor:
        """Whether something is found of any pair of bodies that exist."""
        found = self._existing_pairs(found)
        return (found.triu(1).flatten(-2) if self.edges is None else found).any(-1)

    def _finite(self, function: Callable[[Tensor, PairValues], Tensor], square: Tensor, pair: PairValues) -> Tensor:
        """A function of the pairs, 0 where bodies are at one point. Its derivatives are finite there."""
        if self.regular:
            value = function(square, pair)
            return value if value.shape == square.shape else torch.broadcast_tensors(value, square)[0]
        apart = square > nearest(square.dtype)
        return torch.where(apart, function(torch.where(apart, square, 1), pair), 0)

    def _mirrored(self, weight: Tensor) -> Tensor:
        """The same from both sides, to the last bit: products of three may round as they are ordered."""
        weight = weight.triu(1)
        return weight + weight.mT

    def _of_pairs(self, q: Tensor) -> tuple[list[Tensor], Tensor, PairValues]:
        """q_i - q_j one dimension at a time, |q_i - q_j|^2, and what else a law wants to know."""
        if self.edges is None:
            apart = self.differences(q)
        else:
            columns = [x.contiguous() for x in self.existing(q).unbind(-1)]
            i, j = self.edges
            apart = [x.index_select(-1, i) - x.index_select(-1, j) for x in columns]
            apart = apart if self.box is None else nearest_images(apart, self.box[..., None, :])
        pair = self.pair_values()
        # Not addcmul: whether that rounds once or twice depends on the processor and on the place in the batch.
        return apart, sum((x.square() for x in apart[1:]), apart[0].square()), pair

    def pair_values(self) -> PairValues:
        """What a law may ask of all pairs, or all edges."""
        return self._all_pair_values() if self._steady is None else self._steady

    def _all_pair_values(self, kept: dict[Any, Tensor] | None = None) -> PairValues:
        if self.edges is None:
            return self._placed(
                lambda dims, x: x[..., :, None] if dims == ("body",) else self._of_every_pair(dims, x),
                lambda _, x: x[..., None, :],
                kept,
            )
        i, j = self.edges
        return self._placed(
            lambda dims, x: _of_end(x, i) if dims == ("body",) else x if dims else x[..., None],
            lambda _, x: _of_end(x, j),
            kept,
        )

    def _placed(
        self, of_i: Callable[..., Tensor], of_j: Callable[..., Tensor], kept: dict[Any, Tensor] | None = None
    ) -> PairValues:
        """Parameters, each put where it broadcasts with the squares: given its dims, and itself."""
        parameters = self.pair_parameters()
        own = _Placed(parameters, ((), *PAIR_DIMS), of_i, kept)
        i, j = (_Placed(parameters, (("body",),), place, kept) for place in (of_i, of_j))
        return PairValues(own, i, j, kept)

    def _of_every_pair(self, dims: tuple[str, ...], x: Tensor) -> Tensor:
        """A trained pair has the same gradient from both sides, and a missing one has none."""
        if not dims:
            return x[..., None, None]
        return self.existing_pairs(0.5 * (x + x.mT) if x.requires_grad else x)

    def _existing_pairs(self, x: Tensor) -> Tensor:
        """x with 0, or False, where a body of the pair is missing."""
        if self.mask is None:
            return x
        if self.edges is None:
            return self.existing_pairs(x)
        i, j = self.edges
        return torch.where(self.mask[..., i] & self.mask[..., j], x, 0)


def _of_end(x: Tensor, end: Tensor) -> Tensor:
    """What is declared of bodies, at one end of each edge."""
    return x if x.shape[-1] == 1 else x.index_select(-1, end)


def nearest(dtype: torch.dtype) -> float:
    """The square of the distance up to which bodies are at one point.

    Second derivatives of the inverse distance overflow there; in float32, where that is no further than atoms are apart
    in metres, the inverse distance itself.

    Example:
        >>> nearest(torch.float64) ** 0.5 < 1e-61
        True
    """
    return torch.finfo(dtype).tiny ** (2 / 5 if dtype == torch.float64 else 1)


def _check_length(name: str, value: Tensor, count: int) -> None:
    if value.shape[-1] not in (1, count):
        raise ValueError(f"{name}: expected (*batch, {count}), one number an edge, got {tuple(value.shape)}")
