"""Gravitating point masses."""

from __future__ import annotations

import math
from typing import Any

import torch
from torch import Tensor

from systems.checks import check
from systems.inverse_distance import AbstractInverseDistance
from systems.phase_space import PhaseSpace
from systems.sampling import Draws
from systems.units import newtons_constant
from systems.vector_field import Variable


class Gravity(AbstractInverseDistance):
    """H = sum_i |p_i|^2 / 2 m_i - G sum over i<j of m_i m_j / sqrt(|q_i - q_j|^2 + softening^2).

    Any number of bodies in any number of dimensions (the potential is 1/r in each). Plummer's softening keeps close
    encounters finite; without it, two bodies have a closed form, every orbit of Kepler's problem. Conserves energy,
    momentum and angular momentum. With ``units`` the gravitational constant is known; without, all units are the
    user's: G = 1 with the mass and distance of an orbit puts its period at 2 pi.

    A body of mass 0 is a test particle: it feels the others and does not pull them, its momentum is that of a unit
    mass (its velocity), and no quantity of the others depends on it. The energy is that of the others, and conserved;
    the sums of all momenta and angular momenta are not.

    Source: Plummer (1911), MNRAS 71, 460; Binney & Tremaine, Galactic Dynamics (2008), section 2.9.

    Args:
        mass: ``(*batch, n)``, of at least 0.
        gravitational_constant: ``(*batch)``; this or ``units``.
        units: that all numbers are in: "SI", "cgs", "N-body" (G = 1), or one unit each of length, mass and time, such
            as "AU, yr, Msun". G follows from them.
        softening: ``(*batch)``; 0, the default, for point masses.
        mask, trainable: see `AbstractVectorField`; fixed: see `AbstractNewtonian`.

    Raises:
        ValueError: as `AbstractVectorField`.

    Example:
        >>> import math, torch
        >>> from systems import Gravity, PhaseSpace
        >>> system = Gravity(mass=torch.tensor([1.0, 1e-3]), gravitational_constant=1.0, softening=0.0)
        >>> state = PhaseSpace(q=torch.tensor([[0.0, 0.0], [1.0, 0.0]]), p=torch.tensor([[0.0, 0.0], [0.0, 1e-3]]))
        >>> system.force(state.q)
        tensor([[ 0.0010,  0.0000],
                [-0.0010,  0.0000]])
        >>> system.closed_form(state, torch.linspace(0.0, 2 * math.pi, 100)).q.shape
        torch.Size([100, 2, 2])
        >>> Gravity(units="AU, yr, Msun", mass=[1.0, 3e-6]).gravitational_constant
        tensor(39.4769, dtype=torch.float64)
    """

    name = "gravity"
    mass_is_inertia_only = False
    variables = (
        Variable("mass", ("body",), "1", "mass of a body", positive=True, may_be_zero=True, si="kg"),
        Variable("gravitational_constant", (), "1", "gravitational constant", si="m^3 / kg / s^2"),
        Variable("softening", (), "1", "softening length of the distance between bodies", si="m"),
    )
    gravitational_constant: Tensor

    def __init__(
        self, *, gravitational_constant: Any = None, softening: Any = 0.0, units: str = "", **options: Any
    ) -> None:
        if (gravitational_constant is None) == (units == ""):
            given = "neither" if gravitational_constant is None else "both"
            raise ValueError(f"gravitational_constant: expected it or units that it follows from, got {given}")
        constant = newtons_constant(units) if gravitational_constant is None else gravitational_constant
        super().__init__(gravitational_constant=constant, softening=softening, units=units, **options)

    @property
    def _charges(self) -> tuple[Tensor, Tensor, Tensor]:
        return self.inertia, self.mass, -self.gravitational_constant

    @classmethod
    def sample(
        cls,
        count: int | range,
        *,
        seed: int,
        bodies: int = 4,
        dimension: int = 2,
        softening: float = 0.0,
        dtype: torch.dtype = torch.float64,
        device: torch.device | str = "cpu",
    ) -> tuple[Gravity, PhaseSpace]:
        """A star and its planets on bound, nearly circular orbits, in the frame of the centre of mass.

        The star has mass 1 and G = 1; planets have 0.0005 to 0.005, distances that grow by factors of 1.5 to 2 from
        0.8 to 1.2, random phases, one sense of rotation, and 0.95 to 1.05 of the circular speed around what lies
        inside of them. In three dimensions each orbit is inclined by up to 0.1 against the plane of x and y.

        Args:
            count: number of trajectories, or their numbers: a range.
            seed: of all random numbers; the first trajectories do not depend on how many are drawn.
            bodies: number of bodies: one star, which comes first, and its planets.
            dimension: number of dimensions of space, 2 or 3.
            softening: length below which the force is softened; 0 takes point masses.

        Returns:
            The system, with values ``(count, bodies)``, and the states ``(count, bodies, dimensions)``.

        Example:
            >>> system, state = Gravity.sample(10, seed=0, bodies=3)
            >>> state.q.shape, bool((system.energy(state) < 0).all())
            (torch.Size([10, 3, 2]), True)
        """
        check("bodies", bodies, bodies >= 2, "a star and at least one planet, so 2 or more")
        check("dimension", dimension, dimension in (2, 3), "2 or 3")
        draws, planets = Draws(count, seed), bodies - 1
        mass = torch.cat([torch.ones(draws.count, 1, dtype=torch.float64), draws.uniform(0.0005, 0.005, planets)], -1)
        growth = torch.cat([draws.uniform(0.8, 1.2, 1), draws.uniform(1.5, 2.0, planets - 1)], -1)
        radius = growth.cumprod(-1)
        speed = draws.uniform(0.95, 1.05, planets) * (mass.cumsum(-1)[:, 1:] / radius).sqrt()
        outwards, forwards = _circle(draws.uniform(0.0, 2 * math.pi, planets))
        if dimension == 3:
            tilt, node = draws.uniform(0.0, 0.1, planets), draws.uniform(0.0, 2 * math.pi, planets)
            outwards, forwards = (_incline(x, tilt, node) for x in (outwards, forwards))
        q = torch.nn.functional.pad(radius[..., None] * outwards, (0, 0, 1, 0))
        p = torch.nn.functional.pad((mass[:, 1:] * speed)[..., None] * forwards, (0, 0, 1, 0))
        q = q - (mass[..., None] * q).sum(1, keepdim=True) / mass.sum(-1)[:, None, None]
        p = torch.cat([-p.sum(1, keepdim=True), p[:, 1:]], 1)
        mass, q, p = (x.to(device, dtype) for x in (mass, q, p))
        return cls(mass=mass, gravitational_constant=1.0, softening=softening), PhaseSpace(q, p)


def _circle(angle: Tensor) -> tuple[Tensor, Tensor]:
    """The unit vectors outwards and forwards at an angle of the plane."""
    cos, sin = angle.cos(), angle.sin()
    return torch.stack([cos, sin], -1), torch.stack([-sin, cos], -1)


def _incline(x: Tensor, tilt: Tensor, node: Tensor) -> Tensor:
    """Vectors of the plane turned by ``tilt`` about the direction ``node`` of that plane."""
    _, across = _circle(node)
    height = (x * across).sum(-1, keepdim=True)
    flat = x + (tilt.cos()[..., None] - 1) * height * across
    return torch.cat([flat, tilt.sin()[..., None] * height], -1)
