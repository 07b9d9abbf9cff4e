"""All tensors that a field holds, wherever it holds them: in modules, in named tuples, lists and dictionaries."""

from __future__ import annotations

import copy
from collections.abc import Callable, Sequence
from typing import Any, TypeVar

from torch import Tensor, nn

Held = TypeVar("Held")


def tensors_of(field: nn.Module) -> list[Tensor]:
    """Every tensor of a field, in an order that is the same for all fields of its `look.structure`.

    Example:
        >>> from systems import Springs
        >>> system, _ = Springs.sample(2, seed=0)
        >>> [x.shape for x in tensors_of(system)]
        [torch.Size([2, 6]), torch.Size([2, 6])]
    """
    found: list[Tensor] = []
    _mapped(field, lambda x: found.append(x) or x, {})
    return found


def with_tensors(field: Held, tensors: Sequence[Tensor]) -> Held:
    """A copy of the field with others in the places of its tensors, in the order of `tensors_of`."""
    queue = iter(tensors)
    return _mapped(field, lambda x: next(queue), {})


def _mapped(x: Any, change: Callable[[Tensor], Tensor], known: dict[int, Any]) -> Any:
    """A copy of what holds tensors. A module that is there twice is one in the copy too."""
    if isinstance(x, Tensor):
        return change(x)
    if isinstance(x, nn.Module):
        if id(x) not in known:
            known[id(x)] = other = copy.copy(x)
            vars(other).update({name: _mapped(value, change, known) for name, value in vars(x).items()})
        return known[id(x)]
    if type(x) is dict:
        return {name: _mapped(value, change, known) for name, value in x.items()}
    if isinstance(x, tuple) and hasattr(x, "_fields"):
        return type(x)(*(_mapped(value, change, known) for value in x))
    return type(x)(_mapped(value, change, known) for value in x) if type(x) in (tuple, list) else x
