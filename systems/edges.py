"""Which pairs of bodies there are, as a list of edges."""

from __future__ import annotations

from typing import Any

import numpy as np
import torch
from jaxtyping import Int64, Shaped
from torch import Tensor


def checked_edges(edges: Any, bodies: int) -> Int64[Tensor, "2 edge"]:
    """The edges (i, j) as one tensor ``(2, edge)``.

    Args:
        edges: two lists, arrays or tensors of whole numbers, or one of shape ``(2, edge)``.
        bodies: their number; 1 where it is not known.

    Raises:
        ValueError: for what is not that, or for edges out of range, doubled (in either direction), or from a body to
            itself, with the first such edge.

    Example:
        >>> checked_edges(([0, 1], [1, 2]), bodies=3)
        tensor([[0, 1],
                [1, 2]])
    """
    try:
        ends = [x.detach().cpu().numpy() if isinstance(x, Tensor) else np.asarray(x) for x in edges]
        i, j = ends
    except (TypeError, ValueError) as error:
        raise ValueError(f"edges: expected two lists (i, j) of bodies, got {repr(edges)[:80]}") from error
    if i.ndim != 1 or i.shape != j.shape:
        raise ValueError(f"edges: expected i and j of one shape (edge,), got {i.shape} and {j.shape}")
    if i.size and not (i.dtype.kind in "iu" and j.dtype.kind in "iu"):
        raise ValueError(f"edges: expected whole numbers, got {i.dtype} and {j.dtype}")
    both = np.stack([i, j]).astype(np.int64)
    _refuse(both, (both < 0).any(0) | ((both >= bodies).any(0) if bodies > 1 else False), f"bodies 0 to {bodies - 1}")
    _refuse(both, both[0] == both[1], "two bodies")
    low, high = both.min(0), both.max(0)
    order = np.lexsort((high, low))
    doubled = np.zeros(both.shape[1], bool)
    doubled[order[1:]] = (np.diff(low[order]) == 0) & (np.diff(high[order]) == 0)
    _refuse(both, doubled, "each pair once")
    device = next((x.device for x in edges if isinstance(x, Tensor)), None)
    return torch.from_numpy(both).to(device)


def matrix_of(edges: Int64[Tensor, "2 edge"], values: Shaped[Tensor, "*batch #edge"], bodies: int) -> Tensor:
    """The symmetric matrix ``(*batch, bodies, bodies)`` of what is known of edges; 0 where there is none.

    Example:
        >>> matrix_of(torch.tensor([[0], [2]]), torch.tensor([5.0]), 3)
        tensor([[0., 0., 5.],
                [0., 0., 0.],
                [5., 0., 0.]])
    """
    i, j = edges
    values = values.expand(*values.shape[:-1], edges.shape[1])
    flat = values.new_zeros(*values.shape[:-1], bodies * bodies)
    flat = flat.index_copy(-1, i * bodies + j, values).index_copy(-1, j * bodies + i, values)
    return flat.unflatten(-1, (bodies, bodies))


def parts_of(edges: Int64[Tensor, "2 edge"], bodies: int) -> Int64[Tensor, " bodies"]:
    """Of each body the number of the connected part that it is in, through however many edges.

    Example:
        >>> parts_of(torch.tensor([[0, 1], [1, 2]]), 4)
        tensor([0, 0, 0, 1])
    """
    from scipy.sparse import coo_array  # costs a tenth of a second: only where parts are asked for
    from scipy.sparse.csgraph import connected_components

    i, j = edges.cpu().numpy()
    graph = coo_array((np.ones(len(i), np.int8), (i, j)), shape=(bodies, bodies))
    return torch.from_numpy(connected_components(graph, directed=False)[1].astype(np.int64)).to(edges.device)


def _refuse(edges: np.ndarray, wrong: Any, expected: str) -> None:
    if wrong.any():
        i, j = edges[:, wrong.argmax()].tolist()
        raise ValueError(f"edges: expected {expected}, got the edge ({i}, {j})")
