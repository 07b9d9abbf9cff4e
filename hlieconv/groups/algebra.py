"""The matrices of a Lie algebra: their entries, names, brackets."""

import torch
from jaxtyping import Float
from torch import Tensor

from systems.tracing import constant

#: One generator: the entries (row, column, value) of its matrix that are not zero.
Entries = tuple[tuple[int, int, float], ...]


def entries_of(matrix: Float[Tensor, "r r"]) -> Entries:
    """The entries of a matrix that are not zero."""
    return tuple((int(i), int(j), float(matrix[i, j])) for i, j in matrix.nonzero())


def axis_name(axis: int) -> str:
    """The letter of an axis of space."""
    return "xyz"[axis] if axis < 3 else str(axis)


def generator_name(entries: Entries, dimension: int) -> str | None:
    """P_x for a translation, L_z for a rotation, dilation; None for what has no name of its own."""
    lookup = {(row, column): value for row, column, value in entries}
    if set(lookup.values()) == {1.0} and len(lookup) == 1 and next(iter(lookup))[1] == dimension:
        return f"P_{axis_name(next(iter(lookup))[0])}"
    if lookup == {(axis, axis): 1.0 for axis in range(dimension)}:
        return "dilation"
    if sorted(lookup.values()) == [-1.0, 1.0]:
        (i, j), (k, l) = sorted(lookup, key=lambda place: lookup[place])
        if (i, j) == (l, k) and max(i, j) < dimension:
            others = set(range(dimension)) - {i, j}
            right_handed = dimension == 2 or (dimension == 3 and (j - i) % 3 == 1)
            if right_handed:
                return f"L_{axis_name(others.pop()) if others else 'z'}"
    return None


@constant
def basis_of(
    algebra: tuple[Entries, ...], size: int, dtype: torch.dtype, device: torch.device | str | None = None
) -> Float[Tensor, "a r r"]:
    """The matrices of the generators."""
    basis = torch.zeros(len(algebra), size, size, dtype=torch.float64)
    for matrix, entries in zip(basis, algebra, strict=True):
        for row, column, value in entries:
            matrix[row, column] = value
    return basis.to(device, dtype)


@constant
def dual_of(
    algebra: tuple[Entries, ...], size: int, dtype: torch.dtype, device: torch.device | str | None = None
) -> Float[Tensor, "entries a"]:
    """What a flat matrix is multiplied with to give its coordinates in the basis (least squares)."""
    # By QR, not by the normal equations, which square the condition number of nearly dependent generators.
    q, r = torch.linalg.qr(basis_of(algebra, size, torch.float64).flatten(1).mT)
    return torch.linalg.solve_triangular(r, q.mT, upper=True).mT.to(device, dtype)


def brackets(basis: Float[Tensor, "a r r"]) -> Float[Tensor, "a a r r"]:
    """The commutators [E_k, E_j]."""
    product = basis[:, None] @ basis
    return product - product.transpose(0, 1)


def structure_constants(basis: Float[Tensor, "a r r"], names: tuple[str, ...]) -> Float[Tensor, "a a a"]:
    """c with [E_k, E_j] = sum_i c[k, i, j] E_i, so that c[k] is the matrix of ad E_k.

    Raises:
        ValueError: if the generators depend on each other, or a commutator is no combination of them.
    """
    flat = basis.flatten(1)
    if torch.linalg.matrix_rank(flat) < len(flat):
        raise ValueError(f"generators: expected independent ones, got {', '.join(names)} that depend on each other")
    commutators = brackets(basis).flatten(2)
    constants = torch.linalg.lstsq(flat.mT, commutators.flatten(0, 1).mT).solution.mT.unflatten(0, 2 * (len(flat),))
    # 1e-9: far above the round-off of the least squares, far below any commutator of generators written by hand.
    wrong = (constants @ flat - commutators).norm(dim=-1) > 1e-9 * (1 + commutators.norm(dim=-1))
    if wrong.any():
        k, j = wrong.nonzero()[0].tolist()
        raise ValueError(
            f"generators: the algebra does not close: [{names[k]}, {names[j]}] is no combination of {', '.join(names)}"
        )
    return constants.mT.contiguous()
