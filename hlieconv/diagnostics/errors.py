"""How far a prediction is from its reference."""

import numpy as np
import torch
import xarray as xr

from hlieconv.diagnostics.conservation import angular_momentum, drift, momentum
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


def summary(dataset: xr.Dataset, reference: xr.Dataset | None = None) -> dict[str, float]:
    """A rollout in a few numbers: the median over trajectories of the largest drift in time, and of the errors.

    Keys: ``energy`` (of a rollout the learned one, and ``true_energy`` beside it), ``P_x``, ``P_y``, ..., ``L_z``
    (drift, where they are defined), ``largest_q``, and with a reference ``state_error`` (geometric mean over
    trajectories and times after the first) and ``valid_time``.
    """
    rows: dict[str, float] = {}
    if "energy" in dataset:
        rows["energy"] = _typical(drift(dataset, "energy"))
    if "true_energy" in dataset:
        rows["true_energy"] = _typical(drift(dataset.assign(energy=dataset["true_energy"]), "energy"))
    if dataset.attrs.get("coordinate_system", "cartesian") == "cartesian":
        rows |= _components("P", drift(dataset, "momentum"), momentum(dataset).sizes["space"])
        if dataset.sizes["space"] in (2, 3):
            spins = angular_momentum(dataset).sizes.get("space", 1)
            rows |= _components("L", drift(dataset, "angular_momentum"), spins)
    rows["largest_q"] = float(abs(dataset["q"]).max())
    if reference is not None:
        rows["state_error"] = float(geometric_mean(state_error(dataset, reference).isel(time=slice(1, None))).mean())
        rows["valid_time"] = float(valid_time(dataset, reference).median())
    return rows


def _typical(values: xr.DataArray) -> float:
    return float(values.max("time").median())


def _components(letter: str, values: xr.DataArray, count: int) -> dict[str, float]:
    if count == 1:
        return {f"{letter}_z" if letter == "L" else f"{letter}_x": _typical(values)}
    return {f"{letter}_{axis}": _typical(values.isel(space=i)) for i, axis in enumerate(axis_names(count))}


def axis_names(count: int) -> list[str]:
    """x, y, z in up to three dimensions, numbers beyond."""
    return list("xyz"[:count]) if count <= 3 else [str(i) for i in range(count)]
