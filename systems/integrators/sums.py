"""Sums that remember what rounding took from them."""

from __future__ import annotations

from typing import NamedTuple

from torch import Tensor


class Total(NamedTuple):
    """A running sum, compensated if ``lost`` is a tensor: what rounding took from the sum so far.

    Source: Knuth, The Art of Computer Programming 2, section 4.2.2 (the error of a sum is a floating-point number).

    Example:
        >>> import torch
        >>> total = Total(torch.tensor(1.0), lost=torch.tensor(0.0))
        >>> for _ in range(1000):
        ...     total = total.plus(torch.tensor(1e-8))
        >>> total.value, 1.0 + sum(torch.full((1000,), 1e-8), torch.tensor(1.0)) - 1.0
        (tensor(1.0000), tensor(1.))
        >>> bool(total.value > 1)
        True
    """

    value: Tensor
    lost: Tensor | None = None

    def plus(self, increment: Tensor) -> Total:
        """The sum after one more increment."""
        if self.lost is None:
            return Total(self.value + increment)
        due = increment + self.lost
        value = self.value + due
        taken = value - self.value
        lost = (self.value - (value - taken)) + (due - taken)
        return Total(value, lost.detach())  # its derivative is zero
