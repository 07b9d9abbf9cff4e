"""How the losses of a training fall."""

import json
from pathlib import Path
from typing import Any

import matplotlib.pyplot as plt
from matplotlib.axes import Axes

from hlieconv.plots.style import axes_or_new


def plot_learning_curve(source: Any, *, ax: Axes | None = None, **line) -> Axes:
    """Loss and validation against the step, on a log scale, with a mark at the best validation.

    Args:
        source: what `fit` returned, its ``history``, or the folder of a run, which may be running.
        ax: Axes to draw in, a new one by default.
        **line: of the lines.

    Raises:
        ValueError: if there is no record.

    Example:
        >>> history = [{"step": 10, "loss": 1.0, "validation": 2.0}, {"step": 20, "loss": 0.1, "validation": 0.2}]
        >>> ax = plot_learning_curve(history)
        >>> [line.get_label() for line in ax.get_lines()]
        ['loss', 'validation', 'best validation: step 20']
        >>> plt.close(ax.figure)
    """
    records = _records(source)
    if not records:
        raise ValueError("source: expected records of a training, got none")
    ax = axes_or_new(ax)
    for name in ("loss", "validation"):
        points = [(record["step"], record[name]) for record in records if name in record]
        if points:
            ax.plot(*zip(*points, strict=True), label=name, **line)
    validated = [record for record in records if "validation" in record]
    if validated:
        best = min(validated, key=lambda record: record["validation"])
        label = f"best validation: step {best['step']}"
        ax.plot(best["step"], best["validation"], "o", color=ax.get_lines()[-1].get_color(), label=label)
    ax.set_yscale("log")
    ax.set_xlabel("step")
    ax.set_ylabel("loss")
    ax.legend()
    return ax


class LiveCurve:
    """The learning curve in a notebook, drawn again at every record: ``fit(..., on_record=LiveCurve())``.

    Raises:
        ValueError: outside of IPython.
    """

    def __init__(self) -> None:
        try:
            from IPython.display import display
        except ImportError as error:
            raise ValueError("LiveCurve: expected a notebook, and the package IPython is missing") from error
        self.display, self.handle, self.records = display, None, []

    def __call__(self, record: dict[str, float | int]) -> None:
        self.records.append(record)
        figure: Any = plot_learning_curve(self.records).figure
        if self.handle is None:
            self.handle = self.display(figure, display_id=True)
        else:
            self.handle.update(figure)
        plt.close(figure)


def _records(source: Any) -> list[dict[str, float | int]]:
    if isinstance(source, str | Path):
        file = Path(source) / "metrics.jsonl"
        if not file.exists():
            raise ValueError(f"source: expected the folder of a run, found no {file}")
        lines = file.read_text().splitlines(keepends=True)
        return [json.loads(line) for line in lines if line.endswith("\n")]  # the last one may be being written
    return list(getattr(source, "history", source))
