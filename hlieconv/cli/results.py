"""Trained runs on the command line, and their result files."""

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import fields
from pathlib import Path
from typing import Any

from hlieconv.cli.options import flag_of
from hlieconv.training.run import read_config, read_metrics
from systems.files import locked
from systems.provenance import write_result


@contextmanager
def new_result(path: str | Path, overwrite: bool) -> Iterator[Path]:
    """The path of a result that may be written; in the block nobody else writes it.

    Raises:
        ValueError: if there is a file already, or somebody else is writing it.
    """
    path = Path(path)
    path.parent.mkdir(parents=True, exist_ok=True)
    with locked(path):
        if path.exists() and not overwrite:
            raise ValueError(f"path: {path} exists: choose another one or overwrite it")
        yield path


def write_run_result(path: Path, run: str | Path, result: dict[str, Any], *, fit: str, defaults: Any) -> None:
    """Write a result with the run's configuration, the command that trained it, and its learning curve.

    Args:
        path: of the result.
        run: folder of the run.
        result: JSON values.
        fit: the command that trains, with its options besides the settings.
        defaults: the dataclass of the settings; what differs from its defaults is part of the command.
    """
    config = read_config(run)
    changed = [
        f"{flag_of(option.name)} {config['settings'][option.name]}"
        for option in fields(defaults)
        if config["settings"].get(option.name, option.default) != option.default  # earlier versions knew fewer
    ]
    about = {
        "trained_by": " ".join(["hlieconv", fit, *changed]),
        "seed": config["settings"]["seed"],
        "settings": config["settings"],
        "data": config["data"],
        "trained_with": config["versions"],
    }
    write_result(path, about | result | {"model": config["model"], "learning_curve": read_metrics(run)})
