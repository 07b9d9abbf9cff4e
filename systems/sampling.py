"""Random numbers of systems, of which each can be drawn without the others."""

from typing import Any

import numpy as np
import torch
from torch import Tensor

from systems.checks import check

#: Systems that are drawn from one generator: to draw the last of them costs as much as all.
DRAWN = 2**14


class Draws:
    """Random tensors ``(count, *shape)`` in float64 on the CPU, each from a stream of its own.

    A row depends on the seed, on the number of the system and on the order of the calls, on nothing else: larger
    samples begin with the smaller ones, and the systems of a range are those of the whole sample.

    Args:
        count: number of systems, from number 0; or a range of their numbers.
        seed: of all streams.
        **sizes: other numbers of the sample that must be at least 1, such as ``bodies``.

    Raises:
        ValueError: for a number below 1, a range that is empty, begins below 0 or has steps, or a seed that is not in 0
            to 2^63 - 1.

    Example:
        >>> Draws(range(7, 10), seed=0).normal(6, 2).equal(Draws(100, seed=0).normal(6, 2)[7:10])
        True
    """

    def __init__(self, count: int | range, seed: int, **sizes: int) -> None:
        if isinstance(count, range):
            words = "numbers of systems that follow one another, from 0 on"
            check("count", count, len(count) > 0 and count.start >= 0 and count.step == 1, words)
        for name, size in {"count": len(count) if isinstance(count, range) else count, **sizes}.items():
            check(name, size, size >= 1, "at least 1")
        check("seed", seed, 0 <= seed < 2**63, "a number from 0 to 2^63 - 1")
        self.rows = count if isinstance(count, range) else range(count)
        self.count = len(self.rows)
        self.seeds = torch.Generator().manual_seed(seed)

    def uniform(self, low: float, high: float, *shape: int) -> Tensor:
        """U(low, high)."""
        return low + (high - low) * self._drawn(torch.rand, shape)

    def normal(self, *shape: int) -> Tensor:
        """N(0, 1)."""
        return self._drawn(torch.randn, shape)

    def _drawn(self, draw: Any, shape: tuple[int, ...]) -> Tensor:
        """The rows of a stream, whose every `DRAWN` rows have a generator of their own."""
        stream = int(torch.randint(2**62, (), generator=self.seeds).item())
        pieces = []
        for first in range(self.rows.start // DRAWN * DRAWN, self.rows.stop, DRAWN):
            start, stop = max(self.rows.start - first, 0), min(self.rows.stop - first, DRAWN)
            # torch draws normal numbers 16 at a time: with whole sixteens, a longer tensor begins as a shorter one.
            whole = -(-stop // 16) * 16
            generator = torch.Generator().manual_seed(_seed_of(stream, first // DRAWN))
            pieces.append(draw(whole, *shape, dtype=torch.float64, generator=generator)[start:stop])
        return torch.cat(pieces) if len(pieces) > 1 else pieces[0]


def _seed_of(stream: int, block: int) -> int:
    """Of the generator of some systems of a stream."""
    return int(np.random.SeedSequence([stream, block]).generate_state(1, np.uint64)[0]) if block else stream
