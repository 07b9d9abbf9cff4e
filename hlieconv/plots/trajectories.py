"""Paths of the bodies."""

import numpy as np
import xarray as xr
from matplotlib.axes import Axes
from matplotlib.collections import LineCollection

from hlieconv.plots.style import COLOURS, MANY, axes_or_new, edge_lines, edges_of, label, one_of
from systems.checks import Index


def plot_trajectories(
    dataset: xr.Dataset, trajectory: Index = 0, *, reference: xr.Dataset | None = None, ax: Axes | None = None
) -> Axes:
    """The paths of all bodies in the plane of the first two dimensions; a dot where each starts.

    Edges are drawn where they start. Of very many bodies (`MANY`) the paths have one colour, and no dots.

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
        paths = one_of(data, trajectory)["q"].isel(trajectory=0).transpose("body", "time", "space").values
        paths = paths[..., :2] if paths.shape[-1] > 1 else np.concatenate([paths, np.zeros_like(paths)], -1)
        if line == "-" and len(edges := edges_of(data)):
            edge_lines(ax, paths[:, 0], edges)
        if len(paths) > MANY:
            width = min(1.2, 20 / len(paths) ** 0.5)
            ax.add_collection(LineCollection([*paths], colors=COLOURS[0], linestyles=line, linewidths=width))
            ax.autoscale()
            continue
        for body, path in enumerate(paths):
            if np.isfinite(path).any():
                colour = COLOURS[body % len(COLOURS)]
                ax.plot(*path.T, line, color=colour, linewidth=1.2, alpha=1.0 if line == "-" else 0.6)
                ax.plot(*path[0], "o", color=colour, markersize=4)
    ax.set_aspect("equal", adjustable="datalim")
    ax.set_xlabel(f"x: {label(dataset['q'])}")
    ax.set_ylabel(f"y: {label(dataset['q'])}")
    return ax
