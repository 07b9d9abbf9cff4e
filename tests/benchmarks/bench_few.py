"""How far a law goes that was read from little: springs of three systems, planets of four bodies moved twenty.

    python tests/benchmarks/bench_few.py [seeds] adds to results/laws_from_few.json what is not in it yet

Errors are mean square errors over chunks of 5 points of 100 other systems (`chunk_error`), which are followed to
round-off.
"""

import statistics
import sys
import time
import warnings
from pathlib import Path

import torch
from rows_of_trials import go_on

from hlieconv.benchmarks.laws_data import LAWS
from hlieconv.dynamics import chunk_error
from hlieconv.dynamics.expansion.solving import solve
from hlieconv.dynamics.trajectories import trajectories_of
from hlieconv.models.expansion.model import PairExpansion
from systems.integrators import AdaptiveGauss

RESULT = Path("results/laws_from_few.json")

#: The law, the systems it is read from, and the bodies of the systems that it is tested on.
TASKS = {
    "springs, 3 systems": ("springs", 3, (6,)),
    "springs with rest lengths, 3 systems": ("springs with rest lengths", 3, (6,)),
    "springs with rest lengths, 100 systems": ("springs with rest lengths", 100, (6,)),
    "gravity, 100 systems of 4 planets": ("gravity", 100, (4, 20)),
}


def trial(task, seed):
    """The law of one seed, and its errors for each number of bodies."""
    name, count, bodies = TASKS[task]
    case = LAWS[name]
    train = case.trajectories(count, seed)
    model = PairExpansion.of(train, group=case.group)
    begun = time.process_time()
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", UserWarning)
        solve(model, trajectories_of(train), seed=seed)
    row = {"seconds": round(time.process_time() - begun, 2), "found": model.law()[:200]}
    for n in bodies:
        test = case.trajectories(100, 1000 + seed, bodies=n, points=5, integrator=AdaptiveGauss())
        errors = chunk_error(model, test, integrator=AdaptiveGauss())
        row |= {f"mean_{n}": float(errors.mean()), f"median_{n}": float(errors.median())}
    return row


def summary(rows):
    """Medians and the largest of what the seeds of one task found."""
    numbers = [key for key in rows[0] if key.startswith(("mean", "median", "seconds"))]
    medians = {key: statistics.median(row[key] for row in rows) for key in numbers}
    return {"seeds": len(rows)} | medians | {f"largest_{key}": max(row[key] for row in rows) for key in numbers}


def result(rows):
    return {"tasks": {task: summary(own) for task in TASKS if (own := [row for row in rows if row["task"] == task])}}


def main(seeds):
    torch.set_num_threads(1)
    rows = go_on(RESULT, "task", ((task, seed) for seed in range(seeds) for task in TASKS), trial, result)
    for task, found in result(rows)["tasks"].items():
        print(task, found)


if __name__ == "__main__":
    main(int(sys.argv[1]) if sys.argv[1:] else 20)
