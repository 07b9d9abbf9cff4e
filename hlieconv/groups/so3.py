"""Rotations of space."""

from collections.abc import Sequence

import torch
from jaxtyping import Float
from torch import Tensor

from hlieconv.groups.abstract import AbstractGroup
from hlieconv.groups.algebra import Entries
from hlieconv.groups.matrices import product
from hlieconv.groups.smooth import arctangent, cosc, norm, sinc
from hlieconv.groups.so2 import equal_angles, random_angles

ROTATIONS: dict[str, Entries] = {
    "L_x": ((1, 2, -1.0), (2, 1, 1.0)),
    "L_y": ((2, 0, -1.0), (0, 2, 1.0)),
    "L_z": ((0, 1, -1.0), (1, 0, 1.0)),
}


class SO3(AbstractGroup):
    """Rotations of R^3 about the origin; the orbit of a point is its distance from there, the stabiliser is SO(2).

    An invariant Hamiltonian conserves the three components of the total angular momentum. Algebra vectors are
    rotation vectors: the axis times the angle. The origin of an orbit is (radius, 0, 0), and its stabiliser turns
    about the x axis. The point 0 is an orbit by itself; its element is the identity.

    Example:
        >>> import torch
        >>> from hlieconv.groups import SO3
        >>> quarter_turn = SO3().exp(torch.tensor([0.0, 0.0, torch.pi / 2]))
        >>> SO3().apply(quarter_turn, torch.tensor([1.0, 0.0, 0.0])).round()
        tensor([-0.,  1.,  0.])
    """

    name = "SO3"
    dimension = 3
    element_size = 3
    orbit_dimension = 1
    stabiliser_dimension = 1

    @property
    def algebra(self) -> dict[str, Entries]:
        return ROTATIONS

    def exp(self, a: Float[Tensor, "*batch a"]) -> Float[Tensor, "*batch r r"]:
        return rotation_of_vector(a)

    def log(self, g: Float[Tensor, "*batch r r"]) -> Float[Tensor, "*batch a"]:
        return rotation_vector(g)

    def inverse(self, g: Float[Tensor, "*batch r r"]) -> Float[Tensor, "*batch r r"]:
        return g.mT

    def embedding(self, u: Float[Tensor, "*#batch r r"], v: Float[Tensor, "*#batch r r"]) -> Float[Tensor, "*batch e"]:
        return two_columns(product(v.mT, u))

    def bi_invariants(
        self, u: Float[Tensor, "*#batch r r"], v: Float[Tensor, "*#batch r r"]
    ) -> Float[Tensor, "*batch b"]:
        """1 - cos of the angle between the directions of the two points."""
        return (u[..., 0] - v[..., 0]).square().sum(-1, keepdim=True) / 2

    def section(
        self, points: Float[Tensor, "*batch d"]
    ) -> tuple[Float[Tensor, "*batch r r"], Float[Tensor, "*batch o"]]:
        radius = norm(points)
        fixed = radius == 0
        x, y, z = (points / torch.where(fixed, 1, radius)[..., None]).unbind(-1)
        x, y, z = torch.where(fixed, 1, x), torch.where(fixed, 0, y), torch.where(fixed, 0, z)
        # The shortest turn from the x axis, or, in the half space behind, that turn to the opposite point after half
        # a turn about z: nothing is divided by less than 1.
        sign = torch.where(x < 0, -1, 1).to(x.dtype)
        x, y, z = sign * x, sign * y, sign * z
        rest = 1 / (1 + x)
        columns = [
            torch.stack([sign * x, sign * y, sign * z], -1),
            torch.stack([-sign * y, sign * (1 - y * y * rest), -sign * y * z * rest], -1),
            torch.stack([-z, -y * z * rest, 1 - z * z * rest], -1),
        ]
        return torch.stack(columns, -1), radius[..., None]

    def origin(self, orbit: Float[Tensor, "*batch o"]) -> Float[Tensor, "*batch d"]:
        return torch.cat([orbit, torch.zeros_like(orbit), torch.zeros_like(orbit)], -1)

    def stabiliser_nodes(
        self, count: int, *, dtype: torch.dtype, device: torch.device | str | None = None
    ) -> Float[Tensor, "count r r"]:
        """Rotations about the x axis by equally spaced angles."""
        return _about_x(equal_angles(count, dtype, device))

    def stabiliser_samples(
        self,
        batch: Sequence[int],
        *,
        generator: torch.Generator,
        dtype: torch.dtype,
        device: torch.device | str | None = None,
    ) -> Float[Tensor, "*batch r r"]:
        """Rotations about the x axis by uniform angles."""
        return _about_x(random_angles(batch, generator, dtype, device))


