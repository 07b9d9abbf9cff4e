"""The normal modes of springs, part by part, and their amplitudes (see `normal_modes`)."""

import warnings
from collections.abc import Iterator
from contextlib import contextmanager

import torch
from torch import Tensor

from systems.closed_forms.compiled_modes import FEW, diagonalised, machine_code
from systems.closed_forms.graded_modes import graded_modes

#: Frequencies so far apart lose digits in the usual eigenvalues; parts of so many bodies can be solved otherwise.
GRADED_SPAN, GRADED_BODIES = 1e4, 64
#: An error of a phase, in radians, that is not passed over in silence.
TOLERATED = 1e-9


def labels(k: Tensor) -> Tensor:
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


def modes_of(matrix: Tensor, root: Tensor, k: Tensor, label: Tensor, span: Tensor) -> tuple[Tensor, Tensor, Tensor]:
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
    """`modes_of` where all bodies hang together.

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


@contextmanager
def _one_thread() -> Iterator[None]:
    """One core for what rounds differently on several."""
    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    try:
        yield
    finally:
        torch.set_num_threads(threads)


def _of_parts(values: Tensor, label: Tensor) -> Tensor:
    """The sums of values ``(trajectory, n, d)`` over the bodies of each part, at each of its bodies."""
    count = max(len(values), len(label))
    place = label[..., None].expand(count, *values.shape[1:])
    values = values.expand_as(place)
    return torch.zeros_like(values).scatter_add(-2, place, values).gather(-2, place)


def amplitudes(
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
