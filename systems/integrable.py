"""What systems ask for that are integrable."""

from systems.vector_field import AbstractNewtonian


def check_integrable(field: AbstractNewtonian) -> None:
    """A ValueError unless all masses are 1 and all bodies exist and move: what a Lax matrix asks for.

    Example:
        >>> from systems import Toda
        >>> check_integrable(Toda(mass=[1.0, 2.0]))
        Traceback (most recent call last):
        ...
        ValueError: mass: expected 1 for each body, which an integrable system needs, got 1 to 2
    """
    low, high = field.mass.min().item(), field.mass.max().item()
    if low != 1 or high != 1:
        raise ValueError(f"mass: expected 1 for each body, which an integrable system needs, got {low:g} to {high:g}")
    for name in field.marks:
        if (mark := getattr(field, name)) is not None and bool(mark.any() if name == "fixed" else not mark.all()):
            raise ValueError(f"{name}: expected bodies that all exist and move, which an integrable system needs")
