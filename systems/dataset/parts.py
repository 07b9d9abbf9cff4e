"""Long work in parts, each a range of trajectories, in a folder beside the file to be: a kill costs one part."""

import hashlib
import json
import shutil
import warnings
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import xarray as xr

from systems.dataset.event_table import with_room
from systems.dataset.storage import differences, read, write
from systems.files import named_errors, remove, write_atomically


class Parts:
    """Parts of a file to be, each a range of trajectories, in a folder beside it (``NAME.parts/``).

    Only one writer at a time has them (see `systems.files.locked`).

    Args:
        path: of the file.
        configuration: of the work, as text: only the same work is resumed.
        count: of all trajectories.
        size: of trajectories in a part; parts that exist already keep theirs.

    Raises:
        ValueError: if the parts of another configuration are there, unless ``overwrite``.

    Warns:
        UserWarning: if there are parts that nobody can use: they are removed.
    """

    def __init__(self, path: Path, configuration: str, count: int, size: int, overwrite: bool) -> None:
        self.path, self.count = path, count
        self.folder = path.with_name(path.name + ".parts")
        self.header = self.folder / "configuration.json"
        self.begun: dict[str, Any] = {"configuration": configuration, "count": count, "size": size}
        begun = self._read_header()
        if begun is None:
            self.remove()  # what a kill left of removing it, or damage
        elif begun["configuration"] == configuration:
            self.begun = begun
        elif overwrite:
            self.remove()
        else:
            changed = differences(begun["configuration"], configuration)
            raise ValueError(f"path: {self.folder} holds the parts of other work ({changed}): remove it or overwrite")

    def missing(self) -> list[slice]:
        """The ranges of trajectories that have no part yet."""
        return [rows for rows in self._ranges if not self._file(rows).exists()]

    def begin(self, like: Callable[[], xr.Dataset]) -> None:
        """Make the folder, unless it is there.

        Args:
            like: ``like()``, the Dataset of any of the trajectories.
        """
        if self.header.exists():
            return
        try:
            with named_errors(self.path):
                self.folder.mkdir(exist_ok=True)
                self._prepare(like)
                write_atomically(self.header, json.dumps(self.begun | {"sha256": _sha256(self.begun)}))
        except BaseException:
            self.remove()
            raise

    def write(self, rows: slice, dataset: xr.Dataset) -> None:
        """Keep the Dataset of one range. Any process may do it that sees the folder, once it is begun.

        Raises:
            ValueError: if this process does not see it, or it is gone, as once the file is whole.
        """
        self.check_begun()
        write(self._file(rows), [dataset], rows.stop - rows.start)

    def check_begun(self) -> None:
        """A ValueError unless this process sees the folder: else it would wait for parts that are written elsewhere."""
        if not self.header.exists():
            raise ValueError(f"path: {self.folder} is not seen by all: expected a folder that all processes share")

    def needed(self, nbytes: int) -> int:
        """Bytes on the disk that are still needed, of a file of so many: the parts, then the file beside them."""
        return 2 * nbytes - sum(file.stat().st_size for file in map(self._file, self._ranges) if file.exists())

    def assemble(self) -> bool:
        """Make the file of its parts, one at a time in memory, and remove them.

        Returns:
            Whether that was possible. If not, a part was damaged: it is `missing` now.

        Warns:
            UserWarning: of a damaged part.
        """
        try:
            most = max(self._events(rows) for rows in self._ranges)
            parts = (with_room(self._read(rows), most) for rows in self._ranges)
            write(self.path, parts, self.count, self.folder)
        except _Damaged as error:
            remove(error.file)
            warnings.warn(f"path: {error}: it is computed again", UserWarning, stacklevel=2)
            return False
        self.remove()
        return True

    @contextmanager
    def kept(self) -> Iterator[None]:
        """What fails in this block before any part is there leaves no folder."""
        try:
            yield
        except BaseException:
            if self.missing() == self._ranges:
                self.remove()
            raise

    def remove(self) -> None:
        """Remove the folder, if it is there."""
        if self.folder.is_dir():
            shutil.rmtree(self.folder, ignore_errors=True)
        else:
            remove(self.folder)

    @property
    def _ranges(self) -> list[slice]:
        size = self.begun["size"]
        return [slice(first, min(first + size, self.count)) for first in range(0, self.count, size)]

    def _prepare(self, like: Callable[[], xr.Dataset]) -> None:
        """Make what the folder needs beside its header."""

    def _file(self, rows: slice) -> Path:
        """The file that is there once one range is done."""
        return self.folder / f"{rows.start:012d}.nc"

    def _read(self, rows: slice) -> xr.Dataset:
        """The Dataset of one range, in memory: all of its checksums hold."""
        file = self._file(rows)
        try:
            with read(file) as part:
                part.load()
        except (ValueError, OSError) as error:
            raise _Damaged(file, " ".join(str(error).split())) from error
        if part.sizes["trajectory"] != rows.stop - rows.start:
            raise _Damaged(file, f"expected {rows.stop - rows.start} trajectories, got {part.sizes['trajectory']}")
        return part

    def _events(self, rows: slice) -> int:
        """How many columns of events one range has."""
        try:
            with read(self._file(rows)) as part:
                return part.sizes.get("event", 0)
        except (ValueError, OSError) as error:
            raise _Damaged(self._file(rows), " ".join(str(error).split())) from error

    def _read_header(self) -> dict[str, Any] | None:
        """What was begun; None if nothing was, or nobody can tell what."""
        if not self.header.exists():
            return None
        try:
            begun = json.loads(self.header.read_text())
            if begun.pop("sha256") == _sha256(begun) and begun["count"] == self.count:
                return begun
        except (OSError, ValueError, KeyError, TypeError, AttributeError):
            pass
        warnings.warn(f"path: {self.header} is damaged: the parts are computed again", UserWarning, stacklevel=4)
        return None


class _Damaged(Exception):
    """A part that cannot be used."""

    def __init__(self, file: Path, reason: str) -> None:
        super().__init__(f"the part {file} is damaged ({reason})")
        self.file = file


def _sha256(begun: dict[str, Any]) -> str:
    return hashlib.sha256(json.dumps(begun, sort_keys=True).encode()).hexdigest()
