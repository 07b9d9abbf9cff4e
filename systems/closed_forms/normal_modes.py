"""Linear springs in closed form, by normal modes.

With x_i = sqrt(m_i) q_i and y_i = p_i / sqrt(m_i), the equations m_i q_i'' = sum over j of k_ij (q_j - q_i) become
x'' = -A x, with a symmetric matrix A = U diag(lambda) U^T. Each of its modes moves by itself:

    x(t) = C x(0) + S y(0)         C = cos(sqrt(A) t)
    y(t) = C y(0) - A S x(0)       S = sin(sqrt(A) t) / sqrt(A)

C and S are entire functions of A: where lambda < 0 they are cosh and sinh, where it is 0 they are 1 and t. For every
lambda they obey C(s + t) = C(s) C(t) - lambda S(s) S(t) and S(s + t) = S(s) C(t) + C(s) S(t), so that on an even grid
of times a table of all cosines is the product of two short ones.

Parts that no spring joins are solved each by itself, so that an unstable one spoils no other. Of each part the centre
of mass moves straight and is taken out first: far from the origin the digits of the relative motion remain. Where
frequencies span so many orders of magnitude that the usual eigenvalues lose digits, `graded_modes` keeps them.

The derivative of a function f of a symmetric matrix needs no derivative of eigenvectors, which do not exist where two
frequencies are equal: df(A) = U (D * U^T dA U) U^T with the divided differences D_kl = (f(lambda_k) - f(lambda_l)) /
(lambda_k - lambda_l), which are f'(lambda) for equal ones (Higham, Functions of Matrices, 2008, theorem 3.11).
"""

import ctypes
import math
from typing import Any

import numpy as np
import torch
from jaxtyping import Bool, Float
from torch import Tensor

from systems.closed_forms.compiled_modes import add_up, machine_code
from systems.closed_forms.mode_gradients import Gradient
from systems.closed_forms.mode_tables import by_torch, part_of
from systems.closed_forms.modes import amplitudes, labels, modes_of
from systems.phase_space import PhaseSpace


def normal_mode_flow(
    mass: Float[Tensor, "*#batch n"],
    spring_constant: Float[Tensor, "*#batch n n"],
    state: PhaseSpace,
    times: Float[Tensor, " time *#batch"],
    mask: Bool[Tensor, "*#batch n"] | None = None,
) -> PhaseSpace:
    """The exact flow of m_i q_i'' = sum over j of k_ij (q_j - q_i), ``(time, *batch, n, d)``.

    Computed in float64, whatever the dtype. The centre of mass of each connected part moves exactly straight. A
    trajectory is the same to the last bit whatever else is in the batch, on any number of threads. In memory one
    trajectory follows the other. Differentiable any number of times in all arguments, also where frequencies coincide.

    Every body is right to about 1e-9 of its own amplitude, whatever the span of masses and constants, beyond what the
    rounding of the inputs does to phases: a relative error of 1e-16 of a frequency w moves its phase by 1e-16 w t / 2.
    Parts with a negative constant, or of more than `modes.GRADED_BODIES` bodies, go through the usual eigenvalues
    alone.

    Warns:
        UserWarning: where these may have lost so many digits that phases are off by more than `modes.TOLERATED`, with
            the bound.

    Args:
        mass: positive.
        spring_constant: k_ij, symmetric, of any sign; the diagonal has no meaning.
        state: ``(*batch, n, d)`` at ``times[0]``.
        times: ``(time,)`` or ``(time, *batch)``, in any order.
        mask: True where a body exists; the others stay at zero. Masked bodies must have no springs.

    Example:
        >>> import torch
        >>> k = torch.tensor([[0.0, 1.0], [1.0, 0.0]])
        >>> start = PhaseSpace(q=torch.tensor([[1.0], [-1.0]]), p=torch.zeros(2, 1))
        >>> period = math.sqrt(2) * math.pi
        >>> normal_mode_flow(torch.ones(2), k, start, torch.tensor([0.0, period / 2, period])).q[..., 0]
        tensor([[ 1., -1.],
                [-1.,  1.],
                [ 1., -1.]])
    """
    q, p = state
    batch = torch.broadcast_shapes(q.shape[:-2], mass.shape[:-1], spring_constant.shape[:-2], times.shape[1:])
    root = mass.double().sqrt()[..., None]
    k = spring_constant.double() * (1 - torch.eye(q.shape[-2], dtype=torch.float64, device=q.device))
    matrix = (torch.diag_embed(k.sum(-1)) - k) / (root * root.mT)
    x, y = (q.double() * root).expand(*batch, *q.shape[-2:]), p.double() / root
    elapsed = (times.double() - times[0].double()).movedim(0, -1)[..., None]
    matrix, root, x, y, elapsed, k, q_, p_ = (_flat(z, batch) for z in (matrix, root, x, y, elapsed, k, q, p))
    with torch.no_grad():
        label = labels(k)
        square, modes, still = modes_of(matrix, root, k, label, elapsed.abs().amax((-2, -1)))
        a, b = amplitudes(modes, still, root, label, q_.double(), p_.double())
    if mask is not None:
        real = _flat(mask[..., None], batch)
        modes = torch.where(real, modes, 0)
    trajectory = _Flow.apply(matrix, root, x, y, elapsed, square[..., None], modes, a, b)
    return PhaseSpace(*(z.movedim(1, 0).reshape(-1, *batch, *q.shape[-2:]).to(q.dtype) for z in trajectory))


