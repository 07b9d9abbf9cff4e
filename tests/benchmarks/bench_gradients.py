"""Gradients through many steps: machine code beside torch's autograd and beside recomputation. CPU time, one thread.

    python tests/benchmarks/bench_gradients.py

writes results/gradients.json.
"""

import time
from functools import partial

import torch

from systems import Gravity, PhaseSpace, Springs
from systems.integrators import BlanesMoanSRKN6, Gauss4, Leapfrog, Recomputed
from systems.provenance import write_result

CASES = {
    "springs with rest length": (Springs, {"rest_length": 0.3}, ("mass", "stiffness")),
    "gravity": (Gravity, {}, ("mass",)),
}
WAYS = {
    "native": partial(lambda kind, **options: kind(compile="on", **options)),
    "autograd": partial(lambda kind, **options: kind(compile="off", **options)),
    "recomputed": partial(lambda kind, **options: Recomputed(kind(compile="off", **options))),
}


def gradient(method, field, state, times):
    q, p = (x.detach().clone().requires_grad_() for x in state)
    path = method.integrate(field, PhaseSpace(q, p), times)
    return torch.autograd.grad(path.q.square().sum() + (path.p**3).sum(), [q, p, *field.parameters()])


def row(name, kind, count=64, substeps=100, turns=3):
    """Ten output times with so many steps between them."""
    make, options, trainable = CASES[name]
    system, state = make.sample(count, seed=0, **options)
    values = {v.name: getattr(system, v.name) for v in system.variables}
    field = make(**values, trainable=trainable)
    times = torch.linspace(0, 1, 11, dtype=torch.float64)
    seconds, found = {}, {}
    for way, wrapped in WAYS.items():
        method = wrapped(kind, step=0.1 / substeps)
        if way == "native":
            gradient(method, field, state, times)  # compiled once
        spent = []
        for _ in range(turns if way == "native" else 1):
            start = time.thread_time()
            found[way] = gradient(method, field, state, times)
            spent.append(time.thread_time() - start)
        seconds[way] = min(spent)
    pairs = list(zip(found["native"], found["autograd"], strict=True))
    error = max(float((a - b).abs().max() / b.abs().max()) for a, b in pairs if b.abs().max() > 0)
    result = {"field": name, "method": kind.__name__, "trajectories": count, "steps": 10 * substeps, "error": error}
    result |= seconds | {f"{way}_ratio": seconds[way] / seconds["native"] for way in ("autograd", "recomputed")}
    print(result, flush=True)
    return result


def main():
    torch.set_num_threads(1)
    rows = [row(name, kind) for name in CASES for kind in (Leapfrog, BlanesMoanSRKN6, Gauss4)]
    write_result("results/gradients.json", {"seed": 0, "rows": rows})


def test_gradients():
    """The same gradient, sooner."""
    found = row("gravity", Leapfrog, substeps=10)
    assert found["error"] < 1e-12
    assert found["autograd_ratio"] > 2


if __name__ == "__main__":
    main()
