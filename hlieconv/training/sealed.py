"""safetensors files that know their own checksum: a flipped bit anywhere in one is seen when it is read."""

import hashlib
import json
from collections.abc import Mapping
from pathlib import Path

import safetensors.torch
from safetensors import SafetensorError
from torch import Tensor

from systems.files import check_regular

CHECKSUM = "sha256"


def sealed(tensors: Mapping[str, Tensor], metadata: Mapping[str, str] | None = None) -> bytes:
    """The content of a safetensors file whose metadata say the SHA-256 of all the rest.

    Example:
        >>> import tempfile, torch
        >>> file = Path(tempfile.mkdtemp()) / "weights.safetensors"
        >>> size = file.write_bytes(sealed({"weight": torch.ones(2)}))
        >>> unsealed(file)
        ({'weight': tensor([1., 1.])}, {})
    """
    tensors, known = dict(tensors), dict(metadata or {})
    digest = _digest(safetensors.torch.save(tensors, metadata=known))
    return _ordered(safetensors.torch.save(tensors, metadata=known | {CHECKSUM: digest}))


def unsealed(path: Path) -> tuple[dict[str, Tensor], dict[str, str]]:
    """The tensors and metadata of a file, on the CPU. One without a checksum, of another tool, is taken as it is.

    Raises:
        ValueError: if it cannot be read, or is not what was written.
    """
    check_regular(path)
    try:
        content = path.read_bytes()
        # This checks the sizes that the header declares. Copies are in memory as aligned as any.
        tensors = {name: tensor.clone() for name, tensor in safetensors.torch.load(content).items()}
        metadata = _header(content).get("__metadata__", {})
    except (SafetensorError, OSError, ValueError, KeyError, TypeError, AttributeError) as error:
        raise ValueError(f"{path}: cannot be read ({error})") from error
    expected = metadata.pop(CHECKSUM, None)
    if expected not in (None, _digest(content)):
        raise ValueError(f"{path}: is damaged, its checksum is not the one that was written")
    return tensors, metadata


def _ordered(content: bytes) -> bytes:
    """The same file; safetensors writes metadata in any order, and the same run should be the same bytes."""
    header = json.dumps(_header(content), sort_keys=True).encode()
    header += b" " * (-len(header) % 8)
    return len(header).to_bytes(8, "little") + header + content[8 + _length(content) :]


def _digest(content: bytes) -> str:
    """Of everything but the checksum itself, and of nothing that depends on it, such as the length of the header."""
    header = _header(content)
    header.get("__metadata__", {}).pop(CHECKSUM, None)
    digest = hashlib.sha256(json.dumps(header, sort_keys=True).encode())
    digest.update(content[8 + _length(content) :])
    return digest.hexdigest()


def _header(content: bytes) -> dict[str, dict]:
    return json.loads(content[8 : 8 + _length(content)])


def _length(content: bytes) -> int:
    return int.from_bytes(content[:8], "little")
