"""Two threads of machine code beside one: wall time, and CPU time, which must not grow.

    python tests/benchmarks/bench_native_threads.py

writes results/native_threads.json. Two cores that nobody else uses are needed for the ratio of wall times: each is the
least of many short runs, which go by turns. Measured is the machine code itself: torch's own threads, in the check of
the first states, wait by spinning, which on a machine that others use costs more than the work.
"""

import os
import time

import torch

from systems import Gravity, HenonHeiles, Springs
from systems.integrators import AdaptiveGauss, Leapfrog
from systems.native import Compiled
from systems.native.methods import plan_of
from systems.provenance import write_result

TURNS = 40
CASES = {
    "springs with rest length, adaptive_gauss": (Springs, {"rest_length": 0.5}, AdaptiveGauss(), 1024, 50),
    "gravity, leapfrog": (Gravity, {"bodies": 6, "dimension": 3}, Leapfrog(step=1e-3), 2048, 3),
    "henon_heiles, adaptive_gauss": (HenonHeiles, {}, AdaptiveGauss(), 8192, 20),
    "gravity of 100 bodies, leapfrog": (Gravity, {"bodies": 100}, Leapfrog(step=0.01), 64, 3),
}


def measured(work, threads):
    """Wall seconds, and CPU seconds of all threads."""
    torch.set_num_threads(threads)
    start, spent = time.perf_counter(), sum(os.times()[:2])
    work()
    return time.perf_counter() - start, sum(os.times()[:2]) - spent


def row(name, turns=TURNS):
    kind, options, method, count, points = CASES[name]
    field, state = kind.sample(count, seed=0, **options)
    times = torch.linspace(0, 1, points, dtype=torch.float64)
    with torch.no_grad():
        kernel = Compiled(method, "on").prepared(field, state, times).kernel
        batch = state.q.shape[:-2]
        given = (plan_of(method, times, batch), *state, kernel.program.table(field, batch))
        runs = {k: [] for k in (1, 2)}
        for _ in range(turns):
            for threads, found in runs.items():
                found.append(measured(lambda: kernel.forwards(*given), threads))
    wall = {k: min(x for x, _ in found) for k, found in runs.items()}
    cpu = {k: sum(x for _, x in found) / turns for k, found in runs.items()}
    result = {"case": name, "wall": list(wall.values()), "ratio": wall[1] / wall[2], "cpu_growth": cpu[2] / cpu[1]}
    print(result, flush=True)
    return result


def main():
    conditions = {"load_before": os.getloadavg()[0], "turns": TURNS, "seed": 0}
    write_result("results/native_threads.json", conditions | {"rows": [row(name) for name in CASES]})


def test_two_threads():
    """The work is the same."""
    assert row("gravity, leapfrog", 3)["cpu_growth"] < 2


if __name__ == "__main__":
    main()
