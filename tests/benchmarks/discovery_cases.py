"""Systems of which all charges are known, with the library in which they are looked for."""

import math
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import torch

from hlieconv.noether import polynomials
from systems import (
    FPUT,
    AbstractNewtonian,
    CalogeroMoser,
    Charges,
    Gravity,
    HarmonicTrap,
    HenonHeiles,
    LinearDamping,
    MagneticField,
    Pendulum,
    PhaseSpace,
    SinusoidalDrive,
    Springs,
    Toda,
    Variable,
)


class Central(AbstractNewtonian):
    """Kepler's problem about the origin, V = -1 / sqrt(|q|^2 + softening^2)."""

    variables = (*AbstractNewtonian.variables, Variable("softening", (), "1", "softening length"))

    def potential(self, q):
        return -(q.square().sum(-1) + self.softening[..., None] ** 2).rsqrt().sum(-1)


class Anisotropic(AbstractNewtonian):
    """V = 1/2 (x^2 + 2.618 y^2): frequencies in the golden ratio, which no integers are."""

    def potential(self, q):
        return 0.5 * (q.square() * q.new_tensor([1.0, 2.618033988749895])).sum((-2, -1))


@dataclass(frozen=True)
class Case:
    """A system, states of it, and what is to be found."""

    sample: Callable[[int, int], tuple[Any, PhaseSpace]]
    """Of a count and a seed: one system and first states."""
    library: Callable[[Any], Any]
    """Of the system."""
    count: int
    """Functionally independent charges in the library."""
    duration: float
    stated: str
    """The library in words."""


def normal(seed, *shape):
    return torch.randn(shape, dtype=torch.float64, generator=torch.Generator().manual_seed(seed))


def ones(n):
    return torch.ones(n, dtype=torch.float64)


def springs(bodies, dimension, rest_length):
    def sample(count, seed):
        one, _ = Springs.sample(1, seed=seed, bodies=bodies, dimension=dimension)
        constant = one.stiffness[0].clamp(min=1.0)
        system = Springs(mass=one.mass[0].clamp(min=0.5), stiffness=constant, rest_length=rest_length or None)
        return system, Springs.sample(count, seed=seed + 1000, bodies=bodies, dimension=dimension)[1]

    return sample


def kepler(softening):
    """Orbits of semi-major axes of 0.7 to 1.3, eccentricities of 0.1 to 0.5, and any orientation."""

    def sample(count, seed):
        draw = torch.Generator().manual_seed(seed)
        a, e, phase = torch.rand(3, count, dtype=torch.float64, generator=draw)
        a, e = 0.7 + 0.6 * a, 0.1 + 0.4 * e
        frames = torch.linalg.qr(torch.randn(count, 3, 3, dtype=torch.float64, generator=draw)).Q
        cos, sin = (2 * math.pi * phase).cos(), (2 * math.pi * phase).sin()  # of the true anomaly
        radius, none = a * (1 - e**2) / (1 + e * cos), torch.zeros_like(a)
        start = torch.stack([radius * cos, radius * sin, none], -1)
        speed = torch.stack([-sin, e + cos, none], -1) / (a * (1 - e**2)).sqrt()[:, None]
        state = PhaseSpace(*((frames @ x[..., None])[..., 0][:, None] for x in (start, speed)))
        return Central(mass=ones(1), softening=softening), state

    return sample


def of_normal(system, n, d, q_scale=1.0, p_scale=1.0):
    def sample(count, seed):
        return system(), PhaseSpace(q_scale * normal(seed, count, n, d), p_scale * normal(seed + 1, count, n, d))

    return sample


def sampled(cls, one, **options):
    def sample(count, seed):
        return one(), cls.sample(count, seed=seed, **options)[1]

    return sample


def three_bodies(count, seed):
    angle = torch.arange(3) * 2 * math.pi / 3
    cos, sin = angle.cos().double(), angle.sin().double()
    mass = 0.6 + 0.8 * torch.rand(3, dtype=torch.float64, generator=torch.Generator().manual_seed(seed + 2))
    q = torch.stack([cos, sin], -1) + 0.15 * normal(seed, count, 3, 2)
    v = 0.9 * torch.stack([-sin, cos], -1) + 0.15 * normal(seed + 1, count, 3, 2)
    return Gravity(mass=mass, gravitational_constant=1.0), PhaseSpace(q, mass[:, None] * v)


def in_a_magnetic_field(count, seed):
    mass, charge = torch.tensor([0.8, 1.3], dtype=torch.float64), torch.tensor([1.0, 0.6], dtype=torch.float64)
    system = Charges(mass=mass, charge=charge, coulomb_constant=1.0, softening=0.0) + MagneticField(1.0)
    q = torch.tensor([[-0.8, 0.0], [0.8, 0.0]], dtype=torch.float64) + 0.4 * normal(seed, count, 2, 2)
    return system, PhaseSpace(q, 0.8 * normal(seed + 1, count, 2, 2))


