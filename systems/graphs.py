"""Springs along the edges of chains, lattices and any graph."""

from __future__ import annotations

from typing import Any

import numpy as np
import torch
from jaxtyping import Float
from torch import Tensor

from systems.checks import check
from systems.springs import Springs


def lattice(
    *sizes: int, periodic: bool = False, mass: Any = 1.0, spring_constant: Any = 1.0, **options: Any
) -> Springs:
    """Springs between nearest neighbours of a lattice. One size is a chain, or a ring if it is periodic.

    Bodies are numbered as in C order: the last index runs fastest. `lattice_points` are places for them to start at,
    and the attribute ``matrix`` is the matrix of the spring constants.

    Args:
        sizes: numbers of bodies in each direction.
        periodic: whether the last body of each direction is joined to the first.
        mass: one number, or ``(*batch, n)``.
        spring_constant: one number, or ``(*batch, edges)``.
        **options: see `Springs`.

    Raises:
        ValueError: for a size below 1, and as `Springs`.

    Example:
        >>> lattice(3).matrix
        tensor([[0., 1., 0.],
                [1., 0., 1.],
                [0., 1., 0.]], dtype=torch.float64)
        >>> lattice(100, 100, rest_length=1.0).edges.shape
        torch.Size([2, 19800])
    """
    for size in sizes:
        check("sizes", sizes, size >= 1, "numbers of at least 1")
    index = np.arange(np.prod(sizes, dtype=int)).reshape(sizes)
    ends = []
    for axis, size in enumerate(sizes):
        along = np.moveaxis(index, axis, 0)
        ends.append((along[:-1].ravel(), along[1:].ravel()))
        if periodic and size > 2:  # of two bodies, one spring joins both
            ends.append((along[:1].ravel(), along[-1:].ravel()))
    i, j = (np.concatenate([index.ravel()[:0], *side]) for side in zip(*ends, strict=True)) if ends else ([], [])
    return _springs((i, j), index.size, mass, spring_constant, options)


def lattice_points(*sizes: int, spacing: float = 1.0, dtype: torch.dtype = torch.float64) -> Float[Tensor, "n d"]:
    """The points of a lattice, in the order of its bodies.

    Example:
        >>> lattice_points(2, 2)
        tensor([[0., 0.],
                [0., 1.],
                [1., 0.],
                [1., 1.]], dtype=torch.float64)
    """
    axes = [spacing * torch.arange(size, dtype=dtype) for size in sizes]
    return torch.stack(torch.meshgrid(*axes, indexing="ij"), -1).reshape(-1, len(sizes))


def from_graph(graph: Any, *, mass: Any = 1.0, weight: str = "weight", **options: Any) -> Springs:
    """Springs along the edges of a graph, of networkx or as a sparse matrix of scipy.

    Bodies are numbered in the order of the graph's nodes. A graph in pieces is allowed: the closed form solves each by
    itself.

    Args:
        graph: an undirected graph of networkx, whose edges may have a ``weight``, or a square, symmetric matrix of
            scipy.sparse: the spring constants. Its diagonal has no meaning.
        mass: one number, or ``(*batch, n)``.
        weight: name of the attribute of edges that is their spring constant; 1 where an edge has none.
        **options: see `Springs`.

    Raises:
        ValueError: for a directed graph, several edges between two nodes, a matrix that is not square or not symmetric,
            anything else, and as `Springs`.

    Example:
        >>> from scipy.sparse import csr_array
        >>> system = from_graph(csr_array([[0.0, 2.0, 0.0], [2.0, 0.0, 1.0], [0.0, 1.0, 0.0]]))
        >>> system.edges.tolist(), system.spring_constant.tolist()
        ([[0, 1], [1, 2]], [2.0, 1.0])
    """
    if hasattr(graph, "is_directed") and hasattr(graph, "edges"):
        if graph.is_directed() or graph.is_multigraph():
            raise ValueError(f"graph: expected one undirected edge between two nodes, got a {type(graph).__name__}")
        number = {node: k for k, node in enumerate(graph.nodes)}
        found = [(number[a], number[b], float(values.get(weight, 1.0))) for a, b, values in graph.edges(data=True)]
        i, j, constants = (np.array(x) for x in zip(*found, strict=True)) if found else (np.zeros(0, int),) * 3
        return _springs((i, j), len(number), mass, constants.astype(float), options)
    if not hasattr(graph, "tocoo"):
        raise ValueError(f"graph: expected one of networkx or a matrix of scipy.sparse, got {type(graph).__name__}")
    from scipy.sparse import coo_array, triu  # costs a tenth of a second

    matrix: Any = coo_array(graph)
    if len(set(matrix.shape)) != 1 or abs(matrix - matrix.T).sum() != 0:
        raise ValueError(f"graph: expected a square, symmetric matrix, got one of shape {matrix.shape}")
    matrix.sum_duplicates()
    upper = coo_array(triu(matrix, 1))
    return _springs((upper.row, upper.col), matrix.shape[0], mass, upper.data.astype(float), options)


def _springs(edges: Any, bodies: int, mass: Any, spring_constant: Any, options: dict[str, Any]) -> Springs:
    if np.ndim(mass) == 0 and not isinstance(mass, Tensor):
        mass = np.full(bodies, float(mass))
    elif np.ndim(mass) == 0:
        mass = mass.expand(bodies).clone()
    return Springs(mass=mass, edges=edges, spring_constant=spring_constant, **options)
