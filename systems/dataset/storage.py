"""Datasets in files: netCDF4 (``.nc``) or Zarr (``.zarr``), whole or absent, never half.

A name without a suffix gets ``.nc``, or ``.zarr`` where the data are large: Zarr is a folder of chunks, which are read
and copied one by one.

A file appears under its name by a rename, once all of it has reached the disk. Long work is kept in parts beside it
(``NAME.parts/``) and assembled at the end, so that a kill costs one part. The same data give the same bytes, whatever
the parts were.
"""

import importlib.util
import json
import math
import os
import shutil
from collections.abc import Hashable, Iterable, Iterator, Mapping
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import Any

import h5netcdf
import h5py
import numpy as np
import xarray as xr

from systems.dataset.schema import CORE, validate
from systems.files import appearing, write_atomically

SUFFIXES = (".nc", ".zarr")
CHUNK_BYTES = 2**24
"""Of a Zarr chunk, about."""
LARGE = 2**32
"""Bytes above which a name without a suffix means Zarr."""


def open(path: str | os.PathLike[str]) -> xr.Dataset:
    """A Dataset of the schema from a file; values are read when they are used.

    Raises:
        ValueError: if there is no such file, it is damaged, or its content does not follow the schema.

    Example:
        >>> import systems
        >>> systems.open("nothing.nc")
        Traceback (most recent call last):
            ...
        ValueError: path: there is no nothing.nc
    """
    path = checked(found(path))
    if not path.exists():
        raise ValueError(f"path: there is no {path}")
    try:
        return validate(_read(path))
    except ValueError as error:
        raise ValueError(f"path: {path} is not a Dataset of trajectories: {error}") from error
    except (OSError, RuntimeError, KeyError) as error:
        raise ValueError(
            f"path: {path} cannot be read, it may be truncated or no {path.suffix} file: {error}"
        ) from error


def save(dataset: xr.Dataset, path: str | os.PathLike[str], *, overwrite: bool = False) -> None:
    """Write a Dataset of the schema to a file, whole or not at all.

    Raises:
        ValueError: if the Dataset does not follow the schema, the file exists (without ``overwrite``), its folder does
            not, or the disk is too full.
    """
    path = checked(named(path, dataset.nbytes))
    validate(dataset)
    if path.exists() and not overwrite:
        raise ValueError(f"path: {path} exists and is not overwritten without overwrite")
    check_space(path, dataset.nbytes)
    _write(path, [dataset], dataset.sizes["trajectory"])


def check_space(path: Path, needed: int) -> None:
    """A ValueError unless that many bytes (and a little more) are free where the path will be."""
    free = shutil.disk_usage(path.parent).free
    needed += 2**20
    if free < needed:
        raise ValueError(f"path: {path} needs {needed / 1e9:.3g} GB, but only {free / 1e9:.3g} GB are free")


class Parts:
    """Parts of a file to be, each a range of trajectories, in a folder beside it.

    Args:
        path: of the file.
        configuration: of the work, as text: only the same work is resumed.
        count: of all trajectories.
        size: of trajectories in a part; parts that exist already keep theirs.

    Raises:
        ValueError: if the parts of another configuration are there, unless ``overwrite``.
    """

    def __init__(self, path: Path, configuration: str, count: int, size: int, overwrite: bool) -> None:
        self.path, self.count = path, count
        self.folder = path.with_name(path.name + ".parts")
        self.header = self.folder / "configuration.json"
        self.begun = {"configuration": configuration, "count": count, "size": size}
        if not self.header.exists():
            self.remove()  # what a kill left of removing it
        else:
            begun = json.loads(self.header.read_text())
            if begun["configuration"] == configuration:
                self.begun = begun
            elif overwrite:
                shutil.rmtree(self.folder)
            else:
                changed = _differences(begun["configuration"], configuration)
                raise ValueError(
                    f"path: {self.folder} holds the parts of other work ({changed}): remove it or overwrite"
                )

    def missing(self) -> list[slice]:
        """The ranges of trajectories that have no part yet."""
        return [rows for rows in self._ranges if not self._file(rows).exists()]

    def write(self, rows: slice, dataset: xr.Dataset) -> None:
        """Keep the Dataset of one range."""
        try:
            if not self.header.exists():
                self.folder.mkdir(exist_ok=True)
                write_atomically(self.header, json.dumps(self.begun))
            _write(self._file(rows), [dataset], rows.stop - rows.start)
        except OSError:
            if not self.nbytes:
                self.remove()
            raise

    @property
    def nbytes(self) -> int:
        """Of the parts that exist."""
        return sum(file.stat().st_size for file in map(self._file, self._ranges) if file.exists())

    def assemble(self) -> None:
        """Make the file of its parts, one at a time in memory, and remove them."""
        parts = (_read(self._file(rows)) for rows in self._ranges)
        _write(self.path, parts, self.count, self.folder)
        self.remove()

    def remove(self) -> None:
        """Remove the folder, if it is there."""
        shutil.rmtree(self.folder, ignore_errors=True)

    @property
    def _ranges(self) -> list[slice]:
        size = self.begun["size"]
        return [slice(first, min(first + size, self.count)) for first in range(0, self.count, size)]

    def _file(self, rows: slice) -> Path:
        return self.folder / f"{rows.start:012d}.nc"


