"""What symplectic steps, discrete gradients and projection keep, and what they cost.

    python tests/benchmarks/bench_keeping.py writes results/keeping.json

16 chains of six bodies with stiff springs of length 1, float64, steps of 0.02 s for 40 s, 201 output times. Drifts are
the largest in time, RMS over trajectories; the error of the state is that after 10 s, against AdaptiveGauss.
"""

import sys
import time
from pathlib import Path

import torch

from hlieconv.noether import Projected
from systems import simulate
from systems.integrators import (
    RK4,
    AverageVectorField4,
    BlanesMoanSRKN6,
    EnergyMomentum,
    Gauss4,
    ImplicitMidpoint,
    Leapfrog,
)
from systems.provenance import write_result

sys.path.append(str(Path(__file__).parents[1] / "systems" / "integrators"))
from long_run import chain, drift, trend

STEP, COUNT = 0.02, 16
EVERY = ("energy", "momentum", "angular_momentum")
METHODS = {
    "leapfrog": Leapfrog(step=STEP),
    "blanes_moan_srkn6": BlanesMoanSRKN6(step=STEP),
    "implicit_midpoint": ImplicitMidpoint(step=STEP),
    "gauss4": Gauss4(step=STEP),
    "average_vector_field4": AverageVectorField4(step=STEP),
    "energy_momentum": EnergyMomentum(step=STEP),
    "rk4": RK4(step=STEP),
    "leapfrog, energy projected": Projected(Leapfrog(step=STEP), ["energy"]),
    "leapfrog, all projected": Projected(Leapfrog(step=STEP), EVERY),
    "rk4, energy projected": Projected(RK4(step=STEP), ["energy"]),
    "rk4, all projected": Projected(RK4(step=STEP), EVERY),
}


def main():
    system, state = chain(COUNT)
    times = torch.linspace(0, 40, 201, dtype=torch.float64)
    exact = simulate(system, state, times)
    rows = {}
    for name, method in METHODS.items():
        begun = time.process_time()
        run = simulate(system, state, times, method, compile="off")
        seconds = time.process_time() - begun
        row = {f"{quantity}_drift": float(drift(run, quantity).max()) for quantity in EVERY}
        error = run.dynamics.error(exact).sel(time=10.0, method="nearest")
        row |= {"energy_trend": trend(run), "error": float(error.median()), "cpu_seconds": round(seconds, 2)}
        rows[name] = row
        print(name, {key: f"{value:.2g}" for key, value in row.items()}, flush=True)
    write_result("results/keeping.json", {"seed": 0, "step": STEP, "trajectories": COUNT, "methods": rows})


if __name__ == "__main__":
    main()