def _flat(x: Tensor, batch: torch.Size) -> Tensor:
    """``(*batch, a, b)`` as ``(trajectory, a, b)``; of length 1 where all trajectories share it."""
    own = x.shape[-2:]
    if math.prod(x.shape[:-2]) == 1:
        return x.reshape(1, *own)
    return x.expand(*batch, *own).reshape(-1, *own)


class _Flow(torch.autograd.Function):
    """q(t), p(t) ``(trajectory, time, n, d)`` from the modes of ``matrix`` and their amplitudes a = U^T x, b = U^T y.

    Its derivative, with respect to all but modes and amplitudes, is `Gradient`.
    """

    @staticmethod
    def forward(
        matrix: Tensor,
        root: Tensor,
        x: Tensor,
        y: Tensor,
        t: Tensor,
        square: Tensor,
        modes: Tensor,
        a: Tensor,
        b: Tensor,
    ) -> tuple[Tensor, Tensor]:
        values = root, t, square, modes, *(z.expand_as(x) for z in (a, b))
        library, steady = machine_code(x), (square >= 0).flatten(1).all(1)
        if library is None or not steady.any():
            return by_torch(*values)
        if steady.all():
            return _by_machine_code(library, *values)
        found = [x.new_empty(len(x), t.shape[1], *x.shape[1:]) for _ in range(2)]
        for rows, parts in (
            (steady, _by_machine_code(library, *part_of(steady, *values))),
            (~steady, by_torch(*part_of(~steady, *values))),
        ):
            for whole, part in zip(found, parts, strict=True):
                whole[rows] = part
        return found[0], found[1]

    @staticmethod
    def setup_context(ctx: Any, inputs: tuple[Tensor, ...], output: tuple[Tensor, ...]) -> None:
        ctx.save_for_backward(*inputs)

    @staticmethod
    def backward(ctx: Any, *gradients: Tensor) -> tuple[Tensor | None, ...]:
        *inputs, square, modes, _, _ = ctx.saved_tensors
        return (*Gradient.apply(*inputs, *gradients, square, modes), None, None, None, None)


def _by_machine_code(
    library: ctypes.CDLL, root: Tensor, t: Tensor, square: Tensor, modes: Tensor, a: Tensor, b: Tensor
) -> tuple[Tensor, Tensor]:
    """`_Flow` where nothing grows."""
    count, n, d = a.shape
    q, p = (torch.from_numpy(np.empty((count, t.shape[1], n, d))) for _ in range(2))  # as in `mode_tables`
    add_up(library, square, root, modes, a, b, t, q, p)
    return q, p
