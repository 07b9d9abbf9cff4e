"""What a packed chunk unpacks into, found out before a library takes the memory for all of it."""

import bz2
import json
import math
import zlib
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from typing import Any

import h5py

from systems.dataset.integrity import FREE, check_declared

Unpacked = Callable[[bytes, int], int]
"""Bytes that a chunk unpacks into, or just more than a limit."""

_BLOCK = 2**16
#: What streams may have beyond their chunk, such as a checksum.
_SLACK = 64


def unpacked_gzip(packed: bytes, limit: int) -> int:
    """Of a stream of gzip or zlib, by unpacking it and keeping nothing.

    Example:
        >>> unpacked_gzip(zlib.compress(bytes(10**6)), 10**9), unpacked_gzip(zlib.compress(bytes(10**6)), 10) < 10**5
        (1000000, True)
    """
    stream, size = zlib.decompressobj(zlib.MAX_WBITS | 32), 0
    while packed and not stream.eof and size <= limit:
        size += len(stream.decompress(packed, _BLOCK))
        packed = stream.unconsumed_tail
    return size


def unpacked_bz2(packed: bytes, limit: int) -> int:
    """Of a stream of bzip2, in the same way."""
    stream, size = bz2.BZ2Decompressor(), 0
    while not stream.eof and size <= limit:
        size += len(stream.decompress(packed, _BLOCK))
        packed = b""
        if stream.needs_input:
            break
    return size


def unpacked_zstd(packed: bytes, limit: int) -> int:
    """Of a frame of Zstandard, as its header says, which its library believes; else at most what its blocks can be.

    Source: Collet and Kucherawy 2021, RFC 8878, sections 3.1.1.1 and 3.1.1.2.
    """
    flags = packed[4] if len(packed) > 4 else 0
    single = flags >> 5 & 1
    width = (single, 2, 4, 8)[flags >> 6]
    start = 5 + (1 - single) + (0, 1, 2, 4)[flags & 3]
    if width:
        return int.from_bytes(packed[start : start + width], "little") + 256 * (width == 2)
    size, place, last = 0, start, False
    while not last and place + 3 <= len(packed):
        header = int.from_bytes(packed[place : place + 3], "little")
        last, kind, length = bool(header & 1), header >> 1 & 3, header >> 3
        size += 2**17 if kind == 2 else length  # packed, at most 128 KiB; as it is; one byte again and again
        place += 3 + (1 if kind == 1 else length)
    return max(0, size - 2**17)  # of the last block nobody knows


def _header(start: int, stop: int, order: Any) -> Unpacked:
    """Of a format that declares its size at a place of its header, and keeps to it."""
    return lambda packed, limit: int.from_bytes(packed[start:stop], order)


def _at_most(ratio: int) -> Unpacked:
    """Of a format that cannot do better than that."""
    return lambda packed, limit: limit + 1 if len(packed) * ratio > max(limit, FREE) else 0


_BLOSC = _header(4, 8, "little")
#: By HDF5's registered numbers.
_OF_HDF5: Mapping[int, Unpacked] = {
    h5py.h5z.FILTER_DEFLATE: unpacked_gzip,
    h5py.h5z.FILTER_SZIP: _header(0, 4, "little"),
    h5py.h5z.FILTER_LZF: _at_most(90),  # 264 bytes from 3
    307: unpacked_bz2,
    32001: _BLOSC,
    32004: _header(0, 8, "big"),  # LZ4
    32015: unpacked_zstd,
}
#: By Zarr's names.
_OF_ZARR: Mapping[str, Unpacked] = {
    **dict.fromkeys(("gzip", "zlib"), unpacked_gzip),
    "bz2": unpacked_bz2,
    "zstd": unpacked_zstd,
    "blosc": _BLOSC,
    "lz4": _header(0, 4, "little"),
}
#: These change no size, or by a checksum.
_HARMLESS = {h5py.h5z.FILTER_SHUFFLE, h5py.h5z.FILTER_FLETCHER32, "bytes", "endian", "transpose", "crc32c", "vlen-utf8"}
_HARMLESS |= {"shuffle", "delta", "numcodecs.shuffle", "numcodecs.delta"}


