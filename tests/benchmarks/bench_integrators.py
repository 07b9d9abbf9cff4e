"""Long runs of every integrator, and the speed of leapfrog beside REBOUND's.

    python tests/benchmarks/bench_integrators.py [long_runs] [rebound]

writes results/integrators.json and docs/figures/integrators.png, or results/rebound.json (both without arguments), on
one thread; `make benchmarks` runs a part of each and writes nothing.
"""

import ctypes
import sys
import time
from pathlib import Path

import matplotlib.pyplot as plt
import numpy as np
import pytest
import rebound
import torch

from hlieconv.plots import style
from systems import Gravity, PhaseSpace
from systems.integrators import INTEGRATORS, AdaptiveGauss, Leapfrog, Torchdiffeq
from systems.provenance import write_result
from systems.work import BLOCK_PAIRS

sys.path.append(str(Path(__file__).parents[1] / "systems" / "integrators"))
from long_run import chain, drift, drifting, growth, pairs, run, trend
from problems import METHODS

STEP, SPACING = 2e-3, 0.12
#: Just above 1e5 steps of leapfrog.
OUTPUTS = 1667
#: Evaluations a step. Implicit methods take about twice these; with steps as long as that, sweeps would be many.
EVALUATIONS = {"rk4": 4, "implicit_midpoint": 5, "gauss4": 10, "gauss6": 15, "average_vector_field4": 15}
QUANTITIES = ("momentum", "angular_momentum", "energy")


def integrator_for(name, **options):
    """The same work for all: steps as long as they are dear. Adaptive methods choose for themselves."""
    method = METHODS[name]
    if method in (AdaptiveGauss, Torchdiffeq):
        return method(**options)
    evaluations = EVALUATIONS.get(name) or len(method.drifts)
    return method(step=STEP * evaluations, **options)


def long_run(sample, name, outputs=OUTPUTS, **options):
    """The numbers of one run, and its curves."""
    integrator = integrator_for(name, **options)
    start = time.process_time()
    dataset = run(sample, integrator, outputs * SPACING, outputs)
    seconds = time.process_time() - start
    curves = {quantity: drift(dataset, quantity) for quantity in QUANTITIES}
    row = {"integrator": name, "compensated": getattr(integrator, "compensated", False), "states": sample.__name__}
    row |= {"step": integrator.step, "seconds": round(seconds, 1)}
    row |= {f"{quantity}_drift": float(curve[-1]) for quantity, curve in curves.items()}
    row |= {f"{quantity}_growth": growth(curve) for quantity, curve in curves.items()}
    row["energy_trend"] = trend(dataset)
    print(", ".join(f"{key} {value:.2g}" if isinstance(value, float) else str(value) for key, value in row.items()))
    return row, curves


def leapfrog_runs():
    """Leapfrog from each kind of state, plain and compensated."""
    return [
        long_run(sample, "leapfrog", compensated=compensated)[0]
        for sample in (chain, pairs, drifting)
        for compensated in (False, True)
    ]


def draw(curves):
    """RMS drift over time, one panel a quantity."""
    with style():
        figure, panels = plt.subplots(1, 3, figsize=(12, 4.5), sharex=True, layout="constrained")
    colours = plt.get_cmap("tab20").colors
    for panel, quantity in zip(panels, QUANTITIES, strict=True):
        for colour, (name, drifts) in zip(colours, curves.items(), strict=False):
            curve = drifts[quantity]
            places = np.unique(np.geomspace(1, len(curve), 200).astype(int)) - 1
            panel.loglog(curve["time"][places], curve[places].clip(min=1e-18), color=colour, label=name, linewidth=1.2)
        panel.set_title(quantity.replace("_", " "))
        panel.set_xlabel("t / s")
    panels[0].set_ylabel("drift, RMS over 64 trajectories")
    figure.legend(*panels[0].get_legend_handles_labels(), loc="outside lower center", ncols=7)
    return figure


