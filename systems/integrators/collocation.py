"""Gauss collocation: the equations that implicit steps solve, and their derivative.

A step of length h from z looks for the derivatives K_i at s nodes (the stages) with

    K_i = f(t + c_i h, z + h sum_j a_ij K_j)    and ends at    z + h sum_i b_i K_i.

The stages are found by fixed-point iteration to round-off, for each trajectory by itself. Where H = T(p) + V(q) a sweep
takes velocities to positions to forces to momenta to velocities: it gains twice the digits of a plain one.

Sources: Hairer, Lubich & Wanner, Geometric Numerical Integration (2006), sections II.1.3, IV.2.1 and VIII.6; Hairer,
McLachlan & Razakarivony (2008), BIT 48, 231 (round-off).
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, NamedTuple

import numpy as np
import torch
from numpy.polynomial import legendre
from torch import Tensor

from systems.integrators.once import once_differentiable
from systems.integrators.steps import wide
from systems.phase_space import PhaseSpace
from systems.tracing import constant
from systems.vector_field import AbstractSeparable, AbstractVectorField

Tensors = tuple[Tensor, ...]


class Tableau(NamedTuple):
    """The coefficients of the Gauss method with s nodes."""

    nodes: Tensor
    """c ``(s)``."""
    weights: Tensor
    """b ``(1, s)``."""
    matrix: Tensor
    """a ``(s, s)``; where b_i a_ij + b_j a_ji = b_i b_j the method preserves quadratic charges."""
    roughness: Tensor
    """``(1, s)``: the last coefficient of the derivatives in orthonormal Legendre polynomials."""
    barycentric: Tensor
    """``(s)``: 1 / product of the differences to the other nodes."""


@constant
def tableau(stages: int, dtype: torch.dtype, device: torch.device, kept: int | None = None) -> Tableau:
    """By the W-transformation: in orthonormal Legendre polynomials an integral is tridiagonal.

    Args:
        stages: s.
        dtype, device: of the coefficients.
        kept: how many Legendre coefficients of the derivatives the step follows; all s by default, which is the Gauss
            method.
    """
    x, w = legendre.leggauss(stages)
    nodes, weights = (x + 1) / 2, w / 2
    k = np.arange(stages)
    values = legendre.legvander(x, stages - 1) * np.sqrt(2 * k + 1)
    off = 0.5 / np.sqrt(4 * k[1:] ** 2 - 1)
    integral = np.diag(off, -1) - np.diag(off, 1)
    integral[:, stages if kept is None else kept :] = 0
    scaled = weights[:, None] * values
    twist = scaled @ integral @ scaled.T
    if kept is None:
        twist = (twist - twist.T) / 2  # antisymmetric to the bit, for the charges' sake
    apart = nodes[:, None] - nodes + np.eye(stages)
    arrays = (nodes, weights[None], weights / 2 + twist / weights[:, None], scaled[:, -1][None], 1 / apart.prod(1))
    return Tableau(*(torch.tensor(array, dtype=dtype, device=device) for array in arrays))


def folded(operation: Callable[[Tensor, Tensor], Tensor], values: Tensor) -> Tensor:
    """The sum or product over dimension 1, by halves.

    No reduction or matrix product of the library: their rounding depends on the shape, so that a trajectory would feel
    the batch that it is in.
    """
    while values.shape[1] > 1:
        half = values.shape[1] // 2
        rest = values[:, 2 * half :]
        values = operation(values.narrow(1, 0, half), values.narrow(1, half, half))
        values = torch.cat([values, rest], 1) if rest.shape[1] else values
    return values.squeeze(1)


def weighted(coefficients: Tensor, values: Tensor) -> Tensor:
    """sum_j coefficients_ij values_j; coefficients ``(i, j)`` or ``(i, j, *batch)``, values ``(j, *batch, n, d)``."""
    missing = values.ndim + 1 - coefficients.ndim
    return folded(torch.add, coefficients[(..., *(None,) * missing)] * values)


def extrapolation(stages: int, ratio: Tensor) -> Tensor:
    """Coefficients ``(s, s)`` or ``(s, s, *batch)``: from derivatives at the nodes to those in the next step.

    Args:
        stages: s.
        ratio: ``()`` or ``(*batch)``: the next step's length over that of the last.
    """
    nodes, _, _, _, barycentric = tableau(stages, ratio.dtype, ratio.device)
    flat = (-1,) + (1,) * ratio.ndim
    apart = (1 + nodes.reshape(flat) * ratio)[:, None] - nodes.reshape(flat)
    apart = torch.where(apart == 0, torch.finfo(apart.dtype).eps ** 2, apart)
    return folded(torch.mul, apart)[:, None] * barycentric.reshape(flat) / apart


def sweep(
    field: AbstractVectorField,
    t: Tensor,
    h: Tensor,
    state: PhaseSpace,
    derivatives: Tensors,
    kept: int | None = None,
) -> Tensors:
    """Stage derivatives (dq/dt, dp/dt), each ``(s, *batch, n, d)``, from earlier ones."""
    nodes, _, matrix, _, _ = tableau(len(derivatives[0]), state.q.dtype, state.q.device, kept)
    length = wide(h)
    q = state.q + length * weighted(matrix, derivatives[0])
    if isinstance(field, AbstractSeparable):
        force = field.force(q)
        return field.velocity(state.p + length * weighted(matrix, force)), force
    p = state.p + length * weighted(matrix, derivatives[1])
    return tuple(field(wide(t + nodes.reshape(-1, *(1,) * (q.ndim - 3)) * h), PhaseSpace(q, p)))


def unknowns(field: AbstractVectorField, values: tuple[Any, ...]) -> tuple[Any, ...]:
    """What the iteration is about, of the pair (for q, for p)."""
    return values[:1] if isinstance(field, AbstractSeparable) else values


def sampled(h: Tensor, state: PhaseSpace, derivatives: Tensors) -> tuple[Tensor, PhaseSpace]:
    """A solved step at its start, at its nodes and at its end.

    Returns:
        These places ``(place,)`` as shares of its length, and the states ``(place, *batch, n, d)``.
    """
    nodes, weights, matrix, _, _ = tableau(len(derivatives[0]), h.dtype, h.device)
    rows = torch.cat([torch.zeros_like(weights), matrix, weights])
    path = PhaseSpace(*(z + wide(h) * weighted(rows, k) for z, k in zip(state, derivatives, strict=True)))
    return torch.cat([nodes.new_zeros(1), nodes, nodes.new_ones(1)]), path


def solve(
    field: AbstractVectorField,
    t: Tensor,
    h: Tensor,
    state: PhaseSpace,
    guess: Tensors,
    sweeps: int,
    kept: int | None = None,
) -> tuple[Tensors, Tensor]:
    """The stages of a step, and where ``(*batch)`` they were found."""
    with torch.no_grad():
        floors = tuple(_floor(z) for z in unknowns(field, state))
        return fixed_point(
            lambda derivatives: sweep(field, t, h, state, derivatives, kept),
            guess,
            len(floors),
            h.abs(),
            floors,
            sweeps,
        )


def fixed_point(
    image: Callable[[Tensors], Tensors], values: Tensors, count: int, h: Tensor, floors: Tensors, sweeps: int
) -> tuple[Tensors, Tensor]:
    """values = image(values), iterated for each trajectory until rounding is all that changes them.

    Args:
        image: takes tensors ``(s, *batch, n, d)`` to such.
        values: a first guess.
        count: the first so many of the values determine the others.
        h: what a value is multiplied with before it is compared to its floor.
        floors: ``(*batch)``, for each value the size to which no more than rounding counts, if it is smaller.
        sweeps: how often to try.

    Returns:
        The values, and where ``(*batch)`` the iteration converged.
    """
    eps = torch.finfo(values[0].dtype).eps
    arrived = lost = torch.zeros(values[0].shape[1:-2], dtype=torch.bool, device=values[0].device)
    before = earlier = torch.full_like(values[0][0, ..., 0, 0], torch.inf)
    for k in range(sweeps):
        found = image(values)
        pairs = zip(found[:count], values, floors, strict=False)
        change = torch.stack([_share(new - old, new, h, floor) for new, old, floor in pairs]).amax(0)
        # The next change follows from the last two ratios (a single one may be lucky). In round-off, changes no longer
        # fall.
        ahead = change if k == 0 else change * torch.maximum(change / before, before / earlier)
        small = change <= 4096 * eps
        stop = (ahead <= eps / 16) | (change == 0) | ((change >= earlier) & small)
        if arrived.numel() > 1:
            done = arrived[..., None, None]
            found = tuple(torch.where(done, old, new) for new, old in zip(found, values, strict=True))
        values = found
        arrived = arrived | (stop & ~lost)
        lost = lost | ~(change < torch.inf) | ((change > 2 * before) & ~small & (k > 3))
        if bool((arrived | lost).all()):
            break
        before, earlier = change, before
    return values, arrived


def roughness(h: Tensor, state: PhaseSpace, derivatives: Tensors) -> Tensor:
    """The last Legendre coefficient of the derivatives as a share of their size ``(*batch)``; of q or p, the larger."""
    last = tableau(len(derivatives[0]), h.dtype, h.device).roughness
    shares = [_share(weighted(last, k), k, h.abs(), _floor(z)) for k, z in zip(derivatives, state, strict=True)]
    return torch.maximum(*shares)


def _share(part: Tensor, whole: Tensor, h: Tensor, floor: Tensor) -> Tensor:
    """|h part| / |h whole|, of the largest entries; wholes below the floor count as that."""
    part, whole = (h * torch.linalg.vector_norm(x, torch.inf, (0, -2, -1)) for x in (part, whole))
    return part / torch.maximum(whole, floor).clamp(min=torch.finfo(h.dtype).tiny)


def _floor(z: Tensor) -> Tensor:
    """The increments of z below which its own rounding is what matters."""
    return z.abs().amax((-2, -1)) / 1024


def differentiable(
    field: AbstractVectorField,
    t: Tensor,
    h: Tensor,
    state: PhaseSpace,
    derivatives: Tensors,
    kept: int | None = None,
) -> Tensors:
    """Solved stages, differentiable with respect to all that the step depends on."""
    fixed = tuple(x.detach() for x in derivatives)
    found = sweep(field, t, h, state, fixed, kept)
    # A second one, of the stages alone: to ask the first would lead through all the steps before, at each step again.
    free = [x.clone().requires_grad_() for x in unknowns(field, fixed)]
    start = PhaseSpace(state.q.detach(), state.p.detach())
    image = sweep(field, t.detach(), h.detach(), start, (*free, *fixed[len(free) :]), kept)
    return _Implicit.apply(*found, *image, *free)


class _Implicit(torch.autograd.Function):
    """found, as a function of all else that it depends on, where found = image(free) is the fixed point free.

    With J the derivative of the image, a gradient g becomes lambda = g + J^T lambda, by fixed-point iteration as well.
    """

    @staticmethod
    def forward(ctx: Any, *tensors: Tensor) -> Tensors:
        ctx.save_for_backward(*tensors[2:])
        return tuple(x.view_as(x) for x in tensors[:2])

    @staticmethod
    @once_differentiable
    def backward(  # pyright: ignore[reportIncompatibleMethodOverride]
        ctx: Any, *gradients: Tensor
    ) -> tuple[Tensor | None, ...]:
        ends, free = ctx.saved_tensors[:2], ctx.saved_tensors[2:]
        count = len(free)

        def image(adjoint: Tensors) -> Tensors:
            with torch.enable_grad():
                pulled = torch.autograd.grad(
                    ends, free, (*adjoint, *gradients[count:]), retain_graph=True, allow_unused=True
                )
            return tuple(g if x is None else g + x for g, x in zip(gradients, pulled, strict=False))

        floors = tuple(torch.zeros_like(x[0, ..., 0, 0]) for x in free)
        one = torch.ones_like(floors[0])
        adjoint, _ = fixed_point(image, gradients[:count], count, one, floors, 100)
        return (*adjoint, *gradients[count:], None, None, *(None,) * count)
