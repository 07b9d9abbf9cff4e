"""The arguments that a module is made with."""

import inspect
from typing import Any

from torch import nn

from systems.door import plain


def config_of(module: nn.Module) -> dict[str, Any]:
    """The arguments of the module's constructor: ``type(module)(**config_of(module))`` has the same shape.

    The module stores each of them as an attribute of the same name.

    Example:
        >>> class Scale(nn.Module):
        ...     def __init__(self, factor: float = 2.0) -> None:
        ...         super().__init__()
        ...         self.factor = factor
        >>> config_of(Scale())
        {'factor': 2.0}
    """
    return {argument: plain(getattr(module, argument)) for argument in arguments_of(type(module))}


def arguments_of(kind: type[nn.Module]) -> list[str]:
    """The names of the constructor's arguments; in place of ``**options`` those of the base class that takes them.

    Example:
        >>> class Scale(nn.Module):
        ...     def __init__(self, factor: float = 2.0) -> None: ...
        >>> class Affine(Scale):
        ...     def __init__(self, shift: float = 0.0, **options: float) -> None: ...
        >>> arguments_of(Affine)
        ['shift', 'factor']
    """
    names: list[str] = []
    for base in kind.__mro__:
        if "__init__" not in vars(base):
            continue
        _, *parameters = inspect.signature(vars(base)["__init__"]).parameters.values()
        names += [one.name for one in parameters if one.kind is not one.VAR_KEYWORD and one.name not in names]
        if all(one.kind is not one.VAR_KEYWORD for one in parameters):
            break
    return names
