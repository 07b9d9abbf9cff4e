"""The README job of the paper's code on a GPU: a training step of `fit` beside an eager plain-torch one.

3,000 systems, batches of 200 rollouts of 5 points through RK4, T(2), 384 channels, 4 blocks: 1,500 such steps are the
job. Both on the same GPU, in float32 without TF32. The floor is the products of a step, at the rate of a large one.

    python tests/benchmarks/bench_gpu.py, which writes results/gpu.json; DEVICE=cpu tries it without a GPU
"""

import os
import time

import pytest
import torch
from bench_hlieconv import BATCH, POINTS, SPACING, Plain, Products, problem, work

from hlieconv.dynamics import fit
from hlieconv.models import HLieConv
from hlieconv.study.evaluation import sample
from systems.provenance import write_result

DEVICE = os.environ.get("DEVICE", "cuda")
JOB, SYSTEMS, GOAL = 1500, 3000, 10

pytestmark = pytest.mark.skipif(DEVICE == "cuda" and not torch.cuda.is_available(), reason="needs a GPU")


def seconds_of(function, repeats):
    """Of one call, once all that was asked of the device is done."""
    wait = torch.cuda.synchronize if DEVICE.startswith("cuda") else lambda: None
    function()
    wait()
    start = time.perf_counter()
    for _ in range(repeats):
        function()
    wait()
    return (time.perf_counter() - start) / repeats


def plain_step():
    model, features, state, _, truth = problem(BATCH)
    features = {name: value.to(DEVICE) for name, value in features.items()}
    plain = Plain(model.to(DEVICE), features, state.q.shape[-2]).to(DEVICE)
    q0, p0, true_q, true_p = (x.to(DEVICE) for x in (*state, *truth))
    optimiser = torch.optim.Adam(plain.parameters(), lr=1e-3)

    def step():
        optimiser.zero_grad()
        q, p = plain.rk4(q0.detach(), p0.detach(), SPACING, POINTS - 1)
        ((q - true_q).square().mean() + (p - true_p).square().mean()).backward()
        optimiser.step()

    return step


def our_step(steps):
    """Seconds of a step of the whole of `fit`, between its first and last record."""
    data = sample("springs", SYSTEMS, seed=0)
    model = HLieConv.of(data, preset="paper", group="T2")
    history = fit(model, data, preset="paper", steps=steps, device=DEVICE, compile="on", progress=False).history
    first, last = history[0], history[-1]
    return (last["seconds"] - first["seconds"]) / (last["step"] - first["step"])


def compare(repeats=20, steps=200):
    torch.backends.cuda.matmul.allow_tf32 = False
    plain = seconds_of(plain_step(), repeats)
    with Products() as counter:
        work("rk4", "flops")()
    a, b = torch.randn(2, 4096, 4096, device=DEVICE)
    peak = 2 * 4096**3 / seconds_of(lambda: a @ b, 5)
    ours = our_step(steps)
    row = {
        "plain_step_seconds": plain,
        "step_seconds": ours,
        "ratio": plain / ours,
        "goal": GOAL,
        "job_seconds": JOB * ours,
        "gigaflops_of_products": counter.total / 1e9,
        "peak_gigaflops": peak / 1e9,
        "fraction_of_peak": counter.total / ours / peak,
    }
    print("  ".join(f"{name} {value:.3g}" for name, value in row.items()), flush=True)
    return row


def test_faster_than_the_eager_baseline():
    assert compare()["ratio"] > 1


if __name__ == "__main__":
    write_result("results/gpu.json", {"seed": 0, "device": DEVICE, "batch": BATCH, "job": compare()})
