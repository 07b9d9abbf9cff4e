"""How far a network goes with more bodies, whose forces may grow with the distance or may not.

    python tests/benchmarks/bench_far.py [seeds] adds to results/far.json what is not in it yet

HLieConv without blocks after 300 steps on 100 systems with one chunk of 5 points each: 4 planets, or 6 on springs.
Errors are mean square errors over chunks of 50 other systems of as many bodies, and of 20 (`chunk_error`).
"""

import json
import statistics
import sys
import time
from pathlib import Path

import torch
from rows_of_trials import go_on

from hlieconv.benchmarks.laws_data import LAWS
from hlieconv.dynamics import chunk_error, fit
from hlieconv.models import HLieConv
from systems.integrators import AdaptiveGauss

RESULT = Path("results/far.json")
STEPS, MANY = 300, 20
TASKS = {f"{law}, growing {growing}": (law, growing) for law in ("gravity", "springs") for growing in (True, False)}


def trial(task, seed):
    """One network, and its errors."""
    name, growing = TASKS[task]
    case = LAWS[name]
    train = case.trajectories(100, seed, points=20)
    torch.manual_seed(seed)
    model, begun = HLieConv.of(train, group=case.group, blocks=0, growing=growing), time.process_time()
    fit(model, train, chunks=1, seed=seed, validation=0.0, steps=STEPS, progress=False)
    row = {"seconds": round(time.process_time() - begun, 1)}
    for which, bodies in (("same", train.sizes["body"]), ("many", MANY)):
        test = case.trajectories(50, 1000 + seed, bodies=bodies, points=5, integrator=AdaptiveGauss())
        found = chunk_error(model, test)
        row |= {f"median_{which}": float(found.median()), f"mean_{which}": float(found.mean())}
    return row


def summary(rows):
    """Medians of the seeds of one task."""
    numbers = [key for key in rows[0] if key.startswith(("seconds", "median", "mean"))]
    return {"seeds": len(rows)} | {key: statistics.median(row[key] for row in rows) for key in numbers}


def result(rows):
    return {
        "steps": STEPS,
        "many": MANY,
        "tasks": {task: summary(own) for task in TASKS if (own := [row for row in rows if row["task"] == task])},
    }


def main(seeds):
    torch.set_num_threads(1)
    rows = go_on(RESULT, "task", ((task, seed) for seed in range(seeds) for task in TASKS), trial, result)
    for task, found in result(rows)["tasks"].items():
        print(task, json.dumps(found))


if __name__ == "__main__":
    main(int(sys.argv[1]) if sys.argv[1:] else 3)
