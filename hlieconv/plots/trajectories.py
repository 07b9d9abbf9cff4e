"""Paths of the bodies."""

import numpy as np
import xarray as xr
from matplotlib.axes import Axes

from hlieconv.plots.style import COLOURS, axes_or_new, label


def plot_trajectories(
    dataset: xr.Dataset, trajectory: int = 0, *, reference: xr.Dataset | None = None, ax: Axes | None = None
) -> Axes:
    """The paths of all bodies in the plane of the first two dimensions; a dot where each starts.

    Args:
        dataset: trajectories.
        trajectory: which of them.
        reference: drawn dashed beside it.
        ax: where to draw.

    Returns:
        The Axes.
    """
    ax = axes_or_new(ax)
    for data, line in ((dataset, "-"), (reference, "--")):
        if data is None:
            continue
        paths = data["q"].isel(trajectory=trajectory).transpose("body", "time", "space").values
        for body, path in enumerate(paths):
            if np.isfinite(path).any():
                y = path[:, 1] if path.shape[1] > 1 else np.zeros(len(path))
                colour = COLOURS[body % len(COLOURS)]
                ax.plot(path[:, 0], y, line, color=colour, linewidth=1.2, alpha=1.0 if line == "-" else 0.6)
                ax.plot(path[0, 0], y[0], "o", color=colour, markersize=4)
    ax.set_aspect("equal", adjustable="datalim")
    ax.set_xlabel(f"x: {label(dataset['q'])}")
    ax.set_ylabel(f"y: {label(dataset['q'])}")
    return ax
