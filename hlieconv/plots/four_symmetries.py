"""Momentum and angular momentum under the four planar symmetries (after Fig. 7 of Finzi et al. 2020)."""

from collections.abc import Mapping

import matplotlib.pyplot as plt
import xarray as xr
from matplotlib.figure import Figure

from hlieconv.plots.errors import plot_error
from hlieconv.plots.style import COLOURS, style
from hlieconv.plots.time_series import plot_drift, plot_momentum


def plot_four_symmetries(rollouts: Mapping[str, xr.Dataset], truth: xr.Dataset, trajectory: int = 0) -> Figure:
    """For each group's rollout: P_x and L of one trajectory, and the drift of both and the error over all of them."""
    with style():
        figure, axes = plt.subplots(2, 3, figsize=(10.5, 5.6))
    (px, lz, error), (px_drift, lz_drift, energy_drift) = axes
    for colour, (group, dataset) in zip(COLOURS, rollouts.items(), strict=False):
        line = {"color": colour, "label": group}
        for component, curve, drift in (("P_x", px, px_drift), ("L_z", lz, lz_drift)):
            plot_momentum(dataset, component, trajectory, ax=curve, **line)
            plot_drift(dataset, component, ax=drift, **line)
        plot_error(dataset, truth, ax=error, **line)
        plot_drift(dataset, "energy", ax=energy_drift, **line)
    for component, curve in (("P_x", px), ("L_z", lz)):
        plot_momentum(truth, component, trajectory, ax=curve, color="black", linestyle=":", label="exact")
    px.set_title("momentum of one system")
    lz.set_title("angular momentum about the origin")
    error.set_title("error of the state")
    px_drift.set_title("drift of $P_x$")
    lz_drift.set_title("drift of $L_z$")
    energy_drift.set_title("drift of the learned energy")
    px.legend(fontsize=8)
    return figure
