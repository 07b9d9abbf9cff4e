"""The arrays of numbers in a file of MATLAB 5 to 7, which is checked as it is read.

Compiled readers end the process on some damaged files, and unpack whatever there is.

Source: The MathWorks, MAT-File Format (2019), "Level 5".
"""

import struct
import zlib
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from systems.dataset.integrity import FREE, UNZIPPED

_HEADER, _MATRIX, _COMPRESSED = 128, 14, 15
_COMPLEX = 0x0800
#: Types of stored numbers, and classes of arrays, which may be wider.
_STORED = {1: "i1", 2: "u1", 3: "i2", 4: "u2", 5: "i4", 6: "u4", 7: "f4", 9: "f8", 12: "i8", 13: "u8"}
_CLASSES = dict(zip(range(6, 16), ("f8", "f4", "i1", "u1", "i2", "u2", "i4", "u4", "i8", "u8"), strict=True))


def read_matlab(path: Path) -> dict[str, NDArray[Any]]:
    """The real arrays by name; whatever else is there (structs, texts, complex numbers) is left out.

    Raises:
        ValueError, struct.error, zlib.error: if it is damaged, of MATLAB 4, or unpacks into much more than its size.

    Example:
        >>> import tempfile
        >>> from scipy.io import savemat
        >>> path = Path(tempfile.mkdtemp()) / "circle.mat"
        >>> savemat(path, {"t": [0.0, 0.5], "by": "hand"})
        >>> read_matlab(path)
        {'t': array([[0. , 0.5]])}
    """
    content = path.read_bytes()
    order = {b"IM": "<", b"MI": ">"}.get(content[_HEADER - 2 : _HEADER])
    if order is None:
        raise ValueError("expected a file of MATLAB 5 or later")
    left, found = max(FREE, UNZIPPED * len(content)), {}
    for kind, element in _elements(content[_HEADER:], order):
        if kind == _COMPRESSED:
            unpacked = zlib.decompressobj().decompress(element, left + 1)
            left -= len(unpacked)
            if left < 0:
                raise ValueError(f"it holds more than {UNZIPPED} times its size")
            kind, element = next(_elements(unpacked, order))
        if kind == _MATRIX:
            found |= _array(element, order)
    return found


def _elements(content: bytes, order: str) -> Iterator[tuple[int, bytes]]:
    """The types and bytes of the elements that follow one another."""
    place = 0
    while place < len(content):
        kind, length = struct.unpack_from(f"{order}II", content, place)
        start, step = place + 8, 8 + length + (0 if kind == _COMPRESSED else -length % 8)
        if kind >> 16:  # a small element has its length and its bytes in its tag
            kind, length, start, step = kind & 0xFFFF, kind >> 16, place + 4, 8
        if start + length > len(content):
            raise ValueError("it is truncated")
        yield kind, content[start : start + length]
        place += step


def _array(element: bytes, order: str) -> dict[str, NDArray[Any]]:
    """Flags, dims, name, numbers."""
    parts = _elements(element, order)
    flags = struct.unpack_from(f"{order}I", next(parts)[1])[0]
    if flags & 0xFF not in _CLASSES or flags & _COMPLEX:
        return {}
    (_, dims), (_, name), (kind, numbers) = next(parts), next(parts), next(parts)
    shape = np.frombuffer(dims, f"{order}i4")
    if kind not in _STORED or (shape < 0).any():
        raise ValueError(f"an array of the shape {tuple(shape.tolist())} and of numbers of type {kind}")
    values = np.frombuffer(numbers, order + _STORED[kind]).astype(_CLASSES[flags & 0xFF])
    return {name.decode("latin-1"): values.reshape(tuple(shape), order="F")}
