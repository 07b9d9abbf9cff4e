"""The groups by name. They are strings, so that nothing is imported before a group is used."""

import pkgutil
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    import hlieconv.groups.abstract

#: Every group by its name on the command line: the class and its arguments. A new group is one file and one line here.
GROUPS: dict[str, tuple[Any, ...]] = {
    "Trivial1": ("hlieconv.groups.trivial:Trivial", 1),
    "Trivial2": ("hlieconv.groups.trivial:Trivial", 2),
    "Trivial3": ("hlieconv.groups.trivial:Trivial", 3),
    "T1": ("hlieconv.groups.translation:T", 1),
    "T2": ("hlieconv.groups.translation:T", 2),
    "T3": ("hlieconv.groups.translation:T", 3),
    "Tx": ("hlieconv.groups.translation:T", 2, (0,)),
    "Ty": ("hlieconv.groups.translation:T", 2, (1,)),
    "SO2": ("hlieconv.groups.so2:SO2",),
    "SO3": ("hlieconv.groups.so3:SO3",),
    "SE2": ("hlieconv.groups.se2:SE2",),
    "SE3": ("hlieconv.groups.se3:SE3",),
    "R": ("hlieconv.groups.scaling:R", 2),
    "R3": ("hlieconv.groups.scaling:R", 3),
    "RxSO2": ("hlieconv.groups.scaling:RxSO2",),
    "SQ": ("hlieconv.groups.squeeze:SQ",),
    "RxSQ": ("hlieconv.groups.squeeze:RxSQ",),
}


def name_of(symmetry: "hlieconv.groups.abstract.AbstractGroup | str") -> str:
    """The name by which `group` makes a group again: a registered one, or the import path of its class.

    Raises:
        ValueError: for a group that no name makes again, such as one of generators.

    Example:
        >>> from hlieconv.groups import SE3, T
        >>> name_of(SE3()), name_of(T(2, (0,))), name_of("SO2")
        ('SE3', 'Tx', 'SO2')
    """
    if isinstance(symmetry, str):
        return symmetry
    for name, (target, *arguments) in GROUPS.items():
        kind = pkgutil.resolve_name(target)
        if type(symmetry) is kind and symmetry.name == kind(*arguments).name:
            return name
    path = f"{type(symmetry).__module__}:{type(symmetry).__qualname__}"
    try:
        made = group(path)
    except (ValueError, TypeError):
        made = None
    if made is None or type(made) is not type(symmetry) or made.name != symmetry.name:
        raise ValueError(
            f"group: expected one that a file can name, a registered one or a class of a module that needs no "
            f"arguments, got {symmetry.name}"
        )
    return path


def resolved(
    symmetry: "hlieconv.groups.abstract.AbstractGroup | str", dimension: int | None = None
) -> "tuple[str, hlieconv.groups.abstract.AbstractGroup]":
    """The name that a model stores, and the group: of a group, of its name or of an import path.

    Args:
        symmetry: a group or its name.
        dimension: of the space that it acts on; by default the group's own, and 2 where a name leaves it open.

    Raises:
        ValueError: for an unknown name, a group that no name makes again, or one that acts on another space.

    Example:
        >>> from hlieconv.groups import SE3
        >>> [(name, found.dimension) for name, found in map(resolved, (SE3(), "SE3", "T"))]
        [('SE3', 3), ('SE3', 3), ('T', 2)]
    """
    name = name_of(symmetry)
    found = group(name, dimension or 2)
    if dimension not in (None, found.dimension):
        raise ValueError(f"group: expected one that acts on {dimension} dimensions, got {name}")
    return name, found


def motions(dimension: int) -> str:
    """The name of the group of all motions of space: SE(2), SE(3), or the translations of a line.

    Example:
        >>> motions(3), motions(1)
        ('SE3', 'T1')
    """
    return f"SE{dimension}" if dimension in (2, 3) else f"T{dimension}"


def group(name: str, dimension: int = 2) -> "hlieconv.groups.abstract.AbstractGroup":
    """The group called ``name``; a family without its number (Trivial, T, R) acts on R^dimension.

    A group of your own goes by the import path of it or of its class, ``"package.module:Name"``.

    Raises:
        ValueError: for an unknown name (it lists the known ones), or a path where there is no group.

    Example:
        >>> from hlieconv.groups import group
        >>> group("SE2").generator_names
        ('P_x', 'P_y', 'L_z')
        >>> group("T", dimension=3).name
        'T3'
    """
    if ":" in name:
        try:
            found = pkgutil.resolve_name(name)
        except (ImportError, AttributeError) as error:
            raise ValueError(f"group: {name!r} cannot be imported: {error}") from error
        found = found() if isinstance(found, type) else found
        if not isinstance(found, pkgutil.resolve_name("hlieconv.groups.abstract:AbstractGroup")):
            raise ValueError(f"group: expected a group or its class at {name}, got {type(found).__name__}")
        return found
    entry = GROUPS.get(f"{name}{dimension}") or GROUPS.get(name)
    if entry is None:
        raise ValueError(f"group: expected one of {', '.join(GROUPS)} or an import path module:Name, got {name!r}")
    return pkgutil.resolve_name(entry[0])(*entry[1:])
