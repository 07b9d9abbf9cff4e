"""Laws read out of trajectories: form, coefficients, errors and cost, with one set of settings for all.

    make benchmarks, or python -m pytest -o addopts= -s tests/benchmarks/bench_laws.py
    python tests/benchmarks/bench_laws.py [seeds] [law ...] adds to results/laws.json what is not in it yet

100 trajectories with one chunk of 5 points each, no noise. Errors are mean square errors over chunks of 200 other
systems (`chunk_error`), both followed to round-off. The law of springs lies in the span of HLieConv's network too:
where the form is known, this is a linear problem, and a network is for the rest.
"""

import json
import statistics
import sys
import time
import warnings
from pathlib import Path

import torch
from rows_of_trials import go_on

from hlieconv.benchmarks.laws_data import LAWS, UNTUNED
from hlieconv.dynamics import chunk_error
from hlieconv.dynamics.expansion.solving import solve
from hlieconv.dynamics.trajectories import trajectories_of
from hlieconv.models.expansion.model import PairExpansion
from systems.integrators import AdaptiveGauss

RESULT = Path("results/laws.json")
GOALS = {"right_form": 0.95, "coefficient_error": 1e-9, "median": 1e-15, "seconds": 10}


def trial(name, seed, count=100):
    """One law, read from the trajectories of one seed."""
    case = LAWS[name]
    train, test = case.trajectories(count, seed), case.trajectories(200, 1000 + seed)
    model = PairExpansion.of(train, group=case.group)
    begun = time.process_time()
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", UserWarning)
        solve(model, trajectories_of(train), seed=seed)
    seconds = time.process_time() - begun
    errors = chunk_error(model, test, integrator=AdaptiveGauss())
    error = case.coefficient_error(model.estimates)
    return {
        "seconds": round(seconds, 2),
        "right_form": None if case.expected is None else error is not None,
        "coefficient_error": error,
        "mean": float(errors.mean()),
        "median": float(errors.median()),
        "found": model.law()[:200],
    }


def summary(rows):
    """What the seeds of one law have in common."""
    errors = [row["coefficient_error"] for row in rows if row["coefficient_error"] is not None]
    return {
        "seeds": len(rows),
        "right_form": None if rows[0]["right_form"] is None else sum(row["right_form"] for row in rows) / len(rows),
        "coefficient_error": statistics.median(errors) if errors else None,
        "largest_coefficient_error": max(errors, default=None),
        "mean": statistics.median(row["mean"] for row in rows),
        "median": statistics.median(row["median"] for row in rows),
        "seconds": statistics.median(row["seconds"] for row in rows),
    }


def result(rows):
    laws = {name: summary(own) for name in LAWS if (own := [row for row in rows if row["law"] == name])}
    return {"untuned": UNTUNED, "goals": GOALS, "laws": laws}


def main(seeds, only):
    torch.set_num_threads(1)
    rows = go_on(RESULT, "law", ((name, seed) for name in only or LAWS for seed in range(seeds)), trial, result)
    for name, found in result(rows)["laws"].items():
        print(f"{name:26} {json.dumps(found)}")


def test_laws():
    rows = [trial(name, 0) for name in ("springs", "gravity", "charges", "trap")]
    assert all(row["right_form"] and row["median"] < 1e-15 for row in rows)


if __name__ == "__main__":
    main(int(sys.argv[1]) if sys.argv[1:] else 20, sys.argv[2:])
