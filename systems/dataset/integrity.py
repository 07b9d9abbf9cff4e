"""What a file of trajectories has to keep: its structure, all of its chunks, and no more than its own size promises.

Values are kept by the checksum of each chunk (HDF5's fletcher32, Zarr's crc32c), which is verified whenever a chunk is
read. What has no such checksum, names, dims, attributes and labels, is kept by one of ours.
"""

import gzip
import hashlib
import json
import math
from collections.abc import Iterable, Mapping
from itertools import product
from pathlib import Path
from typing import Any, BinaryIO

import h5py
import numpy as np
import xarray as xr

from systems.dataset.encoding import Encoded

_MARK, _LENGTH = b"\nseal ", 16
_IN_STORE = "q/structure.sha256"
EXPANSION, UNZIPPED, FREE = 100, 20, 2**26
"""A file may declare so many times its own size, or so many bytes: trajectories are hard to compress, bombs are not.
What has no header that declares anything is unpacked into so many times its size, or so many bytes."""


def structure_of(stored: Encoded, sizes: Mapping[Any, int]) -> str:
    """The SHA-256 of names, dims, sizes, dtypes, attributes and labels, and of numbers without dims."""
    described = {
        name: [
            [(str(dim), sizes[dim]) for dim in variable.dims],
            _kind(variable),
            _plain({name: value for name, value in variable.attrs.items() if name != "dtype"}),
            variable.values.tolist() if _is_text(variable) or not variable.ndim else None,
        ]
        for name, variable in stored.variables.items()
    }
    text = json.dumps([described, _plain(stored.attributes)], sort_keys=True, default=str)
    return hashlib.sha256(text.encode()).hexdigest()


def keep_structure(path: Path, digest: str) -> None:
    """Write the checksum where other tools neither see nor copy it: after the end of HDF5's file, in Zarr's folder.

    Beside it, for HDF5, the checksum of all bytes that lie outside of chunks, so that none of these reaches HDF5's own
    code once they are damaged: it trusts some of them, and may never come back.
    """
    if path.is_dir():
        (path / _IN_STORE).write_text(digest)
        return
    chunks = _places_of_chunks(path)
    outside = _digest_outside(path, path.stat().st_size, chunks)
    seal = json.dumps({"structure": digest, "chunks": chunks, "outside": outside}).encode()
    with path.open("ab") as file:
        file.write(_MARK + seal + b"%*d" % (_LENGTH, len(seal)))


def kept_structure(path: Path) -> str | None:
    """The checksum that was written; None if the file is another tool's.

    Raises:
        ValueError: if what lies outside of a file's chunks is not what was written.
    """
    if path.is_dir():
        file = path / _IN_STORE
        return file.read_text(errors="replace") if file.is_file() else None
    size = path.stat().st_size
    with path.open("rb") as file:
        file.seek(max(0, size - _LENGTH))
        length = file.read()
        start = size - _LENGTH - int(length) - len(_MARK) if length.strip().isdigit() else -1
        file.seek(max(0, start))
        seal = file.read(size - _LENGTH - start) if start >= 0 else b""
        if not seal.startswith(_MARK):
            file.seek(max(0, size - 2**16))
            if _MARK in file.read():
                raise ValueError("the checksum at its end is damaged")
            return None
    try:
        found = json.loads(seal.removeprefix(_MARK))
        whole = _digest_outside(path, start, found["chunks"]) == found["outside"]
        digest = str(found["structure"])
    except (ValueError, KeyError, TypeError) as error:
        raise ValueError("the checksum at its end is damaged") from error
    if not whole:
        raise ValueError("its structure is not what was written (its checksum differs)")
    return digest


def checksum_of_chunks(path: Path) -> bytes:
    """The SHA-256 of the checksums of all chunks, of which no more than their last four bytes are read."""
    digest = hashlib.sha256()
    if path.is_dir():
        for file in sorted(path.glob("*/c/**/*")):
            if file.is_file():
                digest.update(str(file.relative_to(path)).encode() + _end_of(file.open("rb"), file.stat().st_size))
        return digest.digest()
    with h5py.File(path, "r") as file:
        names = sorted(name for name, item in file.items() if isinstance(item, h5py.Dataset) and item.chunks)
        places: list[tuple[str, int]] = []
        for name in names:
            file[name].id.chunk_iter(
                lambda chunk, name=name: places.append((f"{name} {chunk.chunk_offset}", chunk.byte_offset + chunk.size))
            )
    with path.open("rb") as bytes_of_file:
        for name, end in places:
            bytes_of_file.seek(end - 4)
            digest.update(name.encode() + bytes_of_file.read(4))
    return digest.digest()


