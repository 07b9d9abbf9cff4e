"""Figures 6 to 8 of Finzi et al. 2020 from result files."""

from collections.abc import Iterator
from pathlib import Path

import matplotlib.pyplot as plt
import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from hlieconv.plots.saving import save_figure
from hlieconv.plots.style import COLOURS, ROUND_OFF, style
from hlieconv.study import published
from hlieconv.study.catalogue import ENTRIES
from hlieconv.study.tables import Result, select, sizes

#: Models of figs. 6 and 7, all trained on as many systems; the groups among them for as many steps, too.
GROUPS = ("Trivial", "SO2", "T2", "SE2")
SHOWN = ("FC", "HFC", "short-HOGN", "T2-published", *GROUPS)
SYSTEMS_SHOWN = 400
#: The groups after 400 steps: their momenta drift enough to be seen.
SHORT = {"Trivial": "short-Trivial", "SO2": "short-SO2", "T2": "short-T2", "SE2": "short"}
#: Models of fig. 8, where there are results.
CURVES = ("FC", "HFC", "OGN", "HOGN", "LieConv", "T2-published", "T2-full-all", "SE2-all", "SE2")
COLOUR: dict[str, str] = dict(zip(("SE2", "HFC", "T2", "SO2", "Trivial", "FC", "T2-published"), COLOURS, strict=True))
COLOUR |= {"short-HOGN": "0.7", "HOGN": "0.7", "OGN": "0.5", "LieConv": COLOUR["Trivial"]}
COLOUR |= {"T2-full-all": COLOUR["T2"], "SE2-all": COLOUR["SO2"]}


def draw(results: list[Result], folder: Path) -> Iterator[Path]:
    """Draw every figure; gives their files, none without results for springs."""
    springs = [result for result in results if result["trial"]["system"] == "springs"]
    if not springs:
        return
    folder.mkdir(parents=True, exist_ok=True)
    for name, plot in {"trajectories": trajectories, "conservation": conservation, "errors": errors}.items():
        with style():
            figure = plot(springs)
            file = folder / f"study_{name}.png"
            save_figure(figure, file)
            plt.close(figure)
        yield file


def shown(results: list[Result]) -> dict[str, Result]:
    """One training of each model of figs. 6 and 7, on `SYSTEMS_SHOWN` systems, or on what there is."""
    n = min((result["trial"]["n_train"] for result in results), key=lambda n: abs(n - SYSTEMS_SHOWN))
    return {entry: found[0] for entry in SHOWN if (found := select(results, "springs", entry, n))}


def trajectories(results: list[Result]) -> Figure:
    """Fig. 6: where the first 100 points of one system go, predicted (lines) and true (dots)."""
    models = shown(results)
    figure, axes = plt.subplots(1, len(models), figsize=(2.6 * len(models), 2.9), squeeze=False)
    for ax, result in zip(axes[0], models.values(), strict=True):
        example = result["example"]
        for colour, predicted, true in zip(COLOURS, example["predicted"]["q"], example["true"]["q"], strict=False):
            ax.plot(true[0][::4], true[1][::4], ".", color=colour, markersize=3, alpha=0.5)
            ax.plot(predicted[0], predicted[1], color=colour, linewidth=1)
        x, y = (np.array([body[axis] for body in example["true"]["q"]]) for axis in (0, 1))
        ax.set_xlim(x.min() - 0.3, x.max() + 0.3)
        ax.set_ylim(y.min() - 0.3, y.max() + 0.3)
        ax.set_title(_label(result).replace(", ", "\n", 1), fontsize=8)
    return figure


