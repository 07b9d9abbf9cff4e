"""Where a result comes from: what every file in results/ says beside its numbers."""

import functools
import importlib.metadata
import json
import os
import platform
import shlex
import subprocess
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import torch

from systems.files import write_atomically

PACKAGES = ("hlieconv", "torch", "numpy", "xarray")


def provenance(command: str | None = None, packages: Sequence[str] = PACKAGES) -> dict[str, Any]:
    """The command, commit, hardware and versions of this process, JSON-serialisable.

    Args:
        command: that makes the result again, if it is not the one that started this process.
        packages: whose versions to record, where they are installed.

    Example:
        >>> sorted(provenance())
        ['command', 'commit', 'hardware', 'versions']
    """
    return {
        "command": command or _command(),
        "commit": _commit(),
        "hardware": _hardware(),
        "versions": {"python": platform.python_version()} | versions(packages),
    }


def versions(packages: Sequence[str] = PACKAGES) -> dict[str, str]:
    """The installed versions of some packages."""
    found = {package: _version(package) for package in packages}
    return {package: version for package, version in found.items() if version is not None}


@functools.cache
def _version(package: str) -> str | None:
    try:
        return importlib.metadata.version(package)
    except importlib.metadata.PackageNotFoundError:
        return None


def write_result(path: Path | str, result: dict[str, Any], *, command: str | None = None) -> None:
    """Write a result as JSON, after its provenance; the file is whole or as it was.

    Args:
        path: of the file, by custom results/NAME.json.
        result: JSON values, its seed among them.
        command: see `provenance`.
    """
    path = Path(path)
    path.parent.mkdir(parents=True, exist_ok=True)
    write_atomically(path, json.dumps(provenance(command) | result, indent=2, allow_nan=False) + "\n")


def _command() -> str:
    """That started this process: a program by its name, a module by -m, a script by its path."""
    path = Path(sys.argv[0])
    if path.stem == "__main__":
        start = ["python", "-m", path.parent.name]
    else:
        start = ["python", _short(str(path))] if path.suffix == ".py" else [path.name]
    return shlex.join([*start, *map(_short, sys.argv[1:])])


def _short(argument: str) -> str:
    """Paths of the working directory as seen from there: a result says nothing of the machine's folders."""
    path = Path(argument)
    if not path.is_absolute():
        return argument
    return str(path.relative_to(Path.cwd())) if path.is_relative_to(Path.cwd()) else path.name


def _commit() -> str:
    """The short commit of this code, "-dirty" where Python files differ from it; empty outside its own repository."""
    try:
        _git("ls-files", "--error-unmatch", "systems/provenance.py")
        changed = _git("diff", "HEAD", "--name-only", "--", "*.py")
        return _git("rev-parse", "--short", "HEAD") + ("-dirty" if changed else "")
    except (OSError, subprocess.SubprocessError):
        return ""


def _git(*arguments: str) -> str:
    command = ["git", "-C", str(Path(__file__).parent.parent), *arguments]
    return subprocess.run(command, capture_output=True, text=True, check=True, timeout=10).stdout.strip()


def _hardware() -> str:
    cores = f"{os.cpu_count()} cores of {_processor()}, {torch.get_num_threads()} threads used"
    if torch.cuda.is_available():
        return f"{cores}; {torch.cuda.get_device_name()}"
    return f"{cores}; no GPU"


def _processor() -> str:
    """The processor's name, where the system tells it."""
    try:
        lines = Path("/proc/cpuinfo").read_text().splitlines()
        return next(line.partition(":")[2].strip() for line in lines if line.startswith("model name"))
    except (OSError, StopIteration):
        return platform.processor() or platform.machine()
