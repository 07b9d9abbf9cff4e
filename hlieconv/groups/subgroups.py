"""The subgroup that some of a group's generators generate."""

from collections.abc import Iterable, Iterator
from itertools import combinations

import torch

from hlieconv.groups.abstract import AbstractGroup
from hlieconv.groups.algebra import structure_constants
from hlieconv.groups.generated import from_generators
from hlieconv.groups.product import Product
from hlieconv.groups.scaling import R, RxSO2
from hlieconv.groups.se2 import SE2
from hlieconv.groups.se3 import SE3
from hlieconv.groups.so2 import SO2
from hlieconv.groups.so3 import SO3
from hlieconv.groups.squeeze import SQ
from hlieconv.groups.translation import T
from hlieconv.groups.trivial import Trivial


def subgroup(parent: AbstractGroup, generators: Iterable[str]) -> AbstractGroup:
    """The subgroup of some of a group's generators: one with closed forms where there is one, else `from_generators`.

    It lifts by itself: what it does not reach is the orbit.

    Args:
        parent: the group.
        generators: the names of some of its `generator_names`, in any order.

    Raises:
        ValueError: for unknown names, or if the algebra of the named generators does not close.

    Example:
        >>> from hlieconv.groups import SE3, subgroup
        >>> vertical_gravity = subgroup(SE3(), ["P_x", "P_y", "L_z"])
        >>> vertical_gravity.orbit_dimension  # the height
        1
    """
    wanted = tuple(generators)
    known = parent.generator_names
    if unknown := [name for name in wanted if name not in known]:
        raise ValueError(f"generators: {parent.name} has {', '.join(known) or 'none'}, got {', '.join(unknown)}")
    chosen = [index for index, name in enumerate(known) if name in wanted]
    if len(chosen) == len(known):
        return parent
    if not chosen:
        return Trivial(parent.dimension)
    names = tuple(known[index] for index in chosen)
    basis = parent.basis(torch.float64)[chosen]
    structure_constants(basis, names)
    fields = _fields(parent, chosen)
    for candidate in _closed_forms(parent.dimension):
        if _fields(candidate, range(candidate.algebra_dimension)) == fields:
            return candidate
    return from_generators(basis, parent.dimension, names=names, name=f"{parent.name}[{','.join(names)}]")


def _fields(group: AbstractGroup, chosen: range | list[int]) -> set[tuple[float, ...]]:
    """The generators as vector fields x -> A x + b, whatever the size of the elements."""
    linear, shift = group.generators(torch.float64)
    return {(*linear[index].flatten().tolist(), *shift[index].tolist()) for index in chosen}


def _closed_forms(dimension: int) -> Iterator[AbstractGroup]:
    axes = range(dimension)
    yield from (T(dimension, some) for count in axes for some in combinations(axes, count + 1))
    yield R(dimension)
    if dimension == 2:
        yield from (SO2(), SE2(), RxSO2(), SQ())
    if dimension == 3:
        yield from (SO3(), SE3())
        for k in axes:
            plane = ((k + 1) % 3, (k + 2) % 3)
            for along in (Trivial(1), T(1)):
                yield from (Product((group, plane), (along, (k,))) for group in (SO2(), SE2()))