def conservation(results: list[Result]) -> Figure:
    """Fig. 7: what each symmetry conserves, and how fast a rollout goes wrong."""
    figure, (drifts, momentum, rollout, energy) = plt.subplots(1, 4, figsize=(15, 3.4))
    models = shown(results)
    groups = {group: models[group] for group in GROUPS if group in models}
    for shift, (quantity, label) in enumerate({"momentum": "P", "angular_momentum": "L"}.items()):
        heights = [max(result["rollout"]["drift"][quantity] or np.nan, ROUND_OFF) for result in groups.values()]
        drifts.bar(np.arange(len(groups)) + 0.35 * shift, heights, 0.35, bottom=ROUND_OFF / 10, label=label)
    drifts.set_xticks(np.arange(len(groups)) + 0.175, list(groups))
    drifts.set_yscale("log")
    drifts.set_ylabel("largest drift in 100 points")
    drifts.legend()
    short = {group: select(results, "springs", entry, SYSTEMS_SHOWN) for group, entry in SHORT.items()}
    for group, trained in short.items():
        for result in trained[:1]:
            example = result["example"]
            momentum.plot(example["time"], example["predicted"]["P_x"], color=COLOUR[group], label=group)
            momentum.plot(example["time"], example["true"]["P_x"], ":", color="black")
    momentum.set_xlabel("time (s)")
    momentum.set_ylabel("$P_x$ of one system, 400 steps")
    if momentum.lines:
        momentum.legend()
    for entry, result in models.items():
        for ax, curve in ((rollout, "mse"), (energy, "energy_error")):
            if curve in result["rollout"]:
                values = _floats(result["rollout"][curve])[1:]  # the first point is exact
                ax.plot(np.arange(1, 1 + len(values)), values, color=COLOUR[entry], label=_label(result))
    for marker, (name, curve) in zip("o^", published.ROLLOUTS.items(), strict=True):
        rollout.plot([*curve], [*curve.values()], f"{marker}--", color="0.4", markersize=4, label=name)
    for ax, label in ((rollout, "mean square error"), (energy, "error of the true energy")):
        ax.set_yscale("log")
        ax.set_xlabel("step")
        ax.set_ylabel(label)
    figure.legend(*rollout.get_legend_handles_labels(), loc="outside right upper", fontsize=7)
    return figure


def errors(results: list[Result]) -> Figure:
    """Fig. 8: the test error against the number of training systems, with 95 % intervals over the seeds."""
    figure, ax = plt.subplots(figsize=(7.5, 6))
    for entry in CURVES:
        if known := sizes(results, "springs", entry):
            _plot_errors(ax, results, entry, known)
    for marker, (name, curve) in zip("so^", published.CURVES.items(), strict=True):
        ax.plot([*curve], [*curve.values()], f"{marker}--", color="0.4", markersize=4, label=name)
    ax.set_xscale("log")
    ax.set_yscale("log")
    ax.set_xlabel("training systems")
    ax.set_ylabel("test error, geometric mean of trainings")
    figure.legend(loc="outside lower center", ncols=2, fontsize=6.5)
    return figure


def _plot_errors(ax: Axes, results: list[Result], entry: str, known: list[int]) -> None:
    """Mean of the logarithms over seeds, and Student's 95 % interval of it."""
    middle, spread = [], []
    for n in known:
        own = select(results, "springs", entry, n)
        logs = [np.log(np.mean(_floats([test["mean"] for test in result["test"]]))) for result in own]
        middle.append(np.mean(logs))
        student = {2: 12.71, 3: 4.30, 4: 3.18, 5: 2.78}.get(len(logs), 2.0)
        spread.append(student * np.std(logs, ddof=1) / np.sqrt(len(logs)) if len(logs) > 1 else 0.0)
    middle, spread, colour = np.array(middle), np.array(spread), COLOUR[entry]
    ax.plot(known, np.exp(middle), "o-", color=colour, markersize=4, label=ENTRIES[entry].text)
    ax.fill_between(known, np.exp(middle - spread), np.exp(middle + spread), color=colour, alpha=0.2, linewidth=0)


def _label(result: Result) -> str:
    trial = result["trial"]
    return f"{ENTRIES[trial['entry']].text}, {trial['n_train']} systems, {result['cost']['steps']} steps"


def _floats(values: list[float | None]) -> np.ndarray:
    return np.array([np.nan if value is None else value for value in values])
