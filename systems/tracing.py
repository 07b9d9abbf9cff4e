"""Tensors inside of other people's code: torch.func, torch.compile, torch.export, inference mode, fake tensors."""

import functools
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any, ParamSpec, TypeVar

import torch
from torch import Tensor, nn
from torch._C._functorch import (
    get_unwrapped,
    is_batchedtensor,
    is_functorch_wrapped_tensor,
    peek_interpreter_stack,
)
from torch._functorch.pyfunctorch import temporarily_clear_interpreter_stack
from torch.utils._python_dispatch import _disable_current_modes
from torch.utils._pytree import tree_map

Arguments = ParamSpec("Arguments")
Made = TypeVar("Made")


@contextmanager
def outside() -> Iterator[None]:
    """Leave every mode and transform of torch: what is made here may be kept, and used anywhere later.

    A tensor that is made within `torch.func.grad` belongs to that transform, one that is made in inference mode can
    have no derivative, one that is made among fake tensors has no values.

    Example:
        >>> with torch.inference_mode(), outside():
        ...     kept = torch.ones(2)
        >>> kept.is_inference()
        False
    """
    with (
        torch._C.DisableTorchFunction(),
        torch.inference_mode(False),
        torch.autocast("cpu", enabled=False),
        _disable_current_modes(),
        temporarily_clear_interpreter_stack(),
    ):
        yield


def constant(make: Callable[Arguments, Made]) -> Callable[Arguments, Made]:
    """`functools.cache` for functions that return tensors, which are made `outside`; compiled code has them as values.

    They are made once for each dtype and device: a copy to a GPU would wait for it.

    Example:
        >>> @constant
        ... def ones(n: int, dtype: torch.dtype) -> Tensor:
        ...     return torch.ones(n, dtype=dtype)
        >>> torch.func.grad(lambda x: (x * ones(2, x.dtype)).sum())(torch.zeros(2))
        tensor([1., 1.])
        >>> ones(2, torch.float32) is ones(2, torch.float32)
        True
    """

    @functools.cache
    def kept(*args: Arguments.args, **kwargs: Arguments.kwargs) -> Made:
        with outside():
            return make(*args, **kwargs)

    @functools.wraps(make)
    def looked_up(*args: Arguments.args, **kwargs: Arguments.kwargs) -> Made:
        found = kept(*args, **kwargs)
        if not torch._C._len_torch_dispatch_stack() and peek_interpreter_stack() is None:
            return found
        # As of a literal, torch.tensor([1.0]): a mode that traces takes note of it.
        return tree_map(_lifted, found)

    return torch.compiler.assume_constant_result(looked_up)


def _lifted(value: object) -> object:
    return torch.ops.aten.lift_fresh.default(value) if isinstance(value, Tensor) else value


def autocast_dtype(x: Tensor) -> torch.dtype | None:
    """What autocast rounds a product of x to; None where it is off. It ends before the backward pass.

    Example:
        >>> with torch.autocast("cpu", torch.bfloat16):
        ...     autocast_dtype(torch.zeros(2))
        torch.bfloat16
    """
    device = x.device.type
    if not _has_autocast(device) or not torch.is_autocast_enabled(device):
        return None
    return torch.get_autocast_dtype(device)


@torch.compiler.assume_constant_result  # torch.compile of torch 2.11 cannot look into it
def _has_autocast(device: str) -> bool:
    return torch.amp.is_autocast_available(device)


def pushed_forward(
    function: Callable[..., Any], points: tuple[Tensor, ...], directions: tuple[Tensor, ...]
) -> tuple[Any, Any]:
    """The values of a function of tensors, and their derivatives along directions.

    Example:
        >>> pushed_forward(torch.square, (torch.tensor(3.0),), (torch.tensor(1.0),))
        (tensor(9.), tensor(6.))
    """
    points, directions = (tuple(x.contiguous() for x in tensors) for tensors in (points, directions))
    found: Any = torch.func.jvp(function, points, directions)
    return found[0], found[1]


def readable(*tensors: Tensor, wait: bool = False) -> bool:
    """Whether values can be looked at here: not while they are traced, batched by vmap, fake, or without memory.

    Args:
        *tensors: what would be looked at.
        wait: also where the host waits for a GPU.

    Example:
        >>> torch.func.vmap(lambda x: x + readable(x))(torch.zeros(2))
        tensor([0., 0.])
        >>> readable(torch.zeros(2))
        True
    """
    if torch.compiler.is_compiling() or torch._C._len_torch_dispatch_stack():
        return False
    return all(_has_values(tensor) and (wait or tensor.device.type == "cpu") for tensor in tensors)


def value_of(tensor: Tensor) -> Tensor:
    """The numbers themselves of a tensor that is `readable`, without what differentiates them; for use `outside`.

    Example:
        >>> def doubled(x):
        ...     with outside():
        ...         factor = value_of(x).numpy().size
        ...     return factor * x.sum()
        >>> torch.func.grad(doubled)(torch.zeros(2))
        tensor([2., 2.])
    """
    while is_functorch_wrapped_tensor(tensor):
        tensor = get_unwrapped(tensor)
    with outside():
        return tensor.detach()


def _has_values(tensor: Tensor) -> bool:
    while is_functorch_wrapped_tensor(tensor):
        if is_batchedtensor(tensor):
            return False
        tensor = get_unwrapped(tensor)
    return type(tensor) in (Tensor, nn.Parameter) and tensor.device.type != "meta"
