"""Calls of machine code, by as many threads as there is work for."""

from __future__ import annotations

import ctypes
from concurrent.futures import ThreadPoolExecutor
from itertools import pairwise

import torch
from torch import Tensor

#: Pairs of bodies that are worth a thread.
_SHARE = 1_000_000


def call(library: ctypes.CDLL, function: str, *arguments: int | Tensor | None) -> None:
    """One call of a function of C; other threads run while it does.

    Raises:
        MemoryError: if it says so, by any number but 0.
    """
    given = [ctypes.c_long(x) if isinstance(x, int) else _pointer(x) for x in arguments]
    if getattr(library, function)(*given):
        raise MemoryError(f"no memory for the machine code's {function}")


def shared(library: ctypes.CDLL, function: str, count: int, work: int, *arguments: int | Tensor | None) -> None:
    """A call for ``count`` trajectories, the function's first two arguments being the first of them and the end.

    Shared by as many threads as torch uses where there is work for them.

    Args:
        work: pairs of bodies that are looked at, in all.
    """
    threads = max(1, min(torch.get_num_threads(), count, work // _SHARE))
    edges = [count * k // threads for k in range(threads + 1)]
    if threads == 1:
        return call(library, function, 0, count, *arguments)
    with ThreadPoolExecutor(threads) as pool:
        list(pool.map(lambda part: call(library, function, *part, *arguments), pairwise(edges)))
    return None


def _pointer(x: Tensor | None) -> ctypes.c_void_p:
    return ctypes.c_void_p(None if x is None else x.data_ptr())
