"""Result files of trained runs."""

from pathlib import Path
from typing import Any

from hlieconv.training.run import read_config, read_metrics
from systems.provenance import write_result


def new_result(path: str | Path, overwrite: bool) -> Path:
    """The path of a result that may be written.

    Raises:
        ValueError: if there is a file already.
    """
    path = Path(path)
    if path.exists() and not overwrite:
        raise ValueError(f"path: {path} exists: choose another one or overwrite it")
    return path


def write_run_result(path: Path, run: str | Path, result: dict[str, Any]) -> None:
    """Write a result with the run's configuration and its learning curve."""
    config = read_config(run)
    about = {"seed": config["settings"]["seed"], "settings": config["settings"], "data": config["data"]}
    write_result(path, about | result | {"model": config["model"], "learning_curve": read_metrics(run)})
