"""One conserved quantity, or its drift, against time."""

import xarray as xr
from matplotlib.axes import Axes

from hlieconv.diagnostics.conserved import angular_momentum, energy, momentum, rotations, translations
from hlieconv.diagnostics.drifts import drift
from hlieconv.plots.style import axes_or_new, label, one_of, plot_band, time_label, times_of
from systems.checks import Index


def plot_energy(dataset: xr.Dataset, trajectory: Index = 0, *, ax: Axes | None = None, **line) -> Axes:
    """The energy of one trajectory against time."""
    return _plot_curve(energy(one_of(dataset, trajectory)), ax, line)


def plot_momentum(
    dataset: xr.Dataset, component: str = "L_z", trajectory: Index = 0, *, ax: Axes | None = None, **line
) -> Axes:
    """One component of the momentum (P_x, P_y, P_z) or angular momentum (L_z, L_x, L_y) of one trajectory.

    Raises:
        ValueError: if the trajectories have no such component.
    """
    return _plot_curve(component_of(one_of(dataset, trajectory), component), ax, line)


def plot_drift(dataset: xr.Dataset, component: str = "energy", *, ax: Axes | None = None, **line) -> Axes:
    """The drift of a quantity on a log scale: median over trajectories, band from the 10th to the 90th percentile.

    Args:
        dataset: trajectories.
        component: "energy", or a component such as P_x or L_z.
        ax: where to draw.
        **line: passed to ``Axes.plot``.
    """
    ax = axes_or_new(ax)
    values = drift_of(dataset, component)
    line.setdefault("label", component)
    plot_band(ax, values, log=True, **line)
    ax.set_xlabel(time_label(values))
    ax.set_ylabel("drift")
    return ax


def component_of(dataset: xr.Dataset, component: str) -> xr.DataArray:
    """P_x, ..., L_z of trajectories, ``(trajectory, time)``."""
    array = {"P": momentum, "L": angular_momentum}.get(component[:1], lambda _: None)(dataset)
    return _one(dataset, array, component)


def drift_of(dataset: xr.Dataset, component: str) -> xr.DataArray:
    """The drift of the energy or of one component, ``(trajectory, time)``."""
    if component == "energy":
        return drift(dataset, "energy")
    quantity = {"P": "momentum", "L": "angular_momentum"}.get(component[:1])
    return _one(dataset, None if quantity is None else drift(dataset, quantity), component)


def _one(dataset: xr.Dataset, array: xr.DataArray | None, component: str) -> xr.DataArray:
    names = [charge.name for charge in (rotations if component[:1] == "L" else translations)(dataset)]
    if array is None or component not in names:
        raise ValueError(f"component: expected one such as P_x or L_z that the trajectories have, got {component}")
    axes = [dim for dim in array.dims if dim in ("space", "plane")]
    chosen = array.isel({dim: names.index(component) for dim in axes})
    return chosen.assign_attrs(long_name=f"{component[0]}$_{{{component[2:]}}}$")


def _plot_curve(array: xr.DataArray, ax: Axes | None, line: dict) -> Axes:
    ax = axes_or_new(ax)
    values = array.isel(trajectory=0)
    ax.plot(times_of(array), values, **line)
    size = float(abs(values).max())
    if float(values.max() - values.min()) < 1e-6 * size:  # constant: round-off alone must not fill the axes
        start, mean = float(times_of(array)[0]), float(values.mean())
        ax.update_datalim([(start, 0.0), (start, 1.3 * mean)])  # other curves may still widen them
        ax.autoscale_view()
    ax.set_xlabel(time_label(array))
    ax.set_ylabel(label(array))
    return ax
