"""Files and folders that are whole or absent, each with one writer at a time: every output goes through here."""

import ctypes
import errno
import glob
import os
import re
import shutil
import socket
import stat
import threading
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from contextvars import ContextVar
from datetime import datetime
from pathlib import Path
from typing import Any

from filelock import FileLock, Timeout

_WAITS = ContextVar("waits", default=False)


@contextmanager
def waiting(wait: bool = True) -> Iterator[None]:
    """Whether `locked` waits, in this block and thread, until another writer has finished.

    Example:
        >>> import systems, tempfile
        >>> path = Path(tempfile.mkdtemp()) / "springs.nc"
        >>> with waiting(), locked(path):
        ...     pass  # nobody else writes it
    """
    token = _WAITS.set(wait)
    try:
        yield
    finally:
        _WAITS.reset(token)


def waits() -> bool:
    """Whether `locked` waits here, as `waiting` says."""
    return _WAITS.get()


@contextmanager
def locked(path: Path, *, wait: bool | None = None) -> Iterator[None]:
    """The only writer of a file or folder, among all threads and processes, also of other machines that see it.

    The system frees the lock when the process ends, however it ends. Readers need none (see `appearing`).

    Args:
        path: of the file or folder; its own folder exists.
        wait: until another writer has finished; by default as `waiting` says, else not.

    Raises:
        ValueError: if somebody else writes it: who, and since when.
        OSError: if nothing can be written there.
    """
    file = resolved(path).absolute()
    file = file.with_name(f".{file.name}.lock")
    lock = FileLock(file)
    with named_errors(path):
        file.touch()  # filelock waits where there can be no file, as if somebody had it
    try:
        # Without an end, but for a number: filelock takes a thread that waits for another one for a deadlock.
        lock.acquire(timeout=10**9 if (waits() if wait is None else wait) else 0.1)
    except Timeout:
        with suppress(OSError):
            raise ValueError(f"path: {path} is being written by {file.read_text() or 'another process'}") from None
        raise ValueError(f"path: {path} is being written by another process") from None
    except OSError:
        with named_errors(path):
            raise
    try:
        since = datetime.now().astimezone().isoformat(" ", "seconds")
        with suppress(OSError):  # a full disk has no room for a name, but for a lock
            file.write_text(f"process {os.getpid()} on {socket.gethostname()} since {since}")
        yield
    finally:
        with suppress(OSError):
            file.unlink()  # whoever has opened it already sees that it is gone, and opens the next one
        lock.release()


@contextmanager
def appearing(path: Path, folder: Path | None = None) -> Iterator[Path]:
    """A temporary path that becomes ``path`` when all that was written to it has reached the disk.

    A reader sees the old file (or folder) or the new one, never a part of it, even after a power cut. If the block
    raises, ``path`` stays as it was. A symbolic link stays one: what it points to is written. The temporary path has
    the suffix of ``path``, and is no other writer's.

    Args:
        path: of the file or folder to be.
        folder: of the temporary one, on the same file system; by default that of ``path``.

    Raises:
        ValueError: if ``path`` is a device, a pipe or a socket.
        OSError: that names ``path``, if it cannot be written.

    Example:
        >>> import tempfile
        >>> path = Path(tempfile.mkdtemp()) / "numbers.txt"
        >>> with appearing(path) as temporary:
        ...     size = temporary.write_text("1 2 3")
        >>> path.read_text()
        '1 2 3'
    """
    check_regular(path)
    linked, path = path.is_symlink(), resolved(path)
    folder = path.parent if linked or folder is None else folder  # what a link points to may be on another disk
    _remove_stale(path, folder)
    owner = f"{socket.gethostname()}-{os.getpid()}-{threading.get_ident()}"
    temporary = folder / f".{path.stem}.{owner}.partial{path.suffix}"
    with named_errors(path):
        try:
            yield temporary
            for written in sorted(temporary.rglob("*")) if temporary.is_dir() else [temporary]:
                flush(written)
            replace(temporary, path)
        finally:
            remove(temporary)


