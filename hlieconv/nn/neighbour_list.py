"""The k nearest points in space, in time linear in their number."""

import math

import numpy as np
import torch
from jaxtyping import Bool, Float, Int
from scipy.spatial import KDTree
from torch import Tensor

#: Below so many points, all distances are computed: cheaper than any list.
FEW = 256


def nearest(
    queries: Float[Tensor, "*batch m d"],
    points: Float[Tensor, "*batch n d"],
    k: int,
    mask: Bool[Tensor, "*batch n"] | None = None,
) -> Int[Tensor, "*batch m k"]:
    """The k points nearest to each query, the nearest first, by the Euclidean distance; -1 where there are no more.

    A tree on the CPU, cells on a GPU. It is a choice, without a derivative: make what is computed from the pairs vanish
    (see `Neighbourhood`) before the last of them, and its gradient is right.

    Args:
        queries: where to look from.
        points: where to look.
        k: how many, at most n.
        mask: which points exist; None if all do.

    Example:
        >>> points = torch.tensor([[0.0], [1.0], [5.0]])
        >>> nearest(points, points, 2)
        tensor([[0, 1],
                [1, 0],
                [2, 1]])
    """
    if not 1 <= k <= points.shape[-2]:
        raise ValueError(f"k: expected 1 to {points.shape[-2]}, the number of points, got {k}")
    if mask is None:
        mask = points.new_ones(points.shape[:-1], dtype=torch.bool)
    *batch, m, d = queries.shape
    n = points.shape[-2]
    with torch.no_grad():
        found = _nearest(queries.detach().reshape(-1, m, d), points.detach().reshape(-1, n, d), mask.reshape(-1, n), k)
    return found.reshape(*batch, m, k)


@torch.library.custom_op("hlieconv::nearest", mutates_args=())
def _nearest(queries: Tensor, points: Tensor, mask: Tensor, k: int) -> Tensor:
    """An operator of its own, so that it is opaque to torch.compile and torch.func."""
    if points.shape[1] <= FEW:
        return _by_all_distances(queries, points, mask, k)
    return (_by_tree if points.device.type == "cpu" else _by_cells)(queries, points, mask, k)


@_nearest.register_fake
def _(queries: Tensor, points: Tensor, mask: Tensor, k: int) -> Tensor:
    return queries.new_empty((*queries.shape[:2], k), dtype=torch.long)


def _by_all_distances(queries: Tensor, points: Tensor, mask: Tensor, k: int) -> Tensor:
    squares = (queries[:, :, None] - points[:, None]).square().sum(-1)
    found = torch.where(mask[:, None], squares, math.inf).topk(k, largest=False)
    return torch.where(found.values.isinf(), -1, found.indices)


def _by_tree(queries: Tensor, points: Tensor, mask: Tensor, k: int) -> Tensor:
    found = []
    for some, space, here in zip(queries.numpy(), points.numpy(), mask.numpy(), strict=True):
        number = np.append(np.flatnonzero(here), -1)  # the tree calls what it did not find by the number of its points
        _, order = KDTree(space[here]).query(some, k=k)
        found.append(number[order.reshape(-1, k)])
    return torch.from_numpy(np.stack(found))


def _by_cells(queries: Tensor, points: Tensor, mask: Tensor, k: int) -> Tensor:
    """Points sorted into cells: look into a query's own and those around it; if too few are there, into larger ones."""
    count, n, d = points.shape
    low = torch.where(mask[..., None], points, math.inf).amin((0, 1))
    extent = (torch.where(mask[..., None], points, -math.inf).amax((0, 1)) - low).amax().item()
    # As wide as a ball that would hold k points if they filled the box evenly.
    side = max(extent * (k / n) ** (1 / d), torch.finfo(points.dtype).tiny)
    found = queries.new_full((queries[..., 0].numel(), k), -1, dtype=torch.long)
    entry = torch.arange(count, device=points.device)
    rest = torch.arange(len(found), device=points.device)
    flat_points, flat_queries = points.flatten(0, 1), queries.flatten(0, 1)
    point_entry, query_entry = entry.repeat_interleave(n), entry.repeat_interleave(queries.shape[1])
    while len(rest):
        cells = _Cells(flat_points, point_entry, mask.flatten(), low, side, extent)
        found[rest], done = cells.nearest(flat_queries[rest], query_entry[rest], k)
        rest, side = rest[~done], 2 * side
    first = (query_entry * n)[:, None]
    return torch.where(found < 0, -1, found - first).unflatten(0, queries.shape[:2])


class _Cells:
    """Points of all batch entries, sorted by the cell that they lie in."""

    def __init__(self, points: Tensor, entry: Tensor, mask: Tensor, low: Tensor, side: float, extent: float) -> None:
        self.points, self.low, self.side, self.extent = points, low, side, extent
        self.cells = int(extent / side) + 3  # along each axis, with one more on either side
        number = torch.where(mask, self._number(self._cell(points), entry), torch.iinfo(torch.long).max)
        self.sorted, self.order = number.sort()

    def _cell(self, points: Tensor) -> Tensor:
        """Of points; and of queries, which may lie outside the box: then the nearest one in it."""
        return ((points - self.low) / self.side).floor().clamp(0, self.cells - 3).long() + 1

    def _number(self, cell: Tensor, entry: Tensor) -> Tensor:
        number = entry
        for axis in cell.unbind(-1):
            number = number * self.cells + axis
        return number

    def nearest(self, queries: Tensor, entry: Tensor, k: int) -> tuple[Tensor, Tensor]:
        """The k nearest points (-1 where there are fewer), and whether no other can be nearer."""
        d = queries.shape[-1]
        around = torch.cartesian_prod(*(torch.arange(-1, 2, device=queries.device),) * d).reshape(-1, d)
        number = self._number(self._cell(queries)[:, None] + around, entry[:, None])
        start, end = torch.searchsorted(self.sorted, number), torch.searchsorted(self.sorted, number, right=True)
        deepest = max(1, int((end - start).max()))
        block = max(1, 2**22 // (len(around) * deepest))
        parts = [
            self._among(query, first, last, deepest, k)
            for query, first, last in zip(queries.split(block), start.split(block), end.split(block), strict=True)
        ]
        found, distance = (torch.cat(part) for part in zip(*parts, strict=True))
        # Whatever is not in these cells is at least a side away; larger cells than the box leave nothing out.
        return found, (distance[:, -1] <= self.side) | (self.side > self.extent)

    def _among(self, queries: Tensor, start: Tensor, end: Tensor, deepest: int, k: int) -> tuple[Tensor, Tensor]:
        slot = start[..., None] + torch.arange(deepest, device=start.device)
        valid = (slot < end[..., None]).flatten(1)
        candidate = self.order[slot.clamp(max=len(self.order) - 1)].flatten(1)
        squares = (self.points[candidate] - queries[:, None]).square().sum(-1)
        squares = torch.where(valid, squares, math.inf)
        if squares.shape[1] < k:
            candidate = torch.nn.functional.pad(candidate, (0, k - squares.shape[1]), value=-1)
            squares = torch.nn.functional.pad(squares, (0, k - squares.shape[1]), value=math.inf)
        best = squares.topk(k, largest=False)
        chosen = candidate.gather(1, best.indices)
        return torch.where(best.values.isinf(), -1, chosen), best.values.sqrt()
