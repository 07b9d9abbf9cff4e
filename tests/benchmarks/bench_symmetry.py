"""How often the right symmetry is chosen from data: 100 seeds of each of five systems.

    python tests/benchmarks/bench_symmetry.py [seeds] adds to results/symmetry.json what is not in it yet

40 trajectories of 50 points over 2 s of three bodies with springs, each with masses and stiffnesses of its own; white
noise of 0 to 1e-1 of the standard deviation of q and of p.
"""

import json
import sys
import time
from pathlib import Path

import torch
from bench_discovery import with_noise
from discovery_table import interval

from hlieconv.noether import symmetry
from systems import Springs, simulate
from systems.provenance import provenance, write_result

sys.path.append(str(Path(__file__).parents[1] / "noether"))

from systems_at_hand import STUDY

RESULT = Path("results/symmetry.json")
COUNT, NOISES = 40, (0.0, 1e-3, 1e-2, 1e-1)


def main(seeds):
    before = json.loads(RESULT.read_text()) if RESULT.exists() else {}
    found = before["found"] if before.get("seeds") == seeds else {}
    for name, (make, group) in STUDY.items():
        if all(f"{name}, noise {noise:g}" in found for noise in NOISES):
            continue
        springs, states = Springs.sample(COUNT * seeds, seed=0, bodies=3)
        every = simulate(make(springs), states, torch.linspace(0, 2, 50, dtype=torch.float64))
        for noise in NOISES:
            begun = time.process_time()
            parts = [every.isel(trajectory=slice(COUNT * seed, COUNT * (seed + 1))) for seed in range(seeds)]
            groups = [symmetry(with_noise(part, noise, seed)).group for seed, part in enumerate(parts)]
            right = sum(chosen == group for chosen in groups)
            found[f"{name}, noise {noise:g}"] = {
                "group": group,
                "right": right,
                "runs": seeds,
                "interval": interval(right, seeds),
                "others": sorted({chosen for chosen in groups if chosen != group}),
                "cpu_seconds_each": round((time.process_time() - begun) / seeds, 3),
                "commit": provenance()["commit"],
            }
            print(name, noise, found[f"{name}, noise {noise:g}"], flush=True)
            write_result(RESULT, {"seeds": seeds, "trajectories": COUNT, "found": found})


if __name__ == "__main__":
    main(int(sys.argv[1]) if len(sys.argv) > 1 else 100)
