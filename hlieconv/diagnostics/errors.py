"""How far a prediction is from its reference."""

import numpy as np
import torch
import xarray as xr
from jaxtyping import Float
from torch import Tensor

from hlieconv.diagnostics.momentum_map import along
from hlieconv.diagnostics.presence import presence
from systems.checks import check, check_choice
from systems.dataset.blocks import by_trajectory
from systems.dataset.reading import mask_of, times_of, trajectory_of
from systems.dataset.schema import STATE_DIMS, shaped
from systems.dataset.times import origin_of
from systems.units import OWN, time_unit


@by_trajectory
def state_error(dataset: xr.Dataset, reference: xr.Dataset) -> xr.DataArray:
    """How wrong the state is, ``(trajectory, time)``: 0 is exact, 1 as wrong as can be.

    The root mean square of two errors |a - b| / (|a| + |b|), one of all positions and one of all momenta: so the units
    do not matter. Positions are taken from the mean position of the reference (over bodies and times): so the origin
    does not matter. Where a computation has ended the error is 1; where the reference has a gap it is not a number.

    Raises:
        ValueError: if the two do not have the same trajectories, bodies, times and units.
    """
    _check_comparable(dataset, reference)
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


#: Times are the same if they differ by less than this part of their spacing, beside what their dtype rounds.
SAME_TIME = 1e-3


def _check_comparable(dataset: xr.Dataset, reference: xr.Dataset) -> None:
    shaped(reference)
    for dim in STATE_DIMS:
        if dataset.sizes[dim] != reference.sizes[dim]:
            raise ValueError(f"reference: expected {dataset.sizes[dim]} along {dim}, got {reference.sizes[dim]}")
    for name in "qp":
        own, other = (x[name].attrs.get("units", OWN) for x in (dataset, reference))
        check("reference", other, own == other or OWN in (own, other), f"{name} in {own}, as the dataset has it")
    if "body" in dataset.coords and "body" in reference.coords:
        labels = [x["body"].values.tolist() for x in (dataset, reference)]
        check("reference", labels[1], labels[0] == labels[1], f"the bodies of the dataset in their order, {labels[0]}")
    origins = [origin_of(x) for x in (dataset, reference)]
    check("reference", origins[1], origins[0] == origins[1] or "" in origins, f"times counted from {origins[0]}")
    a, b = (times_of(x) for x in (dataset, reference))
    count = dataset.sizes["trajectory"]
    a, b = (x.reshape(len(x), -1).expand(-1, count) for x in (a, b))
    rounding = max(torch.finfo(x.dtype).eps * float(x.nan_to_num(0).abs().max()) for x in (a, b))
    a, b = a.double(), b.double()
    spacing = float(b.diff(dim=0).abs().nan_to_num(torch.inf).min()) if len(b) > 1 else 0.0
    apart = (a - b).abs().where(~(a.isnan() & b.isnan()), 0).nan_to_num(torch.inf)
    same = bool((apart <= 4 * rounding + SAME_TIME * spacing).all())
    check("reference", "others", same, "the times of the dataset")


def _difference(a: Float[Tensor, "*batch n d"], b: Float[Tensor, "*batch n d"]) -> Float[Tensor, "*batch"]:
    """|a - b| / (|a| + |b|), 0 where both are 0."""
    a, b = a.flatten(-2), b.flatten(-2)
    size = a.norm(dim=-1) + b.norm(dim=-1)
    return torch.where(size > 0, (a - b).norm(dim=-1) / torch.where(size > 0, size, 1), size)


@by_trajectory
def valid_time(dataset: xr.Dataset, reference: xr.Dataset, threshold: float = 0.1) -> xr.DataArray:
    """How long a prediction is good for, in either direction of time, ``(trajectory,)``.

    The time from the first state until the state error exceeds the threshold, or the computation ends; infinity if
    neither happens.
    """
    wrong = state_error(dataset, reference) > threshold
    times = times_of(dataset).double()
    times = (times - times[0]).abs().reshape(len(times), -1).expand(-1, wrong.sizes["trajectory"]).T.numpy()
    values = np.where(wrong.values.any(1), times[np.arange(len(times)), wrong.values.argmax(1)], np.inf)
    attrs = {"units": time_unit(dataset.attrs.get("unit_system", "")), "long_name": "time of validity"}
    return xr.DataArray(values, dims="trajectory", name="valid_time", attrs=attrs)


def geometric_mean(values: xr.DataArray, dim: str = "trajectory") -> xr.DataArray:
    """exp(mean(log)), for errors that differ by orders of magnitude; zeros count as the smallest float.

    Raises:
        ValueError: if the values have no such dim.
    """
    check_choice("dim", dim, values.dims)
    tiny = np.finfo(values.dtype).tiny
    log = xr.apply_ufunc(np.log, values.clip(min=tiny), keep_attrs=True, dask="allowed")
    return xr.apply_ufunc(np.exp, log.mean(dim, keep_attrs=True), keep_attrs=True, dask="allowed")
