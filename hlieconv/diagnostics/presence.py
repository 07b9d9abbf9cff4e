"""Which states of a Dataset are there: a computation that ended early is told from a gap in measured data."""

from typing import NamedTuple

import numpy as np
import xarray as xr

from systems.dataset.reading import times_of, trajectory_of
from systems.status import Status


class Presence(NamedTuple):
    """Of each trajectory and time, ``(trajectory, time)``."""

    ended: xr.DataArray
    """There is no state any more: a simulation or rollout left the finite numbers, or was given up."""
    gap: xr.DataArray
    """A body was not seen: in measured data."""


def presence(dataset: xr.Dataset) -> Presence:
    """Whether states are missing, and why; where a trajectory is shorter than others nothing is missing.

    Nor is it after a terminal event. A Dataset with the attribute ``integrator`` was computed: from its first state
    that is not finite on a trajectory has ended. In any other, what is not finite is a gap.

    Example:
        >>> import torch
        >>> from systems import Springs, simulate
        >>> dataset = simulate(*Springs.sample(2, seed=0), torch.linspace(0, 5, 6))
        >>> late = dataset.assign(q=dataset.q.where(dataset.time < 3))
        >>> presence(late).ended.sum("time").values
        array([3, 3])
    """
    times, state = trajectory_of(dataset)
    finite = np.stack([np.isfinite(x.numpy()).all((-2, -1)) for x in state]).all(0)
    times = times_of(dataset).double().numpy().reshape(len(times), -1)
    asked = np.isfinite(times)
    if "status" in dataset:  # after an event that ends it there is nothing to be missed
        stopped = dataset["status"].values == Status.EVENT
        last = np.where(stopped, dataset["last_time"].values, np.nan)
        asked = asked & ~(np.abs(times - times[0]) > np.abs(last - times[0]))
    missing = ~finite & asked
    computed = "integrator" in dataset.attrs
    found = (np.maximum.accumulate(missing, 0) & asked, missing & False) if computed else (missing & False, missing)
    return Presence(*(xr.DataArray(x.T, dims=("trajectory", "time")) for x in found))
