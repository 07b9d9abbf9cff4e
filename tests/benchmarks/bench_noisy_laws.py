"""Laws read out of noisy trajectories: form, coefficients, chi^2 and cost, with one set of settings for all.

    make benchmarks, or python -m pytest -o addopts= -s tests/benchmarks/bench_noisy_laws.py
    python tests/benchmarks/bench_noisy_laws.py [seeds] [law ...] adds to results/noisy_laws.json what is not in it yet

50 trajectories of 100 points, with white noise of 1 % of the spread of q and of p; chi^2 is that of the points of 50
other systems whose first states are unknown, and 1 for a right law (`evidence`).
"""

import statistics
import sys
import time
import warnings
from pathlib import Path

import torch
from rows_of_trials import go_on

from hlieconv.benchmarks.laws_data import LAWS, UNTUNED
from hlieconv.dynamics import evidence
from hlieconv.dynamics.expansion.solving import solve
from hlieconv.dynamics.trajectories import trajectories_of
from hlieconv.models.expansion.model import PairExpansion

RESULT = Path("results/noisy_laws.json")
COUNT, POINTS, LEVEL = 50, 100, 0.01
GOALS = {"right_form": 0.9, "coefficient_error": 5e-3, "chi_square": 1.1}


def trial(name, seed):
    """One law, read from the noisy trajectories of one seed."""
    case = LAWS[name]
    train, test = (case.trajectories(COUNT, x, points=POINTS, noise=LEVEL) for x in (seed, 1000 + seed))
    model = PairExpansion.of(train, group=case.group)
    begun = time.process_time()
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", UserWarning)
        solve(model, trajectories_of(train), chunks=0, seed=seed)
    seconds = time.process_time() - begun
    error = case.coefficient_error(model.estimates)
    return {
        "seconds": round(seconds, 2),
        "right_form": None if case.expected is None else error is not None,
        "coefficient_error": error,
        "chi_square": evidence(model, test).chi_square,
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
        "chi_square": statistics.median(row["chi_square"] for row in rows),
        "largest_chi_square": max(row["chi_square"] for row in rows),
        "seconds": statistics.median(row["seconds"] for row in rows),
    }


def result(rows):
    settings = {"trajectories": COUNT, "points": POINTS, "noise": LEVEL, "untuned": UNTUNED, "goals": GOALS}
    return settings | {"laws": {x: summary(own) for x in LAWS if (own := [row for row in rows if row["law"] == x])}}


def main(seeds, only):
    torch.set_num_threads(1)
    trials = ((name, seed) for seed in range(seeds) for name in only or LAWS)
    go_on(RESULT, "law", trials, trial, result)


def test_noisy_laws():
    rows = [trial(name, 0) for name in ("springs", "gravity", "trap")]
    assert all(row["right_form"] and row["coefficient_error"] < 5e-3 and row["chi_square"] < 1.1 for row in rows)


if __name__ == "__main__":
    main(int(sys.argv[1]) if sys.argv[1:] else 20, sys.argv[2:])
