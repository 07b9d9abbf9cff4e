"""Trajectories as a network sees them: pieces of consecutive points, as plain tensors."""

import functools
from collections.abc import Iterator
from dataclasses import dataclass
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


@dataclass(frozen=True)
class Places:
    """Where the chunks of trajectories lie, of which nothing is read: a number for each.

    Args:
        data: trajectories.
        length: points in a chunk.
        per_trajectory: chunks at random of each trajectory; 0: all of them, end to end.
        seed: of the draw.

    Raises:
        ValueError: if the trajectories are shorter than a chunk.
    """

    data: Trajectories
    length: int
    per_trajectory: int = 0
    seed: int = 0

    def __post_init__(self) -> None:
        points = len(self.data.times)
        if points < self.length:
            raise ValueError(f"chunk: expected at most the {points} points of a trajectory, got {self.length}")

    @functools.cached_property
    def start(self) -> Int[Tensor, " first"] | Int[Tensor, "chunk trajectory"]:
        """The index of the first point of each: of all trajectories alike, or at random."""
        last = len(self.data.times) - self.length
        if not self.per_trajectory:
            return torch.arange(0, last + 1, self.length - 1)
        generator = torch.Generator().manual_seed(self.seed)
        return torch.randint(last + 1, (self.per_trajectory, self.data.count), generator=generator)

    def __len__(self) -> int:
        return len(self.start) * self.data.count

    def trajectory(self, number: Int[Tensor, " some"]) -> Int[Tensor, " some"]:
        """The number of the trajectory in which these lie."""
        return number % self.data.count

    def read(self, number: Int[Tensor, " some"], most: int | None = None) -> Chunks:
        """Some of the chunks, in float64; those with a gap are left out.

        Args:
            number: of the chunks, in the order in which they are wanted.
            most: enough of them; what follows is not read.
        """
        found: list[Chunks] = []
        wanted = len(number) if most is None else most
        for some in number.split(max(1, wanted)):
            trajectory, row = self.trajectory(some), some // self.data.count
            start = self.start[row] if self.start.ndim == 1 else self.start[row, trajectory]
            times, (q, p) = self.data.pieces(trajectory, start, self.length)
            whole = torch.isfinite(sum((x.sum((0, 2, 3)) for x in (q, p)), times.sum(0)))
            chunks = Chunks(trajectory, times, q, p)
            found.append(chunks if whole.all() else chunks.take(whole.nonzero().flatten()))
            if sum(len(part.trajectory) for part in found) >= wanted:
                break
        if len(found) > 1:
            found = [Chunks(torch.cat([x.trajectory for x in found]), *(torch.cat(x, 1) for x in _columns(found)))]
        [chunks] = found
        return chunks if len(chunks.trajectory) <= wanted else chunks.take(torch.arange(wanted))


def _columns(chunks: list[Chunks]) -> Iterator[tuple[Tensor, ...]]:
    """The times, positions and momenta of several."""
    return zip(*((x.times, x.q, x.p) for x in chunks), strict=True)


def require_some(chunks: Chunks) -> Chunks:
    """The chunks themselves; a ValueError if there are none, because of gaps."""
    if not len(chunks.trajectory):
        raise ValueError(
            f"dataset: expected {len(chunks.times)} consecutive points without a gap (NaN in q or p), found none"
        )
    return chunks


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
    places = Places(data, length, per_trajectory, seed)
    return require_some(places.read(torch.arange(len(places))))
