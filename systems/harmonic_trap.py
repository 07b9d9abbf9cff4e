"""A harmonic trap: the simplest potential that holds bodies in one place."""

from __future__ import annotations

from typing import Any

import torch
from jaxtyping import Float
from torch import Tensor

from systems.external import MASS, AbstractExternal
from systems.phase_space import PhaseSpace
from systems.sampling import Draws
from systems.vector_field import Variable


class HarmonicTrap(AbstractExternal):
    """V(q) = 1/2 k sum_i |q_i - c|^2: every body oscillates about the centre c with the frequency sqrt(k / m_i).

    Conserves the energy and, where the centre is the origin, the angular momentum.

    Args:
        trap_constant: k, ``(*batch)``.
        centre: c, ``(*batch, d)``; the origin if it is not given.
        mass: ``(*batch, n)``; left out where it is added to a system that has masses.
        **options: mask, fixed, trainable and units, see `AbstractVectorField` and `AbstractNewtonian`.

    Raises:
        ValueError: as `AbstractVectorField`.

    Example:
        >>> import torch
        >>> from systems import HarmonicTrap
        >>> HarmonicTrap(3.0, centre=[1.0, 0.0]).potential(torch.zeros(2, 2).double())
        tensor(3., dtype=torch.float64)
    """

    name = "harmonic_trap"
    variables = (
        MASS,
        Variable("trap_constant", (), "1", "spring constant of the trap", si="kg / s^2"),
        Variable("centre", ("space",), "1", "centre of the trap", optional=True, si="m"),
    )
    trap_constant: Tensor
    centre: Tensor | None

    def __init__(self, trap_constant: Any, *, centre: Any = None, **options: Any) -> None:
        super().__init__(trap_constant=trap_constant, centre=centre, **options)

    @property
    def conserved(self) -> tuple[str, ...]:
        return ("energy",) if self.centre is not None or self.fixed is not None else ("energy", "angular_momentum")

    def potential(self, q: Float[Tensor, "*batch n d"]) -> Float[Tensor, "*batch"]:
        return 0.5 * self.trap_constant * self._away(q).square().sum((-2, -1))

    def force(self, q: Float[Tensor, "*batch n d"]) -> Float[Tensor, "*batch n d"]:
        return -self.trap_constant[..., None, None] * self._away(q)

    def _away(self, q: Tensor) -> Tensor:
        """q - c."""
        return self.existing(q if self.centre is None else q - self.centre[..., None, :])

    @property
    def has_closed_form(self) -> bool:
        """True where no body is fixed and the trap holds."""
        return self.fixed is None and not self.trap_constant.requires_grad and bool((self.trap_constant > 0).all())

    def closed_form(self, state: PhaseSpace, times: Float[Tensor, " time *batch"]) -> PhaseSpace:
        """Sine and cosine, at ``times`` ``(time,)`` or ``(time, *batch)`` in any order."""
        if not self.has_closed_form:
            return super().closed_form(state, times)
        t = (times - times[0]).reshape(*times.shape, *(1,) * (state.q.ndim - times.ndim + 1))
        constant, inertia = self.trap_constant[..., None, None], self.inertia[..., None]
        phase, impedance = (constant / inertia).sqrt() * t, (constant * inertia).sqrt()
        x, p = self._away(state.q), self.existing(state.p)
        q = x * phase.cos() + p / impedance * phase.sin()
        centre = 0 if self.centre is None else self.centre[..., None, :]
        return PhaseSpace(self.existing(centre + q), p * phase.cos() - x * impedance * phase.sin())

    @classmethod
    def sample(
        cls,
        count: int | range,
        *,
        seed: int,
        bodies: int = 1,
        dimension: int = 2,
        dtype: torch.dtype = torch.float64,
        device: torch.device | str = "cpu",
    ) -> tuple[HarmonicTrap, PhaseSpace]:
        """Masses and trap constants of 0.5 to 1.5, positions and momenta N(0, 1).

        Args:
            count: number of trajectories, or their numbers: a range.
            seed: of all random numbers; the first trajectories do not depend on how many are drawn.
            bodies: number of bodies, which do not see each other.
            dimension: number of dimensions of space.

        Returns:
            The system, with masses ``(count, bodies)``, and the states ``(count, bodies, dimension)``.

        Example:
            >>> system, state = HarmonicTrap.sample(3, seed=0)
            >>> system.trap_constant.shape, state.q.shape
            (torch.Size([3]), torch.Size([3, 1, 2]))
        """
        draws = Draws(count, seed, bodies=bodies, dimension=dimension)
        mass, constant = draws.uniform(0.5, 1.5, bodies), draws.uniform(0.5, 1.5)
        q, p = draws.normal(bodies, dimension), draws.normal(bodies, dimension)
        mass, constant, q, p = (x.to(device, dtype) for x in (mass, constant, q, p))
        return cls(constant, mass=mass), PhaseSpace(q, p)
