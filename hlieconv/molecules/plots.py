"""Figures of molecule regressors."""

from typing import Any

import numpy as np
from matplotlib.axes import Axes

from hlieconv.plots.style import axes_or_new
from systems.checks import check
from systems.numbers import to_array


def plot_prediction(
    predicted: Any, true: Any, *, name: str = "target", units: str = "1", ax: Axes | None = None, **points: Any
) -> Axes:
    """Predicted against true values, with the diagonal and the mean absolute error.

    Args:
        predicted, true: ``(molecules,)``.
        name: of the target.
        units: of both.
        ax: where to draw; None: a new figure.
        **points: of ``ax.plot``.
    """
    predicted, true = to_array("predicted", predicted), to_array("true", true)
    check("true", true.shape, true.shape == predicted.shape, f"the shape of predicted, {predicted.shape}")
    ax = axes_or_new(ax)
    ax.plot(true, predicted, ".", **{"markersize": 2, "alpha": 0.4} | points)
    ends = [min(true.min(), predicted.min()), max(true.max(), predicted.max())]
    ax.plot(ends, ends, color="black", linewidth=0.8)
    ax.set_xlabel(f"true {name} ({units})")
    ax.set_ylabel(f"predicted {name} ({units})")
    ax.set_title(f"mean absolute error {np.abs(predicted - true).mean():.3g} {units}")
    return ax
