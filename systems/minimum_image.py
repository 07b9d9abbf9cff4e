"""Distances in a periodic box: those of the nearest images."""

from collections.abc import Sequence

from jaxtyping import Float
from torch import Tensor


def nearest_images(apart: Sequence[Tensor], box: Float[Tensor, "*some d"]) -> list[Tensor]:
    """Differences of positions, one dimension at a time, to the nearest image in a periodic box.

    Args:
        apart: one tensor for each dimension.
        box: its sides, ``(..., d)`` or ``(..., 1)`` for all, such that those of a dimension broadcast with its tensor.
    """
    sides = box.expand(*box.shape[:-1], len(apart)).unbind(-1)
    return [x - side * (x / side + 0.5).floor() for x, side in zip(apart, sides, strict=True)]
