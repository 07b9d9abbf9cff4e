"""What commands print: one line of a file, of a training, of a warning; tables."""

import sys
import warnings
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from typing import Any


def summary_of(dataset: Any) -> str:
    """One line that says what trajectories a Dataset holds."""
    from systems.dataset.reading import times_of
    from systems.units import OWN, time_unit

    times = times_of(dataset)
    first, last = (f"{float(x):g}" for x in (times[0].min(), times[times == times].max()))
    if times[-1].ravel()[0] < times[0].ravel()[0]:
        first, last = f"{float(times[0].max()):g}", f"{float(times[times == times].min()):g}"
    clock = time_unit(dataset.attrs.get("unit_system", ""))
    unit = "" if clock == OWN else f" {clock}"
    return (
        f"{_number(dataset, 'trajectory', 'trajectories')} of {dataset.attrs.get('system', 'an unknown system')}, "
        f"{_number(dataset, 'body', 'bodies')} in {_number(dataset, 'space', 'dimensions', 'dimension')}, "
        f"{_number(dataset, 'time', 'points', 'point')} from {first} to {last}{unit}, "
        f"by {dataset.attrs.get('integrator', 'measurement')}"
    )


def _number(dataset: Any, dim: str, plural: str, singular: str = "") -> str:
    size = dataset.sizes[dim]
    return f"{size} {(singular or dim) if size == 1 else plural}"


def last_record(path: str, history: list[dict[str, Any]]) -> str:
    """One line that says how a training ended."""
    last = history[-1] if history else {"step": 0}
    return f"{path}: {', '.join(f'{name} {value:.6g}' for name, value in last.items())}"


def aligned(rows: Sequence[Sequence[str]]) -> Iterator[str]:
    """The lines of a table whose columns are as wide as their widest cell.

    Example:
        >>> print(*aligned([["model", "error"], ["SE2", "3e-11"]]), sep="\\n")
        model  error
        SE2    3e-11
    """
    widths = [max(map(len, column)) for column in zip(*rows, strict=True)]
    for row in rows:
        yield "  ".join(cell.ljust(width) for cell, width in zip(row, widths, strict=True)).rstrip()


@contextmanager
def one_line_warnings() -> Iterator[None]:
    """Print the warnings of a block after it, each as one line on stderr."""
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always", RuntimeWarning)
        warnings.simplefilter("always", UserWarning)
        yield
    for warning in caught:
        print("hlieconv: " + " ".join(str(warning.message).split()), file=sys.stderr)
