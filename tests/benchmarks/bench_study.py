"""What an accuracy on the springs task costs, beside plain torch: CPU seconds on one thread, in one run.

The baselines are the README job of the paper's code: one chunk of each of 3,000 systems, 1,500 steps of Adam on batches
of 200 rollouts of 5 points through RK4, of an HFC (4 x 256) and an HLieConv-T(2) (384 channels, 4 blocks), written in
plain torch. A few of their steps are timed, and counted 1,500 times; they are not trained here. Beside them stand two
trainings of the study on the same data, timed whole.

    make benchmarks, or python tests/benchmarks/bench_study.py, which writes results/study_cost.json
"""

import time
from itertools import pairwise

import pytest
import torch
from bench_hlieconv import BATCH, POINTS, SPACING, Plain, problem
from torch import nn

from hlieconv.dynamics import chunk_error
from hlieconv.study.catalogue import Trial
from hlieconv.study.evaluation import tests
from hlieconv.study.trials import train_trial
from systems.provenance import write_result

STEPS, TIMED, SEED, SYSTEMS = 1500, 3, 0, 3000

#: A baseline's name: our training, the test error it has to reach, and how many times sooner.
GOALS = {"HFC": ("quick", 1.7e-3, 50), "HLieConv-T2": ("400-steps", 5.3e-6, 200)}


class PlainHFC(Plain):
    """H = sum_i |p_i|^2 / 2 m_i + V(q), V a perceptron of all columns, q from its mean, as published."""

    def __init__(self, features):
        nn.Module.__init__(self)
        self.mass = features["mass"]
        self.bodies = torch.stack([features["mass"], features["stiffness"]], -1)
        widths = (self.bodies.shape[-2] * 4, 256, 256, 256, 256)
        layers = [layer for pair in pairwise(widths) for layer in (nn.Linear(*pair), nn.SiLU())]
        self.energy = nn.Sequential(*layers, nn.Linear(256, 1))

    def potential(self, q):
        return self.energy(torch.cat([q - q.mean(-2, keepdim=True), self.bodies], -1).flatten(-2))[..., 0]


def baseline_step(name):
    """CPU seconds of a training step, the best of a few."""
    model, features, state, _, truth = problem(BATCH)
    plain = PlainHFC(features) if name == "HFC" else Plain(model, features, state.q.shape[-2])
    optimiser = torch.optim.Adam(plain.parameters(), lr=1e-3)
    seconds = []
    for _ in range(TIMED):
        start = time.process_time()
        optimiser.zero_grad()
        q, p = plain.rk4(state.q.detach(), state.p.detach(), SPACING, POINTS - 1)
        ((q - truth.q).square().mean() + (p - truth.p).square().mean()).backward()
        optimiser.step()
        seconds.append(time.process_time() - start)
    return min(seconds)


def compare(name):
    torch.set_num_threads(1)
    entry, bound, goal = GOALS[name]
    step = baseline_step(name)
    trained, cpu, _ = train_trial(Trial("springs", entry, SYSTEMS, SEED))
    error = chunk_error(trained.model.double(), tests("springs", 2000, 1)[0], seed=0).mean().item()
    row = {
        "baseline_step": step,
        "baseline_seconds": STEPS * step,
        "training": entry,
        "seconds": cpu,
        "test_error": error,
        "bound": bound,
        "ratio": STEPS * step / cpu,
        "goal": goal,
    }
    print(f"{name}: " + ", ".join(f"{key} {value}" for key, value in row.items()), flush=True)
    return row


@pytest.mark.parametrize("name", GOALS)
def test_sooner_than_the_baseline(name):
    row = compare(name)
    assert row["test_error"] < row["bound"]
    assert row["ratio"] > 1


if __name__ == "__main__":
    write_result(
        "results/study_cost.json", {"seed": SEED, "threads": 1, "rows": {name: compare(name) for name in GOALS}}
    )
