"""The parts of a simulation, computed by the workers of a dask cluster: short ones many at a time."""

import asyncio
import concurrent.futures
import importlib
import time
import warnings
from collections import deque
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from queue import Empty, SimpleQueue
from typing import TYPE_CHECKING, Any, NamedTuple

from torch import Tensor
from tqdm import tqdm

from systems.checks import check, check_type
from systems.dataset.parts import Parts
from systems.provenance import versions
from systems.threads import one_core_each

if TYPE_CHECKING:
    from systems.work import Work

#: Tasks that wait at the scheduler for each thread of a worker, so that none is idle.
WAITING = 2

#: Seconds that a task takes, of as many parts as are done in them: a scheduler's work is a few milliseconds for each.
TASK = 1.0

#: In which a scheduler has to answer.
SECONDS = 10.0

#: For so long a cluster may be without any worker, and so often workers are counted.
WITHOUT_WORKERS, LOOK = 60.0, 1.0


@contextmanager
def connected(address: str | None) -> Iterator[Any]:
    """A client of a scheduler; None of none.

    Raises:
        ValueError: if none answers there within `SECONDS`, or dask is not installed.
    """
    if address is None:
        yield None
        return
    client_of = _distributed().Client
    try:
        client = client_of(address, timeout=SECONDS)
    except (OSError, TimeoutError, ValueError) as error:
        raise ValueError(f"scheduler: none answers at {address}") from error
    with client:
        yield client


def by_dask(client: Any, work: "Work", parts: Parts, missing: Sequence[slice], progress: tqdm) -> None:
    """Have the parts computed and written that are missing. A worker that dies costs its task, which another one takes.

    Args:
        client: a ``distributed.Client``.
        work: of all trajectories.
        parts: that are begun, in a folder that all workers see.
        missing: ranges of trajectories.
        progress: of trajectories.

    Raises:
        ArgumentTypeError: if this is no client.
        ValueError: if the scheduler goes away, there is no worker for `WITHOUT_WORKERS` seconds, or several die of one
            task; whatever a worker raises.
    """
    distributed = _distributed()
    check_type("client", client, isinstance(client, distributed.Client), "a distributed.Client")
    with _in_one_line(client):
        left, here, running = deque(missing), versions(), set[Any]()
        done: SimpleQueue[Any] = SimpleQueue()

        def submit(most: int, threads: int) -> None:
            """A task for each thread that has too few, none of which takes more than its share of what is left."""
            tasks = WAITING * max(1, threads)
            while left and len(running) < tasks:
                rows = _neighbours(left, min(most, len(left) // tasks))
                share = work.share(slice(rows[0].start, rows[-1].stop))
                future = client.submit(_computed, share, parts, rows, here, pure=False)
                running.add(future)
                future.add_done_callback(done.put)

        try:
            seen, threads = time.monotonic(), _threads(client)
            submit(1, threads)
            while running:
                future, found = _next(client, done)
                running.remove(future)
                work.energy_changes += found.energy_changes
                progress.update(found.trajectories)
                if time.monotonic() - seen > LOOK:  # workers come and go
                    seen, threads = time.monotonic(), _threads(client)
                submit(int(TASK / found.seconds), threads)
        finally:
            for future in running:
                future.release()


def _neighbours(left: deque[slice], most: int) -> list[slice]:
    """The first of some ranges, and those that follow it directly, so many at most: they are not left.

    Example:
        >>> left = deque([slice(0, 2), slice(2, 4), slice(6, 8)])
        >>> _neighbours(left, 3), left
        ([slice(0, 2, None), slice(2, 4, None)], deque([slice(6, 8, None)]))
    """
    found = [left.popleft()]
    while left and len(found) < most and left[0].start == found[-1].stop:
        found.append(left.popleft())
    return found


def _next(client: Any, done: "SimpleQueue[Any]") -> tuple[Any, "_Done"]:
    """What is done next, and its result; `_NoWorkers` if nobody is left to do it."""
    seen, future, result, paused = time.monotonic(), None, None, False
    while True:
        try:
            future = future or done.get(timeout=LOOK)
            result = result or _result(client, future)
            return future, result.result(timeout=LOOK)
        except (Empty, TimeoutError):
            if result is not None and result.done():  # as a worker raised it
                raise
            if _threads(client):
                seen = time.monotonic()
                if not paused and (paused := _all_paused(client)):
                    words = "all workers are paused, as dask does when they run out of memory: waiting for one of them"
                    warnings.warn(f"client: {words}", UserWarning, stacklevel=6)
            elif time.monotonic() - seen >= WITHOUT_WORKERS:
                raise _NoWorkers from None


def _result(client: Any, future: Any) -> "concurrent.futures.Future[_Done]":
    """That which a client fetches, computed again where the worker that had it is lost.

    Whoever waits here may look elsewhere in between: `Future.result(timeout=)` would give up what the client has begun,
    and a client one of whose requests was given up may call all later ones cancelled.
    """
    return asyncio.run_coroutine_threadsafe(client.gather(future, asynchronous=True), client.loop.asyncio_loop)


def _threads(client: Any) -> int:
    """How many the workers have together; a CommClosedError if no scheduler says so."""
    from distributed.comm.core import CommClosedError

    try:
        return sum(client.nthreads().values())
    except (OSError, AttributeError, RuntimeError) as error:  # a client that is closed has none to ask
        raise CommClosedError from error


def _all_paused(client: Any) -> bool:
    """Whether the workers that there are take no work."""
    return {worker["status"] for worker in client.scheduler_info(n_workers=-1)["workers"].values()} == {"paused"}


class _NoWorkers(Exception):
    """Nobody is left who computes."""


def _distributed() -> Any:
    try:
        return importlib.import_module("distributed")
    except ImportError as error:
        raise ValueError("client: needs the package distributed: pip install 'hlieconv[dask]'") from error


class _Done(NamedTuple):
    """What a worker has written."""

    trajectories: int
    """How many."""
    energy_changes: list[Tensor]
    seconds: float
    """That a part took."""


def _computed(work: "Work", parts: Parts, ranges: list[slice], expected: dict[str, str]) -> _Done:
    """Some parts, of which the work is a share, by a worker."""
    check("client", versions(), versions() == expected, f"workers with the same versions as here, {expected}")
    begun = time.perf_counter()
    with one_core_each(1) as pool:
        for rows in ranges:
            own = slice(rows.start - ranges[0].start, rows.stop - ranges[0].start)
            parts.write(rows, work.dataset(own, pool, tqdm(disable=True)))
    return _Done(work.count, work.energy_changes, (time.perf_counter() - begun) / len(ranges))


@contextmanager
def _in_one_line(client: Any) -> Iterator[None]:
    """What goes wrong with a cluster is a ValueError."""
    from distributed import CancelledError, KilledWorker
    from distributed.comm.core import CommClosedError

    scheduler = f"the scheduler {getattr(client.scheduler, 'address', '')}".strip()
    kept = "what is done is kept, and the same call goes on with it"
    try:
        yield
    except _NoWorkers:
        words = f"has been without workers for {WITHOUT_WORKERS:g} s"
        raise ValueError(f"client: {scheduler} {words}; {kept}") from None
    except KilledWorker as error:
        raise ValueError(f"client: several workers of {scheduler} died of one task (out of memory?); {kept}") from error
    except (CancelledError, CommClosedError, TimeoutError) as error:
        raise ValueError(f"client: {scheduler} went away; {kept}") from error
