"""Trajectories as a moving picture."""

from pathlib import Path

import matplotlib.pyplot as plt
import numpy as np
import xarray as xr
from matplotlib import animation
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from hlieconv.plots.style import COLOURS, MANY, edge_lines, edges_of, label, style, time_label
from systems.checks import Index
from systems.dataset.times import clock_of
from systems.files import appearing, locked

#: File endings by matplotlib's writer.
WRITERS = {".gif": "pillow", ".mp4": "ffmpeg"}


def animate_trajectories(
    dataset: xr.Dataset,
    path: str | Path,
    trajectory: Index = 0,
    *,
    reference: xr.Dataset | None = None,
    seconds: float = 5.0,
    frames: int = 100,
    tail: float = 0.2,
    overwrite: bool = False,
    ax: Axes | None = None,
) -> Axes:
    """The bodies of one trajectory moving in the plane or in space, each with a tail, written as GIF or MP4.

    Angles of a chain of pendulums are drawn as its links (see `in_the_plane`).
    Edges are drawn between them. Very many bodies (`MANY`) have one colour and no tails.

    Args:
        dataset: trajectories in two or three dimensions, or pendulums in angles.
        path: of the file to write, ``.gif`` or ``.mp4`` (for which matplotlib needs ffmpeg).
        trajectory: which of them.
        reference: drawn hollow beside it.
        seconds: how long the picture moves.
        frames: how many pictures there are, spread evenly over the times.
        tail: the part of the time span that stays visible behind a body.
        overwrite: whether to replace a file that is there.
        ax: where to draw, in a figure that is saved as a whole; of projection "3d" in space. None: a new one.

    Returns:
        The Axes of the last picture.

    Raises:
        ValueError: for another ending, a writer that is missing, one dimension of space, or a file that is there.
    """
    path = Path(path)
    writer = WRITERS.get(path.suffix)
    if writer is None:
        raise ValueError(f"path: expected one that ends in {' or '.join(WRITERS)}, got {path.name}")
    if not animation.writers.is_available(writer):
        raise ValueError(f"path: {path.suffix} needs {writer}, which matplotlib does not find; .gif always works")
    if path.exists() and not overwrite:
        raise ValueError(f"path: {path.name} is there already: pass overwrite=True to replace it")
    hangs = dataset.attrs.get("coordinate_system") == "generalised"
    if hangs:
        dataset, reference = in_the_plane(dataset), None if reference is None else in_the_plane(reference)
    if dataset.sizes["space"] not in (2, 3):
        raise ValueError(f"dataset: expected 2 or 3 dimensions of space, got {dataset.sizes['space']}")
    runs = [_paths(data, trajectory) for data in (dataset, reference) if data is not None]
    shown = np.unique(np.linspace(0, len(runs[0]) - 1, frames).round().astype(int))
    length = max(1, round(tail * len(runs[0])))
    times = clock_of(dataset)
    times = (times.isel(trajectory=trajectory) if "trajectory" in times.dims else times).values
    unit = time_label(dataset).removeprefix("time").replace("(", "").replace(")", "")
    new = ax is None
    with style():
        figure = plt.figure(figsize=(4.0, 4.0), dpi=100) if new else ax.get_figure(root=True)
        assert isinstance(figure, Figure)
        if ax is None:
            ax = figure.add_subplot(projection="3d" if dataset.sizes["space"] == 3 else None)
        _frame(ax, _points(runs, hangs), label(dataset["q"]))
        links = [ax.plot([], [], "-", color="0.6", linewidth=1.0, zorder=1)[0] for _ in runs if hangs]
        joined = edges_of(dataset)
        edges = edge_lines(ax, runs[0][0], joined) if len(joined) else None
        many = runs[0].shape[1] > MANY
        crowd = [_crowd(ax, run.shape[1], hollow=k > 0) for k, run in enumerate(runs if many else [])]
        single = [] if many else runs
        lines = [[_line(ax, body, hollow=k > 0) for body in range(run.shape[1])] for k, run in enumerate(single)]

        def draw(index: int) -> list:
            if edges is not None:
                edges.set_segments(runs[0][index][joined])
            for run, dots in zip(runs, crowd, strict=False):
                _set(dots, run[index])
            for run, pairs in zip(runs, lines, strict=False):
                for body, (line, dot) in enumerate(pairs):
                    _set(line, run[max(0, index - length) : index + 1, body])
                    _set(dot, run[index : index + 1, body])
            for run, link in zip(runs, links, strict=False):
                _set(link, np.concatenate([np.zeros_like(run[index, :1]), run[index]]))
            ax.set_title(f"t = {times[index]:.4g}{unit}")
            return []

        moving = animation.FuncAnimation(figure, draw, frames=shown.tolist(), blit=False)
        with locked(path), appearing(path) as temporary:
            moving.save(temporary, writer=writer, fps=max(1, round(len(shown) / seconds)))
    if new:
        plt.close(figure)
    return ax


