"""Trials whose rows are written after each, so that a benchmark that was ended goes on where it was."""

import json
from collections.abc import Callable, Iterable
from pathlib import Path
from typing import Any

from systems.provenance import provenance, write_result

Rows = list[dict[str, Any]]


def go_on(
    path: Path,
    kind: str,
    trials: Iterable[tuple[str, int]],
    trial: Callable[[str, int], dict[str, Any]],
    result: Callable[[Rows], dict[str, Any]],
) -> Rows:
    """The rows of a result with those of the trials that are not in it yet; each names the commit that made it.

    Args:
        path: of the result.
        kind: the key of a row that tells its kind, as "law".
        trials: kinds and seeds.
        trial: a row, of a kind and a seed.
        result: what the file says beside its rows, of all of them.
    """
    rows = json.loads(path.read_text())["rows"] if path.exists() else []
    for name, seed in trials:
        if not any((row[kind], row["seed"]) == (name, seed) for row in rows):
            rows.append({kind: name, "seed": seed} | trial(name, seed) | {"commit": provenance()["commit"]})
            print(json.dumps(rows[-1]), flush=True)
            write_result(path, {"seed": 0, "threads": 1} | result(rows) | {"rows": rows})
    return rows
