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
import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import numpy as np
import torch
from jaxtyping import Bool, Float
from torch import Tensor

from systems.closed_forms.compiled_modes import FEW, add_up, diagonalised, machine_code
from systems.closed_forms.graded_modes import graded_modes
from systems.closed_forms.waves import HUGE, divided_differences, waves
from systems.phase_space import PhaseSpace

_LINE = 8  # numbers in a line of the cache
_BLOCK = 800_000  # numbers in a table: small enough for the cache, large enough to hide the cost of calling torch


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
    Parts with a negative constant, or of more than `GRADED_BODIES` bodies, go through the usual eigenvalues alone.

    Warns:
        UserWarning: where these may have lost so many digits that phases are off by more than `TOLERATED`, with the
            bound.

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
        label = _labels(k)
        square, modes, still = _modes(matrix, root, k, label, elapsed.abs().amax((-2, -1)))
        a, b = _amplitudes(modes, still, root, label, q_.double(), p_.double())
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


def _labels(k: Tensor) -> Tensor:
    """``(*batch, n)``: of each body the first one that it hangs together with, through however many springs."""
    joined = (k != 0) | torch.eye(k.shape[-1], dtype=torch.bool, device=k.device)
    if joined.all():
        return joined.new_zeros(k.shape[:-1], dtype=torch.long)
    reached = joined.float()
    for _ in range(k.shape[-1].bit_length()):  # each round doubles the number of springs
        further = (reached @ reached).clamp(max=1)
        if further.equal(reached):
            break
        reached = further
    return (reached > 0).int().argmax(-1)


#: Frequencies so far apart lose digits in the usual eigenvalues; parts of so many bodies can be solved otherwise.
GRADED_SPAN, GRADED_BODIES = 1e4, 64
#: An error of a phase, in radians, that is not passed over in silence.
TOLERATED = 1e-9


def _modes(matrix: Tensor, root: Tensor, k: Tensor, label: Tensor, span: Tensor) -> tuple[Tensor, Tensor, Tensor]:
    """lambda ``(trajectory, n)``, U ``(trajectory, n, n)``, and which mode of each part moves all its bodies alike.

    Of that one lambda is exactly zero. Columns are in the order of the bodies' parts: those of a part stand where its
    bodies do. ``span``, ``(trajectory,)`` or of length 1, is the longest time.
    """
    if not label.any():
        return _modes_of_part(matrix, root, k, span)
    n = matrix.shape[-1]
    count = max(len(x) for x in (matrix, root, k))
    matrix, root, k = (x.expand(count, *x.shape[1:]) for x in (matrix, root, k))
    square, modes = matrix.new_zeros(count, n), matrix.new_zeros(count, n, n)
    still = torch.zeros_like(square, dtype=torch.bool)
    patterns, which = label.unique(dim=0, return_inverse=True)
    for number, pattern in enumerate(patterns):
        rows = (which == number).nonzero()[:, 0] if len(label) == count else torch.arange(count, device=k.device)
        for first in pattern.unique():
            own = (pattern == first).nonzero()[:, 0]
            block = (rows[:, None, None], own[:, None], own)
            times = span[rows] if len(span) > 1 else span
            place = rows[:, None], own
            found = _modes_of_part(matrix[block], root[rows][:, own], k[block], times)
            square[place], modes[block], still[place] = found
    return square, modes, still


def _modes_of_part(matrix: Tensor, root: Tensor, k: Tensor, span: Tensor) -> tuple[Tensor, Tensor, Tensor]:
    """`_modes` where all bodies hang together.

    There all bodies can move alike: sqrt(m) is a null vector. Its projector, with a factor beyond all |lambda|, makes
    it the eigenvector of an eigenvalue that is easy to recognise.
    """
    null = root * root.mT / root.square().mT.sum(-1, keepdim=True)
    bound = matrix.abs().sum(-1).amax(-1)[..., None]  # Gershgorin
    square, modes, n = *_diagonalised(matrix + 2 * bound[..., None] * null, 4 * bound), matrix.shape[-1]
    still = (square > 1.5 * bound) | (n == 1)
    square = torch.where(still, 0, square)
    # The eigenvalues are off by about a unit in the last place of the largest one.
    size = square.abs()
    slowest = torch.where(still, torch.inf, size).amin(-1)
    graded = size.amax(-1) > GRADED_SPAN * slowest
    if not graded.any():
        return square, modes, still
    solvable = graded & (k >= 0).all((-2, -1)) & (n <= GRADED_BODIES)
    if solvable.any():
        masses = root[..., 0].square().expand(len(square), n)
        square, modes, still = square.clone(), modes.clone(), still.clone()
        square[solvable], modes[solvable] = graded_modes(masses[solvable], k.expand_as(modes)[solvable])
        still[solvable] = torch.arange(n, device=k.device) == 0
    off = torch.finfo(square.dtype).eps * size.amax(-1) / (2 * slowest.sqrt()) * span
    lost = graded & ~solvable & (off > TOLERATED)
    if lost.any():
        warnings.warn(
            "closed form of springs: masses or constants span so many orders of magnitude that phases of the slowest "
            f"modes may be off by up to {off[lost].max().item():.1g} rad ({int(lost.sum())} of {lost.numel()} "
            "systems): an adaptive integrator may be more accurate",
            UserWarning,
            stacklevel=2,
        )
    return square, modes, still


