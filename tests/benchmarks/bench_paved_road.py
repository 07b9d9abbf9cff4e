"""What everybody does, beside an earlier commit of this repository, in pairs of processes of one thread.

    python tests/benchmarks/bench_paved_road.py COMMIT [PAIRS]

Each pair runs one process of either tree, the second first in every other pair. CPU seconds of a process are the median
of a few runs after the first. A ratio is that of a pair, now / before: the median of all pairs, and the interval that
holds it at 95 % or more (order statistics, no distribution assumed). Writes results/paved_road.json.
"""

import json
import math
import statistics
import subprocess
import sys
import tempfile
import time
from pathlib import Path

ROOT = Path(__file__).parents[2]


def closed_form():
    """1,000 systems of six bodies on springs, 500 times, by normal modes."""
    system, state = Springs.sample(1000, seed=0)
    times = torch.linspace(0, 5, 500, dtype=torch.float64)
    return lambda: simulate(system, state, times)


def leapfrog():
    """200 systems of a star and three planets, 50 times, five steps between them."""
    system, state = Gravity.sample(200, seed=0)
    times = torch.linspace(0, 1, 50, dtype=torch.float64)
    return lambda: simulate(system, state, times, integrator=Leapfrog(step=0.005))


def default_integrator():
    """20 systems of six bodies on springs with rest lengths, 50 times, by what simulate takes when told nothing."""
    system, state = Springs.sample(20, seed=0, rest_length=1.0)
    times = torch.linspace(0, 1, 50, dtype=torch.float64)
    return lambda: simulate(system, state, times)


def training():
    """60 steps of the default fit of HLieConv with SE(2), not compiled."""
    times = torch.linspace(0, 5, 500, dtype=torch.float64)
    dataset = simulate(*Springs.sample(50, seed=0), times)
    return lambda: fit(HLieConv(group="SE2"), dataset, steps=60, progress=False, compile="off")


JOBS = {closed_form: 9, leapfrog: 15, default_integrator: 3, training: 1}


def measure() -> None:
    """The CPU seconds of each job, of whichever tree is on the path."""
    torch.set_num_threads(1)
    for job, repeats in JOBS.items():
        run, seconds = job(), []
        for _ in range(1 + repeats):
            start = time.process_time()
            run()
            seconds.append(time.process_time() - start)
        print(json.dumps({job.__name__: statistics.median(seconds[1:])}), flush=True)


def seconds_of(tree: Path) -> dict[str, float]:
    environment = {"PYTHONPATH": str(tree), "OMP_NUM_THREADS": "1", "PATH": "/usr/bin:/bin"}
    command = [sys.executable, "-P", __file__]
    lines = subprocess.run(command, check=True, env=environment, cwd=tree, capture_output=True, text=True).stdout
    found: dict[str, float] = {}
    for line in lines.splitlines():
        found |= json.loads(line)
    return found


def interval(ratios: list[float]) -> list[float]:
    """The narrowest pair of order statistics that holds the median at 95 %."""
    n, ratios = len(ratios), sorted(ratios)
    inside = [1 - 2 * sum(math.comb(n, i) for i in range(k)) / 2**n for k in range(n // 2 + 1)]
    k = max((k for k in range(1, n // 2 + 1) if inside[k] >= 0.95), default=1)
    return [ratios[k - 1], ratios[n - k]]


def compare(commit: str, pairs: int) -> dict:
    with tempfile.TemporaryDirectory() as folder:
        before = Path(folder) / "before"
        subprocess.run(["git", "worktree", "add", "-q", "--detach", before, commit], check=True, cwd=ROOT)
        try:
            found: dict[Path, list[dict[str, float]]] = {before: [], ROOT: []}
            for pair in range(pairs):
                for tree in (before, ROOT) if pair % 2 else (ROOT, before):
                    found[tree].append(seconds_of(tree))
        finally:
            subprocess.run(["git", "worktree", "remove", "--force", before], check=True, cwd=ROOT)
    rows = {}
    for job in JOBS:
        name = job.__name__
        ratios = [now[name] / then[name] for now, then in zip(found[ROOT], found[before], strict=True)]
        rows[name] = {
            "job": job.__doc__,
            "cpu_seconds": statistics.median(row[name] for row in found[ROOT]),
            "cpu_seconds_before": statistics.median(row[name] for row in found[before]),
            "ratio": statistics.median(ratios),
            "interval": interval(ratios),
        }
    return rows


if __name__ == "__main__":
    if len(sys.argv) > 1:
        from systems.provenance import write_result

        pairs = int(sys.argv[2]) if len(sys.argv) > 2 else 9
        rows = compare(sys.argv[1], pairs)
        write_result(ROOT / "results/paved_road.json", {"before": sys.argv[1], "pairs": pairs, "seed": 0, "jobs": rows})
        print(json.dumps(rows, indent=2))
    else:
        import torch

        from hlieconv.models import HLieConv
        from systems import Gravity, Springs, simulate
        from systems.integrators import Leapfrog

        try:
            from hlieconv.training import fit  # of commits before hlieconv/dynamics
        except ImportError:
            from hlieconv.dynamics import fit
        measure()
