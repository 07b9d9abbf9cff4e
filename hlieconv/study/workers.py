"""Any number of processes work through one list of trials: on one machine, under torchrun, under any scheduler."""

import os
import shutil
import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from multiprocessing import get_context
from pathlib import Path

import torch

from hlieconv.study.catalogue import Effort, Trial
from hlieconv.study.trials import result_file, run_trial
from hlieconv.training.interruption import interruptible
from systems.files import locked, waits
from systems.ranks import alone


def work(
    trials: list[Trial],
    size: Effort,
    path: Path,
    *,
    workers: int = 1,
    minutes: float | None = None,
    device: str = "auto",
    report: Callable[[str], None] = print,
) -> tuple[int, int]:
    """Run the trials that have no result yet and that no other process is at.

    A process claims a trial by a lock that the system frees when the process ends, however it ends: the next one goes
    on from its last checkpoint. Where a writer waits for others (see `systems.files.waiting`), trials that others are
    at are waited for at the end. Under torchrun (RANK and WORLD_SIZE are set) each rank begins with its own share. A
    trial that fails is reported, and the others go on.

    Args:
        trials: in order.
        size: how much to measure of each.
        path: the folder of the results.
        workers: processes.
        minutes: begin no trial after so many of them.
        device: where to train; each process on a GPU of its own, as far as there are any.
        report: receives a line for each trial.

    Returns:
        How many of the trials still have no result, and how many failed.
    """
    path.mkdir(parents=True, exist_ok=True)
    rank, world = int(os.environ.get("RANK", 0)), int(os.environ.get("WORLD_SIZE", 1))
    order = sorted(range(len(trials)), key=lambda index: (index - rank) % world)
    own = [trials[index] for index in order]
    until = None if minutes is None else time.monotonic() + 60 * minutes
    if workers > 1:
        context = get_context("spawn")
        failures = context.Queue()
        processes = [
            context.Process(target=_work, args=(own, size, path, until, device, report, failures.put, worker))
            for worker in range(workers)
        ]
        for process in processes:
            process.start()
        try:
            for process in processes:
                process.join()
        except KeyboardInterrupt:
            for process in processes:
                process.terminate()  # which ends with a checkpoint
            for process in processes:
                process.join()
            raise
        names = {failures.get() for _ in range(failures.qsize())}  # one may fail in several processes
        failed = len(names) + sum(process.exitcode != 0 for process in processes)
    else:
        names = set()
        _work(own, size, path, until, device, report, names.add)
        failed = len(names)
    for trial in trials:
        if waits() and trial.name not in names:
            with locked(result_file(path, trial)):
                pass
    return sum(not result_file(path, trial).exists() for trial in trials), failed


def _work(
    trials: list[Trial],
    size: Effort,
    path: Path,
    until: float | None,
    device: str,
    report: Callable[[str], None],
    fail: Callable[[str], None],
    worker: int = 0,
) -> None:
    torch.set_num_threads(1)
    if torch.cuda.is_available():
        torch.cuda.set_device((int(os.environ.get("LOCAL_RANK", 0)) + worker) % torch.cuda.device_count())
    for trial in trials:
        if until is not None and time.monotonic() > until:
            return
        with _claimed(path, trial) as mine:
            if not mine:
                continue
            try:
                with interruptible(), alone():
                    result = run_trial(trial, size, path, device)
            except Exception as error:  # whatever it is, the other trials can still be run
                fail(trial.name)
                report(f"{trial.name} failed: {type(error).__name__}: {error}")
                continue
            shutil.rmtree(path / ".runs" / trial.name)
            mean, cpu = result["test"][0]["mean"], result["cost"]["cpu_seconds"]
            report(f"{trial.name}: test error {mean or float('nan'):.2e}, {cpu or float('nan'):.0f} CPU s")


@contextmanager
def _claimed(path: Path, trial: Trial) -> Iterator[bool]:
    """Whether the trial has no result and no other process is at it; nobody else gets it until the end."""
    file = result_file(path, trial)
    with ExitStack() as stack:
        try:
            stack.enter_context(locked(file, wait=False))
        except ValueError:
            yield False
            return
        done = file.exists()
        if done:  # another process has just finished, or was killed before it tidied up
            shutil.rmtree(path / ".runs" / trial.name, ignore_errors=True)
        yield not done
