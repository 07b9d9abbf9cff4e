"""C for the functions of a traced field: one trajectory a lane of the processor's vectors."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable, Mapping, Sequence
from importlib.resources import files

import torch

from systems.native.order import ordered
from systems.native.program import AbstractProgram
from systems.native.scalars import BINARY, COMPARISONS, INSTRUCTIONS, Scalar, needed

_OPERATORS = ("input", "constant", "neg", "!", "?", "quotient", *BINARY)
_SIGNATURES = {
    "velocity": ("p", "c", "u"),
    "force": ("q", "c", "f"),
    "derivative": ("t", "q", "p", "c", "rates"),
    "velocity_back": ("p", "c", "bar", "out"),
    "force_back": ("q", "c", "bar", "out"),
    "derivative_back": ("t", "q", "p", "c", "bar", "out"),
}

Text = Callable[[Scalar], str]


def source(program: AbstractProgram, method: Sequence[str], lanes: int, settings: Mapping[str, int | str]) -> str:
    """The whole C file: the functions of a field, and a method that calls them.

    Args:
        program: what the field does.
        method: the names of files in methods/, without their suffix, in the order in which C wants to read them.
        lanes: what is computed at once: trajectories, stages or bodies.
        settings: what the method is told, as macros.

    Example:
        >>> from systems import HenonHeiles
        >>> from systems.native.trace import traced
        >>> program = traced(HenonHeiles(mass=torch.ones(1)), 1, 2, torch.float64, separable=True)
        >>> print(program.text(8))  # doctest: +ELLIPSIS
        #define HOISTED 2
        ...
        static void force(const real *restrict q, const real *restrict c, real *restrict f) {
        ...
    """
    real = "double" if program.dtype == torch.float64 else "float"
    macros = {
        "BODIES": program.bodies,
        "DIMENSION": program.dimension,
        "ENTRIES": program.bodies * program.dimension,
        "LANES": lanes,
        "SEPARABLE": int(program.separable),
        "FUSES": "__FP_FAST_FMA" if real == "double" else "__FP_FAST_FMAF",
        **program.macros(lanes),
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
            # Both ends of the field's edges, if it has some: of the call that a thread is in.
            "static _Thread_local const int *edges;",
            file("quotient"),
            program.text(lanes),
            *(file(name) for name in ("common", *method)),
        ]
    )


def file(name: str) -> str:
    """The text of a file in methods/."""
    return files("systems.native").joinpath("methods", f"{name}.c").read_text()


def functions(given: Mapping[str, Sequence[Scalar]]) -> str:
    """``prepare`` and functions of arrays ``[entry][lane]``."""
    moving = {name: function for name, function in given.items() if name in _SIGNATURES}
    kept = hoisted(x for function in moving.values() for x in function)
    places = {x.index: f"c[{k} * LANES + w]" for k, x in enumerate(kept)}
    parts = [f"#define HOISTED {max(1, len(kept))}", _function("prepare", ("values",), "c", kept, {})]
    for name, function in moving.items():
        *inputs, output = _SIGNATURES[name]
        parts.append(_function(name, inputs, output, function, places))
    if "prepare_back" in given:
        parts.append(_function("prepare_back", ("values", "bar"), "out", given["prepare_back"], {}))
    return "\n".join(parts)


def hoisted(outputs: Iterable[Scalar]) -> list[Scalar]:
    """What the others are computed from and is the same in all steps. Constants stay where they are used."""
    outputs = list(outputs)
    moving = [x for x in needed(outputs) if not x.fixed]
    kept = {x.index: x for x in (*(y for x in moving for y in x.inputs), *outputs)}
    return [x for x in kept.values() if x.fixed and x.operation != "constant"]


def _function(
    name: str, inputs: Sequence[str], output: str, outputs: Sequence[Scalar], places: Mapping[int, str]
) -> str:
    def store(texts: Sequence[str]) -> list[str]:
        return [f"{output}[{k} * LANES + w] = {text};" for k, text in enumerate(texts)]

    lines = loops(outputs, store, places, entry)
    return "\n".join([f"{signature(name, inputs, output)} {{", *(f"  {line}" for line in lines), "}"])


def signature(name: str, inputs: Sequence[str] = (), output: str = "") -> str:
    """The head of a C function: of a field's function by its name alone."""
    if name in _SIGNATURES:
        *inputs, output = _SIGNATURES[name]
    return f"static void {name}({', '.join(f'const real *restrict {x}' for x in inputs)}, real *restrict {output})"


def entry(x: Scalar) -> str:
    """An input's place in the arrays of a function: entry k of this lane, or ``(k, other)`` of another one."""
    array, k = x.arguments
    if array in ("t", "lane"):
        return "t[w]" if array == "t" else "w"
    return f"{array}[{k[0]} * LANES + {k[1]}]" if isinstance(k, tuple) else f"{array}[{k} * LANES + w]"


def loops(
    outputs: Sequence[Scalar],
    store: Callable[[Sequence[str]], Sequence[str]],
    places: Mapping[int, str],
    entry: Text,
    count: str = "LANES",
) -> list[str]:
    """Loops over lanes w that compute outputs.

    They are for the compiler to vectorise, which calls of the C library would prevent: these have loops of their own
    between the others, and what crosses from loop to loop is kept in arrays.

    Args:
        outputs: what is computed.
        store: statements that do something with the outputs of a lane, whose texts they are given.
        places: texts of what is there already, by index.
        entry: the text of an input.
        count: the number of lanes.
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
    crossing |= {x.index for x in outputs if levels.get(x.index, 0) < last}
    crossing = {x.index for x in scalars if x.index in crossing and x.operation not in ("input", "constant")}

    def text(x: Scalar) -> str:
        if x.index in places:
            return places[x.index]
        if x.operation == "input":
            return entry(x)
        if x.operation == "constant":
            return _literal(x.arguments[0])
        return f"x{x.index}[w]" if x.index in crossing else f"x{x.index}"

    over = f"for (int w = 0; w < {count}; w++)"
    lines = [f"{_type(x)} x{x.index}[{count}];" for x in scalars if x.index in crossing]
    for level in range(last + 1):
        here = [x for x in scalars if levels[x.index] == level and x.operation not in ("input", "constant")]
        lines += [f"{over} {text(x)} = {_expression(x, text)};" for x in here if _is_call(x)]
        lines += ['_Pragma("omp simd")', f"{over} {{"]
        for x in here:
            if not _is_call(x):
                declared = "" if x.index in crossing else f"const {_type(x)} "
                lines.append(f"  {declared}{text(x)} = {_expression(x, text)};")
        if level == last:
            lines += [f"  {line}" for line in store([text(x) for x in outputs])]
        lines.append("}")
    return lines


def _is_call(x: Scalar) -> bool:
    """Whether it is computed by the C library, not by an instruction of the processor."""
    return x.operation not in _OPERATORS and x.operation not in INSTRUCTIONS


def _type(x: Scalar) -> str:
    return "int" if x.operation in COMPARISONS else "real"


def _expression(x: Scalar, text: Text) -> str:
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
