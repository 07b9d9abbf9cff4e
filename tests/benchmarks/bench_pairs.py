"""Springs along edges and laws of short range: CPU time of one thread, and memory.

    python tests/benchmarks/bench_pairs.py [long_run | long_chain]

writes results/pairs.json, or the energy of a liquid over 100,000 steps into results/long_liquid.json, or a step of a
chain of 1,000,000 bodies beside one of 10,000 into results/long_chain.json; `make benchmarks` runs a part of it and
writes nothing.
"""

import json
import resource
import subprocess
import sys
import tempfile
import time
from pathlib import Path

import numpy as np
import torch

from systems import LennardJones, PhaseSpace, Springs, lattice, lattice_points, simulate
from systems.integrators import Leapfrog
from systems.native import Compiled
from systems.native.compiled import backend_of
from systems.provenance import write_result

STEP = 0.01
torch.set_num_threads(1)


def seconds(work):
    start = time.process_time()
    work()
    return time.process_time() - start


def moving(system, *sizes):
    """The state of a lattice whose bodies are a little off their places."""
    generator = torch.Generator().manual_seed(0)
    noise = 0.1 * torch.randn(2, system.bodies, 2, generator=generator, dtype=torch.float64)
    points = torch.nn.functional.pad(lattice_points(*sizes), (0, 2 - len(sizes)))
    return PhaseSpace((points + noise[0])[None], noise[1][None])


def step_of(method, system, state, steps):
    """Seconds a step, and what takes it."""

    def run(count):
        return seconds(lambda: method.integrate(system, state, torch.tensor([0.0, count * STEP]).double()))

    run(2)
    return (run(steps) - run(1)) / (steps - 1)


