"""torch's operations on arrays of scalars: what a traced field is made of."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import numpy as np
import torch
from torch import Tensor

from systems.native.scalars import Arithmetic, Scalar

Array = np.ndarray
#: Vectors of 32 bytes, in which torch's kernel adds up a contiguous row.
_VECTOR_BYTES = 32
_FAR = 2**62


class Operations:
    """One method for each operation of torch (``aten::add`` is `add`, ``aten::_to_copy`` `to_copy`) on such arrays.

    Sums are taken in the order of torch's kernels where that does not depend on the batch.
    """

    def __init__(self, arithmetic: Arithmetic) -> None:
        self.arithmetic = arithmetic
        entrywise: dict[str, Callable[..., Scalar]] = {
            "mul": arithmetic.multiply,
            "div": arithmetic.divide,
            "neg": arithmetic.negative,
            "reciprocal": lambda x: arithmetic.divide(1, x),
            "rsqrt": lambda x: arithmetic.divide(1, arithmetic.call("sqrt", x)),
            "square": lambda x: arithmetic.multiply(x, x),
            "pow": arithmetic.power,
            "abs": lambda x: arithmetic.call("fabs", x),
            "sgn": self._sign,
            "sign": self._sign,
            "maximum": lambda x, y: arithmetic.where(arithmetic.compare(">")(y, x), y, x),
            "minimum": lambda x, y: arithmetic.where(arithmetic.compare("<")(y, x), y, x),
            "where": arithmetic.where,
            "masked_fill": lambda x, mask, value: arithmetic.where(mask, value, x),
            "logical_or": arithmetic.either,
            "bitwise_or": arithmetic.either,
            "logical_and": arithmetic.both,
            "bitwise_and": arithmetic.both,
            "logical_not": arithmetic.opposite,
            "bitwise_not": arithmetic.opposite,
            "sigmoid": lambda x: arithmetic.divide(
                1, arithmetic.add(1, arithmetic.call("exp", arithmetic.negative(x)))
            ),
            "atan2": lambda x, y: arithmetic.call("atan2", x, y),
        }
        entrywise |= {
            name: arithmetic.compare(sign)
            for name, sign in {"gt": ">", "ge": ">=", "lt": "<", "le": "<=", "eq": "==", "ne": "!="}.items()
        }
        for name in ("sqrt", "exp", "expm1", "log", "log1p", "log2", "log10", "sin", "cos", "tan", "tanh", "sinh"):
            entrywise[name] = self._called(name)
        for name in ("cosh", "asin", "acos", "atan", "asinh", "acosh", "atanh", "erf", "erfc", "exp2", "floor", "ceil"):
            entrywise[name] = self._called(name)
        self._entrywise = {name: self._over_entries(function) for name, function in entrywise.items()}

    def __contains__(self, name: str) -> bool:
        return name.strip("_") in self._entrywise or hasattr(self, name.strip("_"))

    def __getitem__(self, name: str) -> Callable[..., Any]:
        name = name.strip("_")
        return self._entrywise[name] if name in self._entrywise else getattr(self, name)

    def array(self, x: Any) -> Array:
        """An array of scalars, from one, from a tensor or from a number."""
        if isinstance(x, np.ndarray):
            return x
        values = x.detach().double().numpy() if isinstance(x, Tensor) else np.array(x, dtype=object)
        out = np.empty(values.shape, object)
        for place in np.ndindex(values.shape):
            out[place] = self.arithmetic.scalar(values[place])
        return out

    def _over_entries(self, function: Callable[..., Scalar]) -> Callable[..., Array]:
        def operation(*arrays: Any, **_: Any) -> Array:
            return _array(np.frompyfunc(function, len(arrays), 1)(*map(self.array, arrays)))

        return operation

    def _called(self, name: str) -> Callable[[Any], Scalar]:
        return lambda x: self.arithmetic.call(name, x)

    def _sigmoid(self, x: Any) -> Scalar:
        exponential = self.arithmetic.call("exp", self.arithmetic.negative(x))
        return self.arithmetic.divide(1, self.arithmetic.add(1, exponential))

    def _sign(self, x: Any) -> Scalar:
        above, below = self.arithmetic.compare(">")(x, 0), self.arithmetic.compare("<")(x, 0)
        return self.arithmetic.where(above, 1, self.arithmetic.where(below, -1, 0))

    def _full(self, shape: Sequence[int], value: Any) -> Array:
        out = np.empty(tuple(shape), object)
        out[...] = self.arithmetic.scalar(value)
        return out

    # Arithmetic with a factor, and sums.

    def add(self, x: Any, y: Any, alpha: Any = 1, **_: Any) -> Array:
        return self._over_entries(self.arithmetic.add)(x, y if alpha == 1 else self["mul"](y, alpha))

    def sub(self, x: Any, y: Any, alpha: Any = 1, **_: Any) -> Array:
        return self._over_entries(self.arithmetic.subtract)(x, y if alpha == 1 else self["mul"](y, alpha))

    def rsub(self, x: Any, y: Any, alpha: Any = 1) -> Array:
        return self.sub(y, x, alpha)

    def addcmul(self, x: Array, a: Array, b: Array, value: Any = 1) -> Array:
        return self.add(x, self["mul"](self["mul"](a, value), b))

    def addcdiv(self, x: Array, a: Array, b: Array, value: Any = 1) -> Array:
        return self.add(x, self["div"](self["mul"](a, value), b))

    def clamp(self, x: Array, low: Any = None, high: Any = None) -> Array:
        x = x if low is None else self["maximum"](x, low)
        return x if high is None else self["minimum"](x, high)

    def sum(
        self, x: Array, dims: Sequence[int] | None = None, keepdim: bool = False, contiguous: bool = False, **_: Any
    ) -> Array:
        """Over some dimensions; ``contiguous``: whether the entries of the last ones are neighbours in memory."""
        dims = [*range(x.ndim)] if not dims else sorted(d % x.ndim for d in dims)
        if not dims:
            return x
        if contiguous and dims == [*range(x.ndim - len(dims), x.ndim)]:
            total = _reduced(lambda row: self._row_sum(row, True), x.reshape(*x.shape[: dims[0]], -1), dims[0])
        elif dims == [x.ndim - 1]:
            total = _reduced(lambda row: self._row_sum(row, False), x, dims[0])
        else:
            total = x
            for d in reversed(dims):
                total = _reduced(self.arithmetic.sum, total, d)
        return np.expand_dims(total, tuple(dims)) if keepdim else total

    def mean(self, x: Array, dims: Sequence[int] | None = None, keepdim: bool = False, **_: Any) -> Array:
        total = self.sum(x, dims, keepdim)
        return self["div"](total, x.size // max(1, total.size))

    def _row_sum(self, row: list[Scalar], contiguous: bool) -> Scalar:
        """In the order of torch's kernel: by vectors if the row is contiguous and long enough, else in four strands."""
        lanes = _VECTOR_BYTES // np.dtype(self.arithmetic.dtype).itemsize
        if not (contiguous and len(row) >= lanes):
            return self._strands(row)
        whole = len(row) - len(row) % lanes
        sums = [self._strands(row[k:whole:lanes]) for k in range(lanes)]
        return self.arithmetic.sum([*row[whole:], *sums])

    def _strands(self, row: list[Scalar], count: int = 4) -> Scalar:
        whole = len(row) - len(row) % count
        if not whole:
            return self.arithmetic.sum(row)
        first, *others = (self.arithmetic.sum(row[k:whole:count]) for k in range(count))
        return self.arithmetic.sum([first, *row[whole:], *others])

    def cumsum(self, x: Array, d: int, **_: Any) -> Array:
        parts = [x.take(0, d)]
        for k in range(1, x.shape[d]):
            parts.append(self.add(parts[-1], x.take(k, d)))
        return np.stack([_array(part) for part in parts], d)

    def mm(self, x: Array, y: Array) -> Array:
        if y.ndim == 1:
            return self.sum(self["mul"](x, y[None]), [-1])
        product = self["mul"](x[..., :, :, None], y[..., None, :, :])
        return _reduced(self.arithmetic.sum, product, product.ndim - 2)

    bmm = mv = mm

    def addmm(self, total: Array, x: Array, y: Array, beta: Any = 1, alpha: Any = 1) -> Array:
        return self.add(self["mul"](total, beta), self["mul"](self.mm(x, y), alpha))

    def relu(self, x: Array) -> Array:
        return self["where"](self["gt"](x, 0), x, 0)

    def threshold_backward(self, g: Array, x: Array, threshold: Any) -> Array:
        return self["where"](self["gt"](x, threshold), g, 0)

    def dot(self, x: Array, y: Array) -> Array:
        return self.sum(self["mul"](x, y))

    def linalg_cholesky_ex(self, x: Array, upper: bool = False, **_: Any) -> tuple[Array, Array]:
        """The lower factor by the textbook, unrolled."""
        if x.ndim != 2 or upper:
            raise NotImplementedError("linalg_cholesky_ex of more than one matrix, or of the upper factor")
        arithmetic, n = self.arithmetic, len(x)
        factor = self._full(x.shape, 0)
        for j in range(n):
            for i in range(j, n):
                rest = x[i, j]
                for k in range(j):
                    rest = arithmetic.subtract(rest, arithmetic.multiply(factor[i, k], factor[j, k]))
                factor[i, j] = arithmetic.call("sqrt", rest) if i == j else arithmetic.divide(rest, factor[j, j])
        return factor, self._full((), 0)

    def cholesky_solve(self, x: Array, factor: Array, upper: bool = False) -> Array:
        if x.ndim != 2 or upper:
            raise NotImplementedError("cholesky_solve of more than one matrix, or with an upper factor")
        arithmetic, x = self.arithmetic, x.copy()
        n = len(x)
        for rows, entry in ((range(n), lambda i, k: factor[i, k]), (range(n)[::-1], lambda i, k: factor[k, i])):
            for c in range(x.shape[1]):
                done: list[int] = []
                for i in rows:
                    rest = x[i, c]
                    for k in done:
                        rest = arithmetic.subtract(rest, arithmetic.multiply(entry(i, k), x[k, c]))
                    x[i, c] = arithmetic.divide(rest, factor[i, i])
                    done.append(i)
        return x

    # Shapes.

    def unsqueeze(self, x: Array, d: int) -> Array:
        return np.expand_dims(x, d)

    def squeeze(self, x: Array, d: Any = None) -> Array:
        dims = range(x.ndim) if d is None else [d] if isinstance(d, int) else d
        return np.squeeze(x, tuple(k for k in dims if x.ndim and x.shape[k] == 1))

    def expand(self, x: Array, shape: Sequence[int], **_: Any) -> Array:
        missing = len(shape) - x.ndim
        return np.broadcast_to(x, [x.shape[i - missing] if size == -1 else size for i, size in enumerate(shape)])

    def permute(self, x: Array, dims: Sequence[int]) -> Array:
        return np.transpose(x, dims)

    def transpose(self, x: Array, a: int, b: int) -> Array:
        return np.swapaxes(x, a, b)

    def t(self, x: Array) -> Array:
        return x.T

    def view(self, x: Array, shape: Sequence[int]) -> Array:
        return x.reshape(tuple(shape))

    unsafe_view = reshape = view

    def select(self, x: Array, d: int, index: int) -> Array:
        return _array(np.take(x, index, d))

    def slice(self, x: Array, d: int = 0, start: Any = None, end: Any = None, step: int = 1) -> Array:
        return x[_slice(x.ndim, d, start, end, step)]

    def unbind(self, x: Array, d: int = 0) -> list[Array]:
        return [_array(np.take(x, k, d)) for k in range(x.shape[d])]

    def split(self, x: Array, size: Any, d: int = 0) -> list[Array]:
        length = x.shape[d]
        sizes = [min(size, length - k) for k in range(0, length, size)] if isinstance(size, int) else size
        return np.split(x, np.cumsum(sizes)[:-1], d)

    split_with_sizes = split

    def stack(self, arrays: Sequence[Any], d: int = 0) -> Array:
        return np.stack([self.array(x) for x in arrays], d)

    def cat(self, arrays: Sequence[Any], d: int = 0) -> Array:
        return np.concatenate([self.array(x) for x in arrays], d)

    def flip(self, x: Array, dims: Sequence[int]) -> Array:
        return np.flip(x, tuple(dims))

    def diagonal(self, x: Array, offset: int = 0, a: int = 0, b: int = 1) -> Array:
        return np.diagonal(x, offset, a, b)

    def diag_embed(self, x: Array, offset: int = 0, a: int = -2, b: int = -1) -> Array:
        if (offset, a, b) != (0, -2, -1):
            raise NotImplementedError("diag_embed off the main diagonal")
        out = self._full((*x.shape, x.shape[-1]), 0)
        k = np.arange(x.shape[-1])
        out[..., k, k] = x
        return out

    def triu(self, x: Array, k: int = 0) -> Array:
        return np.where(np.triu(np.ones(x.shape[-2:], bool), k), x, self._full((), 0))

    def tril(self, x: Array, k: int = 0) -> Array:
        return np.where(np.tril(np.ones(x.shape[-2:], bool), k), x, self._full((), 0))

    def index(self, x: Array, places: Sequence[Any]) -> Array:
        return _array(x[tuple(slice(None) if i is None else i for i in places)])

    def constant_pad_nd(self, x: Array, pad: Sequence[int], value: Any = 0) -> Array:
        pairs = [(pad[2 * k], pad[2 * k + 1]) for k in range(len(pad) // 2)][::-1]
        widths = [(0, 0)] * (x.ndim - len(pairs)) + pairs
        out = self._full([size + a + b for size, (a, b) in zip(x.shape, widths, strict=True)], value)
        out[tuple(slice(a, a + size) for size, (a, _) in zip(x.shape, widths, strict=True))] = x
        return out

    # Derivatives of the above.

    def select_backward(self, g: Array, shape: Sequence[int], d: int, index: int) -> Array:
        out = self._full(shape, 0)
        out[_slice(len(shape), d, index, index + 1 or None, 1)] = np.expand_dims(g, d)
        return out

    def slice_backward(self, g: Array, shape: Sequence[int], d: int, start: int, end: int, step: int) -> Array:
        out = self._full(shape, 0)
        out[_slice(len(shape), d, start, end, step)] = g
        return out

    def index_put(self, x: Array, places: Sequence[Any], values: Any, accumulate: bool = False) -> Array:
        out = x.copy().reshape(-1)
        chosen = np.arange(x.size).reshape(x.shape)[tuple(slice(None) if i is None else i for i in places)]
        values = np.broadcast_to(self.array(values), chosen.shape)
        for place, value in zip(chosen.reshape(-1), values.reshape(-1), strict=True):
            out[place] = self.arithmetic.add(out[place], value) if accumulate else value
        return out.reshape(x.shape)

    unsafe_index_put = index_put

    def tanh_backward(self, g: Array, y: Array) -> Array:
        return self["mul"](g, self.sub(1, self["mul"](y, y)))

    def sigmoid_backward(self, g: Array, y: Array) -> Array:
        return self["mul"](g, self["mul"](self.sub(1, y), y))

    # New tensors and copies.

    def clone(self, x: Array, **_: Any) -> Array:
        return x

    alias = detach = lift_fresh_copy = contiguous = clone

    def to_copy(self, x: Array, **known: Any) -> Array:
        target = known.get("dtype")
        if target is not None and target not in (torch.float32, torch.float64, torch.bool):
            raise NotImplementedError(f"a copy as {target}")
        return x

    def copy(self, x: Array, y: Array, **_: Any) -> Array:
        return np.broadcast_to(y, x.shape)

    def zeros_like(self, x: Array, **_: Any) -> Array:
        return self._full(x.shape, 0)

    def ones_like(self, x: Array, **_: Any) -> Array:
        return self._full(x.shape, 1)

    def full_like(self, x: Array, value: Any, **_: Any) -> Array:
        return self._full(x.shape, value)

    def full(self, shape: Sequence[int], value: Any, **_: Any) -> Array:
        return self._full(shape, value)

    def zeros(self, shape: Sequence[int], **_: Any) -> Array:
        return self._full(shape, 0)

    def ones(self, shape: Sequence[int], **_: Any) -> Array:
        return self._full(shape, 1)

    def new_zeros(self, x: Array, shape: Sequence[int], **_: Any) -> Array:
        return self._full(shape, 0)

    def new_ones(self, x: Array, shape: Sequence[int], **_: Any) -> Array:
        return self._full(shape, 1)

    def new_full(self, x: Array, shape: Sequence[int], value: Any, **_: Any) -> Array:
        return self._full(shape, value)

    def scalar_tensor(self, value: Any, **_: Any) -> Array:
        return self.array(value)


def _array(x: Any) -> Array:
    """An array, also of what numpy hands out as a bare scalar."""
    if isinstance(x, np.ndarray):
        return x
    out = np.empty((), object)
    out[()] = x
    return out


def _reduced(function: Callable[[list[Scalar]], Scalar], x: Array, d: int) -> Array:
    """A function of the rows along dimension d."""
    rows = np.moveaxis(x, d, -1)
    out = np.empty(rows.shape[:-1], object)
    for place in np.ndindex(out.shape):
        out[place] = function(list(rows[place]))
    return out


def _slice(ndim: int, d: int, start: Any, end: Any, step: int) -> tuple[slice, ...]:
    places = [slice(None)] * ndim
    places[d] = slice(start, None if end is None or end >= _FAR else end, step)
    return tuple(places)
