"""How far long work is: a bar where somebody looks, a line now and then in a log."""

import importlib.util
import sys
import time
from typing import Any

from tqdm import tqdm

#: Seconds from one line of a log to the next.
LINE_SECONDS = 60.0

#: Seconds after which a log says how long the work will take, if more than a line's time is left.
FIRST_SECONDS = 10.0


def progress(total: int, *, unit: str, initial: int = 0, shown: bool = True) -> "tqdm[Any]":
    """A bar on a terminal and in a notebook that has ipywidgets; elsewhere a line a minute.

    So a log of long work (stderr) says how far it is and how much time is left, the first time after ten seconds where
    that is more than a minute; short jobs are quiet in a pipe.

    Args:
        total: how many units there are.
        unit: what is counted.
        initial: how many of them are done already.
        shown: False: nothing is shown anywhere.

    Example:
        >>> with progress(3, unit="step") as bar:
        ...     bar.update(2)
        >>> bar.n
        2
    """
    options: dict[str, Any] = {"total": total, "initial": initial, "unit": f" {unit}", "leave": False}
    if not shown:
        return tqdm(disable=True, **options)
    if _in_notebook():
        from tqdm.auto import tqdm as notebook_bar

        return notebook_bar(**options)
    if sys.stderr.isatty():
        return tqdm(**options)
    every = {"mininterval": LINE_SECONDS, "maxinterval": LINE_SECONDS, "delay": LINE_SECONDS}
    return _Log(file=_Lines(), ncols=0, **every, **options)


class _Log(tqdm):
    """The bar of a log, which tells early how long it will take."""

    told = False

    def update(self, n: float | int | None = 1) -> bool | None:
        shown = super().update(n)
        elapsed, done = time.time() - self.start_t, self.n - self.initial
        if not self.told and elapsed > FIRST_SECONDS and done:
            self.told = True
            if elapsed * (self.total - self.n) > LINE_SECONDS * done:
                self.fp.write(str(self))
        return shown


class _Lines:
    """What the bar writes over itself on a terminal is a line each in a log."""

    def write(self, text: str) -> None:
        if line := text.strip():
            sys.stderr.write(f"{line}\n")

    def flush(self) -> None:
        sys.stderr.flush()


def _in_notebook() -> bool:
    ipython = sys.modules.get("IPython")
    kernel = ipython is not None and type(ipython.get_ipython()).__name__ == "ZMQInteractiveShell"
    return kernel and importlib.util.find_spec("ipywidgets") is not None