def lattices(largest=1_000_000):
    rows = []
    for sizes in ((10_000,), (100, 100), (largest,)):
        system = lattice(*sizes, rest_length=1.0)
        state = moving(system, *sizes)
        steps = max(4, 2_000_000 // system.bodies)
        row = {"sizes": sizes, "eager": step_of(Leapfrog(step=STEP), system, state, steps)}
        with torch.no_grad():
            times = torch.tensor([0.0, STEP]).double()
            fast = Compiled(Leapfrog(step=STEP), "on").prepared(system, state, times)
        if backend_of(fast) == "native":
            row["native"] = step_of(fast, system, state, steps)
        rows.append(row)
        print(row, flush=True)
    return rows


def long_chain(pairs=9):
    """Seconds a body of a leapfrog step in machine code, of two chains by turns; and bytes a second of a plain copy."""
    chains = []
    for bodies, steps in ((10_000, 600), (1_000_000, 12)):
        system = lattice(bodies, rest_length=1.0)
        state, times = moving(system, bodies), torch.tensor([0.0, STEP], dtype=torch.float64)
        with torch.no_grad():
            chains.append((Compiled(Leapfrog(step=STEP), "on").prepared(system, state, times), system, state, steps))
    numbers = torch.zeros(2, 10_000_000, dtype=torch.float64)
    rows = []
    for _ in range(pairs):
        short, long = (step_of(*chain) / chain[1].bodies for chain in chains)
        copied = 2 * numbers[0].nbytes / seconds(lambda: numbers[0].copy_(numbers[1]))
        rows.append({"short": short, "long": long, "ratio": long / short, "bytes_a_second": copied})
    return {name: float(np.median([row[name] for row in rows])) for name in rows[0]} | {"pairs": rows}


def beside_a_matrix(bodies=1500):
    """One force of a chain, along its edges and by a matrix of all pairs."""
    system = lattice(bodies, rest_length=1.0)
    state = moving(system, bodies)
    matrix = Springs(mass=system.mass, spring_constant=system.matrix, rest_length=1.0)
    return {
        "bodies": bodies,
        "edges": seconds(lambda: [system.force(state.q) for _ in range(20)]) / 20,
        "matrix": seconds(lambda: matrix.force(state.q)),
    }


def whole_road(rows=250, columns=400):
    """A lattice of 1e5 bodies simulated, saved, opened, diagnosed, plotted and animated: its peak of memory, in GB."""
    from hlieconv.diagnostics import summary
    from hlieconv.plots import animate_trajectories, plot_trajectories
    from systems import open as open_dataset

    system = lattice(rows, columns, rest_length=1.0)
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "lattice.nc"
        spent = seconds(
            lambda: simulate(
                system, moving(system, rows, columns), np.linspace(0, 1, 21), Leapfrog(step=STEP), path=path
            )
        )
        dataset = open_dataset(path)
        found = summary(dataset)
        plot_trajectories(dataset).figure.savefig(Path(folder) / "lattice.png")
        animate_trajectories(dataset, Path(folder) / "lattice.gif", frames=10)
        dataset.close()
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1e6
    return {"bodies": rows * columns, "simulate": spent, "energy": found["energy"], "peak_gb": peak}


def short_range(cells=(7, 14, 29)):
    """Seconds a step of a liquid in a periodic box, lists of neighbours included."""
    rows = []
    for number in cells:
        system, state = LennardJones.sample(1, seed=0, bodies=4 * number**3, phase="liquid")
        method, steps = Leapfrog(step=0.004), max(5, 400_000 // (4 * number**3))
        times = torch.tensor([0.0, steps * 0.004], dtype=torch.float64)
        spent = seconds(lambda: method.integrate(system, state, times)) / steps  # noqa: B023
        rows.append({"bodies": system.bodies, "step": spent, "step_of_a_body": spent / system.bodies})
        rows[-1]["steps_a_list"] = (steps + 1) / system.parts[0]._neighbours.count
        print(rows[-1], flush=True)
    return rows


def long_run(steps=100_000):
    """The energy of a liquid over many steps, as a share of its kinetic energy; and the one that leapfrog itself keeps.

    To second order that is H + h^2 (v . V'' v / 12 - sum of force^2 / 24 m): what is left of it swings 200 times less
    than H, so that a trend shows which H hides.
    """
    system, state = LennardJones.sample(1, seed=0, bodies=108, phase="liquid")
    system, h = system.steady(), 0.004
    times = torch.linspace(0, h * steps, 1001, dtype=torch.float64)  # in float32 some intervals have a step more
    path = Leapfrog(step=h).integrate(system, state, times)
    energy, own = [], []
    for q, p in zip(*path, strict=True):
        force, change = torch.func.jvp(system.force, (q,), (system.velocity(p),))
        energy.append(system.energy(PhaseSpace(q, p)))
        bent = (-change * system.velocity(p)).sum() / 12 - (force.square() / system.mass[..., None]).sum() / 24
        own.append(energy[-1] + h**2 * bent)
    scale = system.kinetic(state.p)
    return {"steps": steps} | {
        name: _trend((torch.cat(values) / scale).numpy()[100:])  # after it has melted
        for name, values in (("energy", energy), ("leapfrogs_own_energy", own))
    }


def _trend(values, pieces=20):
    """Swing, and trend from end to end with its error, from means of pieces that know little of each other."""
    means = np.array([part.mean() for part in np.array_split(values, pieces)])
    (trend, _), covariance = np.polyfit(np.linspace(0, 1, pieces), means, 1, cov=True)
    return {"swing": float(values.std()), "trend": float(trend), "error": float(covariance[0, 0] ** 0.5)}


def main():
    if sys.argv[1:] == ["whole_road"]:
        print(json.dumps(whole_road()))
        return
    if sys.argv[1:] == ["long_run"]:
        write_result("results/long_liquid.json", {"seed": 0, "bodies": 108, "step": 0.004} | long_run())
        return
    if sys.argv[1:] == ["long_chain"]:
        write_result("results/long_chain.json", {"seed": 0} | long_chain())
        return
    command = [sys.executable, __file__, "whole_road"]
    road = json.loads(subprocess.run(command, capture_output=True, text=True, check=True).stdout.splitlines()[-1])
    print(road, flush=True)
    result = {
        "seed": 0,
        "conditions": "CPU time of one thread on a machine that others used at the same time",
        "beside_a_matrix": beside_a_matrix(),
        "leapfrog": lattices(),
        "whole_road": road,
        "short_range": short_range(),
    }
    write_result("results/pairs.json", result)


def test_a_step_is_linear_in_the_edges():
    small, _, large = lattices(100_000)
    assert large["eager"] / 100_000 < 5 * small["eager"] / 10_000


if __name__ == "__main__":
    main()
