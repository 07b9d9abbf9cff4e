"""The check of a value: wrong input is named before any work starts."""

from collections.abc import Iterable
from typing import Annotated

#: The mark of an annotation, ``Annotated[float, ANY]``: negative numbers, infinity and NaN mean something here. Other
#: numbers of arguments count or measure, and the door refuses these.
ANY = "any number"

#: A number that counts from the end where it is negative.
Index = Annotated[int, ANY]


class ArgumentTypeError(TypeError):
    """An argument of a type that means nothing here; the message names it."""


def check(name: str, value: object, good: bool, expected: str) -> None:
    """A ValueError that names the argument, what was expected and what came, unless it is good.

    Example:
        >>> check("steps", 0, good=False, expected="at least 1")
        Traceback (most recent call last):
        ...
        ValueError: steps: expected at least 1, got 0
    """
    if not good:
        raise ValueError(f"{name}: expected {expected}, got {value!r}")


def check_type(name: str, value: object, good: bool, expected: str) -> None:
    """An ArgumentTypeError that names the argument, what was expected and what came, unless it is good.

    Example:
        >>> check_type("times", 3, good=False, expected="a tensor")
        Traceback (most recent call last):
        ...
        systems.checks.ArgumentTypeError: times: expected a tensor, got 3
    """
    if not good:
        raise ArgumentTypeError(f"{name}: expected {expected}, got {value!r}")


def check_choice(name: str, value: object, choices: Iterable[object]) -> None:
    """A ValueError that lists the choices, unless the value is one of them.

    Example:
        >>> check_choice("edge", "soft", ("hard", "smooth"))
        Traceback (most recent call last):
        ...
        ValueError: edge: expected one of hard, smooth, got 'soft'
    """
    choices = list(choices)
    check(name, value, value in choices, f"one of {', '.join(map(str, choices))}")