def write_atomically(path: Path, content: bytes | str) -> None:
    """Write a small file: it is the old one or the new one, even after a power cut."""
    with appearing(path) as temporary:
        temporary.write_bytes(content.encode() if isinstance(content, str) else content)


@contextmanager
def named_errors(path: Path) -> Iterator[None]:
    """Errors of the system in this block name the path that was asked for."""
    try:
        yield
    except OSError as error:
        if error.errno is None:  # HDF5 gives a text only
            raise OSError(errno.EIO, str(error), str(path)) from error
        raise OSError(error.errno, error.strerror, str(path)) from error


def check_regular(path: Path) -> None:
    """A ValueError if something is there that is neither a file nor a folder: reading a pipe would wait for ever."""
    with suppress(OSError):
        mode = path.stat().st_mode
        if not (stat.S_ISREG(mode) or stat.S_ISDIR(mode)):
            raise ValueError(f"path: {path} is a device, a pipe or a socket: expected a file")


def resolved(path: Path) -> Path:
    """What a symbolic link points to, which may be nothing yet; any other path as it is.

    Example:
        >>> resolved(Path("springs.nc"))
        PosixPath('springs.nc')
    """
    return Path(os.path.realpath(path)) if path.is_symlink() else path


def at_home(path: Any) -> Any:
    """A path, or a list of them, with the user's folder in place of a ~ at its beginning; all else as it is.

    The door asks for it of every path that a public function takes, and the command line of every argument.

    Example:
        >>> at_home("~/springs.nc") == str(Path.home() / "springs.nc"), at_home("a~b.nc")
        (True, 'a~b.nc')
    """
    if type(path) in (list, tuple):
        return type(path)(map(at_home, path))
    if not isinstance(path, str | Path) or not str(path).startswith("~"):
        return path
    return type(path)(os.path.expanduser(path))


def leftover(path: Path) -> bool:
    """Whether this is the lock or the temporary file of a writer, who may have been killed.

    Example:
        >>> leftover(Path(".config.here-12-34.partial.json")), leftover(Path("config.json"))
        (True, False)
    """
    return bool(re.fullmatch(r"\..*\.lock|.*\.partial(\.\w+)?", path.name))


def remove(path: Path) -> None:
    """Remove a file or a whole folder, if it is there."""
    shutil.rmtree(path) if path.is_dir() and not path.is_symlink() else path.unlink(missing_ok=True)


def _remove_stale(path: Path, folder: Path) -> None:
    """Temporary files of writers on this machine that are no more."""
    owner = rf"\.{re.escape(path.stem)}\.{re.escape(socket.gethostname())}-(\d+)-\d+\.partial{re.escape(path.suffix)}"
    for other in folder.glob(f".{glob.escape(path.stem)}.*partial*"):
        match = re.fullmatch(owner, other.name)
        if match is not None and not _alive(int(match[1])):
            with suppress(OSError):  # somebody else may do the same
                remove(other)


def _alive(process: int) -> bool:
    try:
        if os.name == "posix":  # elsewhere the signal 0 ends a process
            os.kill(process, 0)
    except ProcessLookupError:
        return False
    except PermissionError:  # somebody else's
        return True
    return True


def replace(new: Path, path: Path) -> None:
    """Rename what is on the disk already; of two folders, exchange them at once where the system can."""
    if not path.is_dir():
        os.replace(new, path)
    elif not _exchange(new, path):
        old = new.with_name(f"{new.name}.partial")
        os.replace(path, old)
        os.replace(new, path)
        remove(old)
    flush(path.parent)


def _exchange(a: Path, b: Path) -> bool:
    """Linux: renameat2 with RENAME_EXCHANGE (2), relative to the working directory (-100)."""
    rename = getattr(ctypes.CDLL(None), "renameat2", None) if os.name == "posix" else None
    return rename is not None and rename(-100, os.fsencode(a), -100, os.fsencode(b), 2) == 0


def flush(path: Path) -> None:
    """Wait until a file or folder has reached the disk."""
    handle = os.open(path, os.O_RDONLY)
    try:
        os.fsync(handle)
    finally:
        os.close(handle)
