"""C for the functions of a traced field: one trajectory a lane of the processor's vectors."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence
from importlib.resources import files

import torch

from systems.native.order import ordered
from systems.native.scalars import BINARY, COMPARISONS, INSTRUCTIONS, Scalar, needed
from systems.native.trace import Program

_OPERATORS = ("input", "constant", "neg", "!", "?", "quotient", *BINARY)


def source(program: Program, method: Sequence[str], lanes: int, settings: Mapping[str, int | str]) -> str:
    """The whole C file: the functions of a field, and a method that calls them.

    Args:
        program: what the field does.
        method: the names of files in methods/, without their suffix, in the order in which C wants to read them.
        lanes: trajectories (or stages) that are computed at once.
        settings: what the method is told, as macros.

    Example:
        >>> from systems import HenonHeiles
        >>> from systems.native.trace import traced
        >>> program = traced(HenonHeiles(mass=torch.ones(1)), 1, 2, torch.float64, separable=True)
        >>> print(functions(program))  # doctest: +ELLIPSIS
        #define HOISTED 2
        ...
        static void force(const real *restrict q, const real *restrict c, real *restrict f) {
        ...
    """
    real = "double" if program.dtype == torch.float64 else "float"
    macros = {
        "SIZE": program.bodies * program.dimension,
        "VALUES": program.values,
        "LANES": lanes,
        "FUSES": "__FP_FAST_FMA" if real == "double" else "__FP_FAST_FMAF",
        "SEPARABLE": int("force" in program.functions),
        **settings,
    }
    eps, tiny = torch.finfo(program.dtype).eps, torch.finfo(program.dtype).tiny
    return "\n".join(
        [
            # By <tgmath.h> a function of a float is computed in float.
            "#include <stdlib.h>\n#include <string.h>\n#include <tgmath.h>",
            f"typedef {real} real;",
            *(f"#define {name} {value}" for name, value in macros.items()),
            f"#define EPS ((real){eps!r})\n#define TINY ((real){tiny!r})",
            file("quotient"),
            functions(program),
            *(file(name) for name in ("common", *method)),
        ]
    )


def functions(program: Program) -> str:
    """``prepare``, which computes what depends on the values alone, and the functions of the field."""
    outputs = [x for function in program.functions.values() for x in function]
    moving = [x for x in needed(outputs) if not x.fixed]
    # Constants stay where they are used.
    kept = {
        x.index: x for x in (*(y for x in moving for y in x.inputs), *outputs) if x.fixed and x.operation != "constant"
    }
    places = {index: f"c[{k} * LANES + w]" for k, index in enumerate(kept)}
    parts = [f"#define HOISTED {max(1, len(kept))}", _function("prepare", ("values",), "c", list(kept.values()), {})]
    for name, function in program.functions.items():
        *inputs, output = _SIGNATURES[name]
        parts.append(_function(name, inputs, output, function, places))
    return "\n".join(parts)


_SIGNATURES = {
    "velocity": ("p", "c", "u"),
    "force": ("q", "c", "f"),
    "derivative": ("t", "q", "p", "c", "rates"),
}


def file(name: str) -> str:
    """The text of a file in methods/."""
    return files("systems.native").joinpath("methods", f"{name}.c").read_text()


def _function(
    name: str, inputs: Sequence[str], output: str, outputs: Sequence[Scalar], places: Mapping[int, str]
) -> str:
    """A C function of arrays ``[entry][lane]``.

    Loops over the lanes are for the compiler to vectorise, which calls of the C library would prevent: these have loops
    of their own between the others, and what crosses from loop to loop is kept in arrays.
    """
    scalars = ordered(outputs, places)
    levels: dict[int, int] = {}
    for x in scalars:
        before = max((levels.get(y.index, 0) for y in x.inputs), default=0)
        levels[x.index] = before + 1 if _is_call(x) else before
    last = max(levels.values(), default=0)
    crossing = {x.index for x in scalars if _is_call(x)}
    for x in scalars:
        crossing |= {y.index for y in x.inputs if levels.get(y.index, 0) < levels[x.index] or _is_call(x)}
    ends = {x.index for x in outputs}
    crossing |= {index for index in ends if levels.get(index, 0) < last}
    crossing = {x.index for x in scalars if x.index in crossing and x.operation not in ("input", "constant")}

    def text(x: Scalar) -> str:
        if x.index in places:
            return places[x.index]
        if x.operation == "input":
            array, k = x.arguments
            return f"{array}[w]" if array == "t" else f"{array}[{k} * LANES + w]"
        if x.operation == "constant":
            return _literal(x.arguments[0])
        return f"x{x.index}[w]" if x.index in crossing else f"x{x.index}"

    arguments = ", ".join(f"const real *restrict {x}" for x in inputs)
    lines = [f"static void {name}({arguments}, real *restrict {output}) {{"]
    lines += [f"  {_type(x)} x{x.index}[LANES];" for x in scalars if x.index in crossing]
    for level in range(last + 1):
        here = [x for x in scalars if levels[x.index] == level and x.operation not in ("input", "constant")]
        for x in filter(_is_call, here):
            lines.append(f"  for (int w = 0; w < LANES; w++) {text(x)} = {_expression(x, text)};")
        lines += ['  _Pragma("omp simd")', "  for (int w = 0; w < LANES; w++) {"]
        for x in here:
            if not _is_call(x):
                declared = "" if x.index in crossing else f"const {_type(x)} "
                lines.append(f"    {declared}{text(x)} = {_expression(x, text)};")
        if level == last:
            lines += [f"    {output}[{k} * LANES + w] = {text(x)};" for k, x in enumerate(outputs)]
        lines.append("  }")
    return "\n".join([*lines, "}"])


def _is_call(x: Scalar) -> bool:
    """Whether it is computed by the C library, not by an instruction of the processor."""
    return x.operation not in _OPERATORS and x.operation not in INSTRUCTIONS


def _type(x: Scalar) -> str:
    return "int" if x.operation in COMPARISONS else "real"


def _expression(x: Scalar, text: Callable[[Scalar], str]) -> str:
    given = [text(y) for y in x.inputs]
    if x.operation in BINARY:
        return f"{given[0]} {x.operation} {given[1]}"
    if x.operation in ("neg", "!"):
        return f"{'-' if x.operation == 'neg' else '!'}{given[0]}"
    if x.operation == "?":
        return f"{given[0]} ? {given[1]} : {given[2]}"
    return f"{x.operation}({', '.join(given)})"


def _literal(value: float) -> str:
    """All its bits."""
    if math.isfinite(value):
        return f"((real){value.hex()})"
    return "((real)NAN)" if math.isnan(value) else f"((real){'' if value > 0 else '-'}INFINITY)"
