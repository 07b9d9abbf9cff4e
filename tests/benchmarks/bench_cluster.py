"""What a simulation by two workers costs beside one process, whether kills leave a trace, and a million trajectories.

    python tests/benchmarks/bench_cluster.py [JOB ...] writes results/cluster.json

Jobs are those in `JOBS`. Those that are not named stay as they are in the file, where each has the commit that measured
it.

CPU seconds, so that whoever else uses the machine counts little; the first job of a worker, which imports torch, is not
measured.
"""

import argparse
import functools
import hashlib
import json
import os
import random
import shutil
import signal
import tempfile
import threading
import time
from pathlib import Path

import dask
import torch
from distributed import Client, LocalCluster

from hlieconv.dynamics import rollout
from hlieconv.models import HLieConv
from systems import Gravity, Springs, simulate
from systems.provenance import provenance, write_result

#: For glibc: memory that is free is kept for the next arrays.
MALLOC = {"MALLOC_TRIM_THRESHOLD_": 2**30, "MALLOC_MMAP_THRESHOLD_": 2**25}
#: Of dask's own bookkeeping, which costs a tenth of a core in three processes, whatever they do.
QUIET = {"distributed.worker.profile.enabled": False, "distributed.admin.tick.interval": "500ms"}

TIMES = torch.linspace(0, 5, 500, dtype=torch.float64)


def digest(folder):
    """Of all files and their names."""
    found = hashlib.sha256()
    for file in sorted(folder.rglob("*")):
        if file.is_file():
            found.update(str(file.relative_to(folder)).encode() + file.read_bytes())
    return found.hexdigest()


def efficiency(client, work, folder, runs=3):
    """CPU seconds of one process with two threads, and of two workers with the process that leads them."""
    rows, options = [], {"seed": 0, "overwrite": True}
    for _ in range(runs):
        begun = time.process_time()
        simulate(*work, path=folder / "one.zarr", workers=2, **options)
        one = time.process_time() - begun
        workers, begun = client.run(time.process_time), time.process_time()
        simulate(*work, path=folder / "two.zarr", client=client, **options)
        lead, after = time.process_time() - begun, client.run(time.process_time)
        spent = [after[name] - workers[name] for name in after]
        rows.append({"one_process": one, "lead": lead, "workers": spent, "ratio": one / (lead + sum(spent))})
        print(rows[-1], flush=True)
    same = digest(folder / "one.zarr") == digest(folder / "two.zarr")
    return {"trajectories": len(work[1].q), "points": len(work[2]), "same_bytes": same, "runs": rows}


def springs(client, folder):
    """Closed form: most of the work is to write."""
    return efficiency(client, (*Springs.sample(8192, seed=0), TIMES), folder)


def gravity(client, folder, count=8192, runs=3):
    """Steps of machine code."""
    times = torch.linspace(0, 100, 100, dtype=torch.float64)
    return efficiency(client, (*Gravity.sample(count, seed=0), times, "adaptive_gauss"), folder, runs)


def simulated(path, **options):
    """What is killed: 64 parts."""
    simulate(*Springs.sample(8192, seed=0), TIMES, path=path, part_size=128, seed=0, **options)


def rolled_out(path, **options):
    """The same by a network, 18 parts."""
    data = simulate(*Springs.sample(4096, seed=0), TIMES[:20])
    torch.manual_seed(0)
    rollout(HLieConv.of(data, width=8, blocks=1), data, dtype=torch.float64, compile="off", path=path, **options)


