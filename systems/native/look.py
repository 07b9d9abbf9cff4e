"""What a field's machine code is made of, beside its class."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import fields, is_dataclass
from typing import Any

import torch
from torch import Tensor, nn

from systems.fingerprint import fingerprint
from systems.vector_field import AbstractVectorField

#: Attributes of every module that no field computes with.
_OF_TORCH = frozenset(vars(nn.Module())) - {"_parameters", "_buffers", "_modules"}
_PLAIN = (int, float, complex, str, bytes, bool, type(None), type, torch.dtype, torch.device)

#: What is seen of a tensor: of those that a field declares, with the number of their own dimensions.
Seen = Callable[[Tensor, int | None], Any]


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

    def seen(x: Tensor, own: int | None) -> tuple[Any, ...]:
        own = x.ndim if own is None and gradient and x.requires_grad else own
        if own is not None:
            return ("input", x.shape[x.ndim - own :], x.dtype, x.requires_grad and gradient)
        return (x.shape, x.dtype, fingerprint({"": x}))

    sizes = {variable.name: len(variable.dims) for variable in (*field.variables, *field.undeclared)}
    return _of_module(field, sizes | dict.fromkeys(field.marks, 1), seen)


def structure(field: AbstractVectorField) -> tuple[Any, ...]:
    """What two fields have in common that compute the same of other tensors; not hashable where that cannot be told.

    Example:
        >>> from systems import Gravity
        >>> structure(Gravity.sample(2, seed=0)[0]) == structure(Gravity.sample(3, seed=1, bodies=5)[0])
        True
    """
    return _of_module(field, {}, lambda x, own: x.dtype)


def _of_module(module: nn.Module, sizes: Mapping[str, int], seen: Seen) -> tuple[Any, ...]:
    found: list[Any] = [type(module)]
    for name, value in sorted(vars(module).items()):
        if name in ("_parameters", "_buffers"):
            tensors = {key: x for key, x in value.items() if x is not None}
            found.append((name, tuple((key, seen(x, sizes.get(key))) for key, x in tensors.items())))
        elif name == "_modules":
            found.append(tuple((key, _of_module(x, {}, seen)) for key, x in value.items() if x is not None))
        elif name not in _OF_TORCH:
            found.append((name, _of_value(value, sizes.get(name), seen)))
    return tuple(found)


def _of_value(value: Any, own: int | None, seen: Seen) -> Any:
    if isinstance(value, Tensor):
        return seen(value, own)
    if isinstance(value, nn.Module):
        return _of_module(value, {}, seen)
    if isinstance(value, tuple | list):
        return (type(value), *(_of_value(x, None, seen) for x in value))
    if isinstance(value, dict):
        return (dict, *((key, _of_value(x, None, seen)) for key, x in value.items()))
    if is_dataclass(value) and not isinstance(value, type) and value.__dataclass_params__.frozen:  # pyright: ignore[reportAttributeAccessIssue]
        return (type(value), *(_of_value(getattr(value, x.name), None, seen) for x in fields(value)))
    return value if isinstance(value, _PLAIN) or type(value).__hash__ is not object.__hash__ else [value]
