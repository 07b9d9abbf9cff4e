"""Trajectories as a network sees them: pieces of consecutive points, as plain tensors."""

from typing import NamedTuple

import numpy as np
import torch
import xarray as xr
from jaxtyping import Bool, Float, Int
from torch import Tensor


class Chunks(NamedTuple):
    """Consecutive points of trajectories, time first."""

    trajectory: Int[Tensor, " chunk"]
    times: Float[Tensor, "point chunk"]
    q: Float[Tensor, "point chunk n d"]
    p: Float[Tensor, "point chunk n d"]

    def take(self, index: Int[Tensor, " batch"]) -> "Chunks":
        """Some of the chunks."""
        return Chunks(self.trajectory[index], *(tensor[:, index] for tensor in self[1:]))

    def to(self, dtype: torch.dtype, device: torch.device) -> "Chunks":
        """The same on a device; the times stay in float64."""
        q, p = (tensor.to(device, dtype) for tensor in (self.q, self.p))
        return Chunks(self.trajectory.to(device), self.times.to(device), q, p)


class Trajectories(NamedTuple):
    """A Dataset as tensors: float64, what does not exist is 0."""

    times: Float[Tensor, "time trajectory"]
    q: Float[Tensor, "time trajectory n d"]
    p: Float[Tensor, "time trajectory n d"]
    mask: Bool[Tensor, "trajectory n"] | None
    features: dict[str, Tensor]
    """The parameters of the bodies and pairs by name: ``(trajectory, n)`` or ``(trajectory, n, n)``."""


DIMS = ("trajectory", "time", "body", "space")


def trajectories(dataset: xr.Dataset) -> Trajectories:
    """The tensors of a Dataset of trajectories.

    Raises:
        ValueError: if q, p or the times are missing or have other dims, or an existing body has no value.
    """
    if missing := [name for name in ("q", "p", "time") if name not in dataset.variables]:
        raise ValueError(f"dataset: expected trajectories q, p over time, missing {', '.join(missing)}")
    for name in ("q", "p"):
        if {*dataset[name].dims} | {"trajectory"} != {*DIMS}:
            raise ValueError(
                f"{name}: expected the dims {', '.join(DIMS)}, got {', '.join(map(str, dataset[name].dims))}"
            )
    count, n = dataset.sizes.get("trajectory", 1), dataset.sizes["body"]
    q, p = (_tensor(dataset[name], DIMS, count).movedim(1, 0) for name in ("q", "p"))
    times = _tensor(dataset["time"], ("trajectory", "time"), count).T
    mask = _tensor(dataset["mask"], ("trajectory", "body"), count).bool() if "mask" in dataset else None
    mask = None if mask is None or bool(mask.all()) else mask
    exists = torch.ones(count, n, dtype=torch.bool) if mask is None else mask
    features = {}
    for name, variable in dataset.data_vars.items():
        own = tuple(str(dim) for dim in variable.dims if dim != "trajectory")
        if own in (("body",), ("body", "other_body")) and name != "mask":
            features[str(name)] = torch.nan_to_num(_tensor(variable, ("trajectory", *own), count))
    q, p = (torch.where(exists[..., None], x, 0) for x in (q, p))
    return Trajectories(times, q, p, mask, features)


def _tensor(variable: xr.DataArray, dims: tuple[str, ...], count: int) -> Tensor:
    if "trajectory" not in variable.dims:
        variable = variable.expand_dims(trajectory=count)
    return torch.from_numpy(np.ascontiguousarray(variable.transpose(*dims).values, dtype=np.float64))


def chunked(data: Trajectories, length: int, per_trajectory: int, generator: torch.Generator) -> Chunks:
    """Pieces of ``length`` consecutive points.

    Args:
        data: the trajectories.
        length: points in a chunk.
        per_trajectory: how many chunks to take at random from each trajectory; 0 takes all of them, end to end (the
            last point of one is the first of the next).
        generator: draws the chunks.

    Raises:
        ValueError: if the trajectories are shorter than a chunk, or no chunk is free of gaps.
    """
    points, count = data.times.shape
    if points < length:
        raise ValueError(f"chunk: expected at most the {points} points of a trajectory, got {length}")
    if per_trajectory:
        start = torch.randint(points - length + 1, (per_trajectory, count), generator=generator)
    else:
        start = torch.arange(0, points - length + 1, length - 1)[:, None].expand(-1, count)
    trajectory = torch.arange(count).expand(len(start), -1).flatten()
    time = torch.arange(length)[:, None] + start.flatten()
    chunks = Chunks(trajectory, data.times[time, trajectory], data.q[time, trajectory], data.p[time, trajectory])
    whole = torch.isfinite(chunks.q + chunks.p).all(0).flatten(1).all(1) & torch.isfinite(chunks.times).all(0)
    if not whole.any():
        raise ValueError(f"dataset: no {length} consecutive points without a gap")
    return chunks if bool(whole.all()) else chunks.take(whole.nonzero().flatten())
