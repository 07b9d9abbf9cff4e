"""A uniform field, such as gravity near the ground."""

from __future__ import annotations

from typing import Any

import torch
from jaxtyping import Float
from torch import Tensor

from systems.external import MASS, AbstractExternal
from systems.phase_space import PhaseSpace
from systems.sampling import Draws
from systems.vector_field import Variable


class UniformField(AbstractExternal):
    """V(q) = -sum_i m_i a . q_i: every body falls with the acceleration a, in a parabola.

    Conserves the energy (and the momentum across a, of which nothing is declared).

    Args:
        acceleration: a, ``(*batch, d)``, such as ``[0, -9.8]``.
        mass: ``(*batch, n)``; left out where it is added to a system that has masses.
        **options: mask, fixed, trainable and units, see `AbstractVectorField` and `AbstractNewtonian`.

    Raises:
        ValueError: as `AbstractVectorField`; where the acceleration is a number, not a vector.

    Example:
        >>> import torch
        >>> from systems import UniformField
        >>> UniformField([0.0, -9.8], mass=[1.0, 2.0]).force(torch.zeros(2, 2).double())
        tensor([[  0.0000,  -9.8000],
                [  0.0000, -19.6000]], dtype=torch.float64)
    """

    name = "uniform_field"
    variables = (MASS, Variable("acceleration", ("space",), "1", "acceleration of free fall", si="m / s^2"))
    acceleration: Tensor

    def __init__(self, acceleration: Any, **options: Any) -> None:
        if isinstance(acceleration, int | float) or getattr(acceleration, "ndim", 1) == 0:
            raise ValueError(f"acceleration: expected a vector, such as [0, -9.8], got the number {acceleration}")
        super().__init__(acceleration=acceleration, **options)

    def potential(self, q: Float[Tensor, "*batch n d"]) -> Float[Tensor, "*batch"]:
        return -(self.force(q) * self.existing(q)).sum((-2, -1))

    def force(self, q: Float[Tensor, "*batch n d"]) -> Float[Tensor, "*batch n d"]:
        weight = self.existing(self.inertia[..., None]) * self.acceleration[..., None, :]
        return weight.expand_as(q)

    @property
    def has_closed_form(self) -> bool:
        """True where no body is fixed."""
        return self.fixed is None

    def closed_form(self, state: PhaseSpace, times: Float[Tensor, " time *batch"]) -> PhaseSpace:
        """Parabolas, at ``times`` ``(time,)`` or ``(time, *batch)`` in any order."""
        if not self.has_closed_form:
            return super().closed_form(state, times)
        t = (times - times[0]).reshape(*times.shape, *(1,) * (state.q.ndim - times.ndim + 1))
        force = self.force(state.q)
        mean = self.velocity(state.p + 0.5 * t * force)
        return PhaseSpace(self.existing(state.q) + t * mean, self.existing(state.p) + t * force)

    @classmethod
    def sample(
        cls,
        count: int | range,
        *,
        seed: int,
        bodies: int = 1,
        dimension: int = 2,
        gravity: float = 1.0,
        dtype: torch.dtype = torch.float64,
        device: torch.device | str = "cpu",
    ) -> tuple[UniformField, PhaseSpace]:
        """Masses of 0.5 to 1.5, positions and momenta N(0, 1); bodies fall along the last axis.

        Args:
            count: number of trajectories, or their numbers: a range.
            seed: of all random numbers; the first trajectories do not depend on how many are drawn.
            bodies: number of bodies.
            dimension: number of dimensions of space.
            gravity: size of the acceleration.

        Returns:
            The system, with masses ``(count, bodies)``, and the states ``(count, bodies, dimension)``.

        Example:
            >>> system, state = UniformField.sample(3, seed=0, gravity=9.8)
            >>> system.acceleration
            tensor([ 0.0000, -9.8000], dtype=torch.float64)
        """
        draws = Draws(count, seed, bodies=bodies, dimension=dimension)
        mass, q, p = draws.uniform(0.5, 1.5, bodies), draws.normal(bodies, dimension), draws.normal(bodies, dimension)
        acceleration = torch.zeros(dimension, dtype=torch.float64)
        acceleration[-1] = -gravity
        mass, acceleration, q, p = (x.to(device, dtype) for x in (mass, acceleration, q, p))
        return cls(acceleration, mass=mass), PhaseSpace(q, p)
