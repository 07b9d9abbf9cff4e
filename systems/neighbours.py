"""Lists of neighbours: the pairs of bodies within a distance, made again only when bodies have moved."""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
import torch
from jaxtyping import Bool, Float, Int64
from torch import Tensor

#: By how much more than the cutoff a list reaches, as a fraction of it.
SKIN = 0.1


class _Made(NamedTuple):
    """A list, and what it was made of."""

    q: Tensor
    reach: float
    i: Tensor
    j: Tensor


class NeighbourList:
    """The pairs i < j of bodies within a cutoff, and some beyond: kept until a body has moved by half of `SKIN`.

    The pairs are in the order of i, then j. What is summed over them in this order is the same to the last bit whenever
    the list was made, as pairs beyond the cutoff add zeros.
    """

    def __init__(self) -> None:
        self._made: _Made | None = None
        self.count = 0
        """How often it was made."""

    def of(
        self,
        q: Float[Tensor, "trajectory n d"],
        cutoff: float,
        box: Float[Tensor, "trajectory d"] | None = None,
        mask: Bool[Tensor, "trajectory n"] | None = None,
    ) -> tuple[Int64[Tensor, " pair"], Int64[Tensor, " pair"]]:
        """i and j, as places among the bodies of all trajectories one after the other.

        Args:
            q: positions; bodies at NaN have no neighbours.
            cutoff: the distance within which all pairs are told.
            box: the sides of their periodic boxes.
            mask: True where a body exists.

        Example:
            >>> found = NeighbourList().of(torch.tensor([[[0.0], [1.0], [5.0]]]), cutoff=1.5)
            >>> [x.tolist() for x in found]
            [[0], [1]]
        """
        made, skin = self._made, SKIN * cutoff
        if made is not None and made.q.shape == q.shape and made.q.dtype == q.dtype and made.reach == cutoff + skin:
            moved = (q - made.q).square().sum(-1)
            if not bool((moved > (skin / 2) ** 2).any()):
                return made.i, made.j
        self.count += 1
        n, found = q.shape[1], []
        exists = torch.isfinite(q).all(-1) if mask is None else torch.isfinite(q).all(-1) & mask
        for number, (points, there) in enumerate(zip(q.double().cpu().numpy(), exists.cpu().numpy(), strict=True)):
            side = None if box is None else box[number].double().cpu().numpy()
            found.append(_pairs_within(points, there, cutoff + skin, side) + number * n)
        i, j = torch.from_numpy(np.concatenate(found, 1)).to(q.device)
        self._made = _Made(q.clone(), cutoff + skin, i, j)
        return i, j


def _pairs_within(points: np.ndarray, exists: np.ndarray, reach: float, box: np.ndarray | None) -> np.ndarray:
    """i < j ``(2, pair)`` in order, by the cells of a k-d tree."""
    from scipy.spatial import KDTree  # costs a tenth of a second: only where neighbours are listed

    place = exists.nonzero()[0]
    inside = points[place]
    if box is not None:
        inside = np.mod(inside, box)
        inside = np.where(inside >= box, 0.0, inside)  # where a rounding led there
    pairs = KDTree(inside, boxsize=box).query_pairs(reach, output_type="ndarray")
    keys = place[pairs[:, 0]] * len(points) + place[pairs[:, 1]]  # places are in order, so that i < j stays
    keys.sort()
    return np.stack([keys // len(points), keys % len(points)])