def rotation_of_vector(a: Float[Tensor, "*batch 3"]) -> Float[Tensor, "*batch 3 3"]:
    """Rodrigues' formula: I + sin(t)/t K + (1 - cos t)/t^2 K^2 with K = hat(a) and t = |a|."""
    x, y, z = a.unbind(-1)
    s = a.square().sum(-1)
    one, two = sinc(s), cosc(s)
    entries = [
        1 - two * (y * y + z * z), two * x * y - one * z, two * x * z + one * y,
        two * x * y + one * z, 1 - two * (x * x + z * z), two * y * z - one * x,
        two * x * z - one * y, two * y * z + one * x, 1 - two * (x * x + y * y),
    ]  # fmt: skip
    return torch.stack(entries, -1).unflatten(-1, (3, 3))


def rotation_vector(g: Float[Tensor, "*batch 3 3"]) -> Float[Tensor, "*batch 3"]:
    """Axis times angle in [0, pi] of a rotation, exact to round-off everywhere, by way of its quaternion.

    The matrix determines the products 4 q_i q_j of the quaternion's components. The row of the largest component has
    no cancellation, also at pi. With q = (w, v) and w >= 0 the angle is 4 atan(|v| / (1 + w)).
    """
    q = quaternion(g)
    w, v = q[..., :1], q[..., 1:]
    ratio = v / (1 + w)
    return 4 * ratio * arctangent(ratio.square().sum(-1, keepdim=True))


def quaternion(g: Float[Tensor, "*batch 3 3"]) -> Float[Tensor, "*batch 4"]:
    """The unit quaternion (w, x, y, z) with w >= 0 of a rotation (Shepperd 1978)."""
    (xx, xy, xz), (yx, yy, yz), (zx, zy, zz) = (row.unbind(-1) for row in g.unbind(-2))
    rows = [
        torch.stack([1 + xx + yy + zz, zy - yz, xz - zx, yx - xy], -1),
        torch.stack([zy - yz, 1 + xx - yy - zz, xy + yx, xz + zx], -1),
        torch.stack([xz - zx, xy + yx, 1 - xx + yy - zz, yz + zy], -1),
        torch.stack([yx - xy, xz + zx, yz + zy, 1 - xx - yy + zz], -1),
    ]
    products = torch.stack(rows, -2)
    largest = products.diagonal(dim1=-2, dim2=-1).argmax(-1)
    row = torch.take_along_dim(products, largest[..., None, None], -2)[..., 0, :]
    q = row / norm(row)[..., None]
    return torch.where(q[..., :1] < 0, -q, q)


def rotation_of_quaternion(q: Float[Tensor, "*batch 4"]) -> Float[Tensor, "*batch 3 3"]:
    """The rotation of a unit quaternion (w, x, y, z)."""
    w, x, y, z = q.unbind(-1)
    entries = [
        1 - 2 * (y * y + z * z), 2 * (x * y - w * z), 2 * (x * z + w * y),
        2 * (x * y + w * z), 1 - 2 * (x * x + z * z), 2 * (y * z - w * x),
        2 * (x * z - w * y), 2 * (y * z + w * x), 1 - 2 * (x * x + y * y),
    ]  # fmt: skip
    return torch.stack(entries, -1).unflatten(-1, (3, 3))


def two_columns(turn: Float[Tensor, "*batch 3 3"]) -> Float[Tensor, "*batch 6"]:
    """The first two columns of a rotation less those of the identity; the third is their cross product."""
    identity = torch.eye(3, dtype=turn.dtype, device=turn.device)
    return (turn - identity)[..., :2].flatten(-2)


def _about_x(angle: Tensor) -> Tensor:
    zero = torch.zeros_like(angle)
    return rotation_of_vector(torch.stack([angle, zero, zero], -1))
