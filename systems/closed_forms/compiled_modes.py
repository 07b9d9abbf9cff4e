"""Normal modes in machine code: found by rotations (jacobi.c), added up at many times (mode_sums.c)."""

from __future__ import annotations

import ctypes
import math
from functools import cache
from importlib.resources import files

import torch
from torch import Tensor

from systems.closed_forms.waves import waves
from systems.native import build
from systems.native.call import shared
from systems.native.reason import NotNative
from systems.tracing import outside, readable, value_of

#: Matrices that are diagonalised at once, times that are computed at once.
LANES = 8
#: Rows of a matrix up to which rotations are faster than LAPACK.
FEW = 16
#: Cosines that are made at once: few enough for the cache.
_BLOCK = 100_000
_HEAD = f"""
#include <math.h>
#include <stdlib.h>
#include <string.h>
enum {{ LANES = {LANES} }};
"""


def machine_code(x: Tensor) -> ctypes.CDLL | None:
    """The compiled files, for a tensor; None where they cannot read it, and where no C compiler works."""
    if not readable(x):
        return None
    try:
        return _library(build.compiler())
    except NotNative:
        return None


@cache
def _library(compiler: tuple[str, ...]) -> ctypes.CDLL | None:
    """What a compiler makes of them, tried once."""
    here = files("systems.closed_forms")
    try:
        return build.library(
            _HEAD + "".join(here.joinpath(f"{name}.c").read_text() for name in ("jacobi", "mode_sums"))
        )
    except NotNative:
        return None


def diagonalised(library: ctypes.CDLL, matrix: Tensor) -> tuple[Tensor, Tensor]:
    """Eigenvalues ``(trajectory, n)``, ascending, and vectors ``(trajectory, n, n)`` as columns.

    Good to round-off of the largest one. A matrix's bits depend on nothing but itself.

    Args:
        library: `machine_code`.
        matrix: symmetric, finite, ``(trajectory, n, n)`` in float64.

    Example:
        >>> matrix = torch.tensor([[[2.0, 1.0], [1.0, 2.0]]], dtype=torch.float64)
        >>> library = machine_code(matrix)
        >>> diagonalised(library, matrix)[0] if library else torch.tensor([[1.0, 3.0]]).double()
        tensor([[1., 3.]], dtype=torch.float64)
    """
    with outside():
        matrix = value_of(matrix).contiguous()
        count, n, _ = matrix.shape
        values, vectors = matrix.new_empty(count, n), torch.empty_like(matrix)
        shared(library, "diagonalise", count, count * n**3, n, matrix, values, vectors)
    return values, vectors


def add_up(
    library: ctypes.CDLL,
    square: Tensor,
    root: Tensor,
    modes: Tensor,
    a: Tensor,
    b: Tensor,
    t: Tensor,
    q: Tensor,
    p: Tensor,
) -> None:
    """U (C a + S b) / sqrt(m) into ``q`` and U (C b - lambda S a) sqrt(m) into ``p``.

    A trajectory's bits depend on nothing but itself and its times.

    Args:
        library: `machine_code`.
        square: lambda, at least 0, ``(trajectory, n, 1)``.
        root: sqrt(m), ``(trajectory, n, 1)``.
        modes: U, ``(trajectory, n, n)``.
        a, b: amplitudes ``(trajectory, n, d)``.
        t: ``(trajectory, time, 1)``, 0 at first; of length 1, as all before, where all share them.
        q, p: ``(trajectory, time, n, d)``, contiguous.
    """
    count, times, n, d = q.shape
    levels = _levels(t)
    sizes = [level.shape[1] for level in levels]
    moments = torch.cat([level.mT for level in levels], 2)
    step = max(1, _BLOCK // (n * sum(sizes)))
    for first in range(0, count, step):
        some = slice(first, min(first + step, count))
        rows = some.stop - first
        own = [_of(some, x, rows) for x in (square, root, modes, a, b)]
        tables = waves(*(x if len(x) == 1 else x[some] for x in (square, moments)))
        tables = [_of(slice(None), wave, rows) for wave in tables]
        work = rows * times * n**2
        shared(library, "add_up", rows, work, n, d, times, *sizes, *own, *tables, q[some], p[some])


def _of(some: slice, x: Tensor, count: int) -> Tensor:
    """A value of each of some trajectories."""
    return (x if len(x) == 1 else x[some]).expand(count, *x.shape[1:]).contiguous()


def _levels(t: Tensor) -> tuple[Tensor, Tensor, Tensor]:
    """Three grids ``(trajectory, some, 1)`` whose sums are the times ``t``, in their order.

    An even grid is a coarse one, with a middle one between its points and `LANES` times between those. Others are
    looked up one by one. The last level's number is a multiple of `LANES`.
    """
    times = t.shape[1]
    span = LANES * (math.isqrt((times - 1) // LANES) + 1)
    if len(t) == 1 and times >= 2 * span:
        levels = t[:, ::span], t[:, :span:LANES], t[:, :LANES]
        coarse, middle, fine = (x.flatten() for x in levels)
        grid = (coarse[:, None, None] + middle[:, None] + fine).flatten()[:times]
        if (grid - t.flatten()).abs().max() <= 4 * torch.finfo(t.dtype).eps * t.abs().max():
            return levels
    start = t.new_zeros(len(t), 1, 1)
    return start, start, torch.cat([t, t[:, -1:].expand(-1, -times % LANES, -1)], 1)
