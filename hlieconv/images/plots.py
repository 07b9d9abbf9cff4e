"""Figures of image classifiers."""

from typing import Any

import numpy as np
from matplotlib.axes import Axes

from hlieconv.plots.style import axes_or_new
from systems.checks import check


def plot_confusion(confusion: Any, *, ax: Axes | None = None) -> Axes:
    """How many images of each true class (rows) are taken for each class (columns); shades by the row's fraction.

    Args:
        confusion: ``(classes, classes)``, as `evaluate_images` counts it.
        ax: where to draw; None: a new figure.
    """
    counts = np.asarray(confusion)
    check("confusion", confusion, counts.dtype.kind in "iuf" and counts.ndim == 2, "a table (classes, classes)")
    ax = axes_or_new(ax)
    ax.imshow(counts / counts.sum(1, keepdims=True).clip(min=1), cmap="Blues", vmin=0, vmax=1)
    for true, row in enumerate(counts):
        for taken_for, count in enumerate(row):
            if count:
                colour = "white" if count > 0.5 * row.sum() else "black"
                ax.text(taken_for, true, str(count), ha="center", va="center", fontsize=6, color=colour)
    ax.set_xticks(range(len(counts)))
    ax.set_yticks(range(len(counts)))
    ax.set_xlabel("predicted class")
    ax.set_ylabel("true class")
    ax.grid(False)
    return ax


def plot_rotation(rows: list[dict[str, float]], *, ax: Axes | None = None, **line: Any) -> Axes:
    """Accuracy against the angle by which the test images are turned.

    Args:
        rows: the "rotation" of `evaluate_images`.
        ax: where to draw; None: a new figure.
        **line: of ``ax.plot``.
    """
    ax = axes_or_new(ax)
    ax.plot([row["angle"] for row in rows], [100 * row["accuracy"] for row in rows], marker="o", markersize=3, **line)
    ax.set_xlabel("angle of the test rotation (degrees)")
    ax.set_ylabel("accuracy (%)")
    ax.set_ylim(0, 101)
    return ax
