"""Where a coordinate and its momentum go together."""

import xarray as xr
from matplotlib.axes import Axes

from hlieconv.plots.style import COLOURS, axes_or_new, label
from systems.dataset.schema import shaped


def plot_phase_portrait(
    dataset: xr.Dataset, body: int = 0, space: int = 0, trajectories: int = 12, *, ax: Axes | None = None
) -> Axes:
    """The momentum of one body along one axis against its position, for several trajectories.

    Args:
        dataset: trajectories.
        body, space: which body, and which axis of space.
        trajectories: how many are drawn, the first ones.
        ax: where to draw.

    Returns:
        The Axes.

    Raises:
        ValueError: if there is no such body or axis.
    """
    check_indices(dataset, body, space)
    ax = axes_or_new(ax)
    chosen = dataset.isel(body=body, space=space)
    for number in range(min(trajectories, dataset.sizes["trajectory"])):
        one, colour = chosen.isel(trajectory=number), COLOURS[number % len(COLOURS)]
        ax.plot(one["q"], one["p"], color=colour, linewidth=0.9)
        ax.plot(one["q"][0], one["p"][0], "o", color=colour, markersize=3)
    label_axes(ax, dataset, body, space)
    return ax


def check_indices(dataset: xr.Dataset, body: int, space: int) -> None:
    """A ValueError if there is no such body or axis."""
    for name, index in {"body": body, "space": space}.items():
        if not 0 <= index < shaped(dataset).sizes[name]:
            raise ValueError(f"{name}: expected an index below {dataset.sizes[name]}, got {index}")


def label_axes(ax: Axes, dataset: xr.Dataset, body: int, space: int) -> None:
    """The labels of a coordinate and its momentum."""
    if dataset.attrs.get("coordinate_system", "cartesian") != "cartesian":
        ax.set_xlabel(f"coordinate {body + 1}" + (" (angle)" if "length" in dataset else ""))
        ax.set_ylabel(f"momentum of coordinate {body + 1}")
        return
    axis = "xyz"[space] if dataset.sizes["space"] <= 3 else str(space)
    ax.set_xlabel(f"{axis} {label(dataset['q'])} of body {body + 1}")
    ax.set_ylabel(f"{axis} {label(dataset['p'])} of body {body + 1}")
