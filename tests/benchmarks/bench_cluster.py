"""What a simulation by two workers costs beside one process, whether kills leave a trace, and a million trajectories.

    python tests/benchmarks/bench_cluster.py [--trajectories N] [--kills N] [--million N] writes results/cluster.json

CPU seconds, so that whoever else uses the machine counts little; the first job of a worker, which imports torch, is not
measured.
"""

import argparse
import functools
import hashlib
import os
import random
import shutil
import signal
import tempfile
import threading
import time
from pathlib import Path

import torch
from distributed import Client, LocalCluster

from systems import Springs, simulate
from systems.provenance import write_result

TIMES = torch.linspace(0, 5, 500, dtype=torch.float64)


def digest(folder):
    """Of all files and their names."""
    found = hashlib.sha256()
    for file in sorted(folder.rglob("*")):
        if file.is_file():
            found.update(str(file.relative_to(folder)).encode() + file.read_bytes())
    return found.hexdigest()


def efficiency(client, count, folder):
    """CPU seconds of one process with two threads, and of two workers with the process that leads them."""
    rows = []
    for _ in range(3):
        given = Springs.sample(count, seed=0)
        begun = time.process_time()
        simulate(*given, TIMES, path=folder / "one.zarr", workers=2, seed=0, overwrite=True)
        one = time.process_time() - begun
        workers, begun = client.run(time.process_time), time.process_time()
        simulate(*given, TIMES, path=folder / "two.zarr", seed=0, overwrite=True, client=client)
        lead, after = time.process_time() - begun, client.run(time.process_time)
        spent = [after[name] - workers[name] for name in after]
        rows.append({"one_process": one, "lead": lead, "workers": spent, "ratio": one / (lead + sum(spent))})
        print(rows[-1], flush=True)
    return rows, digest(folder / "one.zarr") == digest(folder / "two.zarr")


def kills(cluster, client, count, deaths, folder):
    """Workers are killed at random moments until so many have died; the same call is made until it is done."""
    moments, died, over = random.Random(0), [], threading.Event()

    def killing():
        while len(died) < deaths and not over.is_set():
            time.sleep(moments.uniform(0, 2))
            alive = [nanny.process.pid for nanny in cluster.workers.values() if nanny.process and nanny.process.pid]
            if alive:
                os.kill(moments.choice(alive), signal.SIGKILL)
                died.append(alive)

    thread = threading.Thread(target=killing)
    thread.start()
    calls, same, given = 0, [], Springs.sample(count, seed=0)
    while len(died) < deaths:
        shutil.rmtree(folder / "killed.zarr", ignore_errors=True)
        while not (folder / "killed.zarr").exists():
            calls += 1
            try:
                simulate(*given, TIMES, path=folder / "killed.zarr", part_size=128, seed=0, client=client)
            except ValueError as error:
                print(error, flush=True)
        same.append(digest(folder / "killed.zarr"))
    over.set()
    thread.join()
    simulate(*given, TIMES, path=folder / "whole.zarr", part_size=128, seed=0)
    whole = digest(folder / "whole.zarr")
    return {"killed": len(died), "calls": calls, "stores": len(same), "same": all(x == whole for x in same)}


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


def main():
    parser = argparse.ArgumentParser()
    for name, value in {"trajectories": 8192, "kills": 20, "million": 1_000_000}.items():
        parser.add_argument(f"--{name}", type=int, default=value)
    chosen = parser.parse_args()
    torch.set_num_threads(1)
    local = {"n_workers": 2, "threads_per_worker": 1, "processes": True, "dashboard_address": None}
    result = {"trajectories": chosen.trajectories, "points": len(TIMES), "seed": 0}
    with tempfile.TemporaryDirectory() as name, LocalCluster(**local) as cluster, Client(cluster) as client:
        folder = Path(name)
        simulate(*Springs.sample(3000, seed=1), TIMES, path=folder / "warm.zarr", client=client)
        for job in ("million", "efficiency", "kills"):
            if job == "million":
                result["million"] = million(client, chosen.million, folder)
            elif job == "efficiency":
                result["efficiency"], result["same_bytes"] = efficiency(client, chosen.trajectories, folder)
            else:
                result["kills"] = kills(cluster, client, chosen.trajectories, chosen.kills, folder)
            print(job, result[job], flush=True)
            shutil.rmtree(folder / "million.zarr", ignore_errors=True)
            write_result("results/cluster.json", result)


if __name__ == "__main__":
    main()
