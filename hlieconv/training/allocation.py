"""A limit on the memory that a constructor takes, whose arguments come from a file."""

import math
from typing import Any

import torch
from torch.utils._python_dispatch import TorchDispatchMode


class Limited(TorchDispatchMode):
    """A block in which so many new tensors are made, of so many bytes in all; one more is refused before it is there.

    Args:
        nbytes: of all of them.
        count: of tensors.

    Raises:
        ValueError: at the first tensor that is too much.

    Example:
        >>> with Limited(2**20, 100):
        ...     layer = torch.nn.Linear(10**5, 10**5)
        Traceback (most recent call last):
            ...
        ValueError: expected a model of at most 0.00105 GB and 100 tensors, got more
    """

    def __init__(self, nbytes: int, count: int) -> None:
        super().__init__()
        self.nbytes, self.count = nbytes, count
        self.limits = f"{nbytes / 1e9:.3g} GB and {count} tensors"

    def __torch_dispatch__(self, func: Any, types: Any, args: Any = (), kwargs: dict[str, Any] | None = None) -> Any:
        kwargs = kwargs or {}
        shape = args[0] if args and isinstance(args[0], list | tuple) else args
        if all(isinstance(size, int) for size in shape):  # whatever makes a tensor of no others
            self.nbytes -= math.prod(shape) * (kwargs.get("dtype") or torch.get_default_dtype()).itemsize
            self.count -= 1
            if min(self.nbytes, self.count) < 0:
                raise ValueError(f"expected a model of at most {self.limits}, got more")
        return func(*args, **kwargs)