def check_holds(path: Path, configuration: str) -> None:
    """A ValueError unless the file is the result of this configuration."""
    found = open(path).attrs.get("configuration", "{}")
    if found != configuration:
        raise ValueError(
            f"path: {path} exists and holds something else ({_differences(found, configuration)}): "
            "it is replaced only with overwrite"
        )


def _differences(old: str, new: str) -> str:
    """The names of the entries in which two configurations (JSON) differ."""
    a, b = json.loads(old), json.loads(new)
    return "different " + ", ".join(sorted(key for key in a.keys() | b.keys() if a.get(key) != b.get(key)))


def named(path: str | os.PathLike[str], nbytes: int) -> Path:
    """The path of a file to write; without a suffix, one by its size (``.nc`` too where Zarr is not installed).

    Example:
        >>> named("springs", 10**6), named("springs.nc", 10**12)
        (PosixPath('springs.nc'), PosixPath('springs.nc'))
    """
    path = Path(path)
    if path.suffix or not path.name:
        return path
    large = nbytes > LARGE and importlib.util.find_spec("zarr") is not None
    return path.with_name(path.name + (".zarr" if large else ".nc"))


def found(path: str | os.PathLike[str]) -> Path:
    """The path of a file to read; without a suffix, the one that exists.

    Raises:
        ValueError: if there are several.
    """
    path = Path(path)
    if path.suffix or not path.name:
        return path
    candidates = [path.with_name(path.name + suffix) for suffix in SUFFIXES]
    existing = [candidate for candidate in candidates if candidate.exists()]
    if len(existing) > 1:
        raise ValueError(f"path: expected one file, got {' and '.join(map(str, existing))}")
    return existing[0] if existing else candidates[0]


def checked(path: str | os.PathLike[str]) -> Path:
    """A path that can be written or read: its suffix is known, its folder exists."""
    path = Path(path)
    if path.suffix not in SUFFIXES:
        raise ValueError(f"path: expected a name that ends with {' or '.join(SUFFIXES)}, got {path}")
    if not path.parent.is_dir():
        raise ValueError(f"path: there is no folder {path.parent}")
    if path.suffix == ".zarr":
        _import_zarr()
    if path.exists() and path.is_dir() != (path.suffix == ".zarr" and (path / "zarr.json").exists()):
        raise ValueError(f"path: {path} exists and is no {path.suffix} file")
    return path


def _read(path: Path) -> xr.Dataset:
    if path.suffix == ".zarr":
        dataset = xr.open_zarr(path, chunks=None, consolidated=False, decode_times=False)
    else:
        dataset = xr.open_dataset(path, engine="h5netcdf", decode_times=False)
    for name, value in dataset.attrs.items():
        dataset.attrs[name] = value.item() if isinstance(value, np.generic) else value
    return dataset


