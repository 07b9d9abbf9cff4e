"""The forces that trajectories imply, with an error known beforehand."""

from typing import NamedTuple

import torch
from jaxtyping import Float, Int
from torch import Tensor

from hlieconv.dynamics.chunks import Chunks
from hlieconv.dynamics.interpolant import hermite, nodes, truncation

#: Points of a chunk.
POINTS = 5


class Targets(NamedTuple):
    """Forces at some states, and how far they may be off."""

    trajectory: Int[Tensor, " sample"]
    piece: Int[Tensor, " sample"]
    """The number of the chunk that a sample is from."""
    q: Float[Tensor, "sample n d"]
    force: Float[Tensor, "sample n d"]
    error: Float[Tensor, "sample n"]
    velocity: Float[Tensor, "sample n d"]

    def take(self, index: Int[Tensor, " some"]) -> "Targets":
        """Some of the samples."""
        return Targets(*(tensor[index] for tensor in self))


def targets_of(chunks: Chunks, mass: Float[Tensor, "trajectory n"], *, precision: float) -> Targets:
    """The force m d^2q/dt^2 of the Hermite interpolant of q and dq/dt = p / m, at the `nodes` of each chunk.

    Where dq/dt and dp/dt are data, the force is dp/dt at the points, up to rounding.

    Its error is that of the interpolant (see `truncation`), and what rounding of q adds, eps |q| / h^2.

    Args:
        chunks: pieces of some points.
        mass: of the bodies.
        precision: of the numbers as they were stored, relative.

    Example:
        >>> t = torch.linspace(0, 0.1, 5, dtype=torch.float64)[:, None]
        >>> q, p = t.cos()[..., None, None], -t.sin()[..., None, None]
        >>> chunks = Chunks(torch.tensor([0]), t, q, p)
        >>> targets = targets_of(chunks, torch.ones(1, 1, dtype=torch.float64), precision=1e-16)
        >>> bool((targets.force + targets.q).abs().max() < 10 * targets.error.max() < 1e-10)
        True
    """
    if chunks.rates is not None:
        return _given(chunks, precision)
    m = torch.where(mass > 0, mass, 1)[chunks.trajectory][..., None]
    last = len(chunks.times) - 1
    at = nodes(last + 1)
    velocity = chunks.p / m
    q, moving, best = hermite(chunks.times, chunks.q, velocity, at)
    cut = truncation(chunks.times, chunks.q, velocity, at, best) * m[..., 0]
    step = (chunks.times[-1] - chunks.times[0]).abs() / last
    rounding = 10 * precision * (chunks.q.abs().amax(0) * m).amax(-1) / step[:, None].square()
    force = m * best
    rounding = torch.maximum(rounding, 100 * precision * force.abs().amax(-1))
    error = (cut.square() + rounding.square()).sqrt()
    piece = torch.arange(len(chunks.trajectory))
    numbers = (x.repeat(len(at)) for x in (chunks.trajectory, piece))
    return Targets(*numbers, *(x.flatten(0, 1) for x in (q, force, error, moving)))


def _given(chunks: Chunks, precision: float) -> Targets:
    assert chunks.rates is not None  # the caller has looked
    points, count = chunks.times.shape
    force = chunks.rates.p
    numbers = (x.repeat(points) for x in (chunks.trajectory, torch.arange(count)))
    error = 100 * precision * force.abs().amax(-1)
    return Targets(*numbers, *(x.flatten(0, 1) for x in (chunks.q, force, error, chunks.rates.q)))
