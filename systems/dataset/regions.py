"""Long work in regions of one Zarr store, which any number of processes write: a kill costs one region a process."""

import json
from collections.abc import Callable
from pathlib import Path

import xarray as xr

from systems.dataset.encoding import encoded
from systems.dataset.integrity import kept_structure, structure_of
from systems.dataset.parts import Parts
from systems.dataset.storage import fill, new_zarr, zarr_arrays
from systems.files import flush, leftover, named_errors, remove, replace, resolved, write_atomically


class Regions(Parts):
    """Regions of a Zarr store to be, each a range of trajectories: a chunk of every variable.

    The store grows in the folder beside it and gets its name once all regions are done; a file says of each that it is.

    Args:
        path, configuration, count, size, overwrite: as `Parts` has them.
    """

    @property
    def store(self) -> Path:
        """What grows."""
        return self.folder / self.path.name

    def write(self, rows: slice, dataset: xr.Dataset) -> None:
        """Keep the Dataset of one region.

        Raises:
            ValueError: if this process does not see the store, or its Dataset has another structure.
        """
        self.check_begun()
        with named_errors(self.path):
            arrays, stored = zarr_arrays(self.store), encoded(dataset)
            if structure_of(stored, dict(dataset.sizes) | {"trajectory": self.count}) != kept_structure(self.store):
                raise ValueError(f"path: {self.store} has another structure: do all processes have the same versions?")
            apart = {name: x for name, x in stored.variables.items() if "trajectory" in x.dims}
            fill(arrays, stored._replace(variables=apart), rows)
            for name in apart:
                for file in self._chunks(name, rows):
                    flush(file)
        write_atomically(self._file(rows), json.dumps({"trajectories": [rows.start, rows.stop]}))

    def needed(self, nbytes: int) -> int:
        """Bytes on the disk that are still needed, of a store of so many."""
        return nbytes * sum(rows.stop - rows.start for rows in self.missing()) // self.count

    def assemble(self) -> bool:
        """Give the store its name."""
        with named_errors(self.path):
            for file in [x for x in self.store.rglob("*") if leftover(x)]:  # what a killed process was writing
                remove(file)
            for folder in (self.store, *(x for x in self.store.rglob("*") if x.is_dir())):
                flush(folder)
            replace(self.store, resolved(self.path))
        self.remove()
        return True

    def _prepare(self, like: Callable[[], xr.Dataset]) -> None:
        some = like()
        stored, sizes = encoded(some), dict(some.sizes) | {"trajectory": self.count}
        remove(self.store)
        with new_zarr(self.store, stored, sizes, self.begun["size"]) as arrays:
            shared = {name: x for name, x in stored.variables.items() if "trajectory" not in x.dims}
            fill(arrays, stored._replace(variables=shared), slice(0, self.count))
        for file in self.store.rglob("*"):
            flush(file)

    def _file(self, rows: slice) -> Path:
        return self.folder / f"{rows.start:012d}.done"

    def _chunks(self, name: str, rows: slice) -> list[Path]:
        """The files and folders of a variable's chunks."""
        own = self.store / name / "c" / str(rows.start // self.begun["size"])
        return [*own.rglob("*"), own, own.parent]
