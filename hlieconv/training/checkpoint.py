"""Checkpoints: any tree of tensors and plain values in one safetensors file, written atomically, never pickled."""

import json
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from hlieconv.training.sealed import sealed, unsealed
from systems.files import write_atomically

_TENSOR, _LAYOUT, _ITEMS = "tensor", "layout", "items"


def save(path: Path, tree: Any) -> None:
    """Write a tree of dicts, lists, tuples, tensors and JSON values (tuples come back as lists, except as keys).

    Raises:
        TypeError: for anything else: nothing is written then.

    Example:
        >>> import tempfile
        >>> file = Path(tempfile.mkdtemp()) / "checkpoint.safetensors"
        >>> save(file, {"step": 3, "state": {0: [torch.ones(2), None]}})
        >>> restore(file)
        {'step': 3, 'state': {0: [tensor([1., 1.]), None]}}
    """
    tensors: dict[str, Tensor] = {}
    skeleton = json.dumps(_flatten(tree, tensors))
    write_atomically(path, sealed(tensors, {"tree": skeleton}))


def restore(path: Path) -> Any:
    """The tree that `save` wrote, its tensors on the CPU.

    Raises:
        ValueError: if the file is missing, truncated, damaged, or not one of ours.
    """
    tensors, metadata = unsealed(path)
    try:
        return _unflatten(json.loads(metadata["tree"]), tensors)
    except (KeyError, TypeError, ValueError, AttributeError, RuntimeError) as error:
        raise ValueError(f"{path}: not a readable checkpoint ({error})") from error


def _flatten(tree: Any, tensors: dict[str, Tensor]) -> Any:
    if isinstance(tree, Tensor):
        name = str(len(tensors))
        layout = sorted(range(tree.ndim), key=tree.stride, reverse=True)  # products of other layouts round differently
        tensors[name] = tree.detach().cpu().permute(layout).contiguous().clone()
        return {_TENSOR: name, _LAYOUT: layout}
    if isinstance(tree, dict):  # as pairs: JSON has no integer keys, which optimisers use
        return {_ITEMS: [[key, _flatten(value, tensors)] for key, value in tree.items()]}
    if isinstance(tree, list | tuple):
        return [_flatten(value, tensors) for value in tree]
    return tree


def _unflatten(skeleton: Any, tensors: dict[str, Tensor]) -> Any:
    if isinstance(skeleton, list):
        return [_unflatten(value, tensors) for value in skeleton]
    if isinstance(skeleton, dict):
        if _TENSOR in skeleton:
            tensor = tensors[skeleton[_TENSOR]].clone()  # in memory as aligned as any: rounding may depend on that
            return tensor.permute([skeleton[_LAYOUT].index(axis) for axis in range(tensor.ndim)])
        return {_key(key): _unflatten(value, tensors) for key, value in skeleton[_ITEMS]}
    return skeleton


def _key(key: Any) -> Any:
    """JSON has no tuples: a list that is a key was one."""
    return tuple(map(_key, key)) if isinstance(key, list) else key


def finite(tree: Any) -> bool:
    """Whether every number in the tree's tensors is finite."""
    if isinstance(tree, Tensor):
        return bool(torch.isfinite(tree).all())
    if isinstance(tree, dict):
        return all(finite(value) for value in tree.values())
    return not isinstance(tree, list | tuple) or all(finite(value) for value in tree)
