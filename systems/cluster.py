"""The parts of a simulation, computed by the workers of a dask cluster."""

import importlib
import time
import warnings
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from itertools import islice
from queue import Empty, SimpleQueue
from typing import TYPE_CHECKING, Any

from torch import Tensor
from tqdm import tqdm

from systems.checks import check, check_type
from systems.dataset.parts import Parts
from systems.provenance import versions
from systems.threads import one_core_each

if TYPE_CHECKING:
    from systems.work import Work

#: Parts that wait at the scheduler for each thread of a worker, so that none is idle.
WAITING = 2

#: In which a scheduler has to answer.
SECONDS = 10.0

#: For so long a cluster may be without any worker, and so often that is looked at while no part is done.
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
    """Have the parts computed and written that are missing. A worker that dies costs its part, which another one takes.

    Args:
        client: a ``distributed.Client``.
        work: of all trajectories.
        parts: that are begun, in a folder that all workers see.
        missing: ranges of trajectories.
        progress: of trajectories.

    Raises:
        ArgumentTypeError: if this is no client.
        ValueError: if the scheduler goes away, there is no worker for `WITHOUT_WORKERS` seconds, or several die of one
            part; whatever a worker raises.
    """
    distributed = _distributed()
    check_type("client", client, isinstance(client, distributed.Client), "a distributed.Client")
    with _in_one_line(client):
        left, here = iter(missing), versions()
        running: set[Any] = set()
        done: SimpleQueue[Any] = SimpleQueue()

        def submit(count: int) -> None:
            for rows in islice(left, count):
                future = client.submit(_computed, work.share(rows), parts, rows, here, pure=False)
                running.add(future)
                future.add_done_callback(done.put)

        try:
            submit(WAITING * max(1, _threads(client)))
            while running:
                future, (count, changes) = _next(client, done)
                running.remove(future)
                work.energy_changes += changes
                progress.update(count)
                submit(1)
        finally:
            for future in running:
                future.release()


def _next(client: Any, done: "SimpleQueue[Any]") -> tuple[Any, tuple[int, list[Tensor]]]:
    """What is done next, and its result; `_NoWorkers` if nobody is left to do it."""
    seen, future, paused = time.monotonic(), None, False
    while True:
        try:
            future = future or done.get(timeout=LOOK)
            return future, future.result(timeout=LOOK)  # computed again where the worker that had it is lost
        except (Empty, TimeoutError):
            if future is not None and future.status == "error":
                raise
            if _threads(client):
                seen = time.monotonic()
                if not paused and (paused := _all_paused(client)):
                    words = "all workers are paused, as dask does when they run out of memory: waiting for one of them"
                    warnings.warn(f"client: {words}", UserWarning, stacklevel=6)
            elif time.monotonic() - seen >= WITHOUT_WORKERS:
                raise _NoWorkers from None


def _threads(client: Any) -> int:
    """How many the workers have together; a CommClosedError if no scheduler says so."""
    from distributed.comm.core import CommClosedError

    try:
        return sum(client.nthreads().values())
    except (OSError, AttributeError) as error:  # a client that is closed has none to ask
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


def _computed(work: "Work", parts: Parts, rows: slice, expected: dict[str, str]) -> tuple[int, list[Tensor]]:
    """How many trajectories a worker has written, and how their energies changed."""
    check("client", versions(), versions() == expected, f"workers with the same versions as here, {expected}")
    with one_core_each(1) as pool:
        parts.write(rows, work.dataset(slice(0, work.count), pool, tqdm(disable=True)))
    return work.count, work.energy_changes


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
        raise ValueError(f"client: several workers of {scheduler} died of one part (out of memory?); {kept}") from error
    except (CancelledError, CommClosedError, TimeoutError) as error:
        raise ValueError(f"client: {scheduler} went away; {kept}") from error
