"""Memory for time: a function whose backward pass computes it again."""

from collections.abc import Callable, Sequence
from functools import partial
from typing import Any

import torch
from torch import Tensor

from systems.tracing import autocast_dtype


def recomputed(function: Callable[..., Tensor | tuple[Tensor, ...]], *tensors: Tensor) -> Any:
    """``function(*tensors)``, keeping for its derivatives nothing but its arguments.

    Unlike `torch.utils.checkpoint`, the backward pass is itself recomputed when it is differentiated (to train
    Hamiltonians, say), and so on to any order.

    Args:
        function: pure. It must not close over tensors that were made within a `torch.func` transform.
        tensors: what it depends on; those that are not floating-point, such as indices, have no derivative.

    Example:
        >>> x = torch.tensor(2.0, requires_grad=True)
        >>> y = recomputed(lambda x: x.sin().exp(), x)
        >>> (first,) = torch.autograd.grad(y, x, create_graph=True)
        >>> (second,) = torch.autograd.grad(first, x)
        >>> bool(torch.isclose(second, y * (x.cos() ** 2 - x.sin())))
        True
    """
    if (rounded := autocast_dtype(tensors[0])) is not None:  # for the backward pass too
        function = torch.autocast(tensors[0].device.type, rounded)(function)
    return _Recomputed.apply(function, *tensors)


class _Recomputed(torch.autograd.Function):
    generate_vmap_rule = True

    @staticmethod
    def forward(function: Callable, *tensors: Tensor) -> Any:
        return function(*tensors)

    @staticmethod
    def setup_context(ctx: Any, inputs: tuple, output: Any) -> None:
        ctx.function, *tensors = inputs
        ctx.save_for_backward(*tensors)
        ctx.save_for_forward(*tensors)

    @staticmethod
    def backward(ctx: Any, *cotangents: Tensor) -> tuple[Tensor | None, ...]:
        wanted = [place for place, needed in enumerate(ctx.needs_input_grad[1:]) if needed]
        pull = partial(_pullback, ctx.function, len(cotangents), wanted)
        gradients = iter(recomputed(pull, *cotangents, *ctx.saved_tensors))
        return None, *(next(gradients) if needed else None for needed in ctx.needs_input_grad[1:])

    @staticmethod
    def jvp(ctx: Any, *tangents: Tensor | None) -> Any:
        moving = [place for place, tangent in enumerate(tangents[1:]) if tangent is not None]
        output, pull = _vjp(ctx.function, ctx.saved_tensors, moving)
        # Pulling back is linear in the cotangents; its transpose pushes forward. (Forward mode does not nest.)
        anywhere = tuple(map(torch.zeros_like, output)) if isinstance(output, tuple) else torch.zeros_like(output)
        return torch.func.vjp(pull, anywhere)[1](tuple(tangents[1 + place] for place in moving))[0]


def _vjp(function: Callable, tensors: Sequence[Tensor], wanted: list[int]) -> tuple[Any, Callable]:
    """`torch.func.vjp` with respect to some of the tensors."""

    def of_wanted(*chosen: Tensor) -> Any:
        place = dict(zip(wanted, chosen, strict=True))
        return function(*(place.get(i, tensor) for i, tensor in enumerate(tensors)))

    return torch.func.vjp(of_wanted, *(tensors[i] for i in wanted))[:2]


def _pullback(function: Callable, outputs: int, wanted: list[int], *arguments: Tensor) -> tuple[Tensor, ...]:
    """The vector-Jacobian product with respect to the ``wanted`` ones of the tensors."""
    cotangents, tensors = arguments[:outputs], arguments[outputs:]
    output, pull = _vjp(function, tensors, wanted)
    return pull(cotangents if isinstance(output, tuple) else cotangents[0])
