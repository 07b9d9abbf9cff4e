"""A Zarr store on the disk that is read lazily while somebody may replace it. (Zarr itself has to be installed.)"""

import errno
import os
from pathlib import Path
from typing import Any

from zarr.core.buffer import default_buffer_prototype
from zarr.storage import LocalStore


class SteadyStore(LocalStore):
    """A folder of chunks, all of them of the store that was opened.

    Zarr reads chunks by their paths, one by one: of a store that another writer replaces meanwhile it would return a
    mixture, and zeros for a chunk that is missing. Chunks are read one after the other: Zarr's own store reads each in
    a thread, and every thread keeps the memory of its largest chunks.

    Args:
        root: the folder.
        read_only: whether it is only read; always so here.
        whole: whether a missing chunk is an error; a store by another writer may leave out chunks of zeros.
    """

    def __init__(self, root: Path | str, *, read_only: bool = True, whole: bool = False) -> None:
        super().__init__(root, read_only=read_only)
        self.whole, self._opened = whole, _identity(self.root)

    async def get(self, key: str, prototype: Any = None, byte_range: Any = None) -> Any:
        """What is under a key, unless that belongs to another store by now."""
        if byte_range is None and "/c/" in key:
            found = self._chunk(key, prototype or default_buffer_prototype())
        else:
            found = await super().get(key, prototype, byte_range)
        if _identity(self.root) != self._opened:
            raise OSError(errno.ESTALE, "it was replaced while it was read, open it again", str(self.root))
        if found is None and self.whole and "/c/" in key:
            raise OSError(errno.EIO, f"the chunk {key} is missing", str(self.root))
        return found

    def _chunk(self, key: str, prototype: Any) -> Any:
        """All of a file; None if there is none."""
        try:
            return prototype.buffer.from_bytes((self.root / key).read_bytes())
        except (FileNotFoundError, IsADirectoryError, NotADirectoryError):
            return None

    def with_read_only(self, read_only: bool = False) -> "SteadyStore":
        return type(self)(self.root, read_only=read_only, whole=self.whole)


def _identity(root: Path) -> tuple[int, int]:
    """Of a folder, whatever its name is."""
    try:
        found = os.stat(root)
    except FileNotFoundError:
        return 0, 0
    return found.st_ino, found.st_mtime_ns
