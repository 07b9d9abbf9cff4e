"""HLieConv's last layer solved after its training: errors before and after, and what each takes.

    python tests/benchmarks/bench_last_layer.py [steps] [seeds] adds to results/last_layer.json what is not in it yet

100 trajectories of 500 points, the settings of `fit`; errors are mean square errors over chunks of 5 points of 200
other systems (`chunk_error`). The law of springs with zero rest length lies in the span of the network. Messages say
whether the blocks were kept.
"""

import sys
import time
import warnings
from pathlib import Path

import torch
from rows_of_trials import go_on

from hlieconv.benchmarks.laws_data import LAWS
from hlieconv.dynamics import chunk_error, fit
from hlieconv.dynamics.chunks import chunks_of
from hlieconv.dynamics.fitting import bodies_of
from hlieconv.dynamics.last_layer import solve_last_layer
from hlieconv.dynamics.trajectories import trajectories_of
from hlieconv.models import HLieConv

RESULT = Path("results/last_layer.json")
NAMES = ("springs", "springs with rest lengths", "gravity", "charges", "Morse", "cos^2 of angles")


def trial(case, seed):
    """One law and number of steps, "springs, 400 steps", of one seed."""
    name, _, steps = case.removesuffix(" steps").rpartition(", ")
    law = LAWS[name]
    train, test = law.trajectories(100, seed, points=500), law.trajectories(200, 1000 + seed, points=500)
    torch.manual_seed(seed)
    model = HLieConv.of(train, group=law.group)
    begun = time.process_time()
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", UserWarning)
        fit(model, train, steps=int(steps), last_layer="descent", validation=0.0, seed=seed, progress=False)
    seconds, before = time.process_time() - begun, chunk_error(model, test)
    data = trajectories_of(train)
    bodies, chunks = bodies_of(model, data), chunks_of(data, 5)
    bodies.measure(chunks, recalibrate=False, kept={})
    begun = time.process_time()
    solved = solve_last_layer(bodies, bodies.framed(chunks), precision=data.eps, seed=seed)
    solution, after = time.process_time() - begun, chunk_error(model, test)
    row = {"seconds": round(seconds, 1), "seconds_of_solution": round(solution, 1), "solved": solved}
    row["messages"] = not model.is_silent
    errors = {"before": before, "after": after}
    return row | {
        f"{kind}_{when}": float(getattr(x, kind)()) for when, x in errors.items() for kind in ("median", "mean")
    }


def main(steps, seeds):
    torch.set_num_threads(1)
    cases = ((f"{name}, {steps} steps", seed) for seed in range(seeds) for name in NAMES)
    go_on(RESULT, "case", cases, trial, lambda rows: {"trajectories": 100, "points": 500})


if __name__ == "__main__":
    main(*(int(x) for x in (*sys.argv[1:], *("400", "1")[len(sys.argv) - 1 :])))
