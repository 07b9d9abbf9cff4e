"""The arguments that a module was made with."""

import inspect
from typing import Any

from torch import nn


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
    return {argument: getattr(module, argument) for argument in inspect.signature(type(module)).parameters}
