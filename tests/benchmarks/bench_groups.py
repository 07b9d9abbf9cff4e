"""What a pair of elements costs in each group: its coordinates, and their gradient with respect to the points.

make benchmarks, or python -m pytest -o addopts= -s tests/benchmarks/bench_groups.py
"""

import time

import torch

from hlieconv.groups import GROUPS, from_generators, group

BATCH, BODIES, REPEATS = 100, 6, 7


def seconds(task):
    """CPU time of the best of a few repeats."""
    best = float("inf")
    for _ in range(REPEATS):
        start = time.process_time()
        task()
        best = min(best, time.process_time() - start)
    return best


def costs(chosen, dtype):
    """Seconds for all pairs: embedding, logarithm, and embedding with the gradient."""
    points = torch.rand(BATCH, BODIES, chosen.dimension, dtype=dtype, requires_grad=True)

    def pairs():
        identity = chosen.identity((1,), dtype=dtype)
        u = chosen.lift(points, stabiliser=identity).elements[..., 0, :, :]
        return u[..., :, None, :, :], u[..., None, :, :, :]

    def gradient():
        values = chosen.embedding(*pairs())
        if values.requires_grad:
            torch.autograd.grad(values.sum(), points)

    with torch.no_grad():
        values = seconds(lambda: chosen.embedding(*pairs())), seconds(lambda: chosen.relative(*pairs()))
    return *values, seconds(gradient)


def test_cost_of_a_pair():
    torch.set_num_threads(1)
    generated = [from_generators(group(name).basis(torch.float64), group(name).dimension) for name in ("SE2", "SE3")]
    cases = [*map(group, GROUPS), *generated]
    labels = [*GROUPS, "SE2 from generators", "SE3 from generators"]
    baseline = costs(group("T2"), torch.float32)
    count = BATCH * BODIES**2
    print(f"\n{count} pairs, float32, one thread; microseconds a pair, and in units of T2's")
    for label, case in zip(labels, cases, strict=True):
        row = costs(case, torch.float32)
        cells = (f"{1e6 * t / count:7.3f} ({t / base:5.1f})" for t, base in zip(row, baseline, strict=True))
        print(f"{label:22s} embedding, logarithm, gradient: {'  '.join(cells)}")
