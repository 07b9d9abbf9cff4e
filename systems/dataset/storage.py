"""Datasets in files: netCDF4 (``.nc``) or Zarr (``.zarr``), whole or absent, never half.

A name without a suffix gets ``.nc``, or ``.zarr`` where the data are large: Zarr is a folder of chunks, which are read
and copied one by one.

A file appears under its name by a rename, once all of it has reached the disk, and has one writer at a time. Long work
is kept in parts beside it (`systems.dataset.parts`). The same data give the same bytes, whatever the parts were. Every
value is kept by a checksum (`systems.dataset.integrity`).
"""

import hashlib
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

from systems.dataset.blocks import blocks_of
from systems.dataset.encoding import Encoded, decoded, encoded
from systems.dataset.integrity import (
    check_chunks,
    check_declared,
    check_structure,
    checksum_of_chunks,
    keep_structure,
    kept_structure,
    size_of,
    structure_of,
)
from systems.dataset.labels import warn_of_half
from systems.dataset.schema import CORE, validate
from systems.dataset.standard import standardised
from systems.dataset.unpacking import check_chunks_of_hdf5, check_chunks_of_zarr
from systems.files import appearing, check_regular, locked

SUFFIXES = (".nc", ".zarr")
CHUNK_BYTES, NETCDF_CHUNK_BYTES = 2**24, 2**20
"""Of a chunk of Zarr, which is a file, and of netCDF, which fits HDF5's cache; about."""
SAMPLED = 64
"""Trajectories of a file that are compared beside its checksums."""
LARGE = 2**32
"""Bytes above which a name without a suffix means Zarr."""


def open(path: str | os.PathLike[str]) -> xr.Dataset:
    """A Dataset of the schema from a file; values are read when they are used, unless their units are to be converted.

    xarray chooses how to read it: netCDF-3 or 4 or Zarr 2 or 3 of any writer, and of a URL ("s3://...") what fsspec
    reaches, if it is installed.

    Raises:
        ValueError: if there is no such file, it is damaged, it declares more data than it can hold, or its content does
            not follow the schema.
        OSError: later, if values that are used turn out to be damaged.

    Example:
        >>> import systems
        >>> systems.open("nothing.nc")
        Traceback (most recent call last):
            ...
        ValueError: path: there is no nothing.nc
    """
    if "://" in str(path):
        return validate(standardised(_remote(str(path))))
    path = checked(found(path))
    if not path.exists():
        raise ValueError(f"path: there is no {path}")
    dataset = read(path)
    try:
        dataset = validate(standardised(dataset))
    except ValueError as error:
        raise ValueError(f"path: {path} is not a Dataset of trajectories: {error}") from error
    warn_of_half(dataset)
    dataset.encoding["source"] = str(path)
    return dataset


def checksum(dataset: xr.Dataset) -> bytes:
    """What tells the states of a large Dataset from others, 32 bytes.

    The checksums that its file keeps of them, and some of the states themselves, by which a part of a file is told from
    another; where it has no file of ours, the SHA-256 of all states.
    """
    digest, source = hashlib.sha256(), dataset.encoding.get("source", "")
    as_stored = dataset["q"].chunks is None and dataset["p"].chunks is None  # behind dask anything may be computed
    if as_stored and source and Path(source).exists() and kept_structure(Path(source)) is not None:
        digest.update(checksum_of_chunks(Path(source)))
        rows = np.linspace(0, dataset.sizes["trajectory"] - 1, SAMPLED).round().astype(int)
        samples: Iterable[xr.Dataset] = (dataset[["q", "p"]].isel(trajectory=int(row), time=[0, -1]) for row in rows)
    else:
        samples = (dataset[["q", "p"]].isel(trajectory=rows) for rows in blocks_of(dataset))
    for sample in samples:
        for name in ("q", "p"):
            digest.update(np.ascontiguousarray(sample[name].transpose(..., "time", "body", "space").values).data)
    return digest.digest()


def save(dataset: xr.Dataset, path: str | os.PathLike[str], *, overwrite: bool = False) -> None:
    """Write a Dataset of the schema to a file, whole or not at all.

    Raises:
        ValueError: if the Dataset does not follow the schema, the file exists (without ``overwrite``) or is being
            written (see `systems.files.locked`), its folder does not exist, or the disk is too full.
    """
    path = checked(named(path, dataset.nbytes), overwrite=overwrite)
    validate(dataset)
    if path.exists() and not overwrite:
        raise ValueError(f"path: {path} exists and is not overwritten without overwrite")
    check_space(path, dataset.nbytes)
    with locked(path):
        if path.exists() and not overwrite:  # somebody else was quicker
            raise ValueError(f"path: {path} exists and is not overwritten without overwrite")
        write(path, [dataset], dataset.sizes["trajectory"])


def check_space(path: Path, needed: int) -> None:
    """A ValueError unless that many bytes (and a little more) are free where the path will be."""
    free = shutil.disk_usage(path.parent).free
    needed += 2**20
    if free < needed:
        raise ValueError(f"path: {path} needs {needed / 1e9:.3g} GB, but only {free / 1e9:.3g} GB are free")


