"""Ctrl-C, and the signals by which a system ends a process: work stops between two steps, with a checkpoint."""

import signal
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

#: SIGINT is Ctrl-C, SIGTERM what a batch system sends before it kills, SIGHUP a terminal that is closed.
SIGNALS = [getattr(signal, name) for name in ("SIGINT", "SIGTERM", "SIGHUP") if hasattr(signal, name)]


@contextmanager
def interruptible() -> Iterator[None]:
    """In this block every one of the signals raises KeyboardInterrupt, as Ctrl-C does."""
    with _handled(lambda number, frame: _interrupt()):
        yield


@contextmanager
def between_steps() -> Iterator[Callable[[], bool]]:
    """Put a signal off: ``asked()`` says whether one came. A second one interrupts at once.

    Example:
        >>> with between_steps() as asked:
        ...     asked()
        False
    """
    came: list[int] = []

    def handle(number: int, frame: Any) -> None:
        if came:
            _interrupt()
        came.append(number)

    with _handled(handle):
        yield lambda: bool(came)


@contextmanager
def _handled(handler: Callable[[int, Any], None]) -> Iterator[None]:
    """Signals reach the main thread only; one that the process ignores (nohup) stays ignored."""
    main = threading.current_thread() is threading.main_thread()
    before = {number: signal.getsignal(number) for number in SIGNALS} if main else {}
    before = {number: old for number, old in before.items() if old not in (signal.SIG_IGN, None)}
    for number in before:
        signal.signal(number, handler)
    try:
        yield
    finally:
        for number, old in before.items():
            signal.signal(number, old)


def _interrupt() -> None:
    raise KeyboardInterrupt
