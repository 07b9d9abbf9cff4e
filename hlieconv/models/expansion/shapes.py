"""Functions of a distance, each written once: with torch for numbers, with sympy for symbols."""

from collections.abc import Callable
from typing import Any, NamedTuple


class Shape(NamedTuple):
    """phi(r) and phi'(r) / r, called as ``value(f, r, *parameters)`` where f is torch or sympy."""

    value: Callable[..., Any]
    tangent: Callable[..., Any]
    parameters: tuple[str, ...] = ()
    """What each parameter is: a "length" or an "exponent"."""
    degree: Callable[..., float] = lambda *_: 0.0
    """By which power it grows where r and all lengths do, as a function of the parameters."""


#: Every function of a distance by name.
SHAPES = {
    "power": Shape(lambda f, r, p: r**p, lambda f, r, p: p * r ** (p - 2), ("exponent",), lambda p: p),
    "logarithm": Shape(lambda f, r: f.log(r), lambda f, r: r**-2),
    "softened": Shape(
        lambda f, r, e, s: (r**2 + e**2) ** (s / 2),
        lambda f, r, e, s: s * (r**2 + e**2) ** (s / 2 - 1),
        ("length", "exponent"),
        lambda e, s: s,
    ),
    "exponential": Shape(lambda f, r, a: f.exp(-r / a), lambda f, r, a: -f.exp(-r / a) / (a * r), ("length",)),
    "gaussian": Shape(
        lambda f, r, a: f.exp(-((r / a) ** 2)), lambda f, r, a: -2 / a**2 * f.exp(-((r / a) ** 2)), ("length",)
    ),
    "yukawa": Shape(
        lambda f, r, a: f.exp(-r / a) / r,
        lambda f, r, a: -f.exp(-r / a) / r**2 * (1 / a + 1 / r),
        ("length",),
        lambda a: -1.0,
    ),
}


def regular(shape: str, parameters: tuple[Any, ...]) -> bool:
    """Whether phi'(r) / r is finite where the distance vanishes.

    Example:
        >>> regular("power", (2.0,)), regular("power", (1.0,)), regular("softened", (0.1, -1.0))
        (True, False, True)
    """
    return shape in ("softened", "gaussian") or (shape == "power" and bool(parameters[0] >= 2))


def singular(shape: str, parameters: tuple[Any, ...]) -> bool:
    """Whether a function of a distance grows without bound where the distance vanishes.

    Example:
        >>> singular("power", (-1.0,)), singular("power", (2.0,))
        (True, False)
    """
    return shape in ("logarithm", "yukawa") or (shape == "power" and bool(parameters[0] < 0))
