"""Charges of a group along trajectories, with a band over them, and the law by which their drift grows."""

import warnings

import numpy as np
import torch
import xarray as xr
from matplotlib.axes import Axes

from hlieconv.diagnostics.drifts import change_of
from hlieconv.diagnostics.momentum_map import charges_of
from hlieconv.groups.abstract import AbstractGroup
from hlieconv.noether import Growth
from hlieconv.noether.growth import growth_law
from hlieconv.plots.style import ROUND_OFF, axes_or_new, on_shared_times, plot_band, time_label, times_of
from systems.checks import check


def plot_charges(dataset: xr.Dataset, group: AbstractGroup | str, *, ax: Axes | None = None) -> Axes:
    """How each charge of a group has changed: median over trajectories, band from 10 to 90 %.

    It is counted from the first time at which all bodies of a trajectory are seen.

    Args:
        dataset: trajectories.
        group: a group or its name.
        ax: where to draw.

    Returns:
        The Axes.

    Raises:
        ValueError: if the coordinates are generalised.
    """
    ax = axes_or_new(ax)
    units, found = set(), charges_of(dataset, group)
    for name, values in found.items():
        plot_band(ax, change_of(values), label=symbol(str(name)))
        units.add(values.attrs["units"])
    ax.set_xlabel(time_label(found))
    ax.set_ylabel("change of the charge" + (f" ({units.pop()})" if len(units) == 1 and units != {"1"} else ""))
    ax.legend()
    return ax


def plot_growth(drift: xr.DataArray, *, ax: Axes | None = None, **line) -> Axes:
    """A drift against time on log axes, root mean square over trajectories, and dashed the law by which it grows.

    Args:
        drift: ``(trajectory, time)``, such as ``dataset.dynamics.drift("energy")``; zero at the first time.
        ax: where to draw.
        **line: passed to ``Axes.plot``.

    Returns:
        The Axes.

    Raises:
        ValueError: if no trajectory goes on to the end, or the drift is known at fewer than four times after the first.

    Warns:
        UserWarning: for trajectories that end early, which are left out.
    """
    ended = (abs(drift) == np.inf).any("time")
    count, lost = drift.sizes["trajectory"], int(ended.sum())
    check("drift", f"{lost} that end early of {count}", lost < count, "a trajectory that goes on to the end")
    if lost:
        warnings.warn(
            f"drift: {lost} of {count} trajectories end early and are left out: their drift is infinite",
            UserWarning,
            stacklevel=2,
        )
        drift = drift.isel(trajectory=np.flatnonzero(~ended.values))
    ax = axes_or_new(ax)
    if "trajectory_time" in drift.coords:  # as far as all of them go
        drift = on_shared_times(drift, elapsed=True).dropna("time")
    times = times_of(drift) - times_of(drift)[0]
    values = drift.transpose("time", "trajectory").values.astype(float)
    growth = growth_law(torch.tensor(times), torch.tensor(values))
    known = np.isfinite(values)
    mean = np.where(known, values, 0.0) ** 2 @ np.ones(values.shape[1]) / np.maximum(known.sum(1), 1)
    size = np.where(known.any(1), np.maximum(np.sqrt(mean), ROUND_OFF), np.nan)
    line.setdefault("label", f"{drift.attrs.get('long_name', drift.name)}: {law_text(growth)}")
    [drawn] = ax.loglog(times[1:], size[1:], **line)
    late = times >= 0.02 * times[-1]
    late[0] = False
    ax.loglog(times[late], growth(torch.tensor(times[late])), "--", color=drawn.get_color(), linewidth=1.0)
    ax.set_xlabel(time_label(drift))
    ax.set_ylabel("drift")
    ax.legend()
    return ax


def law_text(growth: Growth) -> str:
    """A law as a legend says it."""
    return growth.law if growth.law == "bounded" else f"${growth.law.replace('1/2', '{1/2}')}$"


def symbol(name: str) -> str:
    """The name of a charge as mathematics."""
    return f"${name[0]}_{name[2]}$" if len(name) == 3 and name[1] == "_" else name
