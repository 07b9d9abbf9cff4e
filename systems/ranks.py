"""Processes that do one work together: those of torchrun, or of another launcher that sets RANK and WORLD_SIZE.

They meet in torch.distributed. What one of them alone decides or writes, the first one does.
"""

import json
import os
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from contextvars import ContextVar
from dataclasses import dataclass
from typing import Any, TypeVar

import torch
import torch.distributed as distributed
from torch import Tensor

from systems.checks import check

Value = TypeVar("Value")

_ALONE = ContextVar("alone", default=False)


@contextmanager
def alone() -> Iterator[None]:
    """In this block the process works by itself, whatever launched it.

    Example:
        >>> with alone():
        ...     ranks().size
        1
    """
    token = _ALONE.set(True)
    try:
        yield
    finally:
        _ALONE.reset(token)


@dataclass(frozen=True)
class Ranks:
    """This process among those that work together."""

    rank: int = 0
    """Its number."""
    size: int = 1
    """How many there are."""

    @property
    def is_first(self) -> bool:
        """Whether it is the one that writes."""
        return self.rank == 0

    def gathered(self, value: Value) -> list[Value]:
        """What each of them says, in the order of their numbers; a ValueError if one has ended."""
        if self.size == 1:
            return [value]
        found: list[Any] = [None] * self.size
        with in_one_line():
            distributed.all_gather_object(found, value)
        return found

    def from_first(self, value: Value) -> Value:
        """What the first one says; a ValueError if one has ended."""
        if self.size == 1:
            return value
        found = [value]
        with in_one_line():
            distributed.broadcast_object_list(found)
        return found[0]

    def merge(self, part: Tensor) -> None:
        """Put together, in place, tensors in float64 of which each number is 0 on all of them but one: bit by bit."""
        if self.size > 1:
            with in_one_line():
                distributed.all_reduce(part.view(torch.int64))

    @contextmanager
    def together(self) -> Iterator[None]:
        """An error of one is an error of all, at the end of this block: none waits for one that has given up.

        Raises:
            ValueError: that says which of them had which error.
        """
        failure = None
        try:
            yield
        except Exception as error:  # out of memory, say: the others must not wait for ever
            failure = error
        words = self.gathered(None if failure is None else str(failure) or type(failure).__name__)
        if failure is not None:
            raise failure
        for rank, text in enumerate(words):
            if text is not None:
                raise ValueError(f"{text} (on rank {rank})")

    def agree(self, settings: Mapping[str, Any]) -> None:
        """A ValueError, on all of them, if they were not asked for the same.

        Args:
            settings: JSON values by name.
        """
        first, *others = map(json.loads, self.gathered(json.dumps(dict(settings), default=str)))
        for rank, other in enumerate(others, 1):
            different = [name for name, value in first.items() if value != other.get(name)]
            if different:
                raise ValueError(
                    f"ranks: expected the same work on all of them, got another {', '.join(different)} on rank {rank} "
                    "than on rank 0"
                )


@contextmanager
def in_one_line() -> Iterator[None]:
    """What processes do together in this block is done, or a ValueError says that one of them is not there any more."""
    try:
        yield
    except RuntimeError as error:
        raise ValueError("ranks: another process has ended; the same call goes on with what it has kept") from error


def ranks() -> Ranks:
    """This process among those that its launcher started; the only one without a launcher, or inside of `alone`.

    Raises:
        ValueError: if they do not find each other.

    Example:
        >>> ranks()
        Ranks(rank=0, size=1)
    """
    if _ALONE.get() or not distributed.is_available():
        return Ranks()
    if not distributed.is_initialized():
        size = os.environ.get("WORLD_SIZE", "1")
        if size == "1":
            return Ranks()
        _meet(size)
    return Ranks(distributed.get_rank(), distributed.get_world_size())


def _meet(size: str) -> None:
    """Make the group of all processes."""
    rank = os.environ.get("RANK", "")
    check("WORLD_SIZE", size, size.isdigit() and int(size) >= 1, "a number of processes")
    check("RANK", rank, rank.isdigit() and int(rank) < int(size), f"a number below WORLD_SIZE, {size}")
    missing = [name for name in ("MASTER_ADDR", "MASTER_PORT") if name not in os.environ]
    words = "the variables MASTER_ADDR and MASTER_PORT beside it, as torchrun sets them"
    check("WORLD_SIZE", f"{size} without {' and '.join(missing)}", not missing, words)
    if torch.cuda.is_available():
        torch.cuda.set_device(int(os.environ.get("LOCAL_RANK", 0)) % torch.cuda.device_count())
    try:
        distributed.init_process_group()
    except (RuntimeError, ValueError) as error:
        address = f"{os.environ['MASTER_ADDR']}:{os.environ['MASTER_PORT']}"
        reason = str(error).splitlines()[0]
        raise ValueError(f"WORLD_SIZE: {size} processes do not find each other at {address}: {reason}") from error
