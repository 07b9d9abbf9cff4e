"""The points that are left after a layer."""

import math

import torch
from jaxtyping import Bool, Int
from torch import Tensor

from hlieconv.nn.metric import Distances


def kept_points(part: float | int, n: int) -> int:
    """How many of n points are left after a layer: at least one.

    Example:
        >>> kept_points(0.3, 8), kept_points(5, 8), kept_points(5, 3)
        (3, 5, 3)
    """
    return min(part, n) if isinstance(part, int) else max(1, math.ceil(part * n - 1e-9))


def farthest_points(
    distances: Distances, part: float | int
) -> tuple[Int[Tensor, "*batch m"], Bool[Tensor, "*batch m"] | None]:
    """Points spread evenly: each one the farthest, by the group's distance, from all those before it.

    The first is the one with the largest sum of distances. So the choice moves with the points and does not depend on
    their order, up to ties.

    Args:
        distances: among the lifted points.
        part: the fraction of the points that exist which is left, rounded up; or a whole number, how many at most.

    Returns:
        The rows of the chosen points, and which of them exist (None if all do).

    Source: Eldar et al. 1997 (farthest point strategy); Finzi et al. 2020, appendix A.4.
    """
    n, mask = distances.size, distances.lifted.mask
    count = kept_points(part, n)
    absent = distances.sums().new_full((), -2.0)
    sums = distances.sums() if mask is None else torch.where(mask, distances.sums(), absent)
    row = sums.argmax(-1, keepdim=True)
    nearest = torch.full_like(sums, math.inf) if mask is None else torch.where(mask, math.inf, absent)
    rows = []
    for _ in range(count):
        rows.append(row)
        # A chosen point is at distance 0 from itself; -1 leaves it behind others that coincide with it.
        nearest = torch.minimum(nearest, distances.rows(row)[..., 0, :]).scatter(-1, row, -1.0)
        row = nearest.argmax(-1, keepdim=True)
    return torch.cat(rows, -1), _kept(part, count, mask)


def random_points(
    lifted_mask: Bool[Tensor, "*batch n"] | None,
    shape: tuple[int, ...],
    part: float | int,
    *,
    generator: torch.Generator,
) -> tuple[Int[Tensor, "*batch m"], Bool[Tensor, "*batch m"] | None]:
    """Points drawn at random without replacement: cheap, and equivariant as it does not look at them.

    Args:
        lifted_mask: which points exist; None if all do.
        shape: ``(*batch, n)``.
        part: as in `farthest_points`.
        generator: the source of the draws.

    Returns:
        As `farthest_points`.
    """
    scores = torch.rand(shape, generator=generator, device=generator.device)
    if lifted_mask is not None:
        scores = torch.where(lifted_mask.to(scores.device), scores, -1.0)
    count = kept_points(part, shape[-1])
    return scores.topk(count, -1).indices, _kept(part, count, lifted_mask)


def _kept(part: float | int, count: int, mask: Tensor | None) -> Tensor | None:
    """Which of ``count`` chosen points count: padding must not change how many points of a batch entry are left."""
    if mask is None:
        return None
    there = mask.sum(-1, keepdim=True)
    wanted = there if isinstance(part, int) else (part * there.double() - 1e-9).ceil().clamp(min=1)
    return torch.arange(count, device=mask.device) < wanted
