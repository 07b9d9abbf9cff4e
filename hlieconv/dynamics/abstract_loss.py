"""What a loss is: a scalar for a vector field and some samples, into which it turns chunks of trajectories once."""

from abc import ABC, abstractmethod
from collections.abc import Callable
from typing import Generic, TypeVar

import torch
from jaxtyping import Bool, Float
from torch import Tensor

from hlieconv.dynamics.chunks import Chunks
from hlieconv.dynamics.derivatives import Derivatives
from hlieconv.training.sharing import mean_over_all, of_all_samples, total
from systems import AbstractVectorField

#: Residuals beyond so many times the median count for little, where they are robust.
FAR = 5.0

Samples = TypeVar("Samples", bound="Chunks | Derivatives")


def as_they_are(chunks: Chunks) -> Chunks:
    """In the data's own units."""
    return chunks


class AbstractLoss(ABC, Generic[Samples]):
    """A scalar for a vector field and some samples, 0 for the field that made them: the mean of its `errors`."""

    def check(self, chunks: Chunks, mass: Float[Tensor, "trajectory n"] | None) -> None:
        """A ValueError, in the data's own units, if the chunks do not say what the loss needs."""

    @abstractmethod
    def samples(
        self,
        chunks: Chunks,
        mass: Float[Tensor, "trajectory n"] | None,
        framed: Callable[[Chunks], Chunks] = as_they_are,
        most: int | None = None,
        *,
        seed: int = 0,
    ) -> Samples:
        """What the loss looks at, computed once, in float64.

        Args:
            chunks: pieces of trajectories.
            mass: of the bodies, where it is known, in the units of the samples.
            framed: gives chunks in these units.
            most: how many there is time to look at: of more, so many are taken at random.
            seed: of that.

        Raises:
            ValueError: if the chunks do not have what the loss needs.
        """

    @abstractmethod
    def errors(self, field: AbstractVectorField, samples: Samples) -> tuple[Tensor, ...]:
        """The mean square errors of a field that moves the bodies of these samples, one for each kind of quantity."""

    @abstractmethod
    def sizes(self, samples: Samples, mask: Bool[Tensor, "sample n"] | None) -> tuple[Tensor, ...]:
        """About the errors of a field in which nothing changes. In units of these the forces of planets are not small.

        Args:
            samples: all that there are.
            mask: True where a body of theirs exists.
        """

    def __call__(self, field: AbstractVectorField, samples: Samples) -> Float[Tensor, ""]:
        return mean_of(self.errors(field, samples))


def mean_of(values: tuple[Tensor, ...]) -> Float[Tensor, ""]:
    return sum(values[1:], values[0]) / len(values)


def size_of(
    values: Float[Tensor, "*batch n d"], mask: Tensor | None, *, seen: Bool[Tensor, "*batch n d"] | None = None
) -> Float[Tensor, ""]:
    """The mean square of what exists and was seen, in all of a batch that processes share; 1 if all of it is 0."""
    square = mean_over_all(mean_square(values, mask, seen=seen), _real(values, mask).sum())
    return torch.where(square > 0, square, 1)


def mean_square(
    error: Float[Tensor, "*batch n d"],
    mask: Tensor | None,
    weight: Float[Tensor, "*batch n"] | None = None,
    *,
    seen: Bool[Tensor, "*batch n d"] | None = None,
    robust: bool = False,
) -> Float[Tensor, ""]:
    """The mean of the squares, times their weights, over the bodies that exist, and of them over what was seen.

    Of a share of a batch (see `sharing`) it is such that the mean over shares, each weighing as many bodies as exist in
    it, is that over the batch.

    Robust ones, of which a few may be as large as they like, are u / (1 + u / s) in place of a body's square u, with s
    `FAR` squared times the median of what is not 0 (Geman & McClure 1987).

    Example:
        >>> error = torch.tensor([[[0.1]], [[0.1]], [[0.2]], [[1e6]]])
        >>> bool(mean_square(error, None) > 1e11), bool(mean_square(error, None, robust=True) < 0.1)
        (True, True)
    """
    if mask is None and seen is None and not robust:
        return (error.square() if weight is None else weight[..., None] * error.square()).mean()
    there = _real(error, mask)
    real = there if seen is None else there & seen
    square = torch.where(real, error, 0).square()
    square = square if weight is None else weight[..., None] * square
    if robust:
        square = square.sum(-1)
        typical = of_all_samples(torch.where(square > 0, square, torch.nan)).nanmedian().nan_to_num(1.0)
        square = square / (1 + square / (FAR**2 * typical))
    if seen is None:
        return square.sum() / real.sum().clamp(min=1)
    part = there.sum().to(square) / total(there.sum())
    return square.sum() / (total(real.sum()).clamp(min=1) * part)


def _real(values: Float[Tensor, "*batch n d"], mask: Tensor | None) -> Bool[Tensor, "*batch n d"]:
    """Which numbers are of bodies that exist."""
    return torch.ones_like(values, dtype=torch.bool) if mask is None else mask[..., None].expand(values.shape)
