"""The chain of Fermi, Pasta, Ulam and Tsingou."""

from __future__ import annotations

import math

import torch
from jaxtyping import Float
from torch import Tensor

from systems.chains import AbstractChain
from systems.checks import check
from systems.phase_space import PhaseSpace
from systems.sampling import Draws
from systems.vector_field import Variable


class FPUT(AbstractChain):
    """H = sum_i p_i^2 / 2 m_i + sum_i (u_i^2 / 2 + alpha u_i^3 / 3 + beta u_i^4 / 4) with u_i = q_{i+1} - q_i.

    q_i is how far a body is from its place in the chain. The first experiment on a computer: the energy of the longest
    wave, instead of spreading over all waves, comes back. Almost integrable, as the cubic chain touches Toda's lattice.
    The published chain has walls at its ends: the first and the last body are fixed.

    Source: Fermi, Pasta, Ulam & Tsingou (1955), Los Alamos report LA-1940.

    Args:
        mass: ``(*batch, n)``.
        alpha: ``(*batch)``, of the cubic term; 0 or ``beta`` above alpha^2 / 4 keeps the chain together.
        beta: ``(*batch)``, of the quartic term.
        mask, trainable: see `AbstractVectorField`; fixed: see `AbstractNewtonian`.

    Raises:
        ValueError: as `AbstractVectorField`; where q is not one-dimensional.

    Example:
        >>> system = FPUT(mass=torch.ones(2), alpha=0.25, beta=0.0)
        >>> system.force(torch.tensor([[0.0], [2.0]]))
        tensor([[ 3.],
                [-3.]])
    """

    name = "fput"
    variables = (
        *AbstractChain.variables,
        Variable("alpha", (), "1", "strength of the cubic term"),
        Variable("beta", (), "1", "strength of the quartic term"),
    )
    alpha: Tensor
    beta: Tensor

    def bond_potential(self, stretch: Float[Tensor, "*batch bond"]) -> Float[Tensor, "*batch bond"]:
        alpha, beta = self.alpha[..., None], self.beta[..., None]
        return stretch.square() * (0.5 + stretch * (alpha / 3 + stretch * (beta / 4)))

    def bond_force(self, stretch: Float[Tensor, "*batch bond"]) -> Float[Tensor, "*batch bond"]:
        return stretch * (1 + stretch * (self.alpha[..., None] + stretch * self.beta[..., None]))

    @classmethod
    def sample(
        cls,
        count: int | range,
        *,
        seed: int,
        bodies: int = 8,
        alpha: float = 0.25,
        beta: float = 0.1,
        walls: bool = False,
        dtype: torch.dtype = torch.float64,
        device: torch.device | str = "cpu",
    ) -> tuple[FPUT, PhaseSpace]:
        """Unit masses; the longest wave with an amplitude of 0.5 to 1.5 and any phase, and a little of all others.

        Args:
            count: number of trajectories, or their numbers: a range.
            seed: of all random numbers; the first trajectories do not depend on how many are drawn.
            bodies: number of bodies, the walls among them.
            alpha: strength of the cubic term.
            beta: strength of the quartic term.
            walls: fix the first and the last body.

        Raises:
            ValueError: for numbers of trajectories below 1 or of bodies below 2.

        Example:
            >>> system, state = FPUT.sample(10, seed=0, bodies=34, walls=True)
            >>> system.fixed.sum().item(), state.q.shape
            (2, torch.Size([10, 34, 1]))
        """
        check("bodies", bodies, bodies >= 2, "a chain of at least 2")
        draws = Draws(count, seed)
        size, phase = draws.uniform(0.5, 1.5, 1), draws.uniform(0.0, 2 * math.pi, 1)
        noise = 0.02 * draws.normal(2, bodies)
        place = torch.arange(bodies, dtype=torch.float64) / (bodies - 1)
        wave, omega = (math.pi * place).sin() if walls else (math.pi * place).cos(), math.pi / (bodies - 1)
        q, p = size * phase.cos() * wave + noise[:, 0], -omega * size * phase.sin() * wave + noise[:, 1]
        fixed = None
        if walls:
            fixed = (place == 0) | (place == 1)
            q, p = (torch.where(fixed, 0, x) for x in (q, p))
            fixed = fixed.to(device)
        system = cls(
            mass=torch.ones(draws.count, bodies, dtype=dtype, device=device), alpha=alpha, beta=beta, fixed=fixed
        )
        return system, PhaseSpace(q[..., None].to(device, dtype), p[..., None].to(device, dtype))
