"""From points to group elements, flat: every sample of every point is a point of the network."""

from dataclasses import dataclass
from typing import NamedTuple

import torch
from jaxtyping import Bool, Float, Int
from torch import Tensor

from hlieconv.groups import AbstractGroup
from hlieconv.groups.matrices import product
from hlieconv.nn.convolution import gather
from systems.door import in_steps
from systems.tracing import readable


@in_steps
class LiftedPoints(NamedTuple):
    """N = n * samples group elements, each on an orbit: the samples of a point are neighbours in the list."""

    elements: Float[Tensor, "*batch n r r"]
    orbit: Float[Tensor, "*batch n o"]
    mask: Bool[Tensor, "*batch n"] | None = None
    """Which of them exist; None if all do."""

    def at(self, rows: Int[Tensor, "..."]) -> "LiftedPoints":
        """Some of the points: ``rows`` is ``(*batch, ...)``, and so are they."""
        size, mask = self.elements.shape[-2:], self.mask
        return LiftedPoints(
            gather(self.elements.flatten(-2), rows).unflatten(-1, size),
            gather(self.orbit, rows),
            None if mask is None else mask.gather(-1, rows.flatten(mask.ndim - 1)).reshape(rows.shape),
        )

    def moved(self, g: Float[Tensor, "*batch r r"]) -> "LiftedPoints":
        """All of them moved by one group element (a batch entry): u -> g u."""
        return self._replace(elements=product(g[..., None, :, :], self.elements))

    def positions(self, group: AbstractGroup) -> Float[Tensor, "*batch n d"]:
        """The points that were lifted."""
        return group.apply(self.elements, group.origin(self.orbit))


def lift(
    group: AbstractGroup,
    points: Float[Tensor, "*batch n d"],
    samples: int = 1,
    *,
    mask: Bool[Tensor, "*batch n"] | None = None,
    generator: torch.Generator | None = None,
) -> LiftedPoints:
    """Every point as ``samples`` group elements that take the origin of its orbit to it.

    Args:
        group: the group of the elements.
        points: points in the group's domain; what is masked may be anything, also NaN.
        samples: how many elements a point has; they differ by elements of the stabiliser.
        mask: which points exist; None if all do.
        generator: the source of random stabiliser elements; without it they are the fixed nodes of a quadrature: then
            the lift is a smooth function of the points, the same at each call (as dynamics needs).

    Raises:
        ValueError: for the wrong dimension or points outside the domain, no points at all, or a batch entry without
            any that exists (looked up on the CPU only: on a GPU that would wait for it).

    Example:
        >>> from hlieconv.groups import SE2
        >>> lift(SE2(), torch.randn(10, 5, 2), samples=4).elements.shape
        torch.Size([10, 20, 3, 3])
    """
    check_mask(points, mask)
    lifted = group.lift(points, samples, generator=generator, mask=mask)
    if mask is not None:
        mask = mask.repeat_interleave(samples, -1)
    return LiftedPoints(lifted.elements.flatten(-4, -3), lifted.orbit.flatten(-3, -2), mask)


@dataclass(frozen=True)
class Lifting:
    """How a network lifts points: to how many group elements each, and to which.

    Args:
        samples: how many group elements a point has. Only groups with a stabiliser (SE(2), SE(3), SO(3)) need more than
            one.
        stabiliser: "nodes" are those of a quadrature, the same for all points and at each call; "random" elements are
            drawn at each call.

    Raises:
        ValueError: for values outside their range.

    Example:
        >>> from hlieconv.groups import SE2
        >>> Lifting(samples=4)(SE2(), torch.randn(10, 5, 2)).elements.shape
        torch.Size([10, 20, 3, 3])
    """

    samples: int = 1
    stabiliser: str = "nodes"

    def __post_init__(self) -> None:
        if self.samples < 1:
            raise ValueError(f"samples: expected at least 1, got {self.samples}")
        if self.stabiliser not in ("nodes", "random"):
            raise ValueError(f"stabiliser: expected nodes or random, got {self.stabiliser!r}")

    @property
    def random(self) -> bool:
        """Whether it draws anything."""
        return self.stabiliser == "random"

    def __call__(
        self,
        group: AbstractGroup,
        points: Float[Tensor, "*batch n d"],
        mask: Bool[Tensor, "*batch n"] | None = None,
        *,
        generator: torch.Generator | None = None,
    ) -> LiftedPoints:
        """The lifted points (see `lift`).

        Raises:
            ValueError: as `lift`, and if the elements are to be drawn and there is no generator.
        """
        if self.random and generator is None:
            raise ValueError("generator: random elements of the stabiliser need one, got None")
        return lift(group, points, self.samples, mask=mask, generator=generator if self.random else None)


def check_mask(points: Float[Tensor, "*batch n d"], mask: Bool[Tensor, "*batch n"] | None) -> None:
    """A ValueError if there is nothing to convolve over."""
    if points.ndim < 2 or points.shape[-2] == 0:
        raise ValueError(f"points: expected shape (*batch, n, d) with n > 0 points, got {tuple(points.shape)}")
    if mask is None:
        return
    if mask.shape != points.shape[:-1]:
        raise ValueError(f"mask: expected shape {tuple(points.shape[:-1])} like the points, got {tuple(mask.shape)}")
    if readable(mask) and not mask.any(-1).all():
        raise ValueError("mask: expected a point that exists in each entry of the batch, got one with all masked")
