"""Statistics of a whole batch in a loss, where each process computes a share of it: counts, sizes, medians."""

from collections.abc import Iterator
from contextlib import contextmanager
from contextvars import ContextVar
from dataclasses import dataclass

import torch
import torch.distributed as distributed
from jaxtyping import Float
from torch import Tensor

from systems.ranks import Ranks, in_one_line


@dataclass(frozen=True)
class _Sharing:
    ranks: Ranks
    most: int
    """Samples of the largest share."""


_SHARING: ContextVar[_Sharing | None] = ContextVar("sharing", default=None)


@contextmanager
def sharing(ranks: Ranks, most: int) -> Iterator[None]:
    """In this block the samples of a loss are a share of a batch.

    Args:
        ranks: the processes that compute it together, all of which come to each function here.
        most: samples of the largest share.
    """
    token = _SHARING.set(_Sharing(ranks, most) if ranks.size > 1 else None)
    try:
        yield
    finally:
        _SHARING.reset(token)


def total(x: Tensor) -> Tensor:
    """The sum over all shares, without a gradient.

    Example:
        >>> total(torch.tensor(3))
        tensor(3)
    """
    if _SHARING.get() is None:
        return x
    whole = x.detach().clone()
    with in_one_line():
        distributed.all_reduce(whole)
    return whole


def mean_over_all(mean: Float[Tensor, ""], weight: Tensor) -> Float[Tensor, ""]:
    """The mean over the batch of what is a mean over each share, without a gradient.

    Args:
        mean: over this share.
        weight: of how many equal parts it is the mean.
    """
    if _SHARING.get() is None:
        return mean
    return total(mean * weight) / total(weight)


def of_all_samples(x: Float[Tensor, "*batch sample n"]) -> Float[Tensor, "*batch all n"]:
    """The samples of all shares, without a gradient, and some that are NaN."""
    found = _SHARING.get()
    if found is None:
        return x.detach()
    own = x.new_full((*x.shape[:-2], found.most, x.shape[-1]), torch.nan)
    own[..., : x.shape[-2], :] = x.detach()
    pieces = [torch.empty_like(own) for _ in range(found.ranks.size)]
    with in_one_line():
        distributed.all_gather(pieces, own)
    return torch.cat(pieces, -2)
