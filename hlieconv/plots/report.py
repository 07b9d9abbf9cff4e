"""A report about trajectories: one page of HTML that needs nothing else, with pictures that move under the mouse."""

from __future__ import annotations

import html
import importlib
import os
from pathlib import Path
from typing import Any

import numpy as np
import torch
import xarray as xr

from hlieconv.diagnostics.conserved import energy
from hlieconv.diagnostics.drifts import drift
from hlieconv.diagnostics.errors import state_error
from hlieconv.diagnostics.summaries import summary
from hlieconv.noether.energies import energy_conservation
from hlieconv.noether.growth import growth_law
from hlieconv.plots.style import COLOURS, ROUND_OFF, on_shared_times, times_of
from hlieconv.plots.time_series import component_of, drift_of
from systems.checks import check
from systems.dataset.times import clock_of
from systems.files import locked, write_atomically
from systems.vector_field import AbstractHamiltonian

#: Points of a line that a screen can show.
POINTS = 2000
#: Drifts below which a quantity is conserved to round-off (in units of eps and the root of the number of times), and
#: nearly.
EXACT, NEARLY = 1e3, 1e-2

PAGE = """<!doctype html>
<html lang="en"><head><meta charset="utf-8"><title>{title}</title>
<meta name="viewport" content="width=device-width, initial-scale=1">
<style>
body {{ font: 15px/1.5 system-ui, sans-serif; max-width: 980px; margin: 2em auto; padding: 0 1em; color: #222 }}
table {{ border-collapse: collapse; margin: 1em 0 }} td, th {{ padding: .2em .8em; text-align: left }}
tr:nth-child(odd) td {{ background: #f4f4f4 }} td.number {{ font-variant-numeric: tabular-nums; text-align: right }}
</style></head><body>
<h1>{title}</h1>
<p>{about}</p>
<h2>Verdicts</h2>
{verdicts}
<p>{sentence}</p>
<h2>Numbers</h2>
{numbers}
{figures}
<h2>Where it comes from</h2>
{origin}
</body></html>
"""


def write_report(
    dataset: xr.Dataset,
    path: str | os.PathLike[str],
    *,
    reference: xr.Dataset | None = None,
    hamiltonian: AbstractHamiltonian | None = None,
    trajectory: int = 0,
    overwrite: bool = False,
) -> None:
    """Write a page about trajectories: what is conserved and what is not, why not, numbers, and interactive pictures.

    The page is one file that opens without a network, of about 5 MB, which is plotly's script.

    Args:
        dataset: a rollout, a simulation or measured data.
        path: of the file, ``.html``.
        reference: true trajectories, against which errors are measured.
        hamiltonian: what moved them, if it is no known system.
        trajectory: the one whose path is drawn.
        overwrite: whether to replace a file that is there.

    Raises:
        ValueError: for a wrong path or trajectory, or where plotly is not installed.
    """
    path = Path(path)
    check("path", str(path), path.suffix == ".html", "a name that ends with .html")
    check("path", str(path), path.parent.is_dir(), "a folder that exists")
    check("path", str(path), overwrite or not path.exists(), "a new file, or overwrite")
    count = dataset.sizes["trajectory"]
    check("trajectory", trajectory, 0 <= trajectory < count, f"an index below {count}")
    plotly = _plotly()
    numbers = summary(dataset, reference)
    figures = _figures(plotly, dataset, reference, trajectory, numbers)
    script = plotly.offline.get_plotlyjs()
    parts = [f"<script>{script}</script>"]
    for title, figure in figures.items():
        parts.append(f"<h2>{title}</h2>")
        parts.append(plotly.io.to_html(figure, full_html=False, include_plotlyjs=False, config={"displaylogo": False}))
    system = dataset.attrs.get("system", "measured trajectories")
    title = f"{system}: {count} {'trajectory' if count == 1 else 'trajectories'}"
    sizes = [f"{dataset.sizes[dim]} {word}" for dim, word in (("body", "bodies"), ("space", "axes"), ("time", "times"))]
    about = f"{', '.join(sizes)}, by {dataset.attrs.get('integrator', 'measurement')}"
    page = PAGE.format(
        title=html.escape(title),
        about=html.escape(about),
        verdicts=_table(["quantity", "largest drift", "growth", "verdict"], _verdicts(dataset, numbers)),
        sentence=html.escape(_why(dataset, hamiltonian)),
        numbers=_table(["number", "value"], [[name, f"{value:.3g}"] for name, value in numbers.items()]),
        figures="\n".join(parts),
        origin=_table(["attribute", "value"], [[str(k), str(v)] for k, v in dataset.attrs.items()]),
    )
    with locked(path):
        write_atomically(path, page)


def _plotly() -> Any:
    try:
        plotly = importlib.import_module("plotly")
        for name in ("graph_objects", "io", "offline"):
            importlib.import_module(f"plotly.{name}")
    except ImportError as error:
        raise ValueError("html: a report needs the package plotly: pip install 'hlieconv[report]'") from error
    return plotly


def _verdicts(dataset: xr.Dataset, numbers: dict[str, float]) -> list[list[str]]:
    rows = []
    for name in numbers:
        if name not in ("energy", "true_energy") and name[:2] not in ("P_", "L_"):
            continue
        true = name == "true_energy"
        values = drift(dataset.assign(energy=dataset[name])) if true else drift_of(dataset, name)
        growth, verdict = _judged(values, float(np.finfo(dataset["q"].dtype).eps))
        rows.append([name, f"{numbers[name]:.1e}", growth, verdict])
    return rows


