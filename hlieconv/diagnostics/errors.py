"""How far a prediction is from its reference."""

import numpy as np
import torch
import xarray as xr
from jaxtyping import Float
from torch import Tensor

from hlieconv.diagnostics.momentum_map import along
from hlieconv.diagnostics.presence import presence
from systems.checks import check_choice
from systems.dataset.blocks import by_trajectory
from systems.dataset.reading import mask_of, times_of, trajectory_of


@by_trajectory
def state_error(dataset: xr.Dataset, reference: xr.Dataset) -> xr.DataArray:
    """How wrong the state is, ``(trajectory, time)``: 0 is exact, 1 as wrong as can be.

    The root mean square of two errors |a - b| / (|a| + |b|), one of all positions and one of all momenta: so the units
    do not matter. Positions are taken from the mean position of the reference (over bodies and times): so the origin
    does not matter. Where a computation has ended the error is 1; where the reference has a gap it is not a number.

    Raises:
        ValueError: if the two do not have the same trajectories, bodies and times.
    """
    for dim in ("trajectory", "time", "body", "space"):
        if dataset.sizes[dim] != reference.sizes[dim]:
            raise ValueError(f"reference: expected {dataset.sizes[dim]} along {dim}, got {reference.sizes[dim]}")
    if not torch.allclose(times_of(dataset).double(), times_of(reference).double(), equal_nan=True):
        raise ValueError("reference: expected the times of the dataset, got others")
    (_, a), (_, b) = (trajectory_of(x, dtype=torch.float64) for x in (dataset, reference))
    mask = mask_of(reference)
    real = torch.ones_like(b.q[0, ..., 0], dtype=torch.bool) if mask is None else mask
    seen = torch.isfinite(b.q).all(-1, keepdim=True) & real[..., None]
    count = seen.sum((0, 2), keepdim=True).clamp(min=1)
    centre = torch.where(seen, b.q, 0).sum((0, 2), keepdim=True) / count
    centred = [torch.where(real[..., None], x.q - centre, 0) for x in (a, b)]
    parts = torch.stack([_difference(*centred), _difference(a.p, b.p)])
    error = parts.square().mean(0).sqrt()
    ended = torch.from_numpy(presence(dataset).ended.values.T.copy())
    error = torch.where(ended & ~torch.isnan(_difference(centred[1], centred[1])), 1, error)
    return along(dataset, error, "state_error", "relative error of the state", "1")


def _difference(a: Float[Tensor, "*batch n d"], b: Float[Tensor, "*batch n d"]) -> Float[Tensor, "*batch"]:
    """|a - b| / (|a| + |b|), 0 where both are 0."""
    a, b = a.flatten(-2), b.flatten(-2)
    size = a.norm(dim=-1) + b.norm(dim=-1)
    return torch.where(size > 0, (a - b).norm(dim=-1) / torch.where(size > 0, size, 1), size)


@by_trajectory
def valid_time(dataset: xr.Dataset, reference: xr.Dataset, threshold: float = 0.1) -> xr.DataArray:
    """How long a prediction is good for, in seconds of either direction of time, ``(trajectory,)``.

    The time from the first state until the state error exceeds the threshold, or the computation ends; infinity if
    neither happens.
    """
    wrong = state_error(dataset, reference) > threshold
    times = times_of(dataset).double()
    times = (times - times[0]).abs().reshape(len(times), -1).expand(-1, wrong.sizes["trajectory"]).T.numpy()
    values = np.where(wrong.values.any(1), times[np.arange(len(times)), wrong.values.argmax(1)], np.inf)
    return xr.DataArray(
        values, dims="trajectory", name="valid_time", attrs={"units": "s", "long_name": "time of validity"}
    )


def geometric_mean(values: xr.DataArray, dim: str = "trajectory") -> xr.DataArray:
    """exp(mean(log)), for errors that differ by orders of magnitude; zeros count as the smallest float.

    Raises:
        ValueError: if the values have no such dim.
    """
    check_choice("dim", dim, values.dims)
    tiny = np.finfo(values.dtype).tiny
    log = xr.apply_ufunc(np.log, values.clip(min=tiny), keep_attrs=True)
    return xr.apply_ufunc(np.exp, log.mean(dim, keep_attrs=True), keep_attrs=True)
