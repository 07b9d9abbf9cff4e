"""One number that tells whether two sets of arrays are the same."""

import hashlib
from collections.abc import Mapping
from typing import Any

import numpy as np
from torch import Tensor


def fingerprint(arrays: Mapping[str, Any]) -> str:
    """The SHA-256 of arrays or tensors with their names, shapes, dtypes and bytes; their order does not matter.

    Args:
        arrays: numpy arrays, anything that numpy makes an array of, or tensors on any device.

    Example:
        >>> import torch
        >>> fingerprint({"a": np.arange(3), "b": torch.ones(2, dtype=torch.float64)})[:8]
        '7f6dcbfa'
    """
    digest = hashlib.sha256()
    for name, values in sorted(arrays.items()):
        array = values.detach().cpu().resolve_conj().numpy() if isinstance(values, Tensor) else np.asarray(values)
        digest.update(f"{name} {array.shape} {array.dtype.str}".encode())
        for piece in [array] if array.flags.c_contiguous or not array.ndim else array:  # copies of rows, not of all
            digest.update(np.ascontiguousarray(piece).data)
    return digest.hexdigest()
