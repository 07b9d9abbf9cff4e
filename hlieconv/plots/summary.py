"""One page about a rollout."""

import matplotlib.pyplot as plt
import xarray as xr
from matplotlib.figure import Figure

from hlieconv.diagnostics.summaries import summary
from hlieconv.plots.errors import plot_error
from hlieconv.plots.style import style
from hlieconv.plots.time_series import plot_drift, plot_energy
from hlieconv.plots.trajectories import plot_trajectories
from systems.checks import Index


def plot_summary(dataset: xr.Dataset, reference: xr.Dataset | None = None, trajectory: Index = 0) -> Figure:
    """Paths, energy, drift of what may be conserved, and errors where a reference is given.

    Args:
        dataset: a rollout, or any trajectories.
        reference: what it should be.
        trajectory: the one whose paths and energy are drawn.
    """
    with style():
        figure, axes = plt.subplots(2, 2, figsize=(8.0, 6.2))
    paths, energies, drifts, errors = axes.flat
    plot_trajectories(dataset, trajectory, reference=reference, ax=paths)
    paths.set_title("paths" if reference is None else "paths (reference dashed)")
    numbers = summary(dataset, reference)
    if "energy" in dataset:
        plot_energy(dataset, trajectory, ax=energies)
    else:
        energies.set_axis_off()
    for component in (name for name in numbers if name == "energy" or name[:2] in ("P_", "L_")):
        plot_drift(dataset, component, ax=drifts)
    drifts.legend()
    if reference is not None:
        plot_error(dataset, reference, ax=errors)
    else:
        errors.set_axis_off()
        rows = "\n".join(f"{name:<12}{value:10.2e}" for name, value in numbers.items())
        errors.text(0, 1, f"largest drift, median\n\n{rows}", va="top", family="monospace", transform=errors.transAxes)
    return figure
