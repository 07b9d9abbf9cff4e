"""Trajectories as a network sees them: pieces of consecutive points, as plain tensors."""

import functools
from dataclasses import dataclass
from typing import NamedTuple

import numpy as np
import torch
from jaxtyping import Bool, Float, Int
from torch import Tensor

from hlieconv.dynamics.trajectories import Trajectories
from systems.checks import check
from systems.dataset.schema import COMPANIONS
from systems.phase_space import PhaseSpace

#: Chunks of which all are put in order; of more a part is drawn, and so many beside those that are wanted: for gaps.
LISTED, DRAWN_BESIDE = 2**22, 2**16


class Chunks(NamedTuple):
    """Pieces of trajectories, time first; NaN where a body was not seen."""

    trajectory: Int[Tensor, " chunk"]
    """The number of the trajectory that a chunk is a piece of."""
    times: Float[Tensor, "point chunk"]
    q: Float[Tensor, "point chunk n d"]
    p: Float[Tensor, "point chunk n d"]
    origin: Float[Tensor, " chunk"] | None = None
    """The time from which ``times`` are counted; None for 0."""
    gaps: bool = False
    """Whether there may be numbers that were not seen."""
    errors: PhaseSpace | None = None
    """The standard errors of q and p, where they are known."""
    rates: PhaseSpace | None = None
    """dq/dt and dp/dt, where they are data too."""

    def take(self, index: Int[Tensor, " batch"]) -> "Chunks":
        """Some of the chunks."""
        origin = None if self.origin is None else self.origin[index]
        times, q, p = (tensor[:, index] for tensor in (self.times, self.q, self.p))
        errors, rates = (x and PhaseSpace(x.q[:, index], x.p[:, index]) for x in (self.errors, self.rates))
        return Chunks(self.trajectory[index], times, q, p, origin, self.gaps, errors, rates)

    def points(self, span: slice) -> "Chunks":
        """Some of the points of all chunks."""
        times, q, p = (tensor[span] for tensor in (self.times, self.q, self.p))
        errors, rates = (x and PhaseSpace(x.q[span], x.p[span]) for x in (self.errors, self.rates))
        return Chunks(self.trajectory, times, q, p, self.origin, self.gaps, errors, rates)

    def to(self, dtype: torch.dtype, device: torch.device) -> "Chunks":
        """The same on a device; the times stay in float64."""
        q, p = (tensor.to(device, dtype) for tensor in (self.q, self.p))
        origin = None if self.origin is None else self.origin.to(device)
        pairs = (self.errors, self.rates)
        errors, rates = (pair and PhaseSpace(*(x.to(device, dtype) for x in pair)) for pair in pairs)
        return Chunks(self.trajectory.to(device), self.times.to(device), q, p, origin, self.gaps, errors, rates)

    def filled(self) -> "Chunks":
        """What was not seen is as it was at the first point: enough to measure sizes by."""
        q, p = (torch.where(x.isfinite(), x, x[:1]) for x in (self.q, self.p))
        return self._replace(q=q, p=p)


