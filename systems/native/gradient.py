"""Trajectories of machine code as functions that have a gradient."""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor
from torch.func import functional_call

from systems.integrators.once import once_differentiable
from systems.integrators.recomputation import unknown_leaf
from systems.integrators.steps import wide
from systems.native.methods import Plan
from systems.native.reason import NotNative
from systems.native.trace import Caller, learned
from systems.phase_space import PhaseSpace
from systems.vector_field import AbstractVectorField


class Trajectory(torch.autograd.Function):
    """q and p ``(time, *batch, n, d)`` of first states and of the field's values, by a `kernel.Kernel` with a way back.

    With them how each of the batch ended.

    Only the states at the output times are stored: the way back takes the steps between them again.
    """

    @staticmethod
    def forward(
        ctx: Any, kernel: Any, plan: Plan, q: Tensor, p: Tensor, values: Tensor
    ) -> tuple[Tensor, Tensor, Tensor]:
        q, p, status = kernel.forwards(plan, q, p, values)
        ctx.kernel, ctx.plan = kernel, plan
        ctx.save_for_backward(q, p, values)
        ctx.mark_non_differentiable(status)
        return q, p, status

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, *gradients: Tensor) -> tuple[Tensor | None, ...]:  # pyright: ignore[reportIncompatibleMethodOverride]
        q, p, values = ctx.saved_tensors
        return (None, None, *ctx.kernel.backwards(ctx.plan, q, p, values, *(x.contiguous() for x in gradients[:2])))


def check_known(field: AbstractVectorField, state: PhaseSpace, t: Tensor) -> None:
    """A NotNative if a field uses tensors that require a gradient and are none of its parameters and buffers."""
    leaves = {f"field.{name}": x.detach().requires_grad_() for name, x in learned(field).items()}
    q, p = (x.detach() for x in state)
    with torch.enable_grad():
        caller = Caller(field, lambda field, t, q, p: tuple(field(t, PhaseSpace(q, p))))
        rates = functional_call(caller, leaves, (wide(t.detach()), q, p))
        if unknown_leaf(rates, list(leaves.values())) is not None:
            raise NotNative("a tensor that requires a gradient and is no parameter of the field")