def check_chunks_of_hdf5(path: Path) -> None:
    """A ValueError if a chunk of an HDF5 file is, or unpacks into, more than the file declares and can hold.

    It costs next to nothing where chunks are not packed, and otherwise as much as unpacking those once that are large.

    Args:
        path: of the file.

    Raises:
        ValueError: also for a filter that is not known, and for one upon another.
        OSError, zlib.error: for a chunk that cannot be unpacked.

    Example:
        >>> import tempfile, numpy as np
        >>> path = Path(tempfile.mkdtemp()) / "packed.h5"
        >>> with h5py.File(path, "w") as file:
        ...     data = file.create_dataset("q", data=np.zeros(1000), compression="gzip")
        >>> check_chunks_of_hdf5(path)
    """
    with h5py.File(path, "r") as file:
        found: list[h5py.Dataset] = []
        file.visititems(lambda _, item: found.append(item) if isinstance(item, h5py.Dataset) else None)
        for array in found:
            if array.chunks is not None:
                _check_array(path, array, math.prod(array.chunks) * array.dtype.itemsize)


def _check_array(path: Path, array: h5py.Dataset, declared: int) -> None:
    check_declared(path, declared, path.stat().st_size)
    creation = array.id.get_create_plist()
    filters = [creation.get_filter(number) for number in range(creation.get_nfilters())]
    what = f"path: {path}: a chunk of {array.name}"
    packer = _only([one[0] for one in filters], _OF_HDF5, what)
    if packer is None:
        return
    place = [one[0] for one in filters].index(packer)
    large: list[tuple[int, ...]] = []

    def look(chunk: Any) -> None:
        if not chunk.filter_mask >> place & 1 and _matters(packer, chunk.size):
            large.append(chunk.chunk_offset)

    array.id.chunk_iter(look)
    for offset in large:
        _check(_OF_HDF5[packer], array.id.read_direct_chunk(offset)[1], declared, what)


def check_chunks_of_zarr(path: Path) -> None:
    """The same of a Zarr store of version 2 or 3; what is inside of shards is not looked at."""
    size = sum(file.stat().st_size for file in path.rglob("*") if file.is_file())
    for metadata in [*path.rglob("zarr.json"), *path.rglob(".zarray")]:
        described = json.loads(metadata.read_text())
        if described.get("node_type", "array") != "array":
            continue
        what = f"path: {path}: a chunk of {metadata.parent.name}"
        names = [*_codecs(described)]
        packer = _only(names, _OF_ZARR, what) if "sharding_indexed" not in names else None
        if packer is None:
            continue
        grid = described.get("chunks") or described["chunk_grid"]["configuration"]["chunk_shape"]
        declared = 8 * math.prod(grid)  # numbers have at most eight bytes
        check_declared(path, declared, size)
        for file in metadata.parent.rglob("*"):
            if (
                file.is_file()
                and not file.name.startswith((".", "zarr.json"))
                and _matters(packer, file.stat().st_size)
            ):
                _check(_OF_ZARR[packer], file.read_bytes(), declared, what)


def _codecs(described: Mapping[str, Any]) -> Iterator[str]:
    """Names of the codecs of an array, of version 2 or 3."""
    for one in [described.get("compressor"), *(described.get("filters") or []), *described.get("codecs", [])]:
        if one is not None:
            yield str(one.get("id") or one["name"]).removeprefix("numcodecs.")


def _only(names: list[Any], known: Mapping[Any, Unpacked], what: str) -> Any:
    """The one that unpacks, None if there is none."""
    packers = [name for name in names if name not in _HARMLESS]
    if len(packers) > 1 or any(name not in known for name in packers):
        raise ValueError(f"{what} is packed by {names}: expected at most one codec of {[*known]}")
    return packers[0] if packers else None


def _matters(packer: Any, size: int) -> bool:
    """Whether so many bytes can unpack into much: deflate makes at most 1032 of one (Deutsch 1996, RFC 1951)."""
    return packer not in (h5py.h5z.FILTER_DEFLATE, "gzip", "zlib") or 1032 * size > FREE


def _check(unpacked: Unpacked, packed: bytes, declared: int, what: str) -> None:
    limit = declared + _SLACK
    if unpacked(packed, limit) > limit:
        raise ValueError(f"{what} unpacks into more than the {declared} bytes that it declares")