def bodies(count, n):
    """Bodies of one random cloud each, G = 1, softened."""
    generator = torch.Generator().manual_seed(0)
    q, p = (torch.randn(count, n, 3, generator=generator, dtype=torch.float64) for _ in range(2))
    mass = torch.full((n,), 1.0 / n, dtype=torch.float64)
    return Gravity(mass=mass, gravitational_constant=1.0, softening=0.1), PhaseSpace(q, p / n)


def seconds_of(call, least=0.5):
    """CPU seconds of one call, repeated until half a second has passed; the best of three such rounds."""
    call()
    rounds = []
    for _ in range(3):
        start, calls = time.process_time(), 0
        while time.process_time() - start < least:
            call()
            calls += 1
        rounds.append((time.process_time() - start) / calls)
        if calls == 1:
            break
    return min(rounds)


def ours(count, n, steps):
    """Seconds of a step of one system, in a batch that is worked off in blocks as `simulate` does."""
    block = max(1, min(count, BLOCK_PAIRS // n**2))
    system, state = bodies(block, n)
    times = torch.tensor([0.0, steps * 1e-3], dtype=torch.float64)
    run = torch.no_grad()(lambda: Leapfrog(step=1e-3).integrate(system, state, times))
    # Blocks cost the same: one stands for all of them.
    return seconds_of(run) / (block * steps)


def theirs(n, steps):
    """Seconds of a step of one system in REBOUND, which knows no batches."""
    _, state = bodies(1, n)
    simulation = rebound.Simulation()
    simulation.integrator, simulation.dt, simulation.softening = "leapfrog", 1e-3, 0.1
    for (x, y, z), (vx, vy, vz) in zip(state.q[0].tolist(), (state.p[0] * n).tolist(), strict=True):
        simulation.add(m=1.0 / n, x=x, y=y, z=z, vx=vx, vy=vy, vz=vz)
    return seconds_of(lambda: simulation.steps(steps)) / steps


def keep_memory():
    """Have glibc keep the memory that is freed: to touch new pages costs more than the arithmetic of pairs."""
    libc = ctypes.CDLL(None)
    m_trim_threshold, m_mmap_threshold = -1, -3
    libc.mallopt(m_mmap_threshold, 2**25)
    libc.mallopt(m_trim_threshold, 2**30)


def beside_rebound(memory="as usual"):
    if memory == "kept":
        keep_memory()
    rows = []
    for n, their_steps, steps in ((6, 10_000, 200), (100, 1000, 50), (1000, 20, 2)):
        rebounds = theirs(n, their_steps)
        for count in (1, 64, 10_000):
            seconds = ours(count, n, steps)
            row = {"memory": memory, "batch": count, "bodies": n}
            row |= {"steps_per_second": 1 / seconds, "rebound": 1 / rebounds}
            rows.append(row | {"ratio": rebounds / seconds})
            print("{batch:6} x {bodies:4} bodies: {steps_per_second:.3g} steps of one system a second, "
                  "REBOUND {rebound:.3g}, ratio {ratio:.2g}".format(**rows[-1]), flush=True)  # fmt: skip
    return rows


@pytest.mark.parametrize("sample", [chain, drifting])
def test_long_runs(sample):
    torch.set_num_threads(1)
    row, _ = long_run(sample, "leapfrog", OUTPUTS // 10)
    assert row["momentum_drift"] < 1e-12


def test_rebound():
    torch.set_num_threads(1)
    assert beside_rebound()


if __name__ == "__main__":
    torch.set_num_threads(1)
    wanted = sys.argv[1:] or ["long_runs", "rebound"]
    if "long_runs" in wanted:
        found = {name: long_run(chain, name) for name in INTEGRATORS}
        result = {
            "seed": 0,
            "trajectories": 64,
            "time": OUTPUTS * SPACING,
            "every_integrator": [r for r, _ in found.values()],
        }
        write_result("results/integrators.json", result | {"leapfrog": leapfrog_runs()})
        draw({name: curves for name, (_, curves) in found.items()}).savefig("docs/figures/integrators.png", dpi=110)
    if "rebound" in wanted:
        rows = beside_rebound() + beside_rebound("kept")
        result = {"seed": 0, "softening": 0.1, "packages": {"rebound": rebound.__version__}, "leapfrog": rows}
        write_result("results/rebound.json", result)