def _write(path: Path, parts: Iterable[xr.Dataset], count: int, folder: Path | None = None) -> None:
    """The parts, in the order of their trajectories, as one file of ``count`` trajectories that grows in the folder."""
    with appearing(path, folder) as temporary, ExitStack() as files:
        stored: Mapping[str, Any] = {}
        first = 0
        for part in parts:
            with part:
                if first == 0:
                    create = _zarr if path.suffix == ".zarr" else _netcdf
                    stored = files.enter_context(create(temporary, part, dict(part.sizes) | {"trajectory": count}))
                rows = slice(first, first + part.sizes["trajectory"])
                for name, array in _ordered(part).items():
                    if first == 0 or "trajectory" in array.dims:
                        where = tuple(rows if dim == "trajectory" else slice(None) for dim in array.dims)
                        stored[str(name)][where] = array.values
                first = rows.stop


@contextmanager
def _netcdf(path: Path, like: xr.Dataset, sizes: dict[Hashable, int]) -> Iterator[Mapping[str, Any]]:
    """The empty variables of a new netCDF4 file, all of whose space is reserved: HDF5 crashes on a full disk."""
    _reserve(path, _size(like, sizes) + 2**16)
    early = h5py.h5p.create(h5py.h5p.DATASET_CREATE)
    early.set_alloc_time(h5py.h5d.ALLOC_TIME_EARLY)
    with h5py.File(path, "w", track_order=True) as hdf5, h5netcdf.File(hdf5, "w") as file:
        file.dimensions = sizes
        file.attrs.update(like.attrs)
        for name, array in _ordered(like).items():
            boolean = array.dtype == bool  # netCDF has none: this is how xarray writes and reads it
            # Contiguous and without fill values: the bytes do not depend on the parts, and nothing is written twice.
            kind = "i1" if boolean else array.dtype
            variable = file.create_variable(str(name), array.dims, kind, fill_time="never", dcpl=early.copy())
            variable.attrs.update(array.attrs | ({"dtype": "bool"} if boolean else {}))
        file.flush()
        _reserve(path, hdf5.id.get_filesize())
        yield file.variables


def _size(like: xr.Dataset, sizes: Mapping[Hashable, int]) -> int:
    """Bytes of the variables of a Dataset of these sizes."""
    return sum(x.dtype.itemsize * math.prod(sizes[dim] for dim in x.dims) for x in like.variables.values())


def _reserve(path: Path, size: int) -> None:
    """Make the file that large where the system can, or raise OSError."""
    if hasattr(os, "posix_fallocate"):
        with path.open("ab") as file:
            os.posix_fallocate(file.fileno(), 0, size)


@contextmanager
def _zarr(path: Path, like: xr.Dataset, sizes: dict[Hashable, int]) -> Iterator[Mapping[str, Any]]:
    """The empty variables of a new Zarr store; a chunk is some whole trajectories."""
    group = _import_zarr().create_group(path, attributes=like.attrs)
    arrays = {}
    for name, array in _ordered(like).items():
        one = array.dtype.itemsize * math.prod(sizes[dim] for dim in array.dims if dim != "trajectory")
        chunks = sizes | {"trajectory": max(1, min(CHUNK_BYTES // one, sizes["trajectory"]))}
        arrays[str(name)] = group.create_array(
            str(name),
            shape=tuple(sizes[dim] for dim in array.dims),
            chunks=tuple(chunks[dim] for dim in array.dims),
            dtype=array.dtype,
            dimension_names=[str(dim) for dim in array.dims],
            attributes={name: x.tolist() if isinstance(x, np.ndarray) else x for name, x in array.attrs.items()},
        )
    yield arrays


def _ordered(dataset: xr.Dataset) -> dict[Hashable, xr.Variable]:
    """In an order that does not depend on where the Dataset comes from."""
    others = sorted(str(name) for name in dataset.variables if name not in CORE)
    return {name: dataset.variables[name] for name in (*CORE, *others) if name in dataset.variables}


def _import_zarr() -> Any:
    try:
        return importlib.import_module("zarr")
    except ImportError as error:
        raise ValueError("path: .zarr needs the package zarr: pip install 'hlieconv[zarr]'") from error
