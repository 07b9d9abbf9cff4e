"""Normal modes added up at many times by torch: products of tables of cosines (see `normal_modes`)."""

import math
from collections.abc import Iterator

import numpy as np
import torch
from torch import Tensor

from systems.closed_forms.waves import HUGE, waves

_LINE = 8  # numbers in a line of the cache
_BLOCK = 800_000  # numbers in a table: small enough for the cache, large enough to hide the cost of calling torch


def by_torch(root: Tensor, t: Tensor, square: Tensor, modes: Tensor, a: Tensor, b: Tensor) -> tuple[Tensor, Tensor]:
    """q(t), p(t) ``(trajectory, time, n, d)``: products of tables of cosines."""
    (count, n, d), times, device = a.shape, t.shape[1], a.device
    rows = -(-times // _LINE) * _LINE
    q, p = (_aligned(count, rows, n, d, device=device) for _ in range(2))
    coarse = _coarse(t)
    blocks = list(blocks_of(count, 2 * n * times))
    # One memory for the tables of all blocks: to touch new memory costs more than to write there.
    tables = min([max(len(square), len(t)), *(some.stop for some in blocks[:1])])
    step = coarse or _LINE
    memory = _aligned(tables, n, 2, -(-times // step) * step, device=device)
    for some in blocks:
        root_, a_, b_, t_, square_, modes_ = part_of(some, root, a, b, t, square, modes)
        room = memory[: len(a_)]
        _table(square_, t_, coarse, room)
        table = room.flatten(1, 2)[..., :rows].mT.expand(len(a_), -1, -1)
        weights = _aligned(len(a_), n, 2, n, d, device=device)
        for out, shapes, amplitudes in (
            (q, modes_ / root_, (a_, b_)),  # q = U (C a + S b) / sqrt(m)
            (p, modes_ * root_, (b_, -square_ * a_)),  # p = U (C b - lambda S a) * sqrt(m)
        ):
            torch.mul(shapes.mT[:, :, None, :, None], torch.stack(amplitudes, 2)[:, :, :, None], out=weights)
            torch.bmm(table, weights.view(-1, 2 * n, n * d), out=out[some].flatten(2))
            if (square_ < 0).any():
                grown = (room[..., :rows].abs() >= HUGE).any(2).to(modes_.dtype)
                out[some][((modes_ != 0).to(modes_.dtype) @ grown).mT > 0] = torch.inf
    return q[:, :times], p[:, :times]


def _table(square: Tensor, t: Tensor, coarse: int, out: Tensor) -> None:
    """C and S of each mode ``square (b, n, 1)`` at the times ``t (b, time, 1)``, into ``out (b, n, 2, time)``.

    ``coarse`` is the number of times between the coarse points of an even grid; 0 if the grid is not even. ``out`` has
    room for more times than there are.
    """
    if not coarse:
        for wave, place in zip(waves(square, t.mT), out.unbind(2), strict=True):
            place[..., : t.shape[1]] = wave
            place[..., t.shape[1] :] = 0
        return
    c, s = (wave[..., None] for wave in waves(square, torch.cat([t[:, ::coarse], t[:, :coarse]], 1).mT))
    (c0, c1), (s0, s1) = (wave.split([c.shape[2] - coarse, coarse], 2) for wave in (c, s))
    cosines, sines = out.unflatten(-1, (-1, coarse)).unbind(2)
    torch.mul(c0, c1.mT, out=cosines).addcmul_(square[..., None] * s0, s1.mT, value=-1)
    torch.mul(s0, c1.mT, out=sines).addcmul_(c0, s1.mT)


def _coarse(t: Tensor) -> int:
    """How many times to put between the coarse points of the grid ``t (b, time, 1)``; 0 if it is not even."""
    if len(t) != 1 or t.shape[1] < 4 * _LINE:
        return 0
    count = -(-math.isqrt(2 * t.shape[1]) // _LINE) * _LINE
    grid = (t[0, ::count] + t[0, :count].mT).flatten()[: t.shape[1]]
    even = (grid - t[0, :, 0]).abs().max() <= 4 * torch.finfo(t.dtype).eps * t.abs().max()
    return count if even else 0


def _aligned(count: int, *shape: int, device: torch.device) -> Tensor:
    """Memory for tensors ``(count, *shape)`` of which each begins a cache line, or the last bits would depend on it."""
    size = math.prod(shape)
    if device.type != "cpu":
        return torch.empty(count, *shape, dtype=torch.float64, device=device)
    stride = -(-size // _LINE) * _LINE
    memory = np.empty(count * stride + _LINE)  # in huge pages: the first touch costs a fifth of that of torch's memory
    start = -memory.ctypes.data // memory.itemsize % _LINE
    lines = torch.from_numpy(memory[start : start + count * stride])
    return lines.view(count, stride)[:, :size].view(count, *shape)


def blocks_of(total: int, size: int) -> Iterator[slice]:
    """Slices of ``range(total)`` for things of ``size`` numbers each, about `_BLOCK` numbers a slice."""
    step = max(1, _BLOCK // max(1, size))
    return (slice(start, start + step) for start in range(0, total, step))


def part_of(index: slice | Tensor, *tensors: Tensor) -> list[Tensor]:
    """Some of the trajectories; what all of them share stays."""
    return [x if len(x) == 1 else x[index] for x in tensors]
