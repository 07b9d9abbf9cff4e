"""Derivatives that cannot be differentiated again."""

from collections.abc import Callable
from functools import wraps
from typing import Any

import torch
from torch import Tensor

Backward = Callable[..., tuple[Tensor | None, ...]]


def once_differentiable(backward: Backward) -> Backward:
    """The ``backward`` of an autograd function whose derivatives are an error to differentiate.

    torch's own decorator of this name takes the derivatives of an output that is linear in the rest for constants, and
    second derivatives come out wrong in silence.
    """

    @wraps(backward)
    def checked(ctx: Any, *gradients: Tensor | None) -> tuple[Tensor | None, ...]:
        with torch.no_grad():
            found = backward(ctx, *gradients)
        if not torch.is_grad_enabled():
            return found
        return tuple(None if x is None else _Refusal.apply(x, torch.zeros((), requires_grad=True)) for x in found)

    return checked


class _Refusal(torch.autograd.Function):
    @staticmethod
    def forward(ctx: Any, x: Tensor, anchor: Tensor) -> Tensor:
        return x.view_as(x)

    @staticmethod
    def backward(ctx: Any, *gradients: Tensor) -> Any:
        raise RuntimeError(
            "there is no second derivative of implicit or recomputed steps, nor of machine code (compile=off)"
        )
