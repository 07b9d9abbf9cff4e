"""A polynomial of the three sides of triangles of bodies, where no known function of two arms will do."""

import functools
import itertools
from dataclasses import dataclass

import torch
from jaxtyping import Float
from torch import Tensor

from hlieconv.models.expansion.configuration import Configuration
from hlieconv.models.expansion.terms import Factor, Triple


@dataclass(frozen=True)
class Polynomial(Triple):
    """sum over i, j < k of w_ijk P(y_ij, y_ik, y_jk), where y = a^2 / (d^2 + a^2) of each side, P is a polynomial.

    P does not change where j and k are exchanged; with the shape "symmetric" nor where any two bodies are, with
    "centred" the centre may be another kind of body than the ends of its arms. The parameters are the length a, the
    degree of P, and the coefficients of the symmetrised `monomials`.

    Source: Braams and Bowman (2009), Int. Rev. Phys. Chem. 28, 577: permutationally invariant polynomials.

    Example:
        >>> sides = Polynomial("symmetric", (2.0, 1.0, 1.0), (False, False, False))  # y_ij + y_ik + y_jk
        >>> configuration = Configuration(torch.tensor([[0.0, 0.0], [2.0, 0.0], [0.0, 2.0]]))
        >>> sides.value(configuration)  # 1/2 + 1/2 + 1/3, whichever body is the centre
        tensor([1.3333, 1.3333, 1.3333])
    """

    @property
    def kinds(self) -> tuple[str, ...]:
        return "length", "degree", *("coefficient",) * (len(self.parameters) - 2)

    @property
    def degree(self) -> float:
        return 0.0

    @property
    def inner(self) -> int:
        """How many parameters come before the coefficients."""
        return 2

    def value(self, configuration: Configuration) -> Float[Tensor, "*batch triple"]:
        table, (powers, _), _ = self._at(configuration)
        x, y, z = powers
        return _contracted(table, x, y, z)

    def force(self, configuration: Configuration, weight: Float[Tensor, "*some triple"]) -> Float[Tensor, "*batch n d"]:
        table, (powers, tangents), sides = self._at(configuration)
        pulls = []
        for k, side in enumerate(sides):
            x, y, z = (tangents[i] if i == k else powers[i] for i in range(3))
            pulls.append(-(weight * _contracted(table, x, y, z))[..., None, :] * side)
        left, right, across = pulls
        spread, of = configuration.spread, configuration.sites
        return spread(left + right, of.centre) + spread(across - left, of.left) - spread(across + right, of.right)

    def _at(self, configuration: Configuration) -> tuple[Tensor, tuple[list[Tensor], list[Tensor]], tuple[Tensor, ...]]:
        """The coefficients of P; the powers of y for each side, and their derivatives along it; the sides.

        These are q_i - q_j, q_i - q_k and q_j - q_k.
        """
        left, right = configuration.arms
        sides, square = (left, right, right - left), self.parameters[0] ** 2
        table = _table(self.shape, *self.parameters[1:]).to(left)
        exponents = torch.arange(len(table), dtype=left.dtype, device=left.device)
        powers, tangents = [], []
        for side in sides:
            y = square / (side.square().sum(-2) + square)
            powers.append(torch.linalg.vander(y, N=len(table)))
            tangents.append(-2 / square * exponents * y[..., None] * powers[-1])  # of y^p in d, over d
        return table, (powers, tangents), sides


def _contracted(table: Tensor, u: Tensor, v: Tensor, w: Tensor) -> Tensor:
    """The sum of coefficient times u^a v^b w^c."""
    rows = (w @ table.flatten(0, 1).mT).unflatten(-1, table.shape[:2])
    return ((rows @ v[..., None])[..., 0] * u).sum(-1)


@functools.lru_cache(maxsize=1024)
def _table(shape: str, degree: float, *coefficients: float) -> Float[Tensor, "a b c"]:
    """The coefficients of all powers of the three variables, as few as will do."""
    rows = [x for x in zip(coefficients, monomials(shape, int(degree)), strict=True) if x[0]]
    most = max((max(orders[0]) for _, orders in rows), default=0) + 1
    table = torch.zeros(most, most, most, dtype=torch.float64)
    for coefficient, orders in rows:
        for p in orders:
            table[p] = coefficient
    return table


@functools.cache
def monomials(shape: str, degree: int) -> list[list[tuple[int, ...]]]:
    """The symmetrised monomials of three variables up to a degree: each as the exponents that it sums over.

    Args:
        shape: of a `Polynomial`: all three variables are alike, or the first two are.
        degree: the highest one.

    Example:
        >>> monomials("symmetric", 2)[:2]
        [[(0, 0, 1), (0, 1, 0), (1, 0, 0)], [(0, 0, 2), (0, 2, 0), (2, 0, 0)]]
        >>> len(monomials("symmetric", 2)), len(monomials("centred", 2))
        (3, 6)
    """
    found: dict[tuple[int, ...], list[tuple[int, ...]]] = {}
    for p in sorted(itertools.product(range(degree + 1), repeat=3), key=sum):
        if 0 < sum(p) <= degree:
            a, b, c = p
            alike = tuple(sorted(p)) if shape == "symmetric" else (min(a, b), max(a, b), c)
            found.setdefault(alike, []).append(p)
    return list(found.values())


def basis(length: float, degree: int, bodies: tuple[Factor, Factor]) -> list[Polynomial]:
    """The functions that a polynomial up to a degree is made of.

    Args:
        length: a.
        degree: of the polynomial.
        bodies: features of the centre and of the arms.
    """
    shape = "symmetric" if bodies[0] == bodies[1] else "centred"
    one = torch.eye(len(monomials(shape, degree)), dtype=torch.float64).tolist()
    free = (False,) * (2 + len(one))
    return [Polynomial(shape, (length, float(degree), *row), free, bodies) for row in one]