@dataclass(frozen=True)
class Places:
    """Where the chunks of trajectories lie, of which nothing is read: a number for each.

    Args:
        data: trajectories.
        length: points in a chunk.
        per_trajectory: chunks at random of each trajectory; 0: all of them, end to end.
        seed: of the draw.
        whole: from one point that has to be seen whole to the next, the first point being one and the last none; 0:
            all points have to be.
        name: of the trajectories in errors.

    Raises:
        ValueError: if the trajectories are shorter than a chunk.
    """

    data: Trajectories
    length: int
    per_trajectory: int = 0
    seed: int = 0
    whole: int = 0
    name: str = "dataset"

    def __post_init__(self) -> None:
        points = len(self.data.times)
        check(self.name, f"{points} of each trajectory", points > 1, "points at two times at least")
        if points < self.length:
            far = (
                f": for points far apart take chunk={points}, the loss rollout and a short step"
                if 1 < points < 5
                else ""
            )
            of = f"{self.name}: " if self.name != "dataset" else ""
            raise ValueError(f"{of}chunk: expected at most the {points} points of a trajectory, got {self.length}{far}")

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

    def drawn(self, most: int, generator: torch.Generator) -> Int[Tensor, " some"]:
        """Numbers of chunks in a random order; of very many no more than these, without a list of all."""
        if len(self) <= LISTED:
            return torch.randperm(len(self), generator=generator)
        seed = int(torch.randint(2**62, (), generator=generator))
        return torch.from_numpy(np.random.default_rng(seed).choice(len(self), min(len(self), most), replace=False))

    def read(self, number: Int[Tensor, " some"], most: int | None = None) -> Chunks:
        """Some of the chunks, in float64; those with a gap where there may be none, and unseen ones, are left out.

        Args:
            number: of the chunks, in the order in which they are wanted.
            most: enough of them; what follows is not read.
        """
        found: list[Chunks] = []
        wanted = len(number) if most is None else most
        for some in number.split(max(1, wanted)):
            trajectory, row = self.trajectory(some), some // self.data.count
            start = self.start[row] if self.start.ndim == 1 else self.start[row, trajectory]
            times, (q, p), companions = self.data.pieces(trajectory, start, self.length, self.whole)
            chunks = Chunks(trajectory, times, q, p)._replace(**companions)
            useful = self._useful(chunks)
            found.append(chunks if useful.all() else chunks.take(useful.nonzero().flatten()))
            if sum(len(part.trajectory) for part in found) >= wanted:
                break
        if len(found) > 1:
            found = [joined(found)]
        [chunks] = found
        chunks = chunks if len(chunks.trajectory) <= wanted else chunks.take(torch.arange(wanted))
        return chunks._replace(gaps=self.whole > 0 and not all(bool(x.isfinite().all()) for x in (chunks.q, chunks.p)))

    def read_some(self, number: Int[Tensor, " some"], most: int | None = None) -> Chunks:
        """The same; a ValueError if there are none, because of gaps, which says what was never seen."""
        chunks = self.read(number, most)
        if not len(chunks.trajectory):
            names = ("q", "p", *(() if self.whole or chunks.rates is None else ("q_rate", "p_rate")))
            reasons = [self.data.never_seen(names), "" if self.whole else "force_matching uses nothing around gaps"]
            raise ValueError(
                f"{self.name}: expected {self.length} consecutive points without a gap (NaN in q, p or their rates), "
                f"found none: {''.join(f'{reason}; ' for reason in reasons if reason)}the loss rollout needs q and p "
                "of all bodies at the first point of a chunk, and something of them after it"
            )
        return chunks

    def _useful(self, chunks: Chunks) -> Bool[Tensor, " chunk"]:
        """Whether all is there that has to be, and anything beside that."""
        points = slice(0, -1, self.whole) if self.whole else slice(None)
        needed = (chunks.q, chunks.p, *(() if self.whole or chunks.rates is None else chunks.rates))
        there = torch.isfinite(sum((x[points].sum((0, 2, 3)) for x in needed), chunks.times.sum(0)))
        if not self.whole:
            return there
        data = self.data
        real = torch.ones(len(there), data.n, dtype=torch.bool) if data.mask is None else data.mask[chunks.trajectory]
        seen = [(x.isfinite().any(-1) & real).any(-1) for x in (chunks.q, chunks.p)]
        seen = seen[0] | seen[1]
        seen[points] = False
        return there & seen.any(0)


def joined(chunks: list[Chunks]) -> Chunks:
    """Several as one."""
    times, q, p = (torch.cat(x, 1) for x in zip(*((x.times, x.q, x.p) for x in chunks), strict=True))
    found = {
        name: PhaseSpace(*(torch.cat(x, 1) for x in zip(*pairs, strict=True)))
        for name in COMPANIONS
        if (pairs := [pair for x in chunks if (pair := getattr(x, name)) is not None])
    }
    return Chunks(torch.cat([x.trajectory for x in chunks]), times, q, p)._replace(**found)


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
    return places.read_some(torch.arange(len(places)))
