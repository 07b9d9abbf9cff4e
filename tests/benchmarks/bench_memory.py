"""What a file larger than memory costs: the peak memory and the CPU time of each job, in a process of its own.

    python tests/benchmarks/bench_memory.py [trajectories] writes results/memory.json

20,000 trajectories of six springs at 250 times are a Zarr folder of 1 GB.
"""

import contextlib
import json
import subprocess
import sys
import tempfile
import time
from pathlib import Path

import torch

import hlieconv as hl
from systems.provenance import write_result


class Enough(Exception):
    """The first record of a training: all data have been read."""


def stop(record):
    raise Enough(record)


def nothing(path):
    """Open the file."""
    hl.open(path)


def summary(path):
    """The numbers of all trajectories, medians included."""
    hl.open(path).dynamics.summary()


def drift(path):
    """The drift of the momentum of each trajectory at each time."""
    hl.open(path).dynamics.drift("momentum")


def fit(path):
    """The default fit, until its first record."""
    dataset = hl.open(path)
    with contextlib.suppress(Enough):
        hl.fit(hl.HLieConv.of(dataset, group="SE2"), dataset, compile="off", progress=False, on_record=stop)


def rollout(path):
    """A model moves all first states to three times, into another file, without torch.compile, which takes 0.4 GB."""
    dataset = hl.open(path)
    few = torch.linspace(0, 0.02, 3, dtype=torch.float64)
    hl.rollout(hl.HLieConv.of(dataset, group="SE2"), dataset, few, path=f"{path}.moved.zarr", workers=1, compile="off")


JOBS = {job.__name__: job for job in (nothing, summary, drift, fit, rollout)}


def measured(name, path):
    torch.set_num_threads(1)
    torch.manual_seed(0)
    begun = time.process_time()
    JOBS[name](path)
    # Of this process alone: rusage counts what its parent held, too.
    [peak] = [line.split()[1] for line in Path("/proc/self/status").read_text().splitlines() if line[:6] == "VmHWM:"]
    return {"job": JOBS[name].__doc__, "peak_gb": int(peak) * 1024 / 1e9, "cpu_seconds": time.process_time() - begun}


def main(count):
    torch.set_num_threads(1)
    with tempfile.TemporaryDirectory() as folder:
        path = str(Path(folder) / "springs.zarr")
        times = torch.linspace(0, 5, 250, dtype=torch.float64)
        hl.simulate(*hl.Springs.sample(count, seed=0), times, path=path, seed=0, workers=1)
        size = sum(file.stat().st_size for file in Path(path).rglob("*") if file.is_file())
        jobs = {}
        for name in JOBS:
            done = subprocess.run([sys.executable, __file__, name, path], capture_output=True, text=True, check=True)
            jobs[name] = json.loads(done.stdout.splitlines()[-1])
            print(name, jobs[name], flush=True)
    write_result("results/memory.json", {"trajectories": count, "file_gb": size / 1e9, "seed": 0, "jobs": jobs})


if __name__ == "__main__":
    if sys.argv[1:2] and sys.argv[1] in JOBS:
        print(json.dumps(measured(*sys.argv[1:])))
    else:
        main(int(sys.argv[1]) if sys.argv[1:] else 20_000)
