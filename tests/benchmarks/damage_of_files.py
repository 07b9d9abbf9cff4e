"""Counts what becomes of flipped bits and of mutations in every kind of file: noticed, mended, harmless, or read.

    python tests/benchmarks/damage_of_files.py --count 1000 --seed 1 [--first 300 --minutes 5] [--kinds run law] [-o F]

A draw is a process of its own, forked from one that has imported everything, with limits on its time and memory: a hang
or a crash is a failure like any other. What fails is printed with the seed's number of the draw; the exit code is 1
then. results/damage.json is written by `-o results/damage.json`.
"""

import argparse
import collections
import contextlib
import importlib
import os
import pickle
import resource
import shutil
import signal
import sys
import tempfile
import time
import warnings
from itertools import islice
from pathlib import Path

sys.path.append(str(Path(__file__).parents[1] / "systems"))

from damage import (
    arrays,
    draws,
    flip,
    judged,
    molecules_and_images,
    mutate,
    restored,
    run,
    trajectories,
    unfinished,
    without_waiting_for_the_disk,
    written,
)

import systems.work
from systems.provenance import write_result

DAMAGES = {"flip": flip, "mutate": mutate}
CPU_SECONDS, SECONDS, BYTES = 60, 120, 2**33


def made(whole, kept):
    """Every kind, made by a process of its own: the one that forks others must not have begun any thread."""
    if (child := os.fork()) == 0:
        kinds = {}
        for room in (trajectories, unfinished, arrays, molecules_and_images):
            kinds |= room(whole)
        kept.write_bytes(pickle.dumps(kinds))
        os._exit(0)
    _, status = os.waitpid(child, 0)
    assert status == 0
    return pickle.loads(kept.read_bytes())


def observed(kind, folder):
    """Exit code and what was printed, by a process of its own, which leaves the names of all that it imported."""
    streams = [folder / "out", folder / "err"]
    if (child := os.fork()) == 0:
        try:
            os.chdir(folder / "work")
            for number, stream in enumerate(streams, 1):
                os.dup2(os.open(stream, os.O_CREAT | os.O_TRUNC | os.O_WRONLY), number)
            signal.alarm(SECONDS)
            resource.setrlimit(resource.RLIMIT_CPU, (CPU_SECONDS, CPU_SECONDS))
            resource.setrlimit(resource.RLIMIT_AS, (BYTES, BYTES))
            with without_waiting_for_the_disk(), warnings.catch_warnings():
                warnings.simplefilter("ignore", FutureWarning)
                code = run(kind)
        except BaseException:
            import traceback

            traceback.print_exc()
            code = 70
        sys.stdout.flush()
        sys.stderr.flush()
        (folder / "imported").write_text("\n".join(sys.modules))
        os._exit(code)
    _, status = os.waitpid(child, 0)
    return os.waitstatus_to_exitcode(status), *(stream.read_text(errors="replace") for stream in streams)


def main():
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--count", type=int, default=1000)
    parser.add_argument("--first", type=int, default=0, help="draws before this one are not tried")
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--kinds", nargs="+")
    parser.add_argument("--damages", nargs="+", choices=DAMAGES, default=[*DAMAGES])
    parser.add_argument("--minutes", type=float, default=60.0, help="the rest is left out, and its first draw is said")
    parser.add_argument("-o", dest="result", type=Path, help="file of the result")
    arguments = parser.parse_args()
    root = Path.cwd()
    systems.work.BLOCK_TRAJECTORIES = 1
    folder = Path(tempfile.mkdtemp())
    whole, work = folder / "whole", folder / "work"
    whole.mkdir()
    os.chdir(whole)
    kinds = made(whole, folder / "kinds")
    kinds = {name: kind for name, kind in kinds.items() if not arguments.kinds or name in arguments.kinds}
    shutil.copytree(whole, work)
    os.chdir(work)
    right = {}
    for name, kind in kinds.items():
        restored(whole, work, name, kind)
        code, out, err = observed(kind, folder)
        assert code == 0, f"{name}: {code} {out}{err}"
        right[name] = written(kind) or out
        restored(whole, work, name, kind)
        for module in (folder / "imported").read_text().split():  # once, and in none of the draws
            with contextlib.suppress(Exception):
                importlib.import_module(module)
    result = {"seed": arguments.seed}
    until = time.monotonic() + 60 * arguments.minutes
    for damage in (DAMAGES[name] for name in arguments.damages):
        counts, failures = collections.defaultdict(collections.Counter), []
        for number, (draw, name) in enumerate(islice(draws(arguments.seed, [*kinds]), arguments.count)):
            if time.monotonic() > until:
                print(f"{damage.__name__}: the time is over before draw {number}", flush=True)
                break
            what = damage(work, name, draw)
            if number >= arguments.first:
                found = judged(kinds[name], *observed(kinds[name], folder), written(kinds[name]), right[name])
                if found.startswith("failed") or found == "unnoticed":
                    failures.append(f"{number}: {what}: {found}")
                    print(f"{damage.__name__} {failures[-1]}", flush=True)
                counts[name][found.partition(" ")[0]] += 1
            restored(whole, work, name, kinds[name])
        rows = {name: dict(sorted(count.items())) for name, count in sorted(counts.items())}
        rows["all"] = dict(sorted(sum(counts.values(), collections.Counter()).items()))
        for name, row in rows.items():
            print(f"{damage.__name__:7} {name:16} {row}", flush=True)
        result[damage.__name__] = {"draws": sum(rows["all"].values()), "kinds": rows, "failures": failures}
    os.chdir(root)
    if arguments.result:
        write_result(arguments.result, result | {"cpu_seconds": round(cpu_seconds())})
    shutil.rmtree(folder)
    return 1 if any(result[name]["failures"] for name in arguments.damages) else 0


def cpu_seconds():
    """Of this process and of all that it started."""
    used = [resource.getrusage(who) for who in (resource.RUSAGE_SELF, resource.RUSAGE_CHILDREN)]
    return sum(one.ru_utime + one.ru_stime for one in used)


if __name__ == "__main__":
    sys.exit(main())
