"""Derivatives of scalars, backwards: what a change of inputs does to a weighted sum of outputs."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence

from systems.native.reason import NotNative
from systems.native.scalars import COMPARISONS, Arithmetic, Scalar, needed

Rule = Callable[[Arithmetic, Scalar, Scalar], Sequence[Scalar]]


def pulled_back(
    outputs: Sequence[Scalar], weights: Sequence[Scalar], inputs: Sequence[Scalar], arithmetic: Arithmetic
) -> list[Scalar]:
    """sum_k weight_k d output_k / d input_j, for each input j.

    By reverse accumulation (Griewank & Walther, Evaluating Derivatives, 2008, section 3.2).

    Args:
        outputs, weights: as many of one as of the other.
        inputs: scalars, computed ones too: what these are computed from is not looked at.
        arithmetic: that all are scalars of.

    Raises:
        NotNative: for an operation whose derivative is not known here.

    Example:
        >>> import numpy as np
        >>> arithmetic = Arithmetic(np.float64)
        >>> x, g = arithmetic.input("q", 0), arithmetic.input("bar", 0)
        >>> [found] = pulled_back([arithmetic.call("sin", x)], [g], [x], arithmetic)
        >>> found.operation, [y.operation for y in found.inputs]
        ('*', ['input', 'cos'])
    """
    total: dict[int, Scalar] = {}

    def give(x: Scalar, part: Scalar) -> None:
        total[x.index] = arithmetic.add(total[x.index], part) if x.index in total else part

    for output, weight in zip(outputs, weights, strict=True):
        give(output, weight)
    for x in reversed(needed(outputs, {x.index for x in inputs})):
        if x.inputs and x.index in total:
            for y, part in zip(x.inputs, _parts(arithmetic, x, total[x.index]), strict=False):
                give(y, part)
    return [total.get(x.index, arithmetic.scalar(0)) for x in inputs]


def _parts(arithmetic: Arithmetic, x: Scalar, g: Scalar) -> Sequence[Scalar]:
    """What g gives to the inputs of x, in their order."""
    if x.operation in (*COMPARISONS, "floor", "ceil"):
        return ()
    if x.operation in _RULES:
        return _RULES[x.operation](arithmetic, x, g)
    if x.operation in _SLOPES:
        return (arithmetic.multiply(g, _SLOPES[x.operation](arithmetic, x, x.inputs[0])),)
    raise NotNative(f"the derivative of {x.operation}")


def _quotient(a: Arithmetic, x: Scalar, g: Scalar) -> Sequence[Scalar]:
    part = a.divide(g, x.inputs[1])
    return part, a.negative(a.multiply(part, x))


def _choice(a: Arithmetic, x: Scalar, g: Scalar) -> Sequence[Scalar]:
    condition = x.inputs[0]
    return a.scalar(0), a.where(condition, g, 0), a.where(condition, 0, g)


def _power(a: Arithmetic, x: Scalar, g: Scalar) -> Sequence[Scalar]:
    base, exponent = x.inputs
    by_base = a.multiply(g, a.multiply(exponent, a.power(base, a.subtract(exponent, 1))))
    return by_base, a.multiply(g, a.multiply(x, a.call("log", base)))


def _angle(a: Arithmetic, x: Scalar, g: Scalar) -> Sequence[Scalar]:
    y, z = x.inputs
    part = a.divide(g, a.add(_square(a, y), _square(a, z)))
    return a.multiply(part, z), a.negative(a.multiply(part, y))


#: What g gives to each input.
_RULES: Mapping[str, Rule] = {
    "+": lambda a, x, g: (g, g),
    "-": lambda a, x, g: (g, a.negative(g)),
    "*": lambda a, x, g: (a.multiply(g, x.inputs[1]), a.multiply(g, x.inputs[0])),
    "/": _quotient,
    "quotient": _quotient,
    "neg": lambda a, x, g: (a.negative(g),),
    "sqrt": lambda a, x, g: (a.divide(g, a.multiply(2, x)),),
    "?": _choice,
    "pow": _power,
    "atan2": _angle,
}


def _square(a: Arithmetic, y: Scalar) -> Scalar:
    return a.multiply(y, y)


def _root(a: Arithmetic, y: Scalar) -> Scalar:
    return a.divide(1, a.call("sqrt", y))


def _sign(a: Arithmetic, y: Scalar) -> Scalar:
    return a.where(a.compare(">")(y, 0), 1, a.where(a.compare("<")(y, 0), -1, 0))


def _bell(a: Arithmetic, y: Scalar, factor: float) -> Scalar:
    return a.multiply(factor, a.call("exp", a.negative(_square(a, y))))


#: The derivative of x = f(y).
_SLOPES: Mapping[str, Callable[[Arithmetic, Scalar, Scalar], Scalar]] = {
    "fabs": lambda a, x, y: _sign(a, y),
    "exp": lambda a, x, y: x,
    "exp2": lambda a, x, y: a.multiply(math.log(2), x),
    "expm1": lambda a, x, y: a.add(x, 1),
    "log": lambda a, x, y: a.divide(1, y),
    "log1p": lambda a, x, y: a.divide(1, a.add(y, 1)),
    "log2": lambda a, x, y: a.divide(1, a.multiply(math.log(2), y)),
    "log10": lambda a, x, y: a.divide(1, a.multiply(math.log(10), y)),
    "sin": lambda a, x, y: a.call("cos", y),
    "cos": lambda a, x, y: a.negative(a.call("sin", y)),
    "tan": lambda a, x, y: a.add(1, _square(a, x)),
    "tanh": lambda a, x, y: a.subtract(1, _square(a, x)),
    "sinh": lambda a, x, y: a.call("cosh", y),
    "cosh": lambda a, x, y: a.call("sinh", y),
    "asin": lambda a, x, y: _root(a, a.subtract(1, _square(a, y))),
    "acos": lambda a, x, y: a.negative(_root(a, a.subtract(1, _square(a, y)))),
    "atan": lambda a, x, y: a.divide(1, a.add(1, _square(a, y))),
    "asinh": lambda a, x, y: _root(a, a.add(_square(a, y), 1)),
    "acosh": lambda a, x, y: _root(a, a.subtract(_square(a, y), 1)),
    "atanh": lambda a, x, y: a.divide(1, a.subtract(1, _square(a, y))),
    "erf": lambda a, x, y: _bell(a, y, 2 / math.sqrt(math.pi)),
    "erfc": lambda a, x, y: _bell(a, y, -2 / math.sqrt(math.pi)),
}
