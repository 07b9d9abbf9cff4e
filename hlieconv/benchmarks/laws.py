"""Fifteen laws at four levels of noise: what is read of them, and how far that and a network go with 20 bodies."""

import time
import warnings
from collections.abc import Callable, Iterator
from typing import Any

import torch
import xarray as xr

from hlieconv.benchmarks.benchmark import Benchmark, TableRow
from hlieconv.benchmarks.laws_data import LAWS, NAMES, Case
from hlieconv.dynamics.evaluation import chunk_error
from hlieconv.dynamics.fitting import fit
from hlieconv.images.task import interval
from hlieconv.models import AbstractModel, HLieConv, PairExpansion
from hlieconv.study.stated import Figure
from systems.integrators import AdaptiveGauss

#: Noise of q and of p, in parts of their spread, in the order in which they are run.
LEVELS = (0.0, 1e-2, 1e-3, 5e-2)

#: Of the data, of each; and how many of them have a network beside the law.
SEEDS, NETWORKS = 20, 1

#: Trajectories that a law is read from, and their points. Without noise one chunk of 5 points of each is seen.
CLEAN, NOISY = (100, 50), (50, 100)

#: Bodies, trajectories and points of the systems on which is tested, and where their seeds begin.
BODIES, TRIALS, POINTS, TEST_SEED = 20, 10, 10, 1000

#: The least CPU time of a network, in seconds, and the largest number of its updates.
LEAST, MOST = 1.0, 3000

#: Of a network where noise leaves too little of the forces.
SHOOTING = {"loss": "multiple_shooting", "first_states": "fitted"}

#: The error of a chunk that could not be followed.
LOST = 1e6

#: Stated, by the level of noise: the part of the forms that may be wrong, and the error of the coefficients.
WRONG = {0.0: 0.05, 1e-3: 0.1, 1e-2: 0.1, 5e-2: 0.5}
OFF = {0.0: 1e-9, 1e-3: 5e-3, 1e-2: 5e-3, 5e-2: 5e-2}


def train_data(case: Case, level: float, seed: int) -> xr.Dataset:
    """The trajectories that a law is read from."""
    count, points = NOISY if level else CLEAN
    return case.trajectories(count, seed, points=points, noise=level)


def fitted(model: AbstractModel, data: xr.Dataset, level: float, seed: int, **settings: Any) -> float:
    """The CPU seconds of a fit."""
    started = time.process_time()
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", UserWarning)  # of forces in noise
        fit(model, data, chunks=0 if level else 1, seed=seed, validation=0.0, progress=False, **settings)
    return time.process_time() - started


def trained(case: Case, data: xr.Dataset, level: float, seed: int, seconds: float) -> tuple[HLieConv, TableRow]:
    """HLieConv by its default settings, but for as many updates as so many CPU seconds are enough for.

    Where these are refused, because noise leaves too little of the forces, the loss is the one that the error names.
    """
    own: dict[str, Any] = {}

    def of(steps: int) -> tuple[HLieConv, float]:
        torch.manual_seed(seed)
        model = HLieConv.of(data, group=case.group)
        return model, fitted(model, data, level, seed, steps=steps, **own)

    try:
        first = of(1)[1]
    except ValueError as error:
        if "multiple_shooting" not in str(error):
            raise
        own = SHOOTING
        first = of(1)[1]
    some = 11 if first < LEAST else 4  # by which the time of an update is told
    update = max(1e-3, (of(some)[1] - first) / (some - 1))
    steps = min(MOST, max(1, 1 + int((seconds - first) / update)))
    model, spent = of(steps)
    return model, {"network_seconds": spent, "network_steps": steps, "network_loss": own.get("loss", "force_matching")}


def error(model: AbstractModel, data: xr.Dataset, name: str, **options: Any) -> TableRow:
    """The median and the mean error over chunks."""
    errors = chunk_error(model, data, **options).nan_to_num(nan=LOST, posinf=LOST)
    return {f"{name}_{BODIES}": float(errors.median()), f"{name}_mean_{BODIES}": float(errors.mean())}


def rows_of(name: str, level: float, seed: int, smoke: bool) -> list[TableRow]:
    """What is read of a law in noise, and its error with 20 bodies; of the first seeds also that of a network."""
    case = LAWS[name]
    data = train_data(case, level, seed)
    model = PairExpansion.of(data, group=case.group)
    seconds = fitted(model, data, level, seed)
    off = case.coefficient_error(model.estimates)
    row: TableRow = {"law": name, "noise": level, "seed": seed, "cpu_seconds": seconds, "found": model.law()[:200]}
    row |= {"right_form": None if case.expected is None else off is not None, "coefficient_error": off}
    others = case.trajectories(TRIALS, TEST_SEED + seed, bodies=BODIES, points=POINTS, integrator=AdaptiveGauss())
    row |= error(model, others, "law", integrator=AdaptiveGauss())
    if seed >= NETWORKS:
        return [row]
    network, spent = trained(case, data, level, seed, LEAST if smoke else max(LEAST, seconds))
    return [row | spent | error(network, others, "network")]


def figures(rows: list[TableRow]) -> Iterator[Figure]:
    """What is stated of the rows."""
    for level in LEVELS:
        noise, own = f"noise of {100 * level:g} %", [row for row in rows if row["noise"] == level]
        known = [row for row in own if row.get("right_form") is not None]
        count = sum(row["seeds"] for row in known)
        wrong = round(sum((1 - row["right_form"]) * row["seeds"] for row in known))
        name = f"{noise}, the part of the forms that is wrong"
        if count:
            low, high = interval(wrong, count)
            name += f" ({wrong} of {count}, 95 % interval {100 * low:.1f} to {100 * high:.1f} %)"
        yield Figure(name, wrong / count if count else None, WRONG[level])
        off = [row["coefficient_error"] for row in own if row.get("coefficient_error") is not None]
        yield Figure(f"{noise}, error of the coefficients, the worst law", max(off, default=None), OFF[level])
        ratios = [row[f"law_{BODIES}"] / row[f"network_{BODIES}"] for row in own if f"network_{BODIES}" in row]
        name = f"{noise}, error with {BODIES} bodies over that of the network, the worst law"
        yield Figure(name, max(ratios, default=None), 1.0)


def _part(name: str, level: float, seed: int) -> Callable[[bool], list[TableRow]]:
    return lambda smoke: rows_of(name, level, seed, smoke)


BENCHMARK = Benchmark(
    title="Fifteen laws in noise",
    columns={
        "law": "law",
        "noise": "noise",
        "seeds": "seeds",
        "right_form": "form right",
        "coefficient_error": "coefficients off by",
        "cpu_seconds": "CPU s",
        f"law_{BODIES}": f"error, {BODIES} bodies",
        "network_seconds": "network, CPU s",
        "network_steps": "network, updates",
        f"network_{BODIES}": f"network, error, {BODIES} bodies",
    },
    parts={
        f"{name}, noise {level:g}, seed {seed}": _part(name, level, seed)
        for seed in range(SEEDS)
        for level in LEVELS
        for name in NAMES
    },
    figures=figures,
    alike=("law", "noise"),
)
