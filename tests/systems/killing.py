"""Kills simulations at random moments, resumes them, and compares the files with that of an undisturbed run.

A script of its own: children are forked from a process that has imported everything and has no other threads.
"""

import hashlib
import os
import random
import signal
import sys
import time
from pathlib import Path

import torch

import systems.work
from systems import Springs, simulate

systems.work.BLOCK_TRAJECTORIES = 8
torch.set_num_threads(1)
os.fsync = lambda handle: None  # a killed process loses nothing that it wrote; only a power cut does


def work(path):
    system, state = Springs.sample(32, seed=0, bodies=3)
    simulate(system, state, torch.linspace(0, 1, 50, dtype=torch.float64), path=path, workers=1).close()
    return hashlib.sha256(path.read_bytes()).hexdigest()


def child(path):
    """A process that does the work."""
    number = os.fork()
    if number == 0:
        try:
            work(path)
        except BaseException as error:
            print(error, file=sys.stderr)
            os._exit(1)
        os._exit(0)
    return number


def main(folder, kills):
    expected = work(folder / "whole.nc")
    start = time.monotonic()
    os.waitpid(child(folder / "timed.nc"), 0)
    duration = time.monotonic() - start
    path, parts = folder / "killed.nc", folder / "killed.nc.parts"
    moments, done, resumed = random.Random(0), 0, 0
    while done < kills:
        number = child(path)
        time.sleep(moments.uniform(0, duration))
        os.kill(number, signal.SIGKILL)
        _, status = os.waitpid(number, 0)
        assert os.WIFSIGNALED(status) or os.waitstatus_to_exitcode(status) == 0, "a run failed by itself"
        done += os.WIFSIGNALED(status)
        resumed += parts.exists() and not path.exists()
        if path.exists():
            assert hashlib.sha256(path.read_bytes()).hexdigest() == expected, "a half file looks whole"
            assert work(path) == expected, "what was done is done again"
            assert not parts.exists()
            path.unlink()
    assert work(path) == expected, "the resumed file differs"
    assert sorted(file.name for file in folder.iterdir()) == ["killed.nc", "timed.nc", "whole.nc"]
    print(done, resumed)


if __name__ == "__main__":
    main(Path(sys.argv[1]), int(sys.argv[2]))
