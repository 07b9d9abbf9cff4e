"""Files and folders that are whole or absent: every output of the project is written through here."""

import os
import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path


@contextmanager
def appearing(path: Path, folder: Path | None = None) -> Iterator[Path]:
    """A temporary path that becomes ``path`` when all that was written to it has reached the disk.

    A reader sees the old file (or folder) or the new one, never a part of it, even after a power cut. If the block
    raises, ``path`` stays as it was.

    Args:
        path: of the file or folder to be.
        folder: of the temporary one, on the same file system; by default that of ``path``.

    Example:
        >>> import tempfile
        >>> path = Path(tempfile.mkdtemp()) / "numbers.txt"
        >>> with appearing(path) as temporary:
        ...     size = temporary.write_text("1 2 3")
        >>> path.read_text()
        '1 2 3'
    """
    temporary = (folder or path.parent) / f".{path.name}.partial"
    remove(temporary)  # what a kill left
    try:
        yield temporary
        for written in sorted(temporary.rglob("*")) if temporary.is_dir() else [temporary]:
            _flush(written)
        if path.is_dir():
            remove(path)
        os.replace(temporary, path)
        _flush(path.parent)
    finally:
        remove(temporary)


def write_atomically(path: Path, content: bytes | str) -> None:
    """Write a small file: it is the old one or the new one, even after a power cut."""
    with appearing(path) as temporary:
        temporary.write_bytes(content.encode() if isinstance(content, str) else content)


def remove(path: Path) -> None:
    """Remove a file or a whole folder, if it is there."""
    shutil.rmtree(path) if path.is_dir() else path.unlink(missing_ok=True)


def _flush(path: Path) -> None:
    handle = os.open(path, os.O_RDONLY)
    try:
        os.fsync(handle)
    finally:
        os.close(handle)
