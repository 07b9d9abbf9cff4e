"""The figure of a publication: what trajectories conserve, with bands and the laws by which drifts grow."""

from pathlib import Path
from typing import Any, Literal

import matplotlib as mpl
import matplotlib.pyplot as plt
import numpy as np
import torch
import xarray as xr
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from hlieconv.diagnostics.conserved import energy, rotations, translations
from hlieconv.noether.growth import growth_law
from hlieconv.plots.charges import law_text, symbol
from hlieconv.plots.saving import figure_path, save_figure
from hlieconv.plots.style import ROUND_OFF, STYLE, on_shared_times, plot_band, time_label, times_of
from hlieconv.plots.time_series import drift_of
from systems.dataset.schema import shaped

#: Widths of a column and of a page of most journals, in inches (86 and 178 mm).
WIDTHS = {"column": 3.39, "page": 7.01}

#: Sizes that can be read in print at these widths.
PRINT: Any = STYLE | {
    "font.size": 8,
    "axes.titlesize": 8,
    "legend.fontsize": 7,
    "lines.linewidth": 1.0,
    "axes.linewidth": 0.6,
}


def plot_conservation(
    dataset: xr.Dataset,
    *,
    width: Literal["column", "page"] = "column",
    path: str | Path | None = None,
    overwrite: bool = False,
) -> Figure:
    """The drift of every component of the momentum, of the angular momentum, and of the energy, on log axes.

    Lines are medians over trajectories, bands go from the 10th to the 90th percentile, and dashed is the law by which
    the median grows, which the legend names. What a Dataset does not have is left out. The figure is as wide as a
    column or a page of a journal; a file is a vector graphic with its fonts embedded (.pdf, or .svg, with letters as
    curves).

    Args:
        dataset: trajectories, simulated, predicted or measured, with at least two times.
        width: of the figure: "column" (86 mm), with the panels below each other, or "page" (178 mm), side by side.
        path: of a file to write too.
        overwrite: whether to replace a file that is there.

    Returns:
        The Figure.

    Raises:
        ValueError: for fewer than two times, no position that is a number, another width, or a file that cannot be
            written, before anything is drawn; or if the Dataset has none of these quantities.

    Example:
        >>> from systems import Springs, simulate
        >>> run = simulate(*Springs.sample(10, seed=0), torch.linspace(0, 5, 101).double())
        >>> figure = plot_conservation(run)
        >>> [panel.get_title() for panel in figure.axes]
        ['momentum', 'angular momentum', 'energy']
        >>> plt.close(figure)
    """
    if shaped(dataset).sizes["time"] < 2:
        raise ValueError(f"dataset: expected at least two times, got {dataset.sizes['time']}")
    if bool(dataset["q"].isnull().all()):
        raise ValueError(f"dataset: expected positions, got NaN in all {dataset.sizes['trajectory']} trajectories")
    if path is not None:
        figure_path(path, overwrite=overwrite)
    panels = _quantities(dataset)
    if not panels:
        raise ValueError("dataset: expected positions in space or an energy, got neither")
    below = width == "column"
    size = (WIDTHS[width], 1.75 * len(panels) + 0.25 if below else 2.4)
    with mpl.rc_context(PRINT):
        rows, columns = (len(panels), 1) if below else (1, len(panels))
        figure, axes = plt.subplots(rows, columns, figsize=size, sharex=True, squeeze=False)
        for ax, (title, components) in zip(axes.flat, panels.items(), strict=True):
            for component in components:
                _draw(ax, component, drift_of(dataset, component))
            ax.set_title(title)
            ax.legend(loc="best", handlelength=1.2)
        for ax in axes[-1]:
            ax.set_xlabel(time_label(dataset))
        for ax in axes[:, 0]:
            ax.set_ylabel("relative drift")
        if path is not None:
            save_figure(figure, path)
    return figure


def _quantities(dataset: xr.Dataset) -> dict[str, list[str]]:
    """The components that a Dataset has, by the panel in which they are drawn."""
    found = {}
    if dataset.attrs.get("coordinate_system", "cartesian") == "cartesian":
        found["momentum"] = [charge.name for charge in translations(dataset)]
        if dataset.sizes["space"] > 1:
            found["angular momentum"] = [charge.name for charge in rotations(dataset)]
    try:
        energy(dataset)
    except ValueError:  # nobody knows it
        return found
    return found | {"energy": ["energy"]}


def _draw(ax: Axes, component: str, drift: xr.DataArray) -> None:
    """A band, and the law of its median."""
    drift = on_shared_times(drift, elapsed=True)
    since = np.abs(times_of(drift) - times_of(drift)[0])[1:]
    drift = drift.isel(time=slice(1, None)).assign_coords(time=since)
    drift = drift.where(np.isfinite(drift))
    middle = drift.median("trajectory").values.astype(float)
    known, law, text = np.isfinite(middle), None, symbol(component)
    if known.sum() >= 5 and (middle[known] > 0).any():
        law = growth_law(torch.tensor(since[known]), torch.tensor(middle[known]))
        text += f", {law_text(law)}"
    plot_band(ax, drift, log=True, label=text)
    ax.set_xscale("log")
    if law is not None:
        late = since[since >= 0.02 * since[-1]]
        line = np.maximum(law(torch.tensor(late)).numpy(), ROUND_OFF)
        ax.plot(late, line, "--", color=ax.lines[-1].get_color(), linewidth=0.8)
