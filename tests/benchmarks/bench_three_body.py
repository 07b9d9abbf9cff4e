"""Laws of three bodies that are in no library: the error of what is read, and that of networks beside it.

    python tests/benchmarks/bench_three_body.py [seeds] [law ...] adds to results/three_body.json what is not in it yet

100 trajectories with one chunk of 5 points each, no noise. Errors are mean square errors over chunks of 100 other
systems (`chunk_error`), which the law follows to round-off. The network is HLieConv by its default settings, whose
blocks pass messages, as three bodies ask for; it has `SECONDS` of CPU time, or as many as the law took if more.
"""

import json
import statistics
import sys
import time
import warnings
from pathlib import Path

import torch
from rows_of_trials import go_on

from hlieconv.benchmarks.laws_data import LAWS, NAMES
from hlieconv.dynamics import chunk_error, fit
from hlieconv.dynamics.expansion.solving import solve
from hlieconv.dynamics.trajectories import trajectories_of
from hlieconv.models import HLieConv, PairExpansion
from systems.integrators import AdaptiveGauss

RESULT = Path("results/three_body.json")

#: Laws that are in no library, of three bodies.
THREE = [name for name in LAWS if name not in NAMES]

#: CPU seconds of a training, at least, and updates by which those of one update are told.
SECONDS, SOME = 200, 11


def errors(name, found):
    """The median and the mean over chunks."""
    return {f"{name}_median": float(found.median()), f"{name}_mean": float(found.mean())}


def network(case, train, test, seed, seconds):
    """A training of so many CPU seconds: its updates, the seconds that it took, and the errors."""

    def trained(steps):
        torch.manual_seed(seed)
        model, begun = HLieConv.of(train, group=case.group), time.process_time()
        fit(model, train, chunks=1, seed=seed, validation=0.0, steps=steps, progress=False)
        return model, time.process_time() - begun

    first = trained(1)[1]
    update = (trained(SOME)[1] - first) / (SOME - 1)
    steps = max(1, 1 + int((seconds - first) / update))
    model, spent = trained(steps)
    return {"network_steps": steps, "network_seconds": round(spent, 1)} | errors("network", chunk_error(model, test))


def trial(name, seed):
    """One law, read from the trajectories of one seed, and a network trained on them."""
    case = LAWS[name]
    train, test = case.trajectories(100, seed), case.trajectories(100, 1000 + seed, points=20)
    model, begun = PairExpansion.of(train, group=case.group), time.process_time()
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", UserWarning)
        solve(model, trajectories_of(train), seed=seed)
    seconds = time.process_time() - begun
    row = {"seconds": round(seconds, 1), "found": model.law()[:200]}
    row |= errors("law", chunk_error(model, test, integrator=AdaptiveGauss()))
    return row | network(case, train, test, seed, max(SECONDS, seconds))


def summary(rows):
    """Medians of the seeds of one law, and by how much the law is below the network in the seed where that is least."""
    numbers = [key for key in rows[0] if key.endswith(("seconds", "steps", "median", "mean"))]
    found = {key: statistics.median(row[key] for row in rows) for key in numbers}
    for kind in ("median", "mean"):
        found[f"least_ratio_of_{kind}s"] = min(row[f"network_{kind}"] / row[f"law_{kind}"] for row in rows)
    return {"seeds": len(rows)} | found


def result(rows):
    return {"laws": {name: summary(own) for name in THREE if (own := [row for row in rows if row["law"] == name])}}


def main(seeds, only):
    torch.set_num_threads(1)
    rows = go_on(RESULT, "law", ((name, seed) for seed in range(seeds) for name in only or THREE), trial, result)
    for name, found in result(rows)["laws"].items():
        print(name, json.dumps(found))


if __name__ == "__main__":
    main(int(sys.argv[1]) if sys.argv[1:] else 2, sys.argv[2:])