def _diagonalised(matrix: Tensor, beyond: Tensor) -> tuple[Tensor, Tensor]:
    """Eigenvalues ``(trajectory, n)`` below ``beyond (trajectory, 1)``, and vectors ``(trajectory, n, n)``."""
    library, n = machine_code(matrix), matrix.shape[-1]
    if library is not None and n <= FEW and bool(beyond.isfinite().all()):
        return diagonalised(library, matrix)
    # LAPACK's last bits depend on where a matrix begins in memory, so its size is filled up to whole cache lines, with
    # eigenvalues beyond the others; and on the number of threads.
    extra = -n % 4
    padded = torch.nn.functional.pad(matrix, (0, extra, 0, extra))
    padded.diagonal(dim1=-2, dim2=-1)[..., n:] = torch.where(beyond > 0, beyond, 1)
    with _one_thread():
        square, modes = torch.linalg.eigh(padded)
    return square[..., :n], modes[..., :n, :n]


def _of_parts(values: Tensor, label: Tensor) -> Tensor:
    """The sums of values ``(trajectory, n, d)`` over the bodies of each part, at each of its bodies."""
    count = max(len(values), len(label))
    place = label[..., None].expand(count, *values.shape[1:])
    values = values.expand_as(place)
    return torch.zeros_like(values).scatter_add(-2, place, values).gather(-2, place)


def _amplitudes(
    modes: Tensor, still: Tensor, root: Tensor, label: Tensor, q: Tensor, p: Tensor
) -> tuple[Tensor, Tensor]:
    """U^T x and U^T y ``(trajectory, n, d)``, with the centre of mass of each part taken out first.

    ``still`` marks the mode of each part in which all its bodies move alike: sqrt(m / M), up to its sign. Far from the
    origin only q itself holds the digits of the differences: sqrt(m) q has lost them.
    """
    mass = root.square()
    total, momentum = _of_parts(mass, label), _of_parts(p, label)
    centre = _of_parts(mass * q, label) / total
    centre = centre + _of_parts(mass * (q - centre), label) / total  # once more: of what rounding left
    x, y = root * (q - centre), (p - mass * momentum / total) / root
    # Sums, not products of matrices: those would round as the memory happens to lie.
    a, b = (modes[..., None] * torch.cat([x, y], -1)[:, :, None]).sum(1).split(q.shape[-1], -1)
    size = (modes * root).sum(-2).sign()[..., None] * total.sqrt()
    still = still[..., None]
    return torch.where(still, size * centre, a), torch.where(still, momentum / size, b)


@contextmanager
def _one_thread() -> Iterator[None]:
    """One core for what rounds differently on several."""
    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    try:
        yield
    finally:
        torch.set_num_threads(threads)


def _table(square: Tensor, t: Tensor, coarse: int, out: Tensor) -> None:
    """C and S of each mode ``square (b, n, 1)`` at the times ``t (b, time, 1)``, into ``out (b, n, 2, time)``.

    ``coarse`` is the number of times between the coarse points of an even grid; 0 if the grid is not even. ``out`` has
    room for more times than there are.
    """
    if not coarse:
        for wave, place in zip(waves(square, t.mT), out.unbind(2), strict=True):
            place[..., : t.shape[1]] = wave
            place[..., t.shape[1] :] = 0
        return
    c, s = (wave[..., None] for wave in waves(square, torch.cat([t[:, ::coarse], t[:, :coarse]], 1).mT))
    (c0, c1), (s0, s1) = (wave.split([c.shape[2] - coarse, coarse], 2) for wave in (c, s))
    cosines, sines = out.unflatten(-1, (-1, coarse)).unbind(2)
    torch.mul(c0, c1.mT, out=cosines).addcmul_(square[..., None] * s0, s1.mT, value=-1)
    torch.mul(s0, c1.mT, out=sines).addcmul_(c0, s1.mT)


