"""Which states of a Dataset are there: a computation that ended early is told from a gap in measured data."""

import warnings
from typing import NamedTuple

import numpy as np
import xarray as xr

from systems.dataset.reading import mask_of, times_of, trajectory_of
from systems.status import Status

#: The part of a duration by which times differ that were rounded to float32.
SAME = 1e-6


class Presence(NamedTuple):
    """Of each trajectory and time, ``(trajectory, time)``."""

    ended: xr.DataArray
    """There is no state any more: a simulation or rollout left the finite numbers, or was given up, or is broken."""
    gap: xr.DataArray
    """A body was not seen in measured data, or nothing is known between states that were computed."""


def presence(dataset: xr.Dataset) -> Presence:
    """Whether states are missing, and why; where a trajectory is shorter than others nothing is missing.

    Nor is it after a terminal event, or after the last time of a trajectory whose status is ok. A Dataset with the
    attribute ``integrator`` was computed: after its last finite state a trajectory has ended. A state of it of which a
    part alone is finite, before others that are whole, is broken: no computation leaves that. Drifts take it for ended.
    What is not finite in any other, or not at all before a finite state, is a gap.

    Warns:
        UserWarning: for states at times after the last that was computed, for broken trajectories, and for gaps
            between computed states, as `xarray.concat` leaves where trajectories have other times.

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
    if "status" in dataset:  # after its end, or an event that ends it, there is nothing to be missed
        stopped = np.isin(dataset["status"].values, (Status.OK, Status.EVENT))
        last = np.where(stopped, dataset["last_time"].values, np.nan)
        beyond = np.abs(times - times[0]) > np.abs(last - times[0])
        asked = asked & ~beyond
        late = np.abs(times - times[0]) > (1 + SAME) * np.abs(last - times[0])
        if count := int((late & finite).any(0).sum()):
            warnings.warn(
                f"dataset: {count} of {dataset.sizes['trajectory']} trajectories have states at times after last_time, "
                "the last that was computed: were the times changed? Say in what they are counted by their units",
                UserWarning,
                stacklevel=2,
            )
    missing = ~finite & asked
    ended = missing & ~np.flip(np.maximum.accumulate(np.flip(finite, 0), 0), 0)
    if "integrator" not in dataset.attrs:
        ended &= False
        return Presence(*(xr.DataArray(x.T, dims=("trajectory", "time")) for x in (ended, missing)))
    real = np.ones(1, bool) if (mask := mask_of(dataset)) is None else mask.numpy()
    partly = np.stack([(np.isfinite(x.numpy()).any(-1) & real).any(-1) for x in state]).any(0)
    broken = missing & ~ended & partly
    ended |= broken
    if count := int(broken.any(0).sum()):
        warnings.warn(
            f"dataset: {count} of {dataset.sizes['trajectory']} computed trajectories are broken: some numbers of a "
            "state are NaN or infinite, and later states are whole, which no computation leaves. Compute them again, "
            "or take the attribute integrator off data that are measured",
            UserWarning,
            stacklevel=2,
        )
    if between := int((missing & ~ended).any(0).sum()):
        warnings.warn(
            f"dataset: {between} of {dataset.sizes['trajectory']} computed trajectories have no states at some times "
            "between others: were trajectories joined that have other times? There nothing is known of them",
            UserWarning,
            stacklevel=2,
        )
    return Presence(*(xr.DataArray(x.T, dims=("trajectory", "time")) for x in (ended, missing & ~ended)))
