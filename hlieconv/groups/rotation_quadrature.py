"""Equally weighted quadrature and uniform samples on SO(3), the stabiliser of a point under SE(3)."""

import itertools
import math
from collections.abc import Sequence

import torch
from jaxtyping import Float
from torch import Tensor

from hlieconv.groups.so2 import equal_angles
from hlieconv.groups.so3 import rotation_of_quaternion, rotation_of_vector
from systems.tracing import constant

#: Nodes in (0, 1] of Chebyshev's equally weighted quadrature on [-1, 1], which is symmetric, by its degree.
_HEIGHTS = {
    7: (0.26663540151670472, 0.42251865376111153, 0.86624681810782059),
    9: (0.16790618421480394, 0.52876178305787999, 0.60101865538023807, 0.91158930772843447),
}


@constant
def rotation_nodes(
    count: int, dtype: torch.dtype, device: torch.device | str | None = None
) -> Float[Tensor, "count 3 3"]:
    """Rotations, the identity first, whose mean is the Haar integral of all polynomials of the matrix up to a degree.

    ======  ======  ================================================
    count   degree  rule
    ======  ======  ================================================
    1       0       the identity
    12      2       rotations of the tetrahedron
    24      3       rotations of the cube
    60      5       rotations of the icosahedron
    384     7       product of 6 heights on the sphere and 8^2 angles
    900     9       product of 9 heights on the sphere and 10^2 angles
    ======  ======  ================================================

    Raises:
        ValueError: for another count.
    """
    rules = {
        1: lambda: _polyhedral([(1.0, 0.0, 0.0, 0.0)]),
        12: lambda: _polyhedral(_tetrahedron()),
        24: lambda: _polyhedral(_tetrahedron() + _cube()),
        60: lambda: _polyhedral(_tetrahedron() + _icosahedron()),
        384: lambda: _product(7),
        900: lambda: _product(9),
    }
    if count not in rules:
        raise ValueError(
            f"samples: a fixed rule on SO(3) has {', '.join(map(str, rules))} rotations, got {count}; "
            "any number is possible with a generator, at random"
        )
    return rules[count]().to(device, dtype)


def random_rotations(
    batch: Sequence[int], generator: torch.Generator, dtype: torch.dtype
) -> Float[Tensor, "*batch 3 3"]:
    """Uniform rotations: a normal vector in R^4 points to a uniform unit quaternion (Muller 1959, Shoemake 1992)."""
    q = torch.randn(*batch, 4, generator=generator, dtype=dtype, device=generator.device)
    return rotation_of_quaternion(q / q.norm(dim=-1, keepdim=True))


def _tetrahedron() -> list[tuple[float, ...]]:
    axes = [tuple(float(i == k) for i in range(4)) for k in range(4)]
    return axes + list(itertools.product((0.5, -0.5), repeat=4))


def _cube() -> list[tuple[float, ...]]:
    signed = itertools.product((0.0, math.sqrt(0.5), -math.sqrt(0.5)), repeat=4)
    return [q for q in signed if q.count(0) == 2]


def _icosahedron() -> list[tuple[float, ...]]:
    golden = (1 + math.sqrt(5)) / 2
    found = []
    for order in itertools.permutations(range(4)):
        if sum(order[i] > order[j] for i in range(4) for j in range(i + 1, 4)) % 2 == 0:
            for signs in itertools.product((0.5, -0.5), repeat=3):
                values = (0.0, signs[0], signs[1] / golden, signs[2] * golden)
                found.append(tuple(values[k] for k in order))
    return found


def _polyhedral(quaternions: list[tuple[float, ...]]) -> Tensor:
    # q and -q are the same rotation: keep the one whose first component that is not 0 is positive.
    half = [q for q in quaternions if next(x for x in q if x) > 0]
    return rotation_of_quaternion(torch.tensor(half, dtype=torch.float64))


def _product(degree: int) -> Tensor:
    """Points of the sphere (heights times angles), each with equally many turns about it; exact up to the degree."""
    heights = [sign * z for z in _HEIGHTS[degree] for sign in (1, -1)] + [0.0] * (degree % 4 == 1)
    tilt = torch.tensor(heights, dtype=torch.float64).acos()
    angle = equal_angles(degree + 1, torch.float64, "cpu")
    zero = torch.zeros_like
    turn = rotation_of_vector(torch.stack([zero(angle), zero(angle), angle], -1))
    lean = rotation_of_vector(torch.stack([zero(tilt), tilt, zero(tilt)], -1))
    nodes = (turn[:, None, None] @ lean[:, None] @ turn).flatten(0, 2)
    return nodes[0].mT @ nodes  # the Haar measure does not change, and the identity comes first
