"""The look that all figures share: colours that the colour-blind can distinguish, readable in print."""

from contextlib import AbstractContextManager
from typing import Any

import matplotlib as mpl
import matplotlib.pyplot as plt
import numpy as np
import xarray as xr
from cycler import cycler
from matplotlib.axes import Axes
from matplotlib.collections import LineCollection

from systems.checks import check
from systems.dataset.schema import EDGES, aligned, shaped
from systems.dataset.times import clock_of

#: Okabe and Ito 2008, without the yellow that vanishes on paper.
COLOURS = ("#0072B2", "#D55E00", "#009E73", "#CC79A7", "#E69F00", "#56B4E9", "#000000")

#: What float64 can distinguish from 1: drift below it is drawn on it.
ROUND_OFF = 2.0**-53


#: matplotlib's settings of the look; ``plt.rcParams.update(STYLE)`` gives it to a whole notebook.
STYLE: Any = {
    "axes.prop_cycle": cycler(color=COLOURS),
    "axes.spines.top": False,
    "axes.spines.right": False,
    "axes.grid": True,
    "grid.alpha": 0.25,
    "grid.linewidth": 0.6,
    "legend.frameon": False,
    "lines.linewidth": 1.5,
    "font.size": 9,
    "axes.titlesize": 10,
    "figure.constrained_layout.use": True,
    "figure.dpi": 110,
    "savefig.dpi": 200,
}


def style() -> AbstractContextManager[None]:
    """A context in which figures are drawn.

    Example:
        >>> import matplotlib.pyplot as plt
        >>> with style():
        ...     figure, axes = plt.subplots()
        >>> plt.close(figure)
    """
    return mpl.rc_context(STYLE)


def axes_or_new(ax: Axes | None) -> Axes:
    """The Axes given, or those of a new figure in our style."""
    if ax is not None:
        return ax
    with style():
        return plt.subplots(figsize=(4.5, 3.2))[1]


def label(array: xr.DataArray) -> str:
    """An axis label: the long name, and the units unless there are none."""
    name, units = array.attrs.get("long_name", array.name), array.attrs.get("units", "1")
    return str(name) if units == "1" else f"{name} ({units})"


def time_label(data: xr.DataArray | xr.Dataset) -> str:
    """The label of an axis of time: in seconds, or in what the data count time in.

    Example:
        >>> time_label(xr.DataArray([1.0], dims="time", coords={"time": ("time", [0.0], {"units": "yr"})}))
        'time (yr)'
    """
    return label(clock_of(data))


#: From so many bodies on all of them are drawn at once, without a line and a colour for each.
MANY = 200


def edges_of(dataset: xr.Dataset) -> np.ndarray:
    """The bodies ``(edge, 2)`` at the ends of each edge that is between bodies which are there."""
    if "edge_body" not in dataset:
        return np.zeros((0, 2), int)
    edges = np.stack([aligned(dataset)[name].values for name in EDGES], -1)
    return edges[(edges >= 0).all(-1)]


def edge_lines(ax: Axes, points: np.ndarray, edges: np.ndarray) -> Any:
    """Thin grey lines along the edges between points ``(body, space)``, as one collection of the Axes."""
    from mpl_toolkits.mplot3d.art3d import Line3DCollection  # only where there is something to draw in space

    lines: Any = LineCollection if points.shape[1] == 2 else Line3DCollection
    drawn = lines(points[edges], colors="#888888", linewidths=min(1.0, 40 / max(len(points), 1) ** 0.5), zorder=1)
    ax.add_collection(drawn)
    return drawn


def one_of(dataset: xr.Dataset, trajectory: int) -> xr.Dataset:
    """One trajectory, with its dimension; a ValueError if there is none of this number."""
    count = shaped(dataset).sizes["trajectory"]
    check("trajectory", trajectory, -count <= trajectory < count, f"an index below {count}")
    return dataset.isel(trajectory=[trajectory])


def times_of(array: xr.DataArray) -> np.ndarray:
    """The times to draw against, ``(time,)``; of the first trajectory where each has its own."""
    times = clock_of(array)
    return (times.isel(trajectory=0) if "trajectory" in times.dims else times).values


#: Times at which trajectories with times of their own are compared, at most.
MOST_TIMES = 2000


def on_shared_times(array: xr.DataArray, *, elapsed: bool = False) -> xr.DataArray:
    """Values of trajectories at the same times, by straight lines between their own where each has its own.

    Args:
        array: ``(trajectory, time)``.
        elapsed: whether times count from the first one of each trajectory.

    Example:
        >>> own = ("trajectory", "time"), [[0.0, 1.0, 2.0], [0.0, 2.0, 4.0]]
        >>> array = xr.DataArray([[0.0, 1.0, 2.0], [0.0, 2.0, 4.0]], dims=own[0], coords={"trajectory_time": own})
        >>> on_shared_times(array).values
        array([[ 0.,  1.,  2., nan],
               [ 0.,  1.,  2.,  4.]])
    """
    if "trajectory_time" not in array.coords:
        return array
    array = array.transpose("trajectory", "time")
    times = clock_of(array)
    own = times.transpose("trajectory", "time").values
    own = own - own[:, :1] if elapsed else own
    shared = np.unique(own[np.isfinite(own)])
    if len(shared) > MOST_TIMES:
        shared = np.linspace(shared[0], shared[-1], MOST_TIMES)
    values = np.full((len(own), len(shared)), np.nan)
    for row, t, x in zip(values, own, array.values, strict=True):
        order = np.argsort(t)[: np.isfinite(t).sum()]
        t, x = t[order], x[order]
        row[:] = np.interp(shared, t, x, left=np.nan, right=np.nan)
        row[np.interp(shared, t, np.isinf(x), left=0, right=0) > 0] = np.inf  # of what has ended a drift is infinite
    time = ("time", shared, times.attrs)
    return xr.DataArray(values, dims=array.dims, coords={"time": time}, attrs=array.attrs, name=array.name)


def band_of(values: np.ndarray) -> np.ndarray:
    """The 10th, 50th and 90th percentile over trajectories of ``(trajectory, time)``; NaN where nothing is known.

    Example:
        >>> band_of(np.array([[1.0, np.nan], [3.0, np.nan]]))[1]
        array([ 2., nan])
    """
    found, known = np.full((3, values.shape[1]), np.nan), ~np.isnan(values).all(0)
    found[:, known] = np.nanquantile(values[:, known], [0.1, 0.5, 0.9], axis=0)
    return found


def plot_band(ax: Axes, array: xr.DataArray, *, log: bool = False, **line) -> None:
    """The median over trajectories, and a band from the 10th to the 90th percentile, at the same times of all."""
    array = on_shared_times(array)
    values = array.transpose("trajectory", "time").values
    if log:
        values = np.maximum(values, ROUND_OFF)
    low, middle, high = band_of(values)
    [drawn] = ax.plot(times_of(array), middle, **line)
    ax.fill_between(times_of(array), low, high, color=drawn.get_color(), alpha=0.2, linewidth=0)
    if log:
        ax.set_yscale("log")
