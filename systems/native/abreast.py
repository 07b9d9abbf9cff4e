"""A pair law of a few bodies, whose bodies fill the vectors of one trajectory."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from torch import Tensor

from systems.native import emit
from systems.native.graph import evaluated
from systems.native.operations import Operations
from systems.native.pairs import VECTOR_BYTES, body_velocity, values_of
from systems.native.program import AbstractProgram
from systems.native.scalars import Arithmetic, Scalar
from systems.pairs import AbstractPairs, PairValues
from systems.vector_field import AbstractVectorField


@dataclass(frozen=True)
class AbreastProgram(AbstractProgram):
    """A field whose lanes are bodies: each adds up what it feels from all, in torch's own order.

    Inputs are the arrays ``q``, ``p`` and ``values`` of a body itself, or of another: ``(k, other)``.
    """

    rows: dict[str, int]
    """The first row of each value in the table."""
    functions: dict[str, list[Scalar]]

    @property
    def separable(self) -> bool:
        return "force" in self.functions

    @property
    def lanes(self) -> int:
        """Whole vectors of bodies."""
        wide = VECTOR_BYTES // self.dtype.itemsize
        return -(-self.bodies // wide) * wide

    def macros(self, lanes: int) -> dict[str, int | str]:
        values = self.rows["end"]
        return {
            "SIZE": self.dimension,
            "PLACE(e)": "(e)",
            "AT(e, w)": "((e) % DIMENSION * LANES + (e) / DIMENSION)",
            "VALUES": values,
            "GIVEN": values * lanes,
            "GIVEN_AT(k, w)": "(k)",
            "TOGETHER": 1,
        }

    def text(self, lanes: int) -> str:
        return emit.functions(self.functions)

    def table(self, field: AbstractVectorField, batch: torch.Size) -> Tensor:
        assert isinstance(field, AbstractPairs)
        parts, n, lanes = [], self.bodies, self.lanes
        for dims, x in values_of(field).values():
            x = (
                x.detach()
                .to(self.dtype)
                .expand(*batch, *(n for _ in dims))
                .reshape(batch.numel(), -1, n if dims else 1)
            )
            # Beyond the last body there are harmless values.
            beside = torch.nn.functional.pad(x, (0, lanes - n), value=1.0) if dims else x.expand(-1, -1, lanes)
            parts.append(beside.flatten(1))
        return torch.cat(parts, 1).contiguous()


def abreast_program(
    field: AbstractPairs, bodies: int, dimension: int, dtype: torch.dtype, *, separable: bool
) -> AbreastProgram:
    """The arithmetic of one body beside the others.

    Raises:
        NotNative: as `graph.evaluated`.

    Example:
        >>> from systems import Gravity
        >>> system, _ = Gravity.sample(1, seed=0, bodies=6)
        >>> program = abreast_program(system, 6, 2, torch.float64, separable=True)
        >>> program.lanes, [len(x) for x in program.functions.values()]
        (8, [2, 2])
    """
    arithmetic = Arithmetic(np.float64 if dtype == torch.float64 else np.float32)
    rows, end = {}, 0
    for name, (dims, _) in values_of(field).items():
        rows[name], end = end, end + (bodies if len(dims) == 2 else 1)
    rows["end"] = end
    velocity = body_velocity(field, dimension, arithmetic, "values", rows, dtype)
    force = _force(field, bodies, dimension, dtype, arithmetic, rows)
    functions = {"velocity": velocity, "force": force} if separable else {"derivative": [*velocity, *force]}
    return AbreastProgram(bodies, dimension, dtype, rows, functions)


def _force(
    field: AbstractPairs, n: int, dimension: int, dtype: torch.dtype, arithmetic: Arithmetic, rows: dict[str, int]
) -> list[Scalar]:
    """On the body of a lane, from all."""
    operations, parameters = Operations(arithmetic), field.pair_parameters()
    input_ = arithmetic.input
    apart = [
        _array([arithmetic.subtract(input_("q", k), input_("q", (k, j))) for j in range(n)]) for k in range(dimension)
    ]
    square = operations["mul"](apart[0], apart[0])
    for x in apart[1:]:
        square = operations.add(square, operations["mul"](x, x))
    # torch takes what lies above the diagonal, with the lower of two bodies first.
    before = _array([arithmetic.compare("<")(input_("lane", 0), j) for j in range(n)])
    inputs: list[np.ndarray] = []
    own = [name for name, (dims, _) in parameters.items() if dims != ("body",)]
    bodily = [name for name, (dims, _) in parameters.items() if dims == ("body",)]
    for name in own:
        row, count = rows[f"law.{name}"], n if parameters[name][0] else 1
        inputs.append(arithmetic.inputs("values", (count,), row))
    mine = {x: _array([input_("values", rows[f"law.{x}"])] * n) for x in bodily}
    theirs = {x: _array([input_("values", (rows[f"law.{x}"], j)) for j in range(n)]) for x in bodily}
    if field.reciprocal:
        choose = operations["where"]
        inputs += [choose(before, mine[x], theirs[x]) for x in bodily]
        inputs += [choose(before, theirs[x], mine[x]) for x in bodily]
    else:
        inputs += [*mine.values(), *theirs.values()]

    def weight(square: Tensor, *values: Tensor) -> tuple[Tensor]:
        queue = iter(values)
        known, i, j = ({name: next(queue) for name in names} for names in (own, bodily, bodily))
        return (field._finite(field.pair_force, square, PairValues(known, i, j)),)

    examples = [torch.ones(x.shape, dtype=dtype) for x in (square, *inputs)]
    [found] = evaluated(weight, examples, [square, *inputs], arithmetic)
    if field.mask is not None:
        exist = [
            arithmetic.both(input_("values", rows["exists"]), input_("values", (rows["exists"], j))) for j in range(n)
        ]
        found = operations["where"](_array(exist), found, 0)
    totals: list[Any] = [operations.sum(operations["mul"](found, x), [-1], contiguous=True)[()] for x in apart]
    return totals


def _array(scalars: list[Scalar]) -> np.ndarray:
    out = np.empty(len(scalars), object)
    out[:] = scalars
    return out
