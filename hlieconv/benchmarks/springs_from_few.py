"""The springs of the paper, and springs with rest lengths, by a law that is read from few systems."""

import time
import warnings
from collections.abc import Callable, Iterator
from functools import cache
from statistics import median

import xarray as xr

from hlieconv.benchmarks.benchmark import Benchmark, TableRow
from hlieconv.dynamics.evaluation import chunk_error
from hlieconv.dynamics.fitting import fit
from hlieconv.models import PairExpansion
from hlieconv.study.evaluation import TEST_SEED, sample
from hlieconv.study.stated import Figure
from systems.integrators import AdaptiveGauss

#: Systems that a law is read from.
SIZES = {"springs": (3, 10, 100, 3000), "rest-length": (3, 10, 100)}

#: Chunks of 5 points, one at a random place of each system, on which it is tested.
CHUNKS = {"springs": 2000, "rest-length": 300}

#: Bodies of the systems on which it is tested besides.
BODIES = 20

#: Of the data that a law is read from.
SEEDS = 5


@cache
def _tests(system: str, chunks: int) -> dict[int, xr.Dataset]:
    """Other systems, by their number of bodies; made once a process."""
    return {n: sample(system, chunks // (1 if n == 6 else 10), TEST_SEED, bodies=n) for n in (6, BODIES)}


def rows_of(system: str, count: int, chunks: int, seeds: int) -> list[TableRow]:
    """The errors of laws read from so many systems, on others of 6 bodies, and ten times fewer of 20 bodies.

    Of every number the median over seeds, and of mean errors the largest, too.
    """
    tests = _tests(system, chunks)
    trials = [_trial(sample(system, count, seed), tests) for seed in range(seeds)]
    row: TableRow = {"system": system, "systems": count, "seeds": seeds, "law": trials[0]["law"]}
    row["same_law"] = sum(trial["law"] == row["law"] for trial in trials)
    row |= {name: median(trial[name] for trial in trials) for name in trials[0] if name != "law"}
    return [row | {f"worst_{n}": max(trial[f"mean_{n}"] for trial in trials) for n in tests}]


def _trial(train: xr.Dataset, tests: dict[int, xr.Dataset]) -> TableRow:
    """What is read of one set of systems, and its errors."""
    model = PairExpansion.of(train)
    started = time.process_time()
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", UserWarning)
        fit(model, train, progress=False)
    row: TableRow = {"cpu_seconds": time.process_time() - started, "law": model.law()}
    for n, others in tests.items():
        error = chunk_error(model, others, integrator=AdaptiveGauss())
        row |= {f"mean_{n}": float(error.mean()), f"median_{n}": float(error.median())}
    return row


def figures(rows: list[TableRow]) -> Iterator[Figure]:
    """What is stated of the rows."""
    of = {(row["system"], row["systems"]): row for row in rows}
    for count in SIZES["springs"]:
        row = of.get(("springs", count), {})
        yield Figure(f"springs, mean error, {count} systems, the worst seed", row.get("worst_6"), 1e-15)
        yield Figure(f"springs, CPU s, {count} systems", row.get("cpu_seconds"), 2.0)
        yield Figure(f"springs, mean error with 20 bodies, {count} systems, the worst seed", row.get("worst_20"), 1e-12)
    row = of.get(("rest-length", 100), {})
    yield Figure("rest lengths, mean error, 100 systems, the worst seed", row.get("worst_6"), 1e-9)
    yield Figure("rest lengths, median error, 100 systems", row.get("median_6"), 1e-15)
    yield Figure("rest lengths, CPU s, 100 systems", row.get("cpu_seconds"), 5.0)
    yield Figure("rest lengths, mean error with 20 bodies, 100 systems, the worst seed", row.get("worst_20"), 1e-6)


def _part(system: str, count: int) -> Callable[[bool], list[TableRow]]:
    return lambda smoke: rows_of(system, *((min(count, 10), 20, 2) if smoke else (count, CHUNKS[system], SEEDS)))


BENCHMARK = Benchmark(
    title="Springs of the paper, read from few systems",
    columns={
        "system": "system",
        "systems": "systems",
        "seeds": "seeds",
        "same_law": "of the same law",
        "mean_6": "mean error",
        "worst_6": "the worst seed",
        "median_6": "median",
        f"mean_{BODIES}": f"mean, {BODIES} bodies",
        f"worst_{BODIES}": f"the worst seed, {BODIES} bodies",
        f"median_{BODIES}": f"median, {BODIES} bodies",
        "cpu_seconds": "CPU s",
        "law": "law",
    },
    parts={f"{system}, {count} systems": _part(system, count) for system in SIZES for count in SIZES[system]},
    figures=figures,
)
