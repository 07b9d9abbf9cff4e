"""Trajectories as a network sees them: pieces of consecutive points, as plain tensors."""

from typing import NamedTuple

import torch
from jaxtyping import Float, Int
from torch import Tensor

from hlieconv.dynamics.trajectories import Trajectories


class Chunks(NamedTuple):
    """Pieces of trajectories, time first."""

    trajectory: Int[Tensor, " chunk"]
    """The number of the trajectory that a chunk is a piece of."""
    times: Float[Tensor, "point chunk"]
    q: Float[Tensor, "point chunk n d"]
    p: Float[Tensor, "point chunk n d"]
    origin: Float[Tensor, " chunk"] | None = None
    """The time from which ``times`` are counted; None for 0."""

    def take(self, index: Int[Tensor, " batch"]) -> "Chunks":
        """Some of the chunks."""
        origin = None if self.origin is None else self.origin[index]
        times, q, p = (tensor[:, index] for tensor in (self.times, self.q, self.p))
        return Chunks(self.trajectory[index], times, q, p, origin)

    def to(self, dtype: torch.dtype, device: torch.device) -> "Chunks":
        """The same on a device; the times stay in float64."""
        q, p = (tensor.to(device, dtype) for tensor in (self.q, self.p))
        origin = None if self.origin is None else self.origin.to(device)
        return Chunks(self.trajectory.to(device), self.times.to(device), q, p, origin)


def chunks_of(data: Trajectories, length: int, per_trajectory: int = 0, *, seed: int = 0) -> Chunks:
    """Chunks of ``length`` consecutive points, in float64; those with a gap are left out.

    Args:
        data: trajectories.
        length: points in a chunk.
        per_trajectory: how many to take at random from each trajectory; 0 takes all of them, end to end: the last point
            of one is the first of the next.
        seed: of the draw.

    Raises:
        ValueError: if the trajectories are shorter than a chunk, or no chunk is free of gaps.

    Example:
        >>> from hlieconv.dynamics.trajectories import trajectories_of
        >>> from systems import Springs, simulate
        >>> dataset = simulate(*Springs.sample(3, seed=0), torch.linspace(0, 1, 9))
        >>> chunks_of(trajectories_of(dataset), 5).q.shape
        torch.Size([5, 6, 6, 2])
    """
    points, count = data.q.shape[:2]
    if points < length:
        raise ValueError(f"chunk: expected at most the {points} points of a trajectory, got {length}")
    if per_trajectory:
        generator = torch.Generator().manual_seed(seed)
        start = torch.randint(points - length + 1, (per_trajectory, count), generator=generator)
    else:
        start = torch.arange(0, points - length + 1, length - 1)[:, None].expand(-1, count)
    trajectory = torch.arange(count).expand(len(start), -1).flatten()
    time = torch.arange(length)[:, None] + start.flatten()
    chunks = Chunks(trajectory, *(x[time, trajectory] for x in (data.times, data.q, data.p)))
    whole = torch.isfinite(torch.cat([chunks.q, chunks.p]).sum((0, 2, 3)) + chunks.times.sum(0))
    if not whole.any():
        raise ValueError(f"dataset: expected {length} consecutive points without a gap (NaN in q or p), found none")
    return chunks if whole.all() else chunks.take(whole.nonzero().flatten())