def _judged(values: xr.DataArray, eps: float) -> tuple[str, str]:
    """The law by which a drift grows as far as all trajectories go, and a verdict."""
    array = values.transpose("trajectory", "time").astype(float).compute()
    known = np.isfinite(array.values)
    if "trajectory_time" in array.coords:  # after the last time of a shorter one nothing is missing
        known |= np.isnan(array["trajectory_time"].transpose("trajectory", "time").values)
    good = known.all(1)
    if not good.any():
        return "", "ends early" if np.isinf(array).any() else "not seen at all times"
    array = array.isel(trajectory=good)
    shared = on_shared_times(array, elapsed=True).dropna("time")
    times = times_of(shared)
    law = ""
    if len(times) > 4 and np.isfinite(times).all():
        law = growth_law(torch.from_numpy(times - times[0]), torch.from_numpy(shared.values.T.copy())).law
    largest = float(array.max("time").median())
    if largest <= EXACT * eps * array.sizes["time"] ** 0.5:
        return law, "conserved to round-off"
    if largest > NEARLY:
        return law, "not conserved"
    return law, "nearly conserved, bounded" if law == "bounded" else "nearly conserved, drifting"


def _why(dataset: xr.Dataset, hamiltonian: AbstractHamiltonian | None) -> str:
    try:
        return repr(energy_conservation(dataset, hamiltonian))
    except ValueError as error:
        return f"Why the energy changes is not known: {error}"


def _figures(
    plotly: Any, dataset: xr.Dataset, reference: xr.Dataset | None, trajectory: int, numbers: dict[str, float]
) -> dict[str, Any]:
    thin = slice(None, None, max(1, dataset.sizes["time"] // POINTS))
    dataset = dataset.isel(time=thin)
    reference = None if reference is None else reference.isel(time=thin)
    names = [name for name in numbers if name == "energy" or name[:2] in ("P_", "L_")]
    drifts = {name: on_shared_times(drift_of(dataset, name)).max("trajectory").clip(min=ROUND_OFF) for name in names}
    found = {"Path": _path(plotly, dataset, reference, trajectory)}
    if drifts:
        found["Largest drift over all trajectories"] = _lines(plotly, drifts, "drift", log=True)
    if "energy" in dataset:
        values = energy(dataset)
        shown = {f"trajectory {k}": values.isel(trajectory=k) for k in range(min(10, dataset.sizes["trajectory"]))}
        found["Energy"] = _lines(plotly, shown, "energy")
    charges = {name: component_of(dataset, name).isel(trajectory=trajectory) for name in names if name != "energy"}
    if charges:
        found[f"Charges of trajectory {trajectory}"] = _lines(plotly, charges, "charge")
    if reference is not None:
        error = on_shared_times(state_error(dataset, reference).compute())
        errors = {"median": error.median("trajectory"), "largest": error.max("trajectory")}
        errors = {name: values.clip(min=ROUND_OFF) for name, values in errors.items()}
        found["Error of the state"] = _lines(plotly, errors, "error", log=True)
    return found


def _path(plotly: Any, dataset: xr.Dataset, reference: xr.Dataset | None, trajectory: int) -> Any:
    """Of all bodies of one trajectory: in space, in the plane, or against time."""
    graph, space = plotly.graph_objects, dataset.sizes["space"]
    figure = graph.Figure()
    for data, dash in ((dataset, "solid"), (reference, "dash")):
        if data is None:
            continue
        path = data["q"].isel(trajectory=trajectory).transpose("body", "space", "time").values
        for body, points in enumerate(path):
            name = f"body {body + 1}" + (" (reference)" if dash == "dash" else "")
            line = {"color": COLOURS[body % len(COLOURS)], "dash": dash, "width": 2}
            if space >= 3:
                x, y, z = points[:3]
                figure.add_trace(graph.Scatter3d(x=x, y=y, z=z, mode="lines", name=name, line=line))
            else:
                x, y = points if space == 2 else (_own_times(data.isel(trajectory=trajectory)), points[0])
                figure.add_trace(graph.Scatter(x=x, y=y, mode="lines", name=name, line=line))
    if space == 2:
        figure.update_yaxes(scaleanchor="x")
    return figure.update_layout(template="plotly_white", height=520, margin={"t": 20})


def _lines(plotly: Any, lines: dict[str, xr.DataArray], name: str, *, log: bool = False) -> Any:
    graph = plotly.graph_objects
    figure = graph.Figure()
    for (key, values), colour in zip(lines.items(), COLOURS * len(lines), strict=False):
        figure.add_trace(
            graph.Scatter(x=_own_times(values), y=values.values, mode="lines", name=key, line={"color": colour})
        )
    figure.update_layout(template="plotly_white", height=380, margin={"t": 20}, xaxis_title="time", yaxis_title=name)
    return figure.update_yaxes(type="log", exponentformat="power") if log else figure


def _own_times(one: xr.Dataset | xr.DataArray) -> np.ndarray:
    """Of one trajectory, or of what all have in common."""
    return clock_of(one).values


def _table(header: list[str], rows: list[list[str]]) -> str:
    head = "".join(f"<th>{html.escape(name)}</th>" for name in header)
    body = "".join("<tr>" + "".join(f"<td>{html.escape(cell)}</td>" for cell in row) + "</tr>" for row in rows)
    return f"<table><thead><tr>{head}</tr></thead><tbody>{body}</tbody></table>"