def _end_of(file: BinaryIO, size: int) -> bytes:
    with file:
        file.seek(max(0, size - 4))
        return file.read()


def _places_of_chunks(path: Path) -> list[list[int]]:
    """Where the chunks of an HDF5 file begin and end, those that touch as one."""
    found: list[tuple[int, int]] = []

    def look(name: str, item: Any) -> None:
        if isinstance(item, h5py.Dataset) and item.chunks is not None:
            item.id.chunk_iter(lambda chunk: found.append((chunk.byte_offset, chunk.byte_offset + chunk.size)))

    with h5py.File(path, "r") as file:
        file.visititems(look)
    merged: list[list[int]] = []
    for start, stop in sorted(found):
        if merged and start == merged[-1][1]:
            merged[-1][1] = stop
        else:
            merged.append([start, stop])
    return merged


def _digest_outside(path: Path, end: int, chunks: list[list[int]]) -> str:
    """The SHA-256 of the bytes up to the end that are in none of the chunks."""
    digest, position = hashlib.sha256(), 0
    with path.open("rb") as file:
        for start, stop in [*chunks, [end, end]]:
            if not position <= start <= stop <= end:
                raise ValueError("chunks in no order")
            file.seek(position)
            left = start - position
            while left > 0 and (block := file.read(min(left, 2**20))):
                digest.update(block)
                left -= len(block)
            position = stop
    return digest.hexdigest()


def check_structure(raw: xr.Dataset, expected: str) -> None:
    """A ValueError if the Dataset of a file, not decoded, has another structure than was written."""
    variables = {str(name): variable for name, variable in raw.variables.items()}
    if structure_of(Encoded(variables, dict(raw.attrs)), raw.sizes) != expected:
        raise ValueError("its names, attributes or labels are not those that were written (their checksum differs)")


def check_declared(path: Path | str, declared: int, size: int) -> None:
    """A ValueError if a file declares much more than it can hold: before any memory is taken for it.

    Args:
        path: of the file.
        declared: bytes in memory.
        size: bytes on the disk.

    Example:
        >>> check_declared("bomb.nc", 10**11, 16_000)
        Traceback (most recent call last):
            ...
        ValueError: path: bomb.nc declares 100 GB of data in a file of 1.6e-05 GB: expected at most 100 times its size
    """
    if declared > max(FREE, EXPANSION * size):
        raise ValueError(
            f"path: {path} declares {declared / 1e9:.3g} GB of data in a file of {size / 1e9:.3g} GB: "
            f"expected at most {EXPANSION} times its size"
        )


def unzipped(path: Path) -> bytes:
    """The content of a gzip file.

    Raises:
        ValueError: if it holds more than a file of its size should: no more than that is unpacked.
        OSError, EOFError, zlib.error: if it is damaged.
    """
    limit = max(FREE, UNZIPPED * path.stat().st_size)
    with gzip.open(path) as file:
        content = file.read(limit + 1)
    if len(content) > limit:
        raise ValueError(f"path: {path} holds more than {limit / 1e9:.3g} GB, or {UNZIPPED} times its size")
    return content


def size_of(path: Path) -> int:
    """Bytes of a file, or of all files in a folder."""
    files = (file for file in path.rglob("*") if file.is_file()) if path.is_dir() else [path]
    return sum(file.stat().st_size for file in files)


def check_chunks(path: Path, arrays: Iterable[tuple[str, Any]]) -> None:
    """A ValueError if a chunk of a Zarr store is missing, which Zarr itself reads as zeros."""
    for name, array in arrays:
        counts = [math.ceil(size / chunk) for size, chunk in zip(array.shape, array.chunks, strict=True)]
        for index in product(*map(range, counts)):
            if not path.joinpath(name, "c", *map(str, index)).is_file():
                raise ValueError(f"{name}: the chunk {'/'.join(map(str, index))} is missing")


def _kind(variable: xr.Variable) -> str:
    """The dtype; xarray reads as booleans what it wrote as int8 with an attribute."""
    if _is_text(variable):
        return "text"
    return "bool" if "bool" in (variable.attrs.get("dtype"), variable.dtype) else variable.dtype.newbyteorder("=").str


def _is_text(variable: xr.Variable) -> bool:
    return variable.dtype.kind in "OUST"


def _plain(attributes: Mapping[Any, Any]) -> dict[str, Any]:
    """Attributes alike, whether they come from memory or from a file."""
    return {str(name): np.ravel(value).tolist() for name, value in attributes.items()}
