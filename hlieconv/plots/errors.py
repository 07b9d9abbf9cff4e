"""Errors of a prediction against its reference."""

import xarray as xr
from matplotlib.axes import Axes

from hlieconv.diagnostics.errors import geometric_mean, state_error
from hlieconv.plots.style import ROUND_OFF, axes_or_new, band_of, label, on_shared_times, time_label, times_of


def plot_error(dataset: xr.Dataset, reference: xr.Dataset, *, ax: Axes | None = None, **line) -> Axes:
    """The relative error of the state on a log scale: geometric mean over trajectories, band of its 10 to 90 %."""
    ax = axes_or_new(ax)
    error = on_shared_times(state_error(dataset, reference).clip(min=ROUND_OFF).compute())
    [drawn] = ax.plot(times_of(error), geometric_mean(error), **line)
    low, _, high = band_of(error.transpose("trajectory", "time").values)
    ax.fill_between(times_of(error), low, high, color=drawn.get_color(), alpha=0.2, linewidth=0)
    ax.set_yscale("log")
    ax.set_xlabel(time_label(error))
    ax.set_ylabel(label(error))
    return ax
