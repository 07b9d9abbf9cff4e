"""Arithmetic written down: scalars that know how they are computed, each distinct one once (hash-consing)."""

from __future__ import annotations

import math
from collections.abc import Callable, Container, Iterable
from typing import Any

import numpy as np

#: Operations of C that are no function call, by the number of their arguments.
UNARY, BINARY = ("neg", "!"), ("+", "-", "*", "/", ">", ">=", "<", "<=", "==", "!=", "||", "&&")
COMPARISONS = (">", ">=", "<", "<=", "==", "!=", "||", "&&", "!")
#: Functions that are instructions of the processor; all others are calls of the C library.
INSTRUCTIONS = ("sqrt", "fabs", "fmin", "fmax")
#: Arrays of inputs that are the same in all steps.
FIXED = ("values", "lane", "body")
#: More operations than these are not written out one by one: compilers need seconds for them.
MOST_OPERATIONS = 6000
_INTEGER_POWERS = 4


class Scalar:
    """A node: an input ``(array, index)``, a constant, or an operation on other scalars."""

    __slots__ = ("arguments", "fixed", "index", "operation")

    def __init__(self, operation: str, arguments: tuple[Any, ...], index: int) -> None:
        self.operation, self.arguments, self.index = operation, arguments, index
        #: Whether it is the same in all steps: it depends on the field's values alone.
        self.fixed = arguments[0] in FIXED if operation == "input" else all(x.fixed for x in self.inputs)

    @property
    def inputs(self) -> tuple[Scalar, ...]:
        """The scalars that it is computed from."""
        return tuple(x for x in self.arguments if isinstance(x, Scalar))


