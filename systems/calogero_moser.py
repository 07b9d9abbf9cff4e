"""Calogero's and Moser's particles on a line, which are integrable."""

from __future__ import annotations

from typing import Any

import torch
from jaxtyping import Complex, Float
from torch import Tensor

from systems.integrable import check_integrable
from systems.pairs import AbstractPairs
from systems.phase_space import PhaseSpace
from systems.sampling import Draws
from systems.vector_field import Variable


class CalogeroMoser(AbstractPairs):
    """H = sum_i p_i^2 / 2 m_i + g^2 sum over i<j of 1 / (q_i - q_j)^2, for bodies on a line.

    With unit masses it is integrable: the eigenvalues of its `lax` matrix do not move, and neither do the traces
    tr L^k, of which the first is the momentum and the second twice the energy. Bodies fly apart in the end, with the
    eigenvalues as their momenta.

    Source: Moser (1975), Advances in Mathematics 16, 197.

    Args:
        mass: ``(*batch, n)``; integrable where all are 1.
        coupling: g, ``(*batch)``.
        mask, trainable: see `AbstractVectorField`; fixed: see `AbstractNewtonian`; edges: see `AbstractPairs`.

    Raises:
        ValueError: as `AbstractPairs`; where q is not one-dimensional.

    Example:
        >>> system = CalogeroMoser(mass=torch.ones(2), coupling=1.0)
        >>> system.force(torch.tensor([[0.0], [2.0]]))
        tensor([[-0.2500],
                [ 0.2500]])
    """

    name = "calogero_moser"
    variables = (*AbstractPairs.variables, Variable("coupling", (), "1", "coupling of the bodies"))
    coupling: Tensor

    @property
    def conserved(self) -> tuple[str, ...]:
        return super().conserved[:2]  # on a line there is no rotation

    def pair_potential(self, square: Float[Tensor, "*pairs"], pair: Any) -> Float[Tensor, "*pairs"]:
        return pair.coupling.square() / square

    def pair_force(self, square: Float[Tensor, "*pairs"], pair: Any) -> Float[Tensor, "*pairs"]:
        return 2 * pair.coupling.square() / square.square()

    def differences(self, q: Float[Tensor, "*batch n d"]) -> list[Tensor]:
        if q.shape[-1] != 1:
            raise ValueError(f"q: CalogeroMoser lives on a line, expected (*batch, n, 1), got {tuple(q.shape)}")
        return super().differences(q)

    def lax(self, state: PhaseSpace) -> Complex[Tensor, "*batch n n"]:
        """Moser's matrix, whose eigenvalues are conserved: p_i on its diagonal, i g / (q_i - q_j) beside it.

        Raises:
            ValueError: unless all masses are 1, and all bodies exist and move.

        Example:
            >>> system, state = CalogeroMoser.sample(3, seed=0)
            >>> squares = torch.linalg.eigvalsh(system.lax(state)).square().sum(-1)
            >>> torch.allclose(squares, 2 * system.energy(state))
            True
        """
        check_integrable(self)
        (apart,) = self.differences(state.q)
        apart = torch.where(torch.eye(apart.shape[-1], dtype=torch.bool, device=apart.device), torch.inf, apart)
        return torch.complex(state.p[..., 0].diag_embed(), self.coupling[..., None, None] / apart)

    @classmethod
    def sample(
        cls,
        count: int | range,
        *,
        seed: int,
        bodies: int = 5,
        dtype: torch.dtype = torch.float64,
        device: torch.device | str = "cpu",
    ) -> tuple[CalogeroMoser, PhaseSpace]:
        """Unit masses a distance of 1 to 2 apart, with momenta 0.5 N(0, 1); g = 1.

        Args:
            count: number of trajectories, or their numbers: a range.
            seed: of all random numbers; the first trajectories do not depend on how many are drawn.
            bodies: number of bodies.

        Example:
            >>> system, state = CalogeroMoser.sample(10, seed=0)
            >>> state.q.shape
            torch.Size([10, 5, 1])
        """
        draws = Draws(count, seed, bodies=bodies)
        q, p = draws.uniform(1.0, 2.0, bodies, 1).cumsum(1), 0.5 * draws.normal(bodies, 1)
        system = cls(mass=torch.ones(draws.count, bodies, dtype=dtype, device=device), coupling=1.0)
        return system, PhaseSpace(q.to(device, dtype), p.to(device, dtype))
