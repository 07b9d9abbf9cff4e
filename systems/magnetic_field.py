"""Charges in a magnetic field: a Hamiltonian with a vector potential."""

from __future__ import annotations

from abc import abstractmethod
from typing import Any

import torch
from jaxtyping import Float
from torch import Tensor

from systems.external import MASS
from systems.phase_space import PhaseSpace
from systems.sampling import Draws
from systems.vector_field import AbstractHamiltonian, AbstractSplit, Variable


class AbstractMagnetic(AbstractHamiltonian):
    """H = sum_i |p_i - c_i A(q_i)|^2 / 2 m_i, with charges c_i: a subclass says what the vector potential A is.

    The momenta are canonical, p = m v + c A: they depend on the gauge, velocities do not. A potential is added:
    ``springs + field`` (see `systems.sums`); charges and masses may be those of the other parts.
    """

    variables = (
        MASS,
        Variable("charge", ("body",), "1", "electric charge of a body", optional=True, si="C"),
    )
    borrowed = ("mass", "charge")
    mass: Tensor
    charge: Tensor

    @abstractmethod
    def vector_potential(self, q: Float[Tensor, "*batch n d"]) -> Float[Tensor, "*batch n d"]:
        """A at each body."""

    def velocity(self, state: PhaseSpace) -> Float[Tensor, "*batch n d"]:
        """dq/dt = (p - c A(q)) / m."""
        for name in ("mass", "charge"):
            if getattr(self, name) is None:
                raise ValueError(f"{name}: {type(self).__name__} needs one a body: expected {name}=, or a system + it")
        kinetic = state.p - self.charge[..., None] * self.vector_potential(state.q)
        return self.existing(kinetic) / self.mass[..., None]

    def momentum(
        self, q: Float[Tensor, "*batch n d"], velocity: Float[Tensor, "*batch n d"]
    ) -> Float[Tensor, "*batch n d"]:
        """p = m v + c A(q)."""
        moving = self.mass[..., None] * velocity + self.charge[..., None] * self.vector_potential(q)
        return self.existing(moving)

    def energy(self, state: PhaseSpace) -> Float[Tensor, "*batch"]:
        return 0.5 * (self.mass[..., None] * self.velocity(state).square()).sum((-2, -1))


