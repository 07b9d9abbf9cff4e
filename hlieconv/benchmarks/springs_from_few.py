"""The springs of the paper, and springs with rest lengths, by a law that is read from few systems."""

import time
import warnings
from collections.abc import Callable, Iterator

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


def rows_of(system: str, count: int, chunks: int) -> list[TableRow]:
    """The errors of a law read from so many systems, on others of 6 bodies, and ten times fewer of 20 bodies."""
    train = sample(system, count, 0)
    model = PairExpansion.of(train)
    started = time.process_time()
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", UserWarning)
        fit(model, train, progress=False)
    row: TableRow = {
        "system": system,
        "systems": count,
        "cpu_seconds": time.process_time() - started,
        "law": model.law(),
    }
    for n in (6, BODIES):
        others = sample(system, chunks // (1 if n == 6 else 10), TEST_SEED, bodies=n)
        error = chunk_error(model, others, integrator=AdaptiveGauss())
        row |= {f"mean_{n}": float(error.mean()), f"median_{n}": float(error.median())}
    return [row]


def figures(rows: list[TableRow]) -> Iterator[Figure]:
    """What is stated of the rows."""
    of = {(row["system"], row["systems"]): row for row in rows}
    for count in SIZES["springs"]:
        row = of.get(("springs", count), {})
        yield Figure(f"springs, mean error, {count} systems", row.get("mean_6"), 1e-15)
        yield Figure(f"springs, CPU s, {count} systems", row.get("cpu_seconds"), 2.0)
        yield Figure(f"springs, mean error with 20 bodies, {count} systems", row.get("mean_20"), 1e-12)
    row = of.get(("rest-length", 100), {})
    yield Figure("rest lengths, mean error, 100 systems", row.get("mean_6"), 1e-9)
    yield Figure("rest lengths, median error, 100 systems", row.get("median_6"), 1e-15)
    yield Figure("rest lengths, CPU s, 100 systems", row.get("cpu_seconds"), 5.0)
    yield Figure("rest lengths, mean error with 20 bodies, 100 systems", row.get("mean_20"), 1e-6)


def _part(system: str, count: int) -> Callable[[bool], list[TableRow]]:
    return lambda smoke: rows_of(system, *((min(count, 10), 20) if smoke else (count, CHUNKS[system])))


BENCHMARK = Benchmark(
    title="Springs of the paper, read from few systems",
    columns={
        "system": "system",
        "systems": "systems",
        "mean_6": "mean error",
        "median_6": "median",
        f"mean_{BODIES}": "mean, 20 bodies",
        f"median_{BODIES}": "median, 20 bodies",
        "cpu_seconds": "CPU s",
        "law": "law",
    },
    parts={f"{system}, {count} systems": _part(system, count) for system in SIZES for count in SIZES[system]},
    figures=figures,
)
