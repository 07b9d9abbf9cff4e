"""Toda's lattice: a nonlinear chain that is integrable."""

from __future__ import annotations

import torch
from jaxtyping import Float
from torch import Tensor

from systems.chains import AbstractChain
from systems.integrable import check_integrable
from systems.phase_space import PhaseSpace
from systems.sampling import Draws


class Toda(AbstractChain):
    """H = sum_i p_i^2 / 2 m_i + sum_i exp(-(q_{i+1} - q_i)), a chain on a line with free ends.

    With unit masses it is integrable: the eigenvalues of its `lax` matrix do not move, as many as there are bodies.
    Energy and momentum are among them: the sum of the eigenvalues' squares is 2 H, their sum the momentum.

    Source: Toda (1967), Journal of the Physical Society of Japan 22, 431; Flaschka (1974), Physical Review B 9, 1924.

    Args:
        mass: ``(*batch, n)``; the lattice is integrable where all are 1.
        mask, trainable: see `AbstractVectorField`; fixed: see `AbstractNewtonian`.

    Raises:
        ValueError: as `AbstractVectorField`; where q is not one-dimensional.

    Example:
        >>> system = Toda(mass=torch.ones(2))
        >>> system.force(torch.zeros(2, 1))
        tensor([[-1.],
                [ 1.]])
    """

    name = "toda"

    def bond_potential(self, stretch: Float[Tensor, "*batch bond"]) -> Float[Tensor, "*batch bond"]:
        return torch.exp(-stretch)

    def bond_force(self, stretch: Float[Tensor, "*batch bond"]) -> Float[Tensor, "*batch bond"]:
        return -torch.exp(-stretch)

    def lax(self, state: PhaseSpace) -> Float[Tensor, "*batch n n"]:
        """Flaschka's matrix, whose eigenvalues are conserved: p_i on its diagonal, exp(-(q_{i+1} - q_i) / 2) beside it.

        Raises:
            ValueError: unless all masses are 1, and all bodies exist and move.

        Example:
            >>> system, state = Toda.sample(3, seed=0)
            >>> squares = torch.linalg.eigvalsh(system.lax(state)).square().sum(-1)
            >>> torch.allclose(squares, 2 * system.energy(state))
            True
        """
        check_integrable(self)
        beside = torch.exp(-self._stretch(state.q) / 2)
        return state.p[..., 0].diag_embed() + beside.diag_embed(1) + beside.diag_embed(-1)

    @classmethod
    def sample(
        cls,
        count: int | range,
        *,
        seed: int,
        bodies: int = 6,
        dtype: torch.dtype = torch.float64,
        device: torch.device | str = "cpu",
    ) -> tuple[Toda, PhaseSpace]:
        """Unit masses a distance of 1 + 0.3 N(0, 1) apart, with momenta 0.5 N(0, 1).

        Args:
            count: number of trajectories, or their numbers: a range.
            seed: of all random numbers; the first trajectories do not depend on how many are drawn.
            bodies: number of bodies.

        Example:
            >>> system, state = Toda.sample(10, seed=0)
            >>> state.q.shape
            torch.Size([10, 6, 1])
        """
        draws = Draws(count, seed, bodies=bodies)
        q, p = (1 + 0.3 * draws.normal(bodies, 1)).cumsum(1), 0.5 * draws.normal(bodies, 1)
        system = cls(mass=torch.ones(draws.count, bodies, dtype=dtype, device=device))
        return system, PhaseSpace(q.to(device, dtype), p.to(device, dtype))
