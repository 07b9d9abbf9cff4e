"""Figures 6 to 8 of Finzi et al. 2020 from result files."""

from collections.abc import Iterator
from pathlib import Path

import matplotlib.pyplot as plt
import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from hlieconv.plots.style import COLOURS, ROUND_OFF, style
from hlieconv.study import published
from hlieconv.study.tables import Result, sizes

#: The models that the figures show, where there are results.
SHOWN = ("FC", "HFC", "OGN", "HOGN", "Trivial", "SO2", "T2", "SE2")
GROUPS = ("Trivial", "T2", "SO2", "SE2")
COLOUR = dict(zip(("SE2", "HFC", "T2", "SO2", "Trivial", "FC", "HOGN", "OGN"), (*COLOURS, "0.7"), strict=True))
#: What stands for a model that was not trained in full.
SHORT = {name: f"short-{name}" for name in SHOWN} | {"SE2": "short"}


def draw(results: list[Result], folder: Path) -> Iterator[Path]:
    """Draw every figure that there are results for; gives their files."""
    folder.mkdir(parents=True, exist_ok=True)
    springs = [result for result in results if result["trial"]["system"] == "springs"]
    for name, plot in {"trajectories": trajectories, "conservation": conservation, "errors": errors}.items():
        if not any(_best(springs, name) for name in SHOWN):
            return
        with style():
            figure = plot(springs)
            file = folder / f"study_{name}.png"
            figure.savefig(file)
            plt.close(figure)
        yield file


def trajectories(results: list[Result]) -> Figure:
    """Fig. 6: where the first 100 points of one system go, predicted (lines) and true (dots)."""
    shown = [(entry, best) for entry in SHOWN if (best := _best(results, entry))]
    figure, axes = plt.subplots(1, len(shown), figsize=(2.4 * len(shown), 2.7), squeeze=False)
    for ax, (entry, result) in zip(axes[0], shown, strict=True):
        example = result["example"]
        for colour, predicted, true in zip(COLOURS, example["predicted"]["q"], example["true"]["q"], strict=False):
            ax.plot(true[0][::4], true[1][::4], ".", color=colour, markersize=3, alpha=0.5)
            ax.plot(predicted[0], predicted[1], color=colour, linewidth=1)
        x, y = (np.array([body[axis] for body in example["true"]["q"]]) for axis in (0, 1))
        ax.set_xlim(x.min() - 0.3, x.max() + 0.3)
        ax.set_ylim(y.min() - 0.3, y.max() + 0.3)
        ax.set_title(f"{entry}\n{_training(result)}", fontsize=8)
    return figure


def conservation(results: list[Result]) -> Figure:
    """Fig. 7: what each symmetry conserves, and how fast a rollout goes wrong."""
    figure, (drifts, momentum, rollout, energy) = plt.subplots(1, 4, figsize=(15, 3.2))
    groups = {group: best for group in GROUPS if (best := _best(results, group))}
    for shift, (quantity, label) in enumerate({"momentum": "P", "angular_momentum": "L"}.items()):
        heights = [max(result["rollout"]["drift"][quantity], ROUND_OFF) for result in groups.values()]
        drifts.bar(np.arange(len(groups)) + 0.35 * shift, heights, 0.35, bottom=ROUND_OFF / 10, label=label)
    drifts.set_xticks(np.arange(len(groups)) + 0.175, list(groups))
    drifts.set_yscale("log")
    drifts.set_ylabel("largest drift in 100 points")
    drifts.legend()
    for group, result in groups.items():
        example = result["example"]
        momentum.plot(example["time"], example["predicted"]["P_x"], label=group)
        truth = example["true"]["P_x"]
        momentum.plot(example["time"], truth, ":", color="black")
    momentum.set_xlabel("time (s)")
    momentum.set_ylabel("$P_x$ of one system")
    momentum.legend()
    for entry in SHOWN:
        if result := _best(results, entry):
            label = f"{entry}, {_training(result)}"
            for ax, curve in ((rollout, "mse"), (energy, "energy_error")):
                if curve in result["rollout"]:
                    values = _floats(result["rollout"][curve])[1:]  # the first point is exact
                    ax.plot(np.arange(1, 1 + len(values)), values, color=COLOUR[entry], label=label)
    curves = {"LieConv-T(2)": published.LIECONV_ROLLOUT, "LieTransformer": published.LIETRANSFORMER_ROLLOUT}
    for marker, (name, curve) in zip("ox", curves.items(), strict=True):
        rollout.plot([*curve], [*curve.values()], f"{marker}--", color="0.4", markersize=4, label=f"{name}, published")
    for ax, label in ((rollout, "mean square error"), (energy, "error of the true energy")):
        ax.set_yscale("log")
        ax.set_xlabel("step")
        ax.set_ylabel(label)
    figure.legend(*rollout.get_legend_handles_labels(), loc="outside right upper", fontsize=7)
    return figure


def errors(results: list[Result]) -> Figure:
    """Fig. 8: the test error against the number of training systems, with 95 % intervals over the seeds."""
    figure, ax = plt.subplots(figsize=(5, 4))
    for entry in SHOWN:
        for trained, line in ((entry, "o-"), (SHORT[entry], "^:")):
            if known := sizes(results, "springs", trained):
                _plot_errors(ax, results, trained, known, color=COLOUR[entry], fmt=line)
    for marker, (name, curve) in zip("so^", published.CURVES.items(), strict=True):
        ax.plot([*curve], [*curve.values()], f"{marker}--", color="0.4", markersize=4, label=name)
    ax.set_xscale("log")
    ax.set_yscale("log")
    ax.set_xlabel("training systems")
    ax.set_ylabel("test error (mean square, 5 points)")
    ax.legend(fontsize=7)
    return figure


def _plot_errors(ax: Axes, results: list[Result], entry: str, known: list[int], *, color: str, fmt: str) -> None:
    """Mean of the logarithms over seeds, and Student's 95 % interval of it."""
    name = next(name for name in SHOWN if entry in (name, SHORT[name]))
    middle, spread, own = [], [], []
    for n in known:
        own = [x for x in results if (x["trial"]["entry"], x["trial"]["n_train"]) == (entry, n)]
        logs = [np.log(np.mean(_floats([test["mean"] for test in result["test"]]))) for result in own]
        middle.append(np.mean(logs))
        student = {2: 12.71, 3: 4.30, 4: 3.18, 5: 2.78}.get(len(logs), 2.0)
        spread.append(student * np.std(logs, ddof=1) / np.sqrt(len(logs)) if len(logs) > 1 else 0.0)
    middle, spread = np.array(middle), np.array(spread)
    steps = own[0]["cost"]["steps"]
    ax.plot(known, np.exp(middle), fmt, color=color, markersize=4, label=f"{name}, {steps} steps")
    ax.fill_between(known, np.exp(middle - spread), np.exp(middle + spread), color=color, alpha=0.2, linewidth=0)


def _best(results: list[Result], name: str) -> Result | None:
    """The result of a full training, else of a short one; of the most training systems and the first seed."""
    own = [result for result in results if result["trial"]["entry"] == name]
    own = own or [result for result in results if result["trial"]["entry"] == SHORT[name]]
    return min(own, key=lambda result: (-result["trial"]["n_train"], result["trial"]["seed"]), default=None)


def _training(result: Result) -> str:
    return f"{result['trial']['n_train']} systems, {result['cost']['steps']} steps"


def _floats(values: list[float | None]) -> np.ndarray:
    return np.array([np.nan if value is None else value for value in values])