def in_the_plane(dataset: xr.Dataset) -> xr.Dataset:
    """Pendulums in angles as bodies in the plane: each hangs on the one before it, the first on the origin.

    Raises:
        ValueError: without the variable ``length``, or for more than one coordinate a body.
    """
    if "length" not in dataset or dataset.sizes["space"] != 1:
        raise ValueError(
            "dataset: expected pendulums, with one angle and a length a link: other coordinates are no places"
        )
    angle = dataset["q"].isel(space=0)
    steps = xr.concat([dataset["length"] * np.sin(angle), -dataset["length"] * np.cos(angle)], "space")
    places = steps.cumsum("body").transpose(*dataset["q"].dims).assign_attrs(dataset["q"].attrs)
    return dataset.drop_vars(["q", "p"]).assign(q=places).assign_attrs(coordinate_system="cartesian")


def _points(runs: list[np.ndarray], hangs: bool) -> np.ndarray:
    """All that is to be seen: bodies, and the point that they hang on."""
    points = np.concatenate([run.reshape(-1, 1, run.shape[-1]) for run in runs])
    return np.concatenate([points, np.zeros_like(points[:1])]) if hangs else points


def _paths(dataset: xr.Dataset, trajectory: int) -> np.ndarray:
    return dataset["q"].isel(trajectory=trajectory).transpose("time", "body", "space").values


def _frame(ax: Axes, points: np.ndarray, name: str) -> None:
    """Axes of equal scale that hold all points."""
    low, high = np.nanmin(points, (0, 1)), np.nanmax(points, (0, 1))
    middle, half = (low + high) / 2, 0.55 * max(float((high - low).max()), 1e-12)
    for axis, centre in zip("xyz", middle, strict=False):
        getattr(ax, f"set_{axis}lim")(centre - half, centre + half)
        getattr(ax, f"set_{axis}label")(f"{axis}: {name}")
    ax.set_aspect("equal")


def _line(ax: Axes, body: int, *, hollow: bool) -> tuple:
    colour, nothing = COLOURS[body % len(COLOURS)], [[]] * (3 if ax.name == "3d" else 2)
    [line] = ax.plot(*nothing, "--" if hollow else "-", color=colour, linewidth=1.2, alpha=0.6)
    [dot] = ax.plot(*nothing, "o", color=colour, markersize=6, fillstyle="none" if hollow else "full")
    return line, dot


def _crowd(ax: Axes, bodies: int, *, hollow: bool):
    nothing = [[]] * (3 if ax.name == "3d" else 2)
    size = min(6.0, 60 / bodies**0.5)
    [dots] = ax.plot(*nothing, "o", color=COLOURS[int(hollow)], markersize=size, markeredgewidth=0)
    return dots


def _set(line, points: np.ndarray) -> None:
    line.set_data(points[:, 0], points[:, 1])
    if points.shape[1] == 3:
        line.set_3d_properties(points[:, 2])
