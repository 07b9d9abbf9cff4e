"""What the variables of the parts of a sum are called in it."""

from collections.abc import Sequence

from systems.vector_field import AbstractVectorField


def declared_names(part: AbstractVectorField | type[AbstractVectorField]) -> tuple[str, ...]:
    """The names of all variables that a field declares, or all parts of a sum, of those too that are left out."""
    kind = part if isinstance(part, type) else type(part)
    return part.in_sum or tuple(variable.name for variable in kind.variables)


def named_in_sum(
    parts: Sequence[AbstractVectorField | type[AbstractVectorField]],
) -> list[dict[str, str]]:
    """The names that the declared variables of each part have in a sum, in the order of the parts.

    The mass, and what a part may borrow from another one, has one name for all; what else two parts call the same gets
    a number: ``trap_constant``, ``trap_constant_2``.
    """
    shared = {"mass"}.union(*(part.borrowed for part in parts))
    taken: set[str] = set()
    found = []
    for part in parts:
        names = {}
        for name in declared_names(part):
            names[name] = name if name in shared else _numbered(name, taken)
        taken |= set(names.values())
        found.append(names)
    return found


def _numbered(name: str, taken: set[str]) -> str:
    count = 1
    while (found := name if count == 1 else f"{name}_{count}") in taken:
        count += 1
    return found
