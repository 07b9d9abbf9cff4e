"""How far rods are from their lengths after 100000 steps of RATTLE, and what a step costs.

    python tests/benchmarks/bench_rattle.py

Prints one line; two minutes on one core.
"""

import time

import torch

from systems import Rods
from systems.integrators import Rattle

STEPS, STEP = 100_000, 0.01


def main() -> None:
    system, state = Rods.sample(1, seed=0, bodies=2)
    times = torch.linspace(0, STEPS * STEP, 101, dtype=torch.float64)
    start = time.process_time()
    with torch.no_grad():
        path = Rattle(step=STEP).integrate(system, state, times)
    cost = (time.process_time() - start) / STEPS
    energy = system.hamiltonian.energy(path)
    drift = (energy - energy[0]).abs().max() / system.hamiltonian.kinetic(path.p).max()
    off = system.constraints(path.q).abs().max()
    print(f"{STEPS} steps: rods off by {off:.1e}, energy by {drift:.1e} of the kinetic one, {1e3 * cost:.2g} ms a step")


if __name__ == "__main__":
    main()
