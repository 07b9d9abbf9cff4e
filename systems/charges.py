"""Electric point charges."""

from __future__ import annotations

import torch
from torch import Tensor

from systems.inverse_distance import AbstractInverseDistance
from systems.phase_space import PhaseSpace
from systems.sampling import Draws
from systems.vector_field import AbstractNewtonian, Variable


class Charges(AbstractInverseDistance):
    """H = sum_i |p_i|^2 / 2 m_i + k sum over i<j of c_i c_j / sqrt(|q_i - q_j|^2 + softening^2).

    Coulomb's law for charges c_i of either sign: like charges repel, unlike ones attract. Any number of bodies in any
    number of dimensions (the potential is 1/r in each). Two bodies without softening have a closed form: Kepler's
    orbits, and Rutherford's hyperbola if they repel. Conserves energy, momentum and angular momentum.

    Source: Jackson, Classical Electrodynamics (1999), section 1.1.

    Args:
        mass: ``(*batch, n)``.
        charge: ``(*batch, n)``.
        coulomb_constant: ``(*batch)``.
        softening: ``(*batch)``; 0 for point charges.
        mask, trainable: see `AbstractVectorField`; fixed: see `AbstractNewtonian`.

    Raises:
        ValueError: as `AbstractVectorField`.

    Example:
        >>> import torch
        >>> from systems import Charges
        >>> system = Charges(mass=1.0, charge=torch.tensor([1.0, -1.0]), coulomb_constant=1.0, softening=0.0)
        >>> system.force(torch.tensor([[0.0, 0.0], [2.0, 0.0]]))
        tensor([[ 0.2500,  0.0000],
                [-0.2500,  0.0000]])
    """

    name = "charges"
    variables = (
        *AbstractNewtonian.variables,
        Variable("charge", ("body",), "1", "electric charge of a body", si="C"),
        Variable("coulomb_constant", (), "1", "Coulomb constant", si="kg m^3 / s^2 / C^2"),
        Variable("softening", (), "1", "softening length of the distance between bodies", si="m"),
    )
    charge: Tensor
    coulomb_constant: Tensor

    @property
    def _charges(self) -> tuple[Tensor, Tensor, Tensor]:
        return self.charge, self.charge, self.coulomb_constant

    @classmethod
    def sample(
        cls,
        count: int | range,
        *,
        seed: int,
        bodies: int = 6,
        dimension: int = 2,
        softening: float = 0.2,
        dtype: torch.dtype = torch.float64,
        device: torch.device | str = "cpu",
    ) -> tuple[Charges, PhaseSpace]:
        """Charges of +1 and -1 at random, masses of 0.5 to 1.5, positions N(0, 1) and momenta N(0, 1/4) for each axis.

        Args:
            count: number of trajectories, or their numbers: a range.
            seed: of all random numbers; the first trajectories do not depend on how many are drawn.
            bodies: number of charges.
            dimension: number of dimensions of space.
            softening: length below which the force is softened; 0 takes point charges.

        Returns:
            The system, with values ``(count, bodies)``, and the states ``(count, bodies, dimensions)``.

        Example:
            >>> system, state = Charges.sample(10, seed=0)
            >>> system.charge.unique().tolist(), state.q.shape
            ([-1.0, 1.0], torch.Size([10, 6, 2]))
        """
        draws = Draws(count, seed, bodies=bodies, dimension=dimension)
        mass, charge = draws.uniform(0.5, 1.5, bodies), 2 * draws.uniform(0.0, 2.0, bodies).floor() - 1
        q, p = draws.normal(bodies, dimension), 0.5 * draws.normal(bodies, dimension)
        mass, charge, q, p = (x.to(device, dtype) for x in (mass, charge, q, p))
        return cls(mass=mass, charge=charge, coulomb_constant=1.0, softening=softening), PhaseSpace(q, p)
