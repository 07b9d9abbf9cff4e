"""How far a prediction is from its reference."""

import numpy as np
import torch
import xarray as xr

from hlieconv.diagnostics.momentum_map import along
from systems.dataset.schema import times_of, trajectory_of


def state_error(dataset: xr.Dataset, reference: xr.Dataset) -> xr.DataArray:
    """|a - b| / (|a| + |b|) over all of (q, p), ``(trajectory, time)``: 0 is exact, 1 as wrong as can be.

    Raises:
        ValueError: if the two do not have the same trajectories, bodies and times.
    """
    for dim in ("trajectory", "time", "body", "space"):
        if dataset.sizes[dim] != reference.sizes[dim]:
            raise ValueError(f"reference: expected {dataset.sizes[dim]} along {dim}, got {reference.sizes[dim]}")
    if not torch.allclose(times_of(dataset).double(), times_of(reference).double(), equal_nan=True):
        raise ValueError("reference: expected the times of the dataset, got others")
    (_, a), (_, b) = (trajectory_of(x, dtype=torch.float64) for x in (dataset, reference))
    a, b = (torch.cat(state, -1).flatten(-2) for state in (a, b))
    size = a.norm(dim=-1) + b.norm(dim=-1)
    error = torch.where(size > 0, (a - b).norm(dim=-1) / torch.where(size > 0, size, 1), 0)
    return along(dataset, error, "state_error", "relative error of the state", "1")


def valid_time(dataset: xr.Dataset, reference: xr.Dataset, threshold: float = 0.1) -> xr.DataArray:
    """Seconds until the state error first exceeds the threshold, ``(trajectory,)``; infinity if it never does."""
    wrong = state_error(dataset, reference) > threshold
    times = times_of(dataset).double()
    times = (times - times[0]).reshape(len(times), -1).expand(-1, wrong.sizes["trajectory"]).T.numpy()
    values = np.where(wrong.values.any(1), times[np.arange(len(times)), wrong.values.argmax(1)], np.inf)
    return xr.DataArray(
        values, dims="trajectory", name="valid_time", attrs={"units": "s", "long_name": "time of validity"}
    )


def geometric_mean(values: xr.DataArray, dim: str = "trajectory") -> xr.DataArray:
    """exp(mean(log)), for errors that differ by orders of magnitude; zeros count as the smallest float."""
    tiny = np.finfo(values.dtype).tiny
    log = xr.apply_ufunc(np.log, values.clip(min=tiny), keep_attrs=True)
    return xr.apply_ufunc(np.exp, log.mean(dim, keep_attrs=True), keep_attrs=True)