def _coarse(t: Tensor) -> int:
    """How many times to put between the coarse points of the grid ``t (b, time, 1)``; 0 if it is not even."""
    if len(t) != 1 or t.shape[1] < 4 * _LINE:
        return 0
    count = -(-math.isqrt(2 * t.shape[1]) // _LINE) * _LINE
    grid = (t[0, ::count] + t[0, :count].mT).flatten()[: t.shape[1]]
    even = (grid - t[0, :, 0]).abs().max() <= 4 * torch.finfo(t.dtype).eps * t.abs().max()
    return count if even else 0


def _blocks(total: int, size: int) -> Iterator[slice]:
    """Slices of ``range(total)`` for things of ``size`` numbers each, about `_BLOCK` numbers a slice."""
    step = max(1, _BLOCK // max(1, size))
    return (slice(start, start + step) for start in range(0, total, step))


def _part(index: slice | Tensor, *tensors: Tensor) -> list[Tensor]:
    """Some of the trajectories; what all of them share stays."""
    return [x if len(x) == 1 else x[index] for x in tensors]


def _aligned(count: int, *shape: int, device: torch.device) -> Tensor:
    """Memory for tensors ``(count, *shape)`` of which each begins a cache line, or the last bits would depend on it."""
    size = math.prod(shape)
    if device.type != "cpu":
        return torch.empty(count, *shape, dtype=torch.float64, device=device)
    stride = -(-size // _LINE) * _LINE
    memory = np.empty(count * stride + _LINE)  # in huge pages: the first touch costs a fifth of that of torch's memory
    start = -memory.ctypes.data // memory.itemsize % _LINE
    lines = torch.from_numpy(memory[start : start + count * stride])
    return lines.view(count, stride)[:, :size].view(count, *shape)


def _by_torch(root: Tensor, t: Tensor, square: Tensor, modes: Tensor, a: Tensor, b: Tensor) -> tuple[Tensor, Tensor]:
    """`_Flow` by torch: products of tables of cosines."""
    (count, n, d), times, device = a.shape, t.shape[1], a.device
    rows = -(-times // _LINE) * _LINE
    q, p = (_aligned(count, rows, n, d, device=device) for _ in range(2))
    coarse = _coarse(t)
    blocks = list(_blocks(count, 2 * n * times))
    # One memory for the tables of all blocks: to touch new memory costs more than to write there.
    tables = min([max(len(square), len(t)), *(some.stop for some in blocks[:1])])
    step = coarse or _LINE
    memory = _aligned(tables, n, 2, -(-times // step) * step, device=device)
    for some in blocks:
        root_, a_, b_, t_, square_, modes_ = _part(some, root, a, b, t, square, modes)
        room = memory[: len(a_)]
        _table(square_, t_, coarse, room)
        table = room.flatten(1, 2)[..., :rows].mT.expand(len(a_), -1, -1)
        weights = _aligned(len(a_), n, 2, n, d, device=device)
        for out, shapes, amplitudes in (
            (q, modes_ / root_, (a_, b_)),  # q = U (C a + S b) / sqrt(m)
            (p, modes_ * root_, (b_, -square_ * a_)),  # p = U (C b - lambda S a) * sqrt(m)
        ):
            torch.mul(shapes.mT[:, :, None, :, None], torch.stack(amplitudes, 2)[:, :, :, None], out=weights)
            torch.bmm(table, weights.view(-1, 2 * n, n * d), out=out[some].flatten(2))
            if (square_ < 0).any():
                grown = (room[..., :rows].abs() >= HUGE).any(2).to(modes_.dtype)
                out[some][((modes_ != 0).to(modes_.dtype) @ grown).mT > 0] = torch.inf
    return q[:, :times], p[:, :times]


def _by_machine_code(
    library: ctypes.CDLL, root: Tensor, t: Tensor, square: Tensor, modes: Tensor, a: Tensor, b: Tensor
) -> tuple[Tensor, Tensor]:
    """`_Flow` where nothing grows."""
    count, n, d = a.shape
    q, p = (torch.from_numpy(np.empty((count, t.shape[1], n, d))) for _ in range(2))  # as in `_aligned`
    add_up(library, square, root, modes, a, b, t, q, p)
    return q, p


class _Flow(torch.autograd.Function):
    """q(t), p(t) ``(trajectory, time, n, d)`` from the modes of ``matrix`` and their amplitudes a = U^T x, b = U^T y.

    Its derivative, with respect to all but modes and amplitudes, is `_Gradient`.
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
            return _by_torch(*values)
        if steady.all():
            return _by_machine_code(library, *values)
        found = [x.new_empty(len(x), t.shape[1], *x.shape[1:]) for _ in range(2)]
        for rows, parts in (
            (steady, _by_machine_code(library, *_part(steady, *values))),
            (~steady, _by_torch(*_part(~steady, *values))),
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
        return (*_Gradient.apply(*inputs, *gradients, square, modes), None, None, None, None)


class _Gradient(torch.autograd.Function):
    """What `_Flow` hands back to ``matrix, root, x, y, t``; higher derivatives go through the matrix exponential."""

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
        for some in _blocks(count, n * n * t.shape[1]):
            for when in _blocks(t.shape[1], n * n):
                root_, x_, y_, t_, square_, modes_ = _part(some, root, x, y, t[:, when], square, modes)
                gradients = gradient_q[some, when], gradient_p[some, when]
                parts = _gradient(root_, x_, y_, t_, *gradients, square_, modes_)
                matrix_, root_, x_, y_, t_ = _part(some, *totals)
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
    """The same as `_Flow`, slower and less exact, with derivatives of every order."""
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
    """`_Gradient` for one block: in the basis of the modes, with divided differences for the matrix."""
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