def check_holds(path: Path, configuration: str) -> None:
    """A ValueError unless the file is the result of this configuration."""
    try:
        found = open(path).attrs.get("configuration", "{}")
    except ValueError as error:
        raise ValueError(f"{error}: it is replaced only with overwrite") from error
    if found != configuration:
        raise ValueError(
            f"path: {path} exists and holds something else ({differences(found, configuration)}): "
            "it is replaced only with overwrite"
        )


def differences(old: str, new: str) -> str:
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


def checked(path: str | os.PathLike[str], *, overwrite: bool = False) -> Path:
    """A path that can be written or read: its suffix is known, its folder exists, and it holds nothing else.

    Args:
        path: of the file.
        overwrite: whether a damaged Zarr store may be there.
    """
    path = Path(path)
    if path.suffix not in SUFFIXES:
        advice = ": the command import makes such a file of it" if path.is_file() else ""
        raise ValueError(f"path: expected a name that ends with {' or '.join(SUFFIXES)}, got {path}{advice}")
    if not path.parent.is_dir():
        raise ValueError(f"path: there is no folder {path.parent}")
    if path.suffix == ".zarr":
        _import_zarr()
    check_regular(path)
    store = path.suffix == ".zarr" and _is_store(path, damaged=overwrite)
    if path.exists() and path.is_dir() != store:
        raise ValueError(f"path: {path} exists and is no {path.suffix} file")
    return path


def _is_store(path: Path, *, damaged: bool) -> bool:
    """Whether a folder is a Zarr store, of version 2 or 3; or, damaged, was one, of which nothing may be left."""
    if damaged and path.is_dir() and not any(path.iterdir()):
        return True
    marks = ["zarr.json", ".zgroup"] + ["*/zarr.json", "*/.zarray", "*/c"] * damaged
    return any(next(path.glob(mark), None) is not None for mark in marks)


def read(path: Path) -> xr.Dataset:
    """What is in a file, lazily.

    Raises:
        ValueError: if it is damaged, or declares more than it can hold.
    """
    try:
        return _opened(path, path, size_of(path))
    except (KeyboardInterrupt, SystemExit):
        raise
    except Exception as error:  # a damaged file makes libraries raise anything
        reason = str(error) or type(error).__name__
        if reason.startswith("path: "):
            raise
        raise ValueError(
            f"path: {path} cannot be read, it may be damaged or no {path.suffix} file: {reason}"
        ) from error


def _remote(url: str) -> xr.Dataset:
    """What is under a URL, lazily; Zarr chunk by chunk."""
    try:
        fsspec = importlib.import_module("fsspec")
    except ImportError as error:
        raise ValueError("path: URLs need the package fsspec: pip install 'hlieconv[remote]'") from error
    try:
        if url.rstrip("/").endswith(".zarr"):
            files, root = fsspec.core.url_to_fs(url)
            return _opened(url, url, files.du(root))
        file = fsspec.open(url, "rb").open()
        return _opened(file, url, file.size)
    except Exception as error:  # of any protocol
        raise ValueError(f"path: {url} cannot be read: {str(error) or type(error).__name__}") from error


def _opened(source: Any, path: Path | str, size: int) -> xr.Dataset:
    """By xarray's engine for it, without indexes until it is known that they fit in memory."""
    zarr = str(path).rstrip("/").endswith(".zarr")
    digest = kept_structure(path) if isinstance(path, Path) else None
    options: dict[str, Any] = {"engine": "zarr", "consolidated": False, "chunks": None} if zarr else {}
    if zarr and isinstance(path, Path):
        _import_zarr()
        check_chunks_of_zarr(path)
        source = importlib.import_module("systems.dataset.steady_store").SteadyStore(path, whole=digest is not None)
    if isinstance(path, Path) and not zarr and h5py.is_hdf5(path):
        check_chunks_of_hdf5(path)
    raw = xr.open_dataset(source, decode_cf=False, create_default_indexes=False, **options)
    try:
        check_declared(path, raw.nbytes, size)
        if isinstance(path, Path) and digest is not None:
            if zarr and "q" in raw:
                check_chunks(path, _import_zarr().open_group(path, mode="r").arrays())
            check_structure(raw, digest)
        dataset = decoded(raw)
    except BaseException:
        raw.close()
        raise
    dataset.set_close(raw.close)
    return dataset


def write(path: Path, parts: Iterable[xr.Dataset], count: int, folder: Path | None = None) -> None:
    """The parts, in the order of their trajectories, as one file of ``count`` trajectories that grows in the folder."""
    with appearing(path, folder) as temporary, ExitStack() as files:
        arrays: Mapping[str, Any] = {}
        first = 0
        for part in parts:
            with part:
                stored = encoded(part)
                if first == 0:
                    create = new_zarr if path.suffix == ".zarr" else _netcdf
                    arrays = files.enter_context(create(temporary, stored, dict(part.sizes) | {"trajectory": count}))
                rows = slice(first, first + part.sizes["trajectory"])
                fill(arrays, stored, rows)
                first = rows.stop
            del part, stored  # before the next one takes memory