def rational(system):
    """The terms of a double pendulum's energy, and others like them."""

    def functions(state):
        (a, b), (u, v) = state.q[..., 0].unbind(-1), state.p[..., 0].unbind(-1)
        cosine = (a - b).cos()
        shape = 1 / (system.mass[0] + system.mass[1] * (1 - cosine.square()))
        squares = [u * u, u * v, v * v]
        first = [u, v, *squares, *(x * cosine for x in squares), *(x * cosine.square() for x in squares)]
        return [*first, *(x * shape for x in first[2:]), a.cos(), b.cos(), a.sin(), b.sin(), cosine, (a - b).sin()]

    return [lambda state, k=k: functions(state)[k] for k in range(26)]


CASES = {
    "springs_2d": Case(springs(2, 2, 0.0), lambda s: polynomials(2, 2, 2, mass=s.mass), 7, 4.0, "degree 2; boosts"),
    "springs_rest_2d": Case(
        springs(2, 2, 0.5), lambda s: polynomials(2, 2, 2, {"r": 0}, mass=s.mass), 6, 4.0, "degree 2; r; boosts"
    ),
    "springs_3d": Case(springs(2, 3, 0.0), lambda s: polynomials(2, 3, 2, mass=s.mass), 11, 4.0, "degree 2; boosts"),
    "springs_rest_3d": Case(
        springs(2, 3, 0.5), lambda s: polynomials(2, 3, 2, {"r": 0}, mass=s.mass), 10, 4.0, "degree 2; r; boosts"
    ),
    "kepler": Case(kepler(0.0), lambda s: polynomials(1, 3, 3, {"1/r": 1}), 5, 9.0, "degree 3; degree 1 times 1/r"),
    "softened_kepler": Case(
        kepler(0.5), lambda s: polynomials(1, 3, 3, {"1/r": 1}), 3, 9.0, "degree 3; degree 1 times 1/r"
    ),
    "isotropic": Case(
        of_normal(lambda: HarmonicTrap(1.0, mass=ones(1)), 1, 3), lambda s: polynomials(1, 3, 3), 5, 9.0, "degree 3"
    ),
    "anisotropic": Case(
        of_normal(lambda: Anisotropic(mass=ones(1)), 1, 2), lambda s: polynomials(1, 2, 4), 2, 9.0, "degree 4"
    ),
    "toda": Case(
        of_normal(lambda: Toda(mass=ones(3)), 3, 1, 0.5, 1.5),
        lambda s: polynomials(3, 1, 3, {"exp": 1}, of="p"),
        3,
        3.0,
        "degree 3 in p; degree 1 in p times exp(q_i - q_j)",
    ),
    "calogero_moser": Case(
        sampled(CalogeroMoser, lambda: CalogeroMoser(mass=ones(3), coupling=1.0), bodies=3),
        lambda s: polynomials(3, 1, 3, {"1/r^2": 1}, of="p"),
        3,
        4.0,
        "degree 3 in p; degree 1 in p times 1/r^2",
    ),
    "fput": Case(
        of_normal(lambda: FPUT(mass=ones(3), alpha=0.25, beta=1.0), 3, 1, 0.8, 0.8),
        lambda s: polynomials(3, 1, 4),
        2,
        6.0,
        "degree 4",
    ),
    "henon_heiles": Case(
        sampled(HenonHeiles, lambda: HenonHeiles(mass=ones(1))), lambda s: polynomials(1, 2, 4), 1, 20.0, "degree 4"
    ),
    "three_body": Case(
        three_bodies, lambda s: polynomials(3, 2, 2, {"1/r": 0}, mass=s.mass), 6, 3.0, "degree 2; 1/r; boosts"
    ),
    "magnetic_field": Case(in_a_magnetic_field, lambda s: polynomials(2, 2, 2, {"1/r": 0}), 4, 6.0, "degree 2; 1/r"),
    "double_pendulum": Case(
        sampled(Pendulum, lambda: Pendulum(mass=ones(2), length=ones(2), gravity=1.0)),
        rational,
        1,
        12.0,
        "26 terms of the mass matrix's kind",
    ),
    "damped": Case(
        of_normal(lambda: HarmonicTrap(1.0, mass=ones(1)) + LinearDamping(0.2), 1, 2),
        lambda s: polynomials(1, 2, 4),
        0,
        9.0,
        "degree 4",
    ),
    "driven": Case(
        of_normal(lambda: HarmonicTrap(1.0, mass=ones(1)) + SinusoidalDrive(amplitude=[0.5], frequency=1.7), 1, 1),
        lambda s: polynomials(1, 1, 4),
        0,
        9.0,
        "degree 4",
    ),
}
