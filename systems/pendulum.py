"""A chain of pendulums: a Hamiltonian that is not separable."""

from __future__ import annotations

import torch
from jaxtyping import Float
from torch import Tensor

from systems.phase_space import PhaseSpace
from systems.sampling import Draws
from systems.vector_field import AbstractHamiltonian, Variable


class Pendulum(AbstractHamiltonian):
    """H = 1/2 p^T M(q)^-1 p + V(q) of an n-link pendulum in a plane.

    Link i is a massless rod of length l_i with a mass m_i at its far end; it hangs on link i - 1, the first on a fixed
    point. q_i is its angle from the vertical, p_i the conjugate momentum. With mu_i = sum over j >= i of m_j, the mass
    that link i carries,

        M_ij = mu_max(i,j) l_i l_j cos(q_i - q_j),    V = -g sum_i mu_i l_i cos q_i.

    Conserves the energy. Without gravity it conserves the angular momentum about the pivot as well, which is sum_i p_i;
    that is no q x p (the coordinates are angles), so that ``conserved`` does not list it.

    Source: Goldstein, Poole & Safko, Classical Mechanics (2002), section 1.6 and exercise 1.22 (two links).

    Args:
        mass: ``(*batch, n)``.
        length: ``(*batch, n)``.
        gravity: ``(*batch)``, the gravitational acceleration.
        mask, trainable: see `AbstractVectorField`; a masked link is no part of the chain.

    Raises:
        ValueError: as `AbstractVectorField`; where q does not have shape ``(*batch, n, 1)``.

    Example:
        >>> import torch
        >>> from systems import Pendulum, PhaseSpace
        >>> system = Pendulum(mass=torch.ones(2), length=torch.ones(2), gravity=1.0)
        >>> system.energy(PhaseSpace(q=torch.zeros(2, 1), p=torch.tensor([[2.0], [1.0]])))
        tensor(-2.)
    """

    name = "pendulum"
    coordinates = "generalised"
    variables = (
        Variable("mass", ("body",), "1", "mass at the end of a link", positive=True, si="kg"),
        Variable("length", ("body",), "1", "length of a link", positive=True, si="m"),
        Variable("gravity", (), "1", "gravitational acceleration", si="m / s^2"),
    )
    mass: Tensor
    length: Tensor
    gravity: Tensor

    def energy(self, state: PhaseSpace) -> Float[Tensor, "*batch"]:
        q, p = self._angles(state)
        kinetic = 0.5 * (p * self._rates(q, p)).sum(-1)
        return kinetic - (self._weight * q.cos()).sum(-1)

    def forward(self, t: Float[Tensor, "*times"], state: PhaseSpace) -> PhaseSpace:
        q, p = self._angles(state)
        rates = self._rates(q, p)
        # -dH/dq_i = 1/2 rates^T (dM/dq_i) rates - dV/dq_i, and only row and column i of M know q_i.
        twist = (self._inertia * (q[..., :, None] - q[..., None, :]).sin() * rates[..., None, :]).sum(-1)
        return PhaseSpace(rates[..., None], -(rates * twist + self._weight * q.sin())[..., None])

    def mass_matrix(self, q: Float[Tensor, "*batch n 1"]) -> Float[Tensor, "*batch n n"]:
        """M(q), with p = M(q) dq/dt. A masked link has a row and column of the identity."""
        matrix = self._inertia * (q - q.mT).cos()
        return matrix if self.mask is None else matrix + torch.diag_embed((~self.mask).to(matrix.dtype))

    @property
    def _carried(self) -> Tensor:
        """mu_i, the mass of link i and of all after it."""
        mass = self.mass if self.mask is None else torch.where(self.mask, self.mass, 0)
        return mass.flip(-1).cumsum(-1).flip(-1)

    @property
    def _reach(self) -> Tensor:
        return self.length if self.mask is None else torch.where(self.mask, self.length, 0)

    @property
    def _inertia(self) -> Tensor:
        """mu_max(i,j) l_i l_j."""
        carried, reach = self._carried, self._reach
        carried = torch.minimum(carried[..., :, None], carried[..., None, :])  # mu falls along the chain
        return carried * (reach[..., :, None] * reach[..., None, :])

    @property
    def _weight(self) -> Tensor:
        """g mu_i l_i."""
        return self.gravity[..., None] * self._carried * self._reach

    def _angles(self, state: PhaseSpace) -> tuple[Tensor, Tensor]:
        if state.q.shape[-1] != 1:
            raise ValueError(f"q: Pendulum has one angle a link, expected (*batch, n, 1), got {tuple(state.q.shape)}")
        return self.existing(state.q)[..., 0], self.existing(state.p)[..., 0]

    def _rates(self, q: Tensor, p: Tensor) -> Tensor:
        """dq/dt = M^-1 p."""
        factor, _ = torch.linalg.cholesky_ex(self.mass_matrix(q[..., None]))  # positive definite: nothing to check
        return torch.cholesky_solve(p[..., None], factor)[..., 0]

    @classmethod
    def sample(
        cls,
        count: int | range,
        *,
        seed: int,
        bodies: int = 2,
        gravity: float = 1.0,
        dtype: torch.dtype = torch.float64,
        device: torch.device | str = "cpu",
    ) -> tuple[Pendulum, PhaseSpace]:
        """Masses and lengths of 0.5 to 1.5, angles of up to pi/2 to either side, angular velocities N(0, 1/4).

        Args:
            count: number of trajectories, or their numbers: a range.
            seed: of all random numbers; the first trajectories do not depend on how many are drawn.
            bodies: number of links of the pendulum.
            gravity: gravitational acceleration.

        Returns:
            The system, with values ``(count, bodies)``, and the states ``(count, bodies, 1)``.

        Example:
            >>> system, state = Pendulum.sample(10, seed=0, bodies=3)
            >>> state.q.shape
            torch.Size([10, 3, 1])
        """
        draws = Draws(count, seed, bodies=bodies)
        mass, length = draws.uniform(0.5, 1.5, bodies), draws.uniform(0.5, 1.5, bodies)
        q, rates = draws.uniform(-torch.pi / 2, torch.pi / 2, bodies, 1), 0.5 * draws.normal(bodies, 1)
        system = cls(mass=mass, length=length, gravity=gravity)
        state = PhaseSpace(q.to(device, dtype), (system.mass_matrix(q) @ rates).to(device, dtype))
        return system.to(device, dtype), state