def kills(cluster, client, call, deaths, folder):
    """Workers are killed at random moments until so many have died; the same call is made until it is done."""
    moments, died, over, whole = random.Random(0), [], threading.Event(), threading.Event()

    def killing():
        while len(died) < deaths and not over.is_set():
            time.sleep(moments.uniform(0, 2))
            whole.wait()
            known = client.scheduler_info(n_workers=-1)["workers"]  # one that only starts would take its nanny with it
            alive = [x.process.pid for x in cluster.workers.values() if x.worker_address in known and x.process]
            if alive:
                os.kill(moments.choice(alive), signal.SIGKILL)
                died.append(alive)

    thread = threading.Thread(target=killing, daemon=True)
    thread.start()
    whole.set()
    calls, same = 0, []
    while len(died) < deaths:
        shutil.rmtree(folder / "killed.zarr", ignore_errors=True)
        while not (folder / "killed.zarr").exists():
            calls += 1
            try:
                call(folder / "killed.zarr", client=client)
            except ValueError as error:  # all workers are lost with their nannies, or three to one part
                print(error, flush=True)
                whole.clear()
                cluster.scale(0)
                cluster.scale(2)
                client.wait_for_workers(2, timeout=600)
                whole.set()
        same.append(digest(folder / "killed.zarr"))
    over.set()
    thread.join()
    call(folder / "whole.zarr", overwrite=True)
    expected = digest(folder / "whole.zarr")
    return {"killed": len(died), "calls": calls, "stores": len(same), "same": all(x == expected for x in same)}


def million(client, count, folder):
    """Systems that are drawn where they are computed, at ten times."""
    workers, begun, started = client.run(time.process_time), time.process_time(), time.monotonic()
    draw = functools.partial(Springs.sample, seed=0)
    times = torch.linspace(0, 5, 10, dtype=torch.float64)
    dataset = simulate(draw, range(count), times, path=folder / "million.zarr", seed=0, client=client)
    lead, wall, after = time.process_time() - begun, time.monotonic() - started, client.run(time.process_time)
    system, state = draw(range(count - 1, count))
    last = simulate(system, state, times)
    size = sum(file.stat().st_size for file in (folder / "million.zarr").rglob("*") if file.is_file())
    return {
        "trajectories": count,
        "gb": size / 1e9,
        "lead": lead,
        "workers": [after[name] - workers[name] for name in after],
        "wall_seconds": wall,
        "last_is_right": bool((last.q[0] == dataset.q[-1]).all()),
    }


#: By their names, of the cluster, its client, a folder and the arguments.
JOBS = {
    "million": lambda _, client, folder, chosen: million(client, chosen.million, folder),
    "springs": lambda _, client, folder, chosen: springs(client, folder),
    "gravity": lambda _, client, folder, chosen: gravity(client, folder),
    "gravity_long": lambda _, client, folder, chosen: gravity(client, folder, 81_920, runs=1),
    "kills": lambda cluster, client, folder, chosen: kills(cluster, client, simulated, chosen.kills, folder),
    "kills_rollout": lambda cluster, client, folder, chosen: kills(cluster, client, rolled_out, chosen.kills, folder),
}


def main():
    parser = argparse.ArgumentParser()
    parser.add_argument("jobs", nargs="*", default=list(JOBS))
    parser.add_argument("--kills", type=int, default=20)
    parser.add_argument("--million", type=int, default=1_000_000)
    chosen, path = parser.parse_args(), Path("results/cluster.json")
    torch.set_num_threads(1)
    # Where dask's nanny sets a limit, all large arrays come from the system anew, page by page.
    of_workers = {f"DASK_{name.upper().replace('.', '__')}": str(value) for name, value in QUIET.items()}
    environ = {f"distributed.nanny.pre-spawn-environ.{name}": x for name, x in (MALLOC | of_workers).items()}
    dask.config.set(QUIET | environ)
    local = {"n_workers": 2, "threads_per_worker": 1, "processes": True, "dashboard_address": ":0"}
    result = json.loads(path.read_text()) if path.exists() else {}
    result = {name: result[name] for name in JOBS if name in result}
    with tempfile.TemporaryDirectory() as name, LocalCluster(**local) as cluster, Client(cluster) as client:
        folder = Path(name)
        simulate(*Springs.sample(3000, seed=1), TIMES, path=folder / "warm.zarr", client=client)
        for job in chosen.jobs:
            result[job] = JOBS[job](cluster, client, folder, chosen) | {"commit": provenance()["commit"]}
            print(job, result[job], flush=True)
            shutil.rmtree(folder / "million.zarr", ignore_errors=True)
            write_result(path, {"seed": 0, **result})


if __name__ == "__main__":
    main()
