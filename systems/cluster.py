"""The parts of a simulation, computed by the workers of a dask cluster."""

import importlib
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from itertools import islice
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


@contextmanager
def connected(address: str) -> Iterator[Any]:
    """A client of a scheduler.

    Raises:
        ValueError: if none answers there within `SECONDS`, or dask is not installed.
    """
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
        ValueError: if the scheduler goes away, or a part takes several workers down with it; whatever a worker raises.
    """
    distributed = _distributed()
    check_type("client", client, isinstance(client, distributed.Client), "a distributed.Client")
    with _in_one_line(client):
        left, here = iter(missing), versions()

        def submitted(count: int) -> list[Any]:
            return [
                client.submit(_computed, work.share(rows), parts, rows, here, pure=False)
                for rows in islice(left, count)
            ]

        running = distributed.as_completed(submitted(WAITING * max(1, sum(client.nthreads().values()))))
        try:
            for future in running:
                count, changes = future.result()
                work.energy_changes += changes
                progress.update(count)
                running.update(submitted(1))
        except BaseException:
            client.cancel(list(running.futures))
            raise


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

    address = getattr(client.scheduler, "address", "")
    kept = "what is done is kept, and the same call goes on with it"
    try:
        yield
    except KilledWorker as error:
        raise ValueError(f"client: several workers of {address} died of one part (out of memory?); {kept}") from error
    except (CancelledError, CommClosedError, TimeoutError) as error:
        raise ValueError(f"client: the scheduler {address} went away; {kept}") from error
