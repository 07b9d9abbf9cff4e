"""What a field's machine code is made of, beside its class."""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor, nn

from systems.fingerprint import fingerprint
from systems.vector_field import AbstractVectorField

#: Attributes of every module that no field computes with.
_OF_TORCH = frozenset(vars(nn.Module())) - {"_parameters", "_buffers", "_modules"}
_PLAIN = (int, float, complex, str, bytes, bool, type(None), type, torch.dtype, torch.device)


def look(field: AbstractVectorField, *, gradient: bool) -> tuple[Any, ...]:
    """What two fields have in common that have the same machine code; not hashable where that cannot be told.

    Of a tensor that is an input this is its shape for one trajectory, of others their values.

    Args:
        field: that is traced.
        gradient: whether tensors that require one are inputs.

    Example:
        >>> from systems import Gravity
        >>> one, other = (Gravity.sample(2, seed=seed)[0] for seed in (0, 1))
        >>> look(one, gradient=False) == look(other, gradient=False)
        True
        >>> other.exponent = 2.5
        >>> look(one, gradient=False) == look(other, gradient=False)
        False
    """
    sizes = {variable.name: len(variable.dims) for variable in (*field.variables, *field.undeclared)}
    sizes |= dict.fromkeys(field.marks, 1)
    return _of_module(field, sizes, gradient)


def _of_module(module: nn.Module, sizes: dict[str, int], gradient: bool) -> tuple[Any, ...]:
    found: list[Any] = [type(module)]
    for name, value in sorted(vars(module).items()):
        if name in ("_parameters", "_buffers"):
            tensors = {key: x for key, x in value.items() if x is not None}
            found.append((name, tuple((key, _of_tensor(key, x, sizes, gradient)) for key, x in tensors.items())))
        elif name == "_modules":
            found.append(tuple((key, _of_module(x, {}, gradient)) for key, x in value.items() if x is not None))
        elif name not in _OF_TORCH:
            found.append((name, _of_value(value, sizes.get(name), gradient)))
    return tuple(found)


def _of_tensor(name: str, x: Tensor, sizes: dict[str, int], gradient: bool) -> tuple[Any, ...]:
    own = sizes.get(name, x.ndim if gradient and x.requires_grad else None)
    if own is not None:
        return ("input", x.shape[x.ndim - own :], x.dtype, x.requires_grad and gradient)
    return (x.shape, x.dtype, fingerprint({"": x}))


def _of_value(value: Any, own: int | None, gradient: bool) -> Any:
    if isinstance(value, Tensor):
        return _of_tensor("", value, {} if own is None else {"": own}, gradient)
    if isinstance(value, nn.Module):
        return _of_module(value, {}, gradient)
    if isinstance(value, tuple | list):
        return (type(value), *(_of_value(x, None, gradient) for x in value))
    if isinstance(value, dict):
        return (dict, *((key, _of_value(x, None, gradient)) for key, x in value.items()))
    return value if isinstance(value, _PLAIN) or type(value).__hash__ is not object.__hash__ else [value]
