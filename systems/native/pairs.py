"""Pair laws as loops: over all pairs of bodies, or over edges."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass

import numpy as np
import torch
from jaxtyping import Float
from torch import Tensor

from systems.native import emit
from systems.native.graph import evaluated
from systems.native.program import AbstractProgram
from systems.native.scalars import Arithmetic, Scalar
from systems.native.trace import scalars_of
from systems.pairs import PAIR_DIMS, AbstractPairs, PairValues
from systems.vector_field import AbstractVectorField

#: Bytes of the widest vectors of processors.
VECTOR_BYTES = 64


@dataclass(frozen=True)
class Block:
    """A value of each body, pair or edge, or of the trajectory, in the table of values."""

    name: str
    kind: str
    """body, pair, edge, or own."""
    start: int
    width: int
    """Of a row: numbers, with room for whole vectors."""
    rows: int = 1

    @property
    def size(self) -> int:
        return self.rows * self.width


@dataclass(frozen=True)
class PairProgram(AbstractProgram):
    """A field that is a sum over pairs, by the arithmetic of one pair.

    Rows of a state are components, one body after the other, so that bodies fill the vectors of one trajectory. Forces
    are added up in an order that is the same for one trajectory and for many side by side.
    """

    blocks: tuple[Block, ...]
    edge_count: int | None
    """None: all pairs."""
    masked: bool
    arithmetic: Arithmetic
    velocity: list[Scalar]
    """Of a body: from ``p`` and ``body``."""
    apart: list[Scalar]
    """q_i - q_j, from ``qi`` and ``qj``."""
    weight: Scalar
    """That it is multiplied by, from it, ``i``, ``j``, ``pair`` and ``own``."""
    back: Scalar
    """The same for what j feels the opposite of; it is the same where the law is reciprocal."""

    @property
    def separable(self) -> bool:
        return True

    @property
    def strands(self) -> int:
        """Partial sums of the force on a body: as many as numbers fit into a vector."""
        return VECTOR_BYTES // self.dtype.itemsize

    @property
    def row(self) -> int:
        """Bodies, and room for a vector that starts at the last."""
        return (-(-self.bodies // self.strands) + 1) * self.strands

    @property
    def values(self) -> int:
        return sum(block.size for block in self.blocks)

    def macros(self, lanes: int) -> dict[str, int | str]:
        return {
            "ROW": self.row,
            "SIZE": self.dimension * self.row,
            "PLACE(e)": "((e) % DIMENSION * ROW + (e) / DIMENSION)",
            "AT(e, w)": "(PLACE(e) * LANES + (w))",
            "VALUES": self.values,
            "GIVEN": self.values,
            "GIVEN_AT(k, w)": "((k) * LANES + (w))",
            "TOGETHER": "LANES",
        }

    def table(self, field: AbstractVectorField, batch: torch.Size) -> Tensor:
        assert isinstance(field, AbstractPairs)
        tensors, parts, n = values_of(field), [], self.bodies
        shapes = {"own": (), "body": (n,), "pair": (n, n), "edge": (self.edge_count or 0,)}
        for block in self.blocks:
            x = tensors[block.name][1].detach().to(self.dtype).expand(*batch, *shapes[block.kind])
            x = x.reshape(batch.numel(), block.rows, -1)
            # Beyond the last body there are harmless values, and no body.
            fill = 0.0 if block.name == "exists" else 1.0
            parts.append(torch.nn.functional.pad(x, (0, block.width - x.shape[-1]), value=fill).flatten(1))
        return torch.cat(parts, 1).contiguous()

    def edges(self, field: AbstractVectorField) -> Tensor | None:
        assert isinstance(field, AbstractPairs)
        if self.edge_count is None or field.edges is None:
            return None
        return torch.nn.functional.pad(field.edges.int(), (0, self.strands)).contiguous()

    def text(self, lanes: int) -> str:
        kept = [x for x in emit.hoisted(self.velocity) if x.operation != "input"]
        alone = lanes == 1
        width = self.strands if alone else lanes
        places = {x.index: self._at("c", self.values + k * self.row, "b", alone) for k, x in enumerate(kept)}

        def each_body(outputs: Sequence[Scalar], target: str, start: int, known: Mapping[int, str]) -> list[str]:
            def store(texts: Sequence[str]) -> list[str]:
                rows = range(start, start + len(outputs) * self.row, self.row)
                return [f"{self._at(target, row, 'b', alone)} = {x};" for row, x in zip(rows, texts, strict=True)]

            lines = emit.loops(outputs, store, known, lambda x: self._entry(x, "b", "b", alone), str(width))
            return [f"for (long b = 0; b < ROW; b += {width if alone else 1}) {{", *_indented(lines), "}"]

        summed = self._over_edges(lanes) if self.edge_count is not None else self._over_pairs(lanes)
        return "\n".join(
            [
                f"#define HOISTED {self.values + len(kept) * self.row}",
                emit.signature("prepare", ("values",), "c") + " {",
                "  memcpy(c, values, (size_t)VALUES * LANES * sizeof(real));",
                *_indented(each_body(kept, "c", self.values, {}) if kept else []),
                "}",
                emit.signature("velocity") + " {",
                *_indented(each_body(self.velocity, "u", 0, places)),
                "}",
                emit.signature("force") + " {",
                "  memset(f, 0, (size_t)SIZE * LANES * sizeof(real));",
                *_indented(summed),
                "}",
                emit.signature("derivative") + " {",
                "  velocity(p, c, rates);",
                "  force(q, c, rates + (size_t)SIZE * LANES);",
                "}",
            ]
        )

    def _pulls(self, *, ends: bool) -> tuple[list[Scalar], list[Scalar]]:
        """What i feels from j, and what j feels the opposite of; ``ends``: whether j may be beyond the last body."""
        exists = next(k for k, block in enumerate(self.blocks) if block.name == "exists")
        arithmetic, found = self.arithmetic, []
        for weight in (self.weight, self.back):
            for side in ["i"] * self.masked + ["j"] * (self.masked or ends):
                weight = arithmetic.where(arithmetic.compare(">")(arithmetic.input(side, exists), 0), weight, 0)
            found.append([arithmetic.multiply(weight, x) for x in self.apart])
        return found[0], found[1]

    def _over_pairs(self, lanes: int) -> list[str]:
        """Each pair once: what i feels in strands, by the place of j, and what j feels one i after the other."""
        n, width, alone = self.bodies, self.strands, lanes == 1
        axes = range(self.dimension)
        count = width if alone else lanes

        def store(texts: Sequence[str]) -> list[str]:
            pulls, backs = texts[: len(axes)], texts[len(axes) :]
            own = [f"s{k}[w] += {x};" for k, x in zip(axes, pulls, strict=True)]
            return own + [
                f"{self._at('f', k * self.row, 'j', alone)} -= {x};" for k, x in zip(axes, backs, strict=True)
            ]

        entry = lambda x: self._entry(x, "i", "j", alone)  # noqa: E731
        pulls, backs = self._pulls(ends=alone)
        pair = emit.loops([*pulls, *backs], store, {}, entry, str(count))
        zeros = [f"real s{k}[{count}] = {{0}};" for k in axes]
        if alone:
            sums = [f"f[{k * self.row} + i] += {_tree([f's{k}[{w}]' for w in range(width)])};" for k in axes]
            return [
                f"for (long i = 0; i < {n - 1}; i++) {{",
                *_indented(zeros),
                f"  for (long j = i + 1; j < {n}; j += {width}) {{",
                *_indented(pair, 2),
                "  }",
                *_indented(sums),
                "}",
            ]
        each = "for (int w = 0; w < LANES; w++)"
        tree = _tree([f"sums[{s}][k][w]" for s in range(width)])
        return [
            f"for (long i = 0; i < {n - 1}; i++) {{",
            f"  real sums[{width}][{len(axes)}][LANES];",
            f"  for (long strand = 0; strand < {width}; strand++) {{",
            *_indented(zeros, 2),
            f"    for (long j = i + 1 + strand; j < {n}; j += {width}) {{",
            *_indented(pair, 3),
            "    }",
            *(f"    {each} sums[strand][{k}][w] = s{k}[w];" for k in axes),
            "  }",
            f"  for (long k = 0; k < {len(axes)}; k++)",
            '    _Pragma("omp simd")',
            f"    {each} f[(k * ROW + i) * LANES + w] += {tree};",
            "}",
        ]

    def _over_edges(self, lanes: int) -> list[str]:
        """Edge after edge: a vector of them is computed, then added up one by one."""
        width, alone, axes = self.strands, lanes == 1, range(self.dimension)
        count = width if alone else lanes

        def store(texts: Sequence[str]) -> list[str]:
            return [f"e{k}[w] = {x};" for k, x in enumerate(texts)]

        entry = lambda x: self._entry(x, "i", "j", alone)  # noqa: E731
        pulls, backs = self._pulls(ends=False)
        outputs = pulls if backs == pulls else [*pulls, *backs]
        pair = emit.loops(outputs, store, {}, entry, str(count))
        arrays = [f"real e{k}[{count}];" for k in range(len(outputs))]
        back = len(outputs) - len(axes)
        i, j = ("first[e + w]", "second[e + w]") if alone else ("first[e]", "second[e]")
        adds = [f"{self._one('f', k * self.row, i, alone)} += e{k}[w];" for k in axes]
        adds += [f"{self._one('f', k * self.row, j, alone)} -= e{back + k}[w];" for k in axes]
        last = f"e + {width} < {self.edge_count} ? {width} : {self.edge_count} - e" if alone else "LANES"
        return [
            f"const int *restrict first = edges, *restrict second = edges + {(self.edge_count or 0) + width};",
            f"for (long e = 0; e < {self.edge_count}; e += {width if alone else 1}) {{",
            *_indented(arrays),
            *_indented(pair),
            f"  const int last = {last};",
            "  for (int w = 0; w < last; w++) {",
            *_indented(adds, 2),
            "  }",
            "}",
        ]

    def _entry(self, x: Scalar, i: str, j: str, alone: bool) -> str:
        """The place of an input: of body i, alike in all lanes, or j, of one after the other or of all trajectories."""
        array, k = x.arguments
        by_edges = self.edge_count is not None and array != "body" and array != "p"
        first = "first[e + w]" if alone else "first[e]"
        second = "second[e + w]" if alone else "second[e]"
        if array in ("p", "qi", "qj"):
            start, name = k * self.row, array[0]
        else:
            start, name = self.blocks[k].start, "c"
        if array in ("p", "body"):
            return self._at(name, start, j, alone)
        if array == "own":
            return self._one(name, start, "0", alone)
        if array == "pair":
            return self._at(name, start, "e" if by_edges else f"i * {self.row} + j", alone)
        if by_edges:
            return self._one(name, start, first if array in ("qi", "i") else second, alone)
        return self._one(name, start, i, alone) if array in ("qi", "i") else self._at(name, start, j, alone)

    def _at(self, array: str, start: int, place: str, alone: bool) -> str:
        """A number of its own for each lane: of the next bodies if one trajectory is alone."""
        return f"{array}[{start} + {place} + w]" if alone else f"{array}[({start} + {place}) * LANES + w]"

    def _one(self, array: str, start: int, place: str, alone: bool) -> str:
        """A number at one place."""
        return f"{array}[{start} + {place}]" if alone else f"{array}[({start} + {place}) * LANES + w]"


def pair_program(field: AbstractPairs, bodies: int, dimension: int, dtype: torch.dtype) -> PairProgram:
    """The loops of a pair law.

    Raises:
        NotNative: as `graph.evaluated`.

    Example:
        >>> from systems import Gravity
        >>> system, _ = Gravity.sample(1, seed=0, bodies=30)
        >>> program = pair_program(system, 30, 2, torch.float64)
        >>> program.row, [block.name for block in program.blocks]
        (40, ['mass', 'law.feels', 'law.acts', 'law.constant', 'law.softening', 'exists'])
    """
    arithmetic = Arithmetic(np.float64 if dtype == torch.float64 else np.float32)
    count = None if field.edges is None else field.edges.shape[1]
    shape = (bodies, VECTOR_BYTES // dtype.itemsize, count)
    blocks, start = [], 0
    for name, (dims, _) in values_of(field).items():
        blocks.append(_block(name, dims, start, *shape))
        start += blocks[-1].size
    places = {block.name: k for k, block in enumerate(blocks)}
    apart = [arithmetic.subtract(arithmetic.input("qi", k), arithmetic.input("qj", k)) for k in range(dimension)]
    square = arithmetic.sum([arithmetic.multiply(x, x) for x in apart])
    weight = _weight(field, square, arithmetic, places, "i", "j")
    back = weight if field.reciprocal else _weight(field, square, arithmetic, places, "j", "i")
    velocity = body_velocity(field, dimension, arithmetic, "body", places, dtype)
    return PairProgram(
        bodies,
        dimension,
        dtype,
        tuple(blocks),
        count,
        field.mask is not None,
        arithmetic,
        velocity,
        apart,
        weight,
        back,
    )


def force_on(field: AbstractPairs, q: Float[Tensor, "*batch n d"], rows: Tensor) -> Float[Tensor, "*batch rows d"]:
    """The force on some of the bodies, by torch: memory and time for their pairs only."""
    parameters = field.pair_parameters()

    def placed(dims: tuple[str, ...], place: Callable[[Tensor], Tensor]) -> dict[str, Tensor]:
        return {name: place(x) for name, (own, x) in parameters.items() if own == dims}

    def of_rows(x: Tensor) -> Tensor:
        return x if x.shape[-1] == 1 else x[..., rows]

    own = placed((), lambda x: x[..., None, None]) | placed(PAIR_DIMS[0], lambda x: of_rows(x.mT).mT)
    i, j = placed(("body",), lambda x: of_rows(x)[..., :, None]), placed(("body",), lambda x: x[..., None, :])
    apart = [x[..., rows, None] - x[..., None, :] for x in field.existing(q).unbind(-1)]
    square = sum((x.square() for x in apart[1:]), apart[0].square())
    weight = field._finite(field.pair_force, square, PairValues(own, i, j))
    if field.mask is not None:
        weight = torch.where(field.mask[..., rows, None] & field.mask[..., None, :], weight, 0)
    return torch.stack([(weight * x).sum(-1) for x in apart], -1)


def values_of(field: AbstractPairs) -> dict[str, tuple[tuple[str, ...], Tensor]]:
    """What velocity and law are computed from, with its own dims; and which bodies there are."""
    variables = {v.name: (v.dims, getattr(field, v.name)) for v in field.variables if v.dims == ("body",)}
    marks = {name: (("body",), mark) for name in field.marks if (mark := getattr(field, name)) is not None}
    law = {f"law.{name}": value for name, value in field.pair_parameters().items()}
    exists = torch.ones(1, dtype=torch.bool) if field.mask is None else field.mask
    return variables | marks | law | {"exists": (("body",), exists)}


def _block(name: str, dims: tuple[str, ...], start: int, bodies: int, strands: int, edges: int | None) -> Block:
    row = (-(-bodies // strands) + 1) * strands
    sizes = {(): ("own", 1), ("body",): ("body", row), ("edge",): ("edge", (edges or 0) + strands)}
    if dims in sizes:
        return Block(name, sizes[dims][0], start, sizes[dims][1])
    return Block(name, "pair", start, row, bodies)


def _weight(
    field: AbstractPairs, square: Scalar, arithmetic: Arithmetic, places: Mapping[str, int], first: str, second: str
) -> Scalar:
    """What q_i - q_j is multiplied by."""
    parameters = field.pair_parameters()
    own = [name for name, (dims, _) in parameters.items() if dims != ("body",)]
    bodily = [name for name, (dims, _) in parameters.items() if dims == ("body",)]

    def weight(square: Tensor, *values: Tensor) -> tuple[Tensor]:
        queue = iter(values)
        mine, i, j = ({name: next(queue) for name in names} for names in (own, bodily, bodily))
        return (field._finite(field.pair_force, square, PairValues(mine, i, j)),)

    arrays = {name: "own" if parameters[name][0] == () else "pair" for name in own}
    inputs = [arithmetic.inputs(arrays[x], (1,), places[f"law.{x}"]) for x in own]
    inputs += [arithmetic.inputs(side, (1,), places[f"law.{x}"]) for side in (first, second) for x in bodily]
    dtype = torch.float64 if arithmetic.dtype is np.float64 else torch.float32
    examples = [torch.ones(1, dtype=dtype) for _ in range(1 + len(inputs))]
    [found] = evaluated(weight, examples, [np.full(1, square, object), *inputs], arithmetic)
    return found.reshape(-1)[0]


def body_velocity(
    field: AbstractPairs,
    dimension: int,
    arithmetic: Arithmetic,
    array: str,
    places: Mapping[str, int],
    dtype: torch.dtype,
) -> list[Scalar]:
    """dT/dp of one body, whose values are inputs from an array."""
    names = [v.name for v in field.variables if v.dims == ("body",)]
    names += [name for name in field.marks if getattr(field, name) is not None]
    values = {x: (getattr(field, x).reshape(-1)[:1], arithmetic.inputs(array, (1,), places[x])) for x in names}
    p = (torch.ones(1, dimension, dtype=dtype), arithmetic.inputs("p", (1, dimension)))
    [found] = scalars_of(field, lambda field, p: (field.velocity(p),), [p], values, arithmetic)
    return list(found.reshape(-1))


def _tree(terms: Sequence[str]) -> str:
    """Their sum by halves of neighbours.

    Example:
        >>> _tree(["a", "b", "c", "d"])
        '((a + b) + (c + d))'
    """
    if len(terms) == 1:
        return terms[0]
    half = len(terms) // 2
    return f"({_tree(terms[:half])} + {_tree(terms[half:])})"


def _indented(lines: Sequence[str], depth: int = 1) -> list[str]:
    return ["  " * depth + line for line in lines]
