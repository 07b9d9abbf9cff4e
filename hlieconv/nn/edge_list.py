"""The neighbours of each point along the edges of a graph."""

from __future__ import annotations

from typing import NamedTuple

import torch
from jaxtyping import Bool, Float, Int
from torch import Tensor


class EdgeList(NamedTuple):
    """For each of n points its k neighbours, as many as the point with most has: memory is n k, never n^2."""

    neighbour: Int[Tensor, "n k"]
    """0 where there are fewer."""
    present: Bool[Tensor, "n k"]
    edge: Int[Tensor, "n k"]
    """Which edge leads there; 0 where there is none."""

    def of_lifts(self, samples: int) -> EdgeList:
        """The same of points that are lifted to some elements each: all lifts of a neighbour are neighbours.

        Example:
            >>> edge_list(torch.tensor([[0], [1]]), 2).of_lifts(2).neighbour
            tensor([[2, 3],
                    [2, 3],
                    [0, 1],
                    [0, 1]])
        """
        lifts = torch.arange(samples, device=self.edge.device)
        neighbour = self.neighbour[..., None] * samples + lifts
        several = (neighbour, *(x[..., None].expand_as(neighbour) for x in (self.present, self.edge)))
        return EdgeList(*(x.flatten(1).repeat_interleave(samples, 0) for x in several))

    def of_edges(self, values: Float[Tensor, "*batch edge c"]) -> Float[Tensor, "*batch n k c"]:
        """What is known of edges, at each end."""
        return values.index_select(-2, self.edge.flatten()).unflatten(-2, self.edge.shape)

    def of_neighbours(self, values: Float[Tensor, "*batch n c"]) -> Float[Tensor, "*batch n k c"]:
        """What is known of points, at their neighbours."""
        return values.index_select(-2, self.neighbour.flatten()).unflatten(-2, self.neighbour.shape)


def edge_list(edges: Int[Tensor, "2 edge"], n: int) -> EdgeList:
    """The neighbours of n points along edges (i, j), of which each leads both ways.

    Raises:
        ValueError: for edges beyond the last point.

    Example:
        >>> found = edge_list(torch.tensor([[0, 1], [1, 2]]), 3)
        >>> found.neighbour
        tensor([[1, 0],
                [2, 0],
                [1, 0]])
        >>> found.present.sum(-1)
        tensor([1, 2, 1])
    """
    if edges.numel() and not (int(edges.min()) >= 0 and int(edges.max()) < n):
        raise ValueError(f"edges: expected points 0 to {n - 1}, got {int(edges.min())} to {int(edges.max())}")
    start, end = torch.cat([edges, edges.flip(0)], 1)
    order = start.argsort(stable=True)
    degree = torch.bincount(start, minlength=n)
    first = degree.cumsum(0) - degree
    place = torch.arange(len(start), device=start.device) - first[start[order]]
    k = int(degree.max()) if edges.numel() else 0
    neighbour, edge = start.new_zeros(n, k), start.new_zeros(n, k)
    neighbour[start[order], place] = end[order]
    edge[start[order], place] = order % max(1, edges.shape[1])
    return EdgeList(neighbour, torch.arange(k, device=start.device) < degree[:, None], edge)