def fill(arrays: Mapping[str, Any], stored: Encoded, rows: slice) -> None:
    """Write some trajectories; what all of them share, with the first ones."""
    for name, variable in _ordered(stored).items():
        if rows.start == 0 or "trajectory" in variable.dims:
            where = tuple(rows if dim == "trajectory" else slice(None) for dim in variable.dims)
            arrays[name][where] = variable.values


@contextmanager
def _netcdf(path: Path, like: Encoded, sizes: dict[Hashable, int]) -> Iterator[Mapping[str, Any]]:
    """The empty variables of a new netCDF4 file, all of whose space is reserved: HDF5 crashes on a full disk."""
    _reserve(path, _size(like, sizes) + 2**16)
    early = h5py.h5p.create(h5py.h5p.DATASET_CREATE)
    early.set_alloc_time(h5py.h5d.ALLOC_TIME_EARLY)
    # Of this version on, what HDF5 itself writes has checksums, too.
    with (
        h5py.File(path, "w", track_order=True, libver=("v110", "v110")) as hdf5,
        h5netcdf.File(hdf5, "w") as file,
    ):
        file.dimensions = sizes
        file.attrs.update(like.attributes)
        for name, variable in _ordered(like).items():
            options: dict[str, Any] = {"dtype": h5py.string_dtype() if variable.dtype == object else variable.dtype}
            if variable.ndim and variable.dtype != object:  # HDF5 keeps texts elsewhere
                # Chunks of one size, in place before anything is written: the bytes do not depend on the parts.
                chunks = _chunks(variable, sizes, NETCDF_CHUNK_BYTES)
                options |= {"chunks": chunks, "fletcher32": True, "fill_time": "never", "dcpl": early.copy()}
            file.create_variable(name, variable.dims, **options).attrs.update(variable.attrs)
        file.flush()
        _reserve(path, hdf5.id.get_filesize())
        yield file.variables
    keep_structure(path, structure_of(like, sizes))


def _size(like: Encoded, sizes: Mapping[Hashable, int]) -> int:
    """Bytes of the variables of a Dataset of these sizes."""
    return sum(x.dtype.itemsize * math.prod(sizes[dim] for dim in x.dims) for x in like.variables.values())


def _chunks(variable: xr.Variable, sizes: Mapping[Hashable, int], nbytes: int) -> tuple[int, ...]:
    """The shape of a chunk of about so many bytes: neighbours in memory."""
    chunks, room = [], max(1, nbytes // variable.dtype.itemsize)
    for dim in reversed(variable.dims):
        chunks.append(max(1, min(sizes[dim], room)))
        room //= chunks[-1]
    return tuple(reversed(chunks))


def _reserve(path: Path, size: int) -> None:
    """Make the file that large where the system can, or raise OSError."""
    if hasattr(os, "posix_fallocate"):
        with path.open("ab") as file:
            os.posix_fallocate(file.fileno(), 0, size)


@contextmanager
def new_zarr(
    path: Path, like: Encoded, sizes: dict[Hashable, int], rows: int | None = None
) -> Iterator[Mapping[str, Any]]:
    """The empty variables of a new Zarr store, whose chunks are all stored, also those of zeros.

    Args:
        path: of the store.
        like: some of the trajectories.
        sizes: of all dims.
        rows: trajectories in every chunk; by default as many as make chunks of about `CHUNK_BYTES`.
    """
    zarr = _import_zarr()
    group = zarr.create_group(path, attributes=_json(like.attributes))
    arrays = {}
    for name, variable in _ordered(like).items():
        chunks = _chunks(variable, sizes, CHUNK_BYTES)
        if rows is not None:
            chunks = tuple(min(rows, sizes[x]) if x == "trajectory" else sizes[x] for x in variable.dims)
        arrays[name] = group.create_array(
            name,
            shape=tuple(sizes[dim] for dim in variable.dims),
            chunks=chunks,
            dtype=str if variable.dtype == object else variable.dtype,
            compressors=zarr.codecs.Crc32cCodec(),
            dimension_names=[str(dim) for dim in variable.dims],
            attributes=_json(variable.attrs),
            config={"write_empty_chunks": True},
        )
    yield arrays
    keep_structure(path, structure_of(like, sizes))


def zarr_arrays(path: Path) -> Mapping[str, Any]:
    """The variables of a Zarr store, to be written as `new_zarr` has them."""
    arrays = _import_zarr().open_group(path, mode="r+", use_consolidated=False).arrays()
    return {name: array.with_config({"write_empty_chunks": True}) for name, array in arrays}


def _json(attributes: Mapping[Any, Any]) -> dict[str, Any]:
    return {name: value.tolist() if isinstance(value, np.ndarray) else value for name, value in attributes.items()}


def _ordered(like: Encoded) -> dict[str, xr.Variable]:
    """In an order that does not depend on where the Dataset comes from."""
    others = sorted(name for name in like.variables if name not in CORE)
    return {name: like.variables[name] for name in (*CORE, *others) if name in like.variables}


def _import_zarr() -> Any:
    try:
        return importlib.import_module("zarr")
    except ImportError as error:
        raise ValueError("path: .zarr needs the package zarr: pip install 'hlieconv[zarr]'") from error