class Arithmetic:
    """Scalars of one dtype; equal operations on equal scalars are one scalar.

    Only rewrites that leave every bit of a finite result as it was are made: x - y = -(y - x), x + y = y + x, what
    signs, zeros, ones and powers of two allow, and quotients by what is the same in all steps, which need no division.
    So half of the work on antisymmetric pairs falls away. One rewrite costs a rounding: a quotient by a square root is
    a product with its reciprocal, which the derivatives of laws of distance share.

    Args:
        dtype: in whose arithmetic constants are folded.

    Example:
        >>> arithmetic = Arithmetic(np.float64)
        >>> x, y = arithmetic.input("q", 0), arithmetic.input("q", 1)
        >>> arithmetic.add(x, y) is arithmetic.add(y, x)
        True
        >>> arithmetic.subtract(x, y) is arithmetic.negative(arithmetic.subtract(y, x))
        True
    """

    def __init__(self, dtype: type[np.floating[Any]]) -> None:
        self.dtype = dtype
        self._known: dict[tuple[Any, ...], Scalar] = {}

    @property
    def size(self) -> int:
        """The number of scalars."""
        return len(self._known)

    def _node(self, operation: str, *arguments: Any) -> Scalar:
        key = (operation, *(x.index if isinstance(x, Scalar) else repr(x) for x in arguments))
        if key not in self._known:
            self._known[key] = Scalar(operation, arguments, len(self._known))
        return self._known[key]

    def input(self, array: str, index: int | tuple[int, int]) -> Scalar:
        """Entry ``index`` of an array that the compiled function is given; ``(index, other)``: of another lane."""
        return self._node("input", array, index)

    def inputs(self, array: str, shape: tuple[int, ...], start: int = 0) -> np.ndarray:
        """Its entries from ``start`` on, as an array of this shape."""
        out = np.empty(shape, object)
        for k, place in enumerate(np.ndindex(shape)):
            out[place] = self.input(array, start + k)
        return out

    def scalar(self, value: Any) -> Scalar:
        """The scalar itself, or a number as a constant, rounded as the tensors of this dtype would."""
        return value if isinstance(value, Scalar) else self._node("constant", float(self.dtype(value)))

    def negative(self, x: Any) -> Scalar:
        x = self.scalar(x)
        if x.operation == "neg":
            return x.arguments[0]
        return self.scalar(-x.arguments[0]) if _constant(x) else self._node("neg", x)

    def add(self, x: Any, y: Any) -> Scalar:
        x, y = self.scalar(x), self.scalar(y)
        if _constant(x) and _constant(y):
            return self._folded(np.add, x, y)
        if _is(x, 0):
            return y
        if _is(y, 0):
            return x
        if y.operation == "neg":
            return self.subtract(x, y.arguments[0])
        if x.operation == "neg":
            return self.subtract(y, x.arguments[0])
        return self._node("+", *_sorted(x, y))

    def subtract(self, x: Any, y: Any) -> Scalar:
        x, y = self.scalar(x), self.scalar(y)
        if _constant(x) and _constant(y):
            return self._folded(np.subtract, x, y)
        if x is y:
            return self.scalar(0)
        if _is(y, 0):
            return x
        if _is(x, 0):
            return self.negative(y)
        if y.operation == "neg":
            return self.add(x, y.arguments[0])
        if x.operation == "neg":
            return self.negative(self.add(x.arguments[0], y))
        return self._node("-", x, y) if x.index < y.index else self.negative(self._node("-", y, x))

    def multiply(self, x: Any, y: Any) -> Scalar:
        x, y = self.scalar(x), self.scalar(y)
        if _constant(x) and _constant(y):
            return self._folded(np.multiply, x, y)
        for a, b in ((x, y), (y, x)):
            if _is(a, 1):
                return b
            if _is(a, 0):
                return a
            if _is(a, -1):
                return self.negative(b)
        for a, b in ((x, y), (y, x)):
            if a.operation == "neg":
                return self.negative(self.multiply(a.arguments[0], b))
            if _constant(a) and a.arguments[0] < 0:
                return self.negative(self.multiply(-a.arguments[0], b))
        return self._node("*", *_sorted(x, y))

    def divide(self, x: Any, y: Any) -> Scalar:
        x, y = self.scalar(x), self.scalar(y)
        if _constant(x) and _constant(y):
            return self._folded(np.divide, x, y)
        if _is(y, 1):
            return x
        if _is(x, 0):
            return x
        if x.operation == "neg":
            return self.negative(self.divide(x.arguments[0], y))
        if y.operation == "neg":
            return self.negative(self.divide(x, y.arguments[0]))
        if _is_power_of_two(y):
            return self.multiply(x, 1 / y.arguments[0])
        if y.operation == "*" and _is_power_of_two(y.arguments[0]):
            return self.multiply(self.divide(x, y.arguments[1]), 1 / y.arguments[0].arguments[0])
        if y.fixed and not x.fixed:
            return self._node("quotient", x, y, self.divide(1, y))
        if y.operation == "sqrt" and not _is(x, 1):
            return self.multiply(x, self.divide(1, y))
        return self._node("/", x, y)

    def call(self, function: str, *arguments: Any) -> Scalar:
        """A function of <math.h> by its name there."""
        scalars = [self.scalar(x) for x in arguments]
        if all(map(_constant, scalars)) and hasattr(math, function):
            try:
                return self.scalar(getattr(math, function)(*(x.arguments[0] for x in scalars)))
            except (ValueError, OverflowError):
                pass  # infinite or not a number: left to C
        return self._node(function, *scalars)

    def power(self, x: Any, exponent: Any) -> Scalar:
        """x to a power; small whole ones and halves by multiplication and roots, as torch does."""
        exponent = self.scalar(exponent)
        if not _constant(exponent):
            return self.call("pow", x, exponent)
        k = exponent.arguments[0]
        if k < 0:
            return self.divide(1, self.power(x, -k))
        if k == 0.5:
            return self.call("sqrt", x)
        if k not in range(_INTEGER_POWERS + 1):
            return self.call("pow", x, exponent)
        if k == 4:
            square = self.multiply(x, x)
            return self.multiply(square, square)
        result = self.scalar(1)
        for _ in range(int(k)):
            result = self.multiply(result, x)
        return result

    def compare(self, operation: str) -> Callable[[Any, Any], Scalar]:
        """One of > >= < <= == !=, as a function of two scalars with the values 0 and 1."""

        def compared(x: Any, y: Any) -> Scalar:
            return self._node(operation, self.scalar(x), self.scalar(y))

        return compared

    def either(self, x: Any, y: Any) -> Scalar:
        x, y = self.scalar(x), self.scalar(y)
        for a, b in ((x, y), (y, x)):
            if _constant(a):
                return self.scalar(1) if a.arguments[0] else b
        return self._node("||", *_sorted(x, y))

    def both(self, x: Any, y: Any) -> Scalar:
        x, y = self.scalar(x), self.scalar(y)
        for a, b in ((x, y), (y, x)):
            if _constant(a):
                return b if a.arguments[0] else self.scalar(0)
        return self._node("&&", *_sorted(x, y))

    def opposite(self, x: Any) -> Scalar:
        x = self.scalar(x)
        return self.scalar(not x.arguments[0]) if _constant(x) else self._node("!", x)

    def where(self, condition: Any, x: Any, y: Any) -> Scalar:
        condition, x, y = (self.scalar(z) for z in (condition, x, y))
        if _constant(condition):
            return x if condition.arguments[0] else y
        return x if x is y else self._node("?", condition, x, y)

    def sum(self, terms: Iterable[Any]) -> Scalar:
        """One after the other."""
        result = self.scalar(0)
        for term in terms:
            result = self.add(result, term)
        return result

    def _folded(self, operation: Any, x: Scalar, y: Scalar) -> Scalar:
        with np.errstate(all="ignore"):
            return self.scalar(operation(self.dtype(x.arguments[0]), self.dtype(y.arguments[0])))


def needed(outputs: Iterable[Scalar], known: Container[int] = ()) -> list[Scalar]:
    """The scalars that these are computed from, and they themselves, in an order in which C can compute them.

    Those whose index is ``known`` are there already: neither they nor what they are computed from is in the list.

    Example:
        >>> arithmetic = Arithmetic(np.float64)
        >>> x = arithmetic.input("q", 0)
        >>> [s.operation for s in needed([arithmetic.add(arithmetic.call("sqrt", x), 1)])]
        ['input', 'sqrt', 'constant', '+']
    """
    found: dict[int, Scalar] = {}
    queue = list(outputs)
    while queue:
        scalar = queue.pop()
        if scalar.index not in found and scalar.index not in known:
            found[scalar.index] = scalar
            queue.extend(scalar.inputs)
    return [found[index] for index in sorted(found)]


def _constant(x: Scalar) -> bool:
    return x.operation == "constant"


def _is_power_of_two(x: Scalar) -> bool:
    return _constant(x) and math.frexp(x.arguments[0])[0] == 0.5 and 2.0**-100 < x.arguments[0] < 2.0**100


def _is(x: Scalar, value: int) -> bool:
    return x.operation == "constant" and x.arguments[0] == value


def _sorted(x: Scalar, y: Scalar) -> tuple[Scalar, Scalar]:
    return (x, y) if x.index <= y.index else (y, x)
