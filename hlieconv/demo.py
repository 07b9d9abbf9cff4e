"""The main job, small: simulate springs, fit four symmetries, roll them out, and see what each one conserves.

The same network is fitted four times; only its group differs. By Noether's theorem a potential that does not change
under translations conserves P, one that does not change under rotations conserves L: whatever else was learned.
"""

import functools
import json
import os
from collections.abc import Callable, Iterator
from concurrent.futures import ProcessPoolExecutor
from dataclasses import asdict, dataclass
from multiprocessing import get_context
from pathlib import Path

import torch
import xarray as xr

import systems
from hlieconv.diagnostics import summary
from hlieconv.dynamics import chunk_error, fit
from hlieconv.dynamics.rollouts import rollout
from hlieconv.models import HLieConv
from hlieconv.plots.four_symmetries import plot_four_symmetries
from hlieconv.plots.saving import save_figure
from systems import Springs, simulate
from systems.files import locked, write_atomically
from systems.integrators import BlanesMoanSRKN6

#: The groups, and what a Hamiltonian that they leave unchanged conserves.
PRESERVED = {"Trivial": (), "T2": ("P_x", "P_y"), "SO2": ("L_z",), "SE2": ("P_x", "P_y", "L_z")}
CHARGES = ("P_x", "P_y", "L_z")

#: A preserved charge drifts by round-off only, a broken one by much more.
PRESERVED_BELOW, BROKEN_ABOVE = 1e-12, 1e-3


@dataclass(frozen=True)
class Size:
    """How large the demo is."""

    systems: int = 400
    """Trajectories to train on."""
    steps: int = 400
    """Updates of the weights."""
    tests: int = 16
    """Trajectories to roll out."""
    horizon: float = 10.0
    """Seconds of a rollout; the training data end at 5 s."""
    step: float = 0.02
    """Seconds of a step of the rollouts, of which steps of any length preserve a charge."""
    chunks: int = 500
    """Systems whose chunks give the test error, one chunk each."""


SMOKE = Size(systems=50, steps=30, tests=2, horizon=1.0, step=0.05, chunks=20)

#: Fits of so many steps take longer than the start of a process of their own.
LONG = 200


def demo(
    path: str | Path = "demo", size: Size = Size(), *, seed: int = 0, report: Callable[[str], None] = print
) -> dict[str, dict[str, float]]:
    """Run the demo; a killed one goes on where it stopped.

    Args:
        path: folder for data, models, ``table.json`` and ``conservation.png``.
        size: how large it is.
        seed: of the data and the networks.
        report: receives a line at the beginning of every stage.

    Returns:
        For each group what was measured of its rollouts; `verdicts` says whether every charge did what it should.

    Raises:
        ValueError: if somebody else runs it in the same folder (see `systems.files.locked`).
    """
    folder = Path(path)
    folder.mkdir(parents=True, exist_ok=True)
    with locked(folder):
        return _demo(folder, size, seed, report)


def _demo(folder: Path, size: Size, seed: int, report: Callable[[str], None]) -> dict[str, dict[str, float]]:
    report(f"simulating {size.systems} + {size.tests} systems of 6 bodies joined by springs, exactly")
    _springs(folder / "train.nc", size.systems, seed, 5.0, 500)
    truth = _springs(folder / "truth.nc", size.tests, seed + 1, size.horizon, round(size.horizon * 20) + 1)
    report(f"fitting HLieConv with {', '.join(PRESERVED)}: {size.steps} steps each")
    rows = {}
    for group, row in _rows(functools.partial(_fit_and_roll_out, folder, size, seed), size):
        rows[group] = row
        report(f"  {group} done")
    table = {"size": asdict(size), "seed": seed, "rows": rows}
    write_atomically(folder / "table.json", json.dumps(table, indent=2) + "\n")
    rollouts = {group: systems.open(folder / f"{group}.nc") for group in PRESERVED}
    save_figure(plot_four_symmetries(rollouts, truth), folder / "conservation.png")
    return rows


def verdicts(rows: dict[str, dict[str, float]]) -> Iterator[tuple[str, bool]]:
    """For each group and charge, whether it did what Noether's theorem says."""
    for group, row in rows.items():
        for charge in CHARGES:
            preserved = charge in PRESERVED[group]
            yield f"{group} {charge}", row[charge] <= PRESERVED_BELOW if preserved else row[charge] >= BROKEN_ABOVE


def _springs(path: Path, count: int, seed: int, seconds: float, points: int) -> xr.Dataset:
    system, state = Springs.sample(count, seed=seed)
    return simulate(system, state, torch.linspace(0, seconds, points, dtype=torch.float64), path=path, seed=seed)


def _rows(work: Callable[[str], dict[str, float]], size: Size) -> Iterator[tuple[str, dict[str, float]]]:
    """What is done of each group, one process a core where that is worth it; a GPU does one after the other."""
    cores = 1 if torch.cuda.is_available() or size.steps < LONG else min(len(PRESERVED), os.cpu_count() or 1)
    if cores == 1:
        yield from zip(PRESERVED, map(work, PRESERVED), strict=True)
        return
    one_core = {"initializer": torch.set_num_threads, "initargs": (1,)}
    with ProcessPoolExecutor(cores, mp_context=get_context("spawn"), **one_core) as workers:
        yield from zip(PRESERVED, workers.map(work, PRESERVED), strict=True)


def _fit_and_roll_out(folder: Path, size: Size, seed: int, group: str) -> dict[str, float]:
    train, truth = (xr.open_dataset(folder / f"{name}.nc", engine="h5netcdf") for name in ("train", "truth"))
    torch.manual_seed(seed)
    model = HLieConv.of(train, group=group)
    own = {"steps": size.steps, "validation": 0.0, "seed": seed, "progress": False}
    # Solved for, the law of springs lies in the span of every group's network, and none would break a symmetry.
    fit(model, train, path=folder / group, last_layer="descent", **own)
    predicted = rollout(
        model, truth, integrator=BlanesMoanSRKN6(step=size.step), path=folder / f"{group}.nc", dtype=torch.float64
    )
    test = simulate(*Springs.sample(size.chunks, seed=seed + 2), torch.linspace(0, 5, 500, dtype=torch.float64))
    return {"test_error": float(chunk_error(model, test, seed=seed).mean()), **summary(predicted, truth)}
