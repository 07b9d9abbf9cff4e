"""Derivatives of normal modes added up (see `normal_modes`), of any order."""

from typing import Any

import torch
from torch import Tensor

from systems.closed_forms.mode_tables import blocks_of, part_of
from systems.closed_forms.waves import divided_differences, waves


class Gradient(torch.autograd.Function):
    """What the flow hands back to ``matrix, root, x, y, t``; higher derivatives go through the matrix exponential."""

    @staticmethod
    def forward(
        matrix: Tensor,
        root: Tensor,
        x: Tensor,
        y: Tensor,
        t: Tensor,
        gradient_q: Tensor,
        gradient_p: Tensor,
        square: Tensor,
        modes: Tensor,
    ) -> tuple[Tensor, ...]:
        count, n, _ = x.shape
        totals = [torch.zeros_like(z) for z in (matrix, root, x, y, t)]
        for some in blocks_of(count, n * n * t.shape[1]):
            for when in blocks_of(t.shape[1], n * n):
                root_, x_, y_, t_, square_, modes_ = part_of(some, root, x, y, t[:, when], square, modes)
                gradients = gradient_q[some, when], gradient_p[some, when]
                parts = _gradient(root_, x_, y_, t_, *gradients, square_, modes_)
                matrix_, root_, x_, y_, t_ = part_of(some, *totals)
                for total, part in zip((matrix_, root_, x_, y_, t_[:, when]), parts, strict=True):
                    total += part.sum_to_size(total.shape)
        return tuple(totals)

    @staticmethod
    def setup_context(ctx: Any, inputs: tuple[Tensor, ...], output: tuple[Tensor, ...]) -> None:
        ctx.save_for_backward(*inputs[:-2])

    @staticmethod
    def backward(ctx: Any, *gradients: Tensor) -> tuple[Tensor | None, ...]:
        def gradient(*inputs: Tensor) -> tuple[Tensor, ...]:
            return torch.func.vjp(_exponential_flow, *inputs[:5])[1](inputs[5:])

        return (*torch.func.vjp(gradient, *ctx.saved_tensors)[1](gradients), None, None)


def _exponential_flow(matrix: Tensor, root: Tensor, x: Tensor, y: Tensor, t: Tensor) -> tuple[Tensor, Tensor]:
    """The same as the flow, slower and less exact, with derivatives of every order."""
    matrix = (matrix + matrix.mT) / 2
    identity = torch.eye(matrix.shape[-1], dtype=t.dtype, device=t.device).expand_as(matrix)
    zero = torch.zeros_like(matrix)
    generator = torch.cat([torch.cat([zero, identity], -1), torch.cat([-matrix, zero], -1)], -2)
    flow = torch.linalg.matrix_exp((t[..., None] * generator[:, None]).contiguous())  # it fails on other strides
    x, y = (flow @ torch.cat([x, y], -2)[:, None]).chunk(2, -2)
    return x / root[:, None], y * root[:, None]


def _gradient(
    root: Tensor, x: Tensor, y: Tensor, t: Tensor, gradient_q: Tensor, gradient_p: Tensor, square: Tensor, modes: Tensor
) -> tuple[Tensor, ...]:
    """`Gradient` for one block: in the basis of the modes, with divided differences for the matrix."""
    a, b = (modes.mT @ x)[:, None], (modes.mT @ y)[:, None]
    gradient_x, gradient_y = (
        modes.mT[:, None] @ (gradient_q / root[:, None]),
        modes.mT[:, None] @ (gradient_p * root[:, None]),
    )
    c, s = (wave.mT[..., None] for wave in waves(square, t.mT))
    square = square[:, None]
    x, y = c * a + s * b, c * b - square * s * a
    of_x, of_y = c * gradient_x - square * s * gradient_y, s * gradient_x + c * gradient_y
    of_root = gradient_p * (modes[:, None] @ y) - gradient_q * (modes[:, None] @ x) / root[:, None].square()
    of_t = gradient_x * y - square * gradient_y * x
    dc, ds = divided_differences(square * t[..., None].square(), (square * t[..., None].square()).mT)
    dc, ds = dc * t[..., None] ** 2, ds * t[..., None] ** 3
    of_matrix = (
        dc * (gradient_x @ a.mT + gradient_y @ b.mT)
        + ds * (gradient_x @ b.mT)
        - (square * ds + s.mT) * (gradient_y @ a.mT)
    ).sum(1)
    return (
        modes @ (of_matrix + of_matrix.mT) @ modes.mT / 2,
        of_root.sum(1).sum(-1, keepdim=True),
        modes @ of_x.sum(1),
        modes @ of_y.sum(1),
        of_t.sum(-2).sum(-1, keepdim=True),
    )
