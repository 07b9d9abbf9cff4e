"""From C to a loaded library, once: found again by what it was made of."""

from __future__ import annotations

import atexit
import ctypes
import hashlib
import os
import platform
import shlex
import shutil
import subprocess
import sys
import tempfile
import threading
from collections.abc import Iterator
from contextlib import suppress
from functools import cache
from pathlib import Path

from systems.native.reason import NotNative

#: Vectors as wide as the processor has them: an option of compilers for this processor alone, for others an error.
_WIDE = ("-mprefer-vector-width=512",) if platform.machine() in ("x86_64", "AMD64") else ()
#: No fast mathematics: every operation rounds as it does in torch, one by one, whatever the processor. That errno and
#: traps are not looked at changes no result.
FLAGS = (
    "-O3",
    "-march=native",
    *_WIDE,
    "-fopenmp-simd",
    "-ffp-contract=off",
    "-fno-math-errno",
    "-fno-trapping-math",
    "-std=gnu11",
    "-w",
    "-shared",
    "-fPIC",
)
#: Seconds after which a compiler is given up.
PATIENCE = 120.0


_loaded: dict[str, ctypes.CDLL] = {}
_one_at_a_time = threading.Lock()


def library(source: str) -> ctypes.CDLL:
    """The library of a C source, compiled if it is not in the cache.

    The cache is ``hlieconv/native`` in the user's cache folder (``XDG_CACHE_HOME``, else ``~/.cache``); where that
    cannot be written to, a folder that lives as long as this process. A library's name is the hash of its source, the
    compiler's version and flags, and the processor: it is never written over, and two processes that build it at once
    do not see each other.

    Raises:
        NotNative: if there is no C compiler (the variable CC, else cc, gcc or clang), or it fails.

    """
    with _one_at_a_time:
        name = _name(source)
        if name not in _loaded:
            path = _cached(name, source)
            try:
                _loaded[name] = ctypes.CDLL(str(path))
            except OSError:  # not whole, after a power cut: once more
                path.unlink()
                _loaded[name] = _opened(_cached(name, source))
        return _loaded[name]


def _opened(path: Path) -> ctypes.CDLL:
    try:
        return ctypes.CDLL(str(path))
    except OSError as error:
        raise NotNative(f"the library that {compiler()[0]} made cannot be loaded: {error}") from error


def compiler() -> tuple[str, ...]:
    """The command of the C compiler: the variable CC if it is set, else cc, gcc or clang.

    Raises:
        NotNative: if there is none.
    """
    chosen = os.environ.get("CC")
    candidates = [tuple(shlex.split(chosen))] if chosen else [("cc",), ("gcc",), ("clang",)]
    for command in candidates:
        if command and shutil.which(command[0]):
            return command
    raise NotNative(f"no C compiler found ({' or '.join(shlex.join(command) for command in candidates)})")


def _name(source: str) -> str:
    made_of = "\0".join([source, _version(compiler()), *FLAGS, _processor()])
    return hashlib.sha256(made_of.encode()).hexdigest()[:32]


@cache
def _version(command: tuple[str, ...]) -> str:
    try:
        found = subprocess.run([*command, "--version"], capture_output=True, text=True, timeout=PATIENCE, check=True)
    except (OSError, subprocess.SubprocessError) as error:
        raise NotNative(f"the C compiler {shlex.join(command)} does not start: {error}") from error
    return shlex.join(command) + found.stdout


@cache
def _processor() -> str:
    """What -march=native sees: instructions that another processor may lack."""
    described = [platform.machine(), platform.processor(), sys.platform]
    with suppress(OSError):
        lines = Path("/proc/cpuinfo").read_text().splitlines()
        described += sorted(
            {line for line in lines if line.startswith(("model name", "flags", "Features", "CPU part"))}
        )
    return "\n".join(described)


def _cached(name: str, source: str) -> Path:
    for folder in _folders():
        path = folder / f"{name}.so"
        if path.is_file():
            return path
        try:
            folder.mkdir(parents=True, exist_ok=True, mode=0o700)
            workshop = tempfile.TemporaryDirectory(dir=folder, prefix=".building-")
        except OSError:
            continue  # read-only, full, or not a folder: the next one
        with workshop:
            return _compiled(source, Path(workshop.name), path)
    raise NotNative("no folder in which a library could be built")


def _folders() -> Iterator[Path]:
    home = os.environ.get("XDG_CACHE_HOME")
    with suppress(RuntimeError):  # there may be no home
        yield Path(home or "~/.cache").expanduser() / "hlieconv" / "native"
    yield _temporary()


@cache
def _temporary() -> Path:
    folder = tempfile.mkdtemp(prefix="hlieconv-native-")
    atexit.register(shutil.rmtree, folder, ignore_errors=True)
    return Path(folder)


def _compiled(source: str, workshop: Path, path: Path) -> Path:
    """Built beside its place and moved there: whole or absent, and what another process has loaded stays as it is."""
    text, built = workshop / "source.c", workshop / "library.so"
    text.write_text(source)
    command = [*compiler(), *FLAGS, str(text), "-o", str(built), "-lm"]
    try:
        done = subprocess.run(command, capture_output=True, text=True, timeout=PATIENCE)
    except (OSError, subprocess.SubprocessError) as error:
        raise NotNative(f"the C compiler {shlex.join(compiler())} does not run: {error}") from error
    if done.returncode or not built.is_file():
        line = next((line for line in done.stderr.splitlines() if "error" in line), done.stderr.strip()[:200])
        raise NotNative(f"the C compiler {shlex.join(compiler())} fails: {line}")
    os.replace(built, path)
    return path