class MagneticField(AbstractMagnetic, AbstractSplit):
    """A uniform magnetic field B across the plane, or along the third axis of space: charges move in circles.

    The vector potential is A = B/2 (-y, x, 0), which leaves the rotation about the origin a symmetry: what is conserved
    is the canonical q x p about the third axis. The flow is known, v turns by -c B t / m (`closed_form`), so that every
    explicit symplectic method solves charges in this field and in any potential: kicks, and exact turns as drifts.

    Source: Goldstein, Poole & Safko, Classical Mechanics (2002), section 8.1; the splitting: He et al. (2015), Journal
    of Computational Physics 281, 135.

    Args:
        magnetic_field: B, ``(*batch)``.
        charge: ``(*batch, n)``; left out where it is added to a system that has charges.
        mass: ``(*batch, n)``; left out where it is added to a system that has masses.
        **options: mask, trainable and units, see `AbstractVectorField`.

    Raises:
        ValueError: as `AbstractVectorField`; in one dimension, or more than three.

    Example:
        >>> import torch
        >>> from systems import MagneticField, PhaseSpace
        >>> field = MagneticField(2.0, charge=1.0, mass=1.0)
        >>> q = torch.tensor([[1.0, 0.0]]).double()
        >>> state = PhaseSpace(q, field.momentum(q, velocity=torch.tensor([[0.0, -2.0]]).double()))
        >>> half_a_turn = torch.tensor([0.0, torch.pi / 2], dtype=torch.float64)
        >>> bool((field.closed_form(state, half_a_turn).q[1] + q).abs().max() < 1e-15)
        True
    """

    name = "magnetic_field"
    variables = (
        *AbstractMagnetic.variables,
        Variable("magnetic_field", (), "1", "magnetic field along the third axis", si="kg / s / C"),
    )
    magnetic_field: Tensor

    def __init__(self, magnetic_field: Any, *, charge: Any = None, mass: Any = None, **options: Any) -> None:
        super().__init__(magnetic_field=magnetic_field, charge=charge, mass=mass, **options)

    def vector_potential(self, q: Float[Tensor, "*batch n d"]) -> Float[Tensor, "*batch n d"]:
        return 0.5 * self.magnetic_field[..., None, None] * _turned(self.existing(q))

    def forward(self, t: Float[Tensor, "*times"], state: PhaseSpace) -> PhaseSpace:
        velocity = self.velocity(state)
        # dp/dt = c (grad A) v, and half of the force c v x B.
        return PhaseSpace(velocity, -0.5 * self._strength * _turned(velocity))

    def force(self, q: Float[Tensor, "*batch n d"]) -> Float[Tensor, "*batch n d"]:
        return torch.zeros_like(q)

    def drift(self, h: Float[Tensor, "*some"], state: PhaseSpace) -> PhaseSpace:
        velocity = self.velocity(state)
        angle = h * self._strength / self.mass[..., None]
        sine, versine = _sine_over(angle), _versine_over(angle)
        along = velocity - _flat(velocity)
        moved = h * (along + sine * _flat(velocity) - versine * _turned(velocity))
        # The canonical momentum, like the velocity, turns with half of what the position does.
        return PhaseSpace(moved, -0.5 * self._strength * _turned(moved))

    @property
    def _strength(self) -> Tensor:
        """c B, ``(*batch, n, 1)``."""
        return (self.charge * self.magnetic_field[..., None])[..., None]

    @property
    def has_closed_form(self) -> bool:
        """Always: circles, or helices."""
        return True

    def closed_form(self, state: PhaseSpace, times: Float[Tensor, " time *batch"]) -> PhaseSpace:
        """Circles in the plane and helices in space, at ``times`` ``(time,)`` or ``(time, *batch)`` in any order."""
        t = (times - times[0]).reshape(*times.shape, *(1,) * (state.q.ndim - times.ndim + 1))
        state = PhaseSpace(self.existing(state.q), self.existing(state.p))
        change = self.drift(t, state)
        return PhaseSpace(state.q + change.q, state.p + change.p)

    @classmethod
    def sample(
        cls,
        count: int | range,
        *,
        seed: int,
        bodies: int = 1,
        dimension: int = 3,
        magnetic_field: float = 1.0,
        dtype: torch.dtype = torch.float64,
        device: torch.device | str = "cpu",
    ) -> tuple[MagneticField, PhaseSpace]:
        """Charges of +1 and -1 at random, masses of 0.5 to 1.5, positions and velocities N(0, 1).

        Args:
            count: number of trajectories, or their numbers: a range.
            seed: of all random numbers; the first trajectories do not depend on how many are drawn.
            bodies: number of charges, which do not see each other.
            dimension: number of dimensions of space, 2 or 3.
            magnetic_field: its strength.

        Returns:
            The system, with values ``(count, bodies)``, and the states ``(count, bodies, dimension)``.

        Example:
            >>> system, state = MagneticField.sample(3, seed=0)
            >>> state.q.shape
            torch.Size([3, 1, 3])
        """
        draws = Draws(count, seed, bodies=bodies, dimension=dimension)
        mass, charge = draws.uniform(0.5, 1.5, bodies), 2 * draws.uniform(0.0, 2.0, bodies).floor() - 1
        q, velocity = draws.normal(bodies, dimension), draws.normal(bodies, dimension)
        system = cls(magnetic_field, charge=charge, mass=mass)
        state = PhaseSpace(q, system.momentum(q, velocity))
        return system.to(device, dtype), PhaseSpace(*(x.to(device, dtype) for x in state))


def _turned(x: Tensor) -> Tensor:
    """A quarter turn about the third axis: (-y, x, 0)."""
    if x.shape[-1] not in (2, 3):
        raise ValueError(f"q: MagneticField is one of 2 or 3 dimensions of space, got {x.shape[-1]}")
    first, second, *others = x.unbind(-1)
    return torch.stack([-second, first, *(torch.zeros_like(other) for other in others)], -1)


def _flat(x: Tensor) -> Tensor:
    """(x, y, 0)."""
    first, second, *others = x.unbind(-1)
    return torch.stack([first, second, *(torch.zeros_like(other) for other in others)], -1)


def _sine_over(x: Tensor) -> Tensor:
    """sin(x) / x."""
    small = x.abs() < 1e-4
    safe = torch.where(small, 1, x)
    return torch.where(small, 1 - x.square() / 6, safe.sin() / safe)


def _versine_over(x: Tensor) -> Tensor:
    """(1 - cos(x)) / x."""
    small = x.abs() < 1e-4
    safe = torch.where(small, 1, x)
    return torch.where(small, x / 2, 2 * (safe / 2).sin().square() / safe)
