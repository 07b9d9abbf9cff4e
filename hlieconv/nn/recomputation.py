"""Memory for time: a function whose backward pass computes it again."""

from collections.abc import Callable
from functools import partial
from typing import Any

import torch
from torch import Tensor


def recomputed(function: Callable[..., Tensor | tuple[Tensor, ...]], *tensors: Tensor) -> Any:
    """``function(*tensors)``, keeping for its derivatives nothing but its arguments.

    Unlike `torch.utils.checkpoint`, the backward pass is itself recomputed when it is differentiated (to train
    Hamiltonians, say), and so on to any order.

    Args:
        function: pure; what it closes over is constant, to be differentiated only with respect to ``tensors``.
        tensors: floating-point.

    Example:
        >>> x = torch.tensor(2.0, requires_grad=True)
        >>> y = recomputed(lambda x: x.sin().exp(), x)
        >>> (first,) = torch.autograd.grad(y, x, create_graph=True)
        >>> (second,) = torch.autograd.grad(first, x)
        >>> bool(torch.isclose(second, y * (x.cos() ** 2 - x.sin())))
        True
    """
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
        slopes = iter(recomputed(pull, *cotangents, *ctx.saved_tensors))
        return None, *(next(slopes) if needed else None for needed in ctx.needs_input_grad[1:])

    @staticmethod
    def jvp(ctx: Any, *tangents: Tensor | None) -> Any:
        tensors = ctx.saved_tensors
        filled = tuple(torch.zeros_like(x) if t is None else t for x, t in zip(tensors, tangents[1:], strict=True))
        output, pull = torch.func.vjp(ctx.function, *tensors)[:2]
        # Pulling back is linear in the cotangents; its transpose pushes forward. (Forward mode does not nest.)
        anywhere = tuple(map(torch.zeros_like, output)) if isinstance(output, tuple) else torch.zeros_like(output)
        return torch.func.vjp(pull, anywhere)[1](filled)[0]


def _pullback(function: Callable, outputs: int, wanted: list[int], *arguments: Tensor) -> tuple[Tensor, ...]:
    """The vector-Jacobian product with respect to the ``wanted`` ones of the tensors."""
    cotangents, tensors = arguments[:outputs], arguments[outputs:]

    def of_wanted(*chosen: Tensor) -> Any:
        place = dict(zip(wanted, chosen, strict=True))
        return function(*(place.get(i, tensor) for i, tensor in enumerate(tensors)))

    output, pull = torch.func.vjp(of_wanted, *(tensors[i] for i in wanted))[:2]
    return pull(cotangents if isinstance(output, tuple) else cotangents[0])
