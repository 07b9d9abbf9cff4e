"""Random numbers of which the first do not depend on how many are drawn."""

import torch
from torch import Tensor

from systems.checks import check


class Draws:
    """Random tensors ``(count, *shape)`` in float64 on the CPU, each from a stream of its own.

    A row depends on the seed, on its own index and on the order of the calls, not on ``count``: larger samples begin
    with the smaller ones.

    Args:
        count: number of rows.
        seed: of all streams.
        **sizes: other numbers of the sample that must be at least 1, such as ``bodies``.

    Raises:
        ValueError: for a number below 1, or a seed that is not in 0 to 2^63 - 1.

    Example:
        >>> Draws(100, seed=0).normal(6, 2)[:10].equal(Draws(10, seed=0).normal(6, 2))
        True
    """

    def __init__(self, count: int, seed: int, **sizes: int) -> None:
        for name, size in {"count": count, **sizes}.items():
            check(name, size, size >= 1, "at least 1")
        check("seed", seed, 0 <= seed < 2**63, "a number from 0 to 2^63 - 1")
        self.count = count
        self.seeds = torch.Generator().manual_seed(seed)

    def uniform(self, low: float, high: float, *shape: int) -> Tensor:
        """U(low, high)."""
        return low + (high - low) * torch.rand(self.count, *shape, dtype=torch.float64, generator=self._stream())

    def normal(self, *shape: int) -> Tensor:
        """N(0, 1)."""
        # torch draws normal numbers 16 at a time: with whole sixteens, a longer tensor begins as a shorter one.
        whole = -(-self.count // 16) * 16
        return torch.randn(whole, *shape, dtype=torch.float64, generator=self._stream())[: self.count]

    def _stream(self) -> torch.Generator:
        seed = torch.randint(2**62, (), generator=self.seeds).item()
        return torch.Generator().manual_seed(int(seed))
