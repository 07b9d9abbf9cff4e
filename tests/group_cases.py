"""Every group that the laws are tested on, with random and singular inputs for each."""

import functools
import math

import torch

from hlieconv.groups import GROUPS, T, from_generators, group, subgroup


def matrix(size, *entries):
    made = torch.zeros(size, size, dtype=torch.float64)
    for row, column, value in entries:
        made[row, column] = value
    return made


P_X, P_Y = matrix(3, (0, 2, 1)), matrix(3, (1, 2, 1))
L_Z, DILATION = matrix(3, (0, 1, -1), (1, 0, 1)), matrix(3, (0, 0, 1), (1, 1, 1))
BOOST = matrix(3, (0, 1, 1), (1, 0, 1))
SCREW = matrix(4, (0, 1, -1), (1, 0, 1), (2, 3, 0.5))
#: Acts on R^3, itself, from the left: (x, y, z) + (a, b, c + a y).
HEISENBERG = [matrix(4, (0, 3, 1), (2, 1, 1)), matrix(4, (1, 3, 1)), matrix(4, (2, 3, 1))]
SPIRAL = from_generators([L_Z[:2, :2] + 0.1 * torch.eye(2)], dim=2, name="spiral")

GENERATED = {
    "Sim2": lambda: from_generators([P_X, P_Y, L_Z, DILATION], dim=2, name="Sim2"),
    "Heisenberg": lambda: from_generators(HEISENBERG, dim=3, name="Heisenberg", names=["a", "b", "c"]),
    "Poincare": lambda: from_generators([P_X, P_Y, BOOST], dim=2, name="Poincare"),
    "helix": lambda: from_generators([SCREW], dim=3, name="helix", names=["screw"]),
}
OTHERS = {
    "T3xz": lambda: T(3, axes=(0, 2)),
    "cylinder": lambda: subgroup(group("SE3"), ["P_x", "L_x"]),
    "horizontal": lambda: subgroup(group("SE3"), ["P_x", "P_y", "L_z"]),
}
NAMES = [*GROUPS, *OTHERS, *GENERATED]
#: Their stabilisers are not compact.
WITHOUT_SAMPLES = ["Sim2", "Poincare"]


@functools.cache
def make(name):
    return (OTHERS | GENERATED)[name]() if name in OTHERS | GENERATED else group(name)


def rotations_of(group):
    """Indices of the generators whose exponentials return to the identity."""
    return [k for k, name in enumerate(group.generator_names) if name.startswith("L_")]


def with_angle(group, a, angle):
    """The algebra vectors with their rotation parts scaled to an angle; unchanged where there is none."""
    rotations = rotations_of(group)
    if rotations:
        part = a[..., rotations]
        a = a.clone()
        a[..., rotations] = part / part.norm(dim=-1, keepdim=True) * angle
    return a


def random_algebra(group, batch, generator, angle=3.0):
    """Vectors inside the domain of the logarithm, float64: at most 1 in each part but the angle."""
    a = 2 * torch.rand(*batch, group.algebra_dimension, generator=generator, dtype=torch.float64) - 1
    return with_angle(group, a, angle * torch.rand(*batch, 1, generator=generator, dtype=torch.float64))


def singular_algebra(group, generator, at_the_cut=True):
    """The identity, tiny vectors, and angles near, at and beyond pi, also about a coordinate axis; float64."""
    a = random_algebra(group, (4,), generator)
    near = [math.pi - 10.0**-k for k in range(1, 8)]
    cut = [math.pi, math.pi + 1e-7, 2 * math.pi] if at_the_cut else []
    vectors = [torch.zeros_like(a), *(size * a for size in (1e-30, 1e-12, 1e-8, 1e-4, 1e-2))]
    if rotations := rotations_of(group):
        along_axis = a.clone()
        along_axis[..., rotations] = torch.eye(len(rotations), dtype=a.dtype)[0]
        vectors += [with_angle(group, b, angle) for angle in near + cut for b in (a, along_axis, -along_axis)]
    return torch.cat(vectors)


def random_points(group, batch, generator):
    """Points in the domain of the group, float64."""
    points = torch.randn(*batch, group.dimension, generator=generator, dtype=torch.float64)
    return points.exp() if "SQ" in group.name else points


def singular_points(group):
    """The origin, points on both sides of each axis, tiny ones, coincident ones, and a far one, float64."""
    axes = torch.eye(group.dimension, dtype=torch.float64)
    points = torch.cat([0 * axes[:1], axes, -axes, axes, 1e-3 * axes, 1e-18 * axes, -1e-30 * axes, 1e3 * axes])
    return points.abs().clamp(min=1e-6) if "SQ" in group.name else points
