"""What a file larger than memory costs: the peak memory and the CPU time of each job, in a process of its own.

    python tests/benchmarks/bench_memory.py [trajectories [times]] writes results/memory.json

79,872 trajectories of six springs at 250 times are a Zarr folder of 4 GB. The jobs of a larger one follow, of so many
times its size, whose chunks are those of the first one again by hard links: it takes no disk.
"""

import contextlib
import json
import os
import subprocess
import sys
import tempfile
import time
from pathlib import Path

import torch
import xarray as xr

import hlieconv as hl
from systems.dataset.encoding import Encoded
from systems.dataset.integrity import keep_structure, structure_of
from systems.provenance import write_result


class Enough(Exception):
    """The first record of a training: all data have been read."""


def stop(record):
    raise Enough(record)


def nothing(path):
    """Open the file."""
    hl.open(path)


def summary(path):
    """The numbers of all trajectories, medians included, as `hlieconv diagnose` prints them."""
    hl.open(path).dynamics.summary()


def drift(path):
    """The drift of the momentum of each trajectory at each time."""
    hl.open(path).dynamics.drift("momentum")


def fit(path, **options):
    """The default fit, until its first record."""
    dataset = hl.open(path)
    with contextlib.suppress(Enough):
        hl.fit(hl.HLieConv.of(dataset, group="SE2"), dataset, progress=False, on_record=stop, **options)


def compiled_fit(path):
    """The same with forces through torch.compile."""
    fit(path, compile="on")


def rollout(path, **options):
    """A model moves all first states to three times, into another file."""
    dataset = hl.open(path)
    few = torch.linspace(0, 0.02, 3, dtype=torch.float64)
    hl.rollout(hl.HLieConv.of(dataset, group="SE2", **options), dataset, few, path=f"{path}.moved.zarr")


def small_rollout(path):
    """The same by a small network."""
    rollout(path, width=8, blocks=1)


ONCE, MANY = (nothing, summary, drift, fit, compiled_fit, rollout), (fit, small_rollout, summary)
JOBS = {job.__name__: job for job in (*ONCE, *MANY)}


def repeated(path, larger, times):
    """A store whose chunks are those of another one, so many times."""
    for file in sorted(path.rglob("*")):
        inside = file.relative_to(path)
        if not file.is_file() or inside.name == "structure.sha256":
            continue
        described = json.loads((path / inside.parts[0] / "zarr.json").read_text()) if len(inside.parts) > 1 else {}
        long = described.get("dimension_names", [None])[:1] == ["trajectory"]
        if long and inside.name != "zarr.json":
            count = described["shape"][0] // described["chunk_grid"]["configuration"]["chunk_shape"][0]
            name, c, first, *rest = inside.parts
            places = [Path(name, c, str(int(first) + k * count), *rest) for k in range(times)]
        else:
            places = [inside]
        for place in places:
            (larger / place).parent.mkdir(parents=True, exist_ok=True)
            os.link(file, larger / place)
        if long and inside.name == "zarr.json":
            described["shape"][0] *= times
            (larger / inside).unlink()
            (larger / inside).write_text(json.dumps(described))
    raw = xr.open_zarr(larger, decode_cf=False, create_default_indexes=False, consolidated=False, chunks=None)
    variables = {str(name): variable for name, variable in raw.variables.items()}
    keep_structure(larger, structure_of(Encoded(variables, dict(raw.attrs)), raw.sizes))


def measured(name, path):
    torch.set_num_threads(1)
    torch.manual_seed(0)
    begun = time.process_time()
    JOBS[name](path)
    # Of this process alone: rusage counts what its parent held, too.
    [peak] = [line.split()[1] for line in Path("/proc/self/status").read_text().splitlines() if line[:6] == "VmHWM:"]
    return {"job": JOBS[name].__doc__, "peak_gb": int(peak) * 1024 / 1e9, "cpu_seconds": time.process_time() - begun}


def alone(job, path):
    """In a process that finds nothing compiled."""
    with tempfile.TemporaryDirectory() as cache:
        command = [sys.executable, __file__, job.__name__, str(path)]
        environment = os.environ | {"TORCHINDUCTOR_CACHE_DIR": cache, "OMP_NUM_THREADS": "1"}
        done = subprocess.run(command, env=environment, capture_output=True, text=True, check=True)
    return json.loads(done.stdout.splitlines()[-1])


def main(count=79_872, times=10):
    with tempfile.TemporaryDirectory() as folder:
        path, larger = Path(folder) / "springs.zarr", Path(folder) / "larger.zarr"
        moments = torch.linspace(0, 5, 250, dtype=torch.float64)
        hl.simulate(*hl.Springs.sample(count, seed=0), moments, path=path, seed=0)
        size = sum(file.stat().st_size for file in path.rglob("*") if file.is_file())
        result = {"seed": 0, "files": []}
        for file, jobs, number in ((path, ONCE, 1), (larger, MANY, times)):
            if number > 1:
                repeated(path, larger, number)
            found = {}
            result["files"].append({"trajectories": number * count, "file_gb": number * size / 1e9, "jobs": found})
            for job in jobs:
                found[job.__name__] = alone(job, file)
                print(job.__name__, found[job.__name__], flush=True)
                write_result("results/memory.json", result)


if __name__ == "__main__":
    if sys.argv[1:2] and sys.argv[1] in JOBS:
        print(json.dumps(measured(*sys.argv[1:])))
    else:
        main(*map(int, sys.argv[1:]))
