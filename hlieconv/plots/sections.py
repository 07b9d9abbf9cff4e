"""Surfaces of section and return maps, from the events of a Dataset."""

import matplotlib.pyplot as plt
import numpy as np
import xarray as xr
from matplotlib.axes import Axes

from hlieconv.plots.style import COLOURS, axes_or_new, label, style
from systems.checks import check
from systems.dataset.event_table import joined_problem, names_of
from systems.dataset.schema import EVENT_BODIES, aligned

#: Trajectories that share the legend's room: more are drawn in the colours of a map.
FEW = len(COLOURS)


def plot_section(
    dataset: xr.Dataset,
    x: str = "x",
    y: str = "p_x",
    z: str | None = None,
    *,
    event: int | str = 0,
    body: int = 0,
    ax: Axes | None = None,
    **dots,
) -> Axes:
    """The points at which trajectories cross a surface, one colour for each trajectory: in two or three dimensions.

    Args:
        dataset: with recorded events (`simulate(..., events=[Plane(...)])`).
        x, y, z: what is drawn: x, y, z or p_x, p_y, p_z of the body; with z in three dimensions.
        event: which of the events, by its index or name.
        body: whose coordinates; of an event that happens to several bodies, those at which it happens to this one.
        ax: where to draw; of projection "3d" with z. None: a new one.
        **dots: passed to ``Axes.plot``.

    Returns:
        The Axes.

    Raises:
        ValueError: if there are no such events, body or coordinates.
    """
    names = [name for name in (x, y, z) if name is not None]
    values = [_at_events(dataset, name, event, body) for name in names]
    if ax is None and z is not None:
        with style():
            ax = plt.figure(figsize=(4.5, 4.0)).add_subplot(projection="3d")
    ax = axes_or_new(ax)
    check("ax", ax.name, (ax.name == "3d") == (z is not None), "a 3d projection with z, and none without")
    dots = {"marker": ".", "linestyle": "none", "markersize": 2.0} | dots
    for k, colour in enumerate(_colours(len(values[0]))):
        ax.plot(*(value[k] for value in values), **({"color": colour} | dots))
    for axis, name in zip("xyz", names, strict=False):
        getattr(ax, f"set_{axis}label")(f"{name}: {label(dataset['event_p' if name[:2] == 'p_' else 'event_q'])}")
    return ax


def plot_return_map(
    dataset: xr.Dataset,
    coordinate: str = "x",
    *,
    event: int | str = 0,
    body: int = 0,
    returns: int = 1,
    ax: Axes | None = None,
) -> Axes:
    """A coordinate at one crossing against that at the last: what comes back to itself lies on the diagonal.

    Args:
        dataset: with recorded events.
        coordinate: x, y, z or p_x, p_y, p_z of the body.
        event, body: as in `plot_section`.
        returns: after how many crossings.
        ax: where to draw.

    Returns:
        The Axes.

    Raises:
        ValueError: if there are no such events, body or coordinate, or too few crossings.
    """
    values = _at_events(dataset, coordinate, event, body)
    check("returns", returns, 1 <= returns < max(2, values.shape[1]), f"1 to {values.shape[1] - 1}")
    ax = axes_or_new(ax)
    for k, colour in enumerate(_colours(len(values))):
        ax.plot(values[k, :-returns], values[k, returns:], ".", color=colour, markersize=2.0)
    ends = [np.nanmin(values), np.nanmax(values)]
    ax.plot(ends, ends, color="0.7", linewidth=0.8, zorder=0)
    ax.set_xlabel(f"{coordinate} at a crossing")
    ax.set_ylabel(f"{coordinate} {'at the next' if returns == 1 else f'{returns} crossings later'}")
    return ax


def _at_events(dataset: xr.Dataset, name: str, event: int | str, body: int) -> np.ndarray:
    """One coordinate at the events of one kind, ``(trajectory, event)``: first ones first, NaN after the last."""
    check("dataset", "none", "event_kind" in dataset, "recorded events: simulate(..., events=[Plane(...)])")
    if joined := joined_problem(dataset):
        raise ValueError(f"dataset: {joined}")
    kinds = names_of(dataset)
    known = event in kinds if isinstance(event, str) else 0 <= event < len(kinds)
    check("event", event, known, f"one of {', '.join(kinds)}, or an index of them")
    axes = ["x", "y", "z"][: dataset.sizes["space"]]
    check("coordinate", name, name.removeprefix("p_") in axes, f"one of {', '.join(axes)}, p_{', p_'.join(axes)}")
    check("body", body, 0 <= body < dataset.sizes["body"], f"an index below {dataset.sizes['body']}")
    array = dataset["event_p" if name.startswith("p_") else "event_q"]
    values = array.isel(body=body, space=axes.index(name.removeprefix("p_"))).transpose("trajectory", "event").values
    kind = kinds.index(event) if isinstance(event, str) else event
    wanted = dataset["event_kind"].transpose("trajectory", "event").values == kind
    if {*EVENT_BODIES} <= {*dataset.variables}:
        ends = [aligned(dataset)[end].transpose("trajectory", "event").values for end in EVENT_BODIES]
        if any(len(np.unique(end[wanted])) > 1 for end in ends):
            wanted &= np.any([end == body for end in ends], axis=0)
    check("event", event, bool(wanted.any()), "an event that happens; this one never does")
    order = np.argsort(~wanted, axis=1, kind="stable")
    return np.take_along_axis(np.where(wanted, values, np.nan), order, 1)[:, : wanted.sum(1).max()]


def _colours(count: int) -> list:
    if count <= FEW:
        return list(COLOURS[:count])
    return [plt.get_cmap("viridis")(k / (count - 1)) for k in range(count)]
