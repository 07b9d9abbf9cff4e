"""Lennard-Jones' law: noble gases as clusters, crystals and liquids."""

from __future__ import annotations

from functools import partial
from typing import Any

import torch
from jaxtyping import Float
from torch import Tensor

from systems.crystals import matter
from systems.phase_space import PhaseSpace
from systems.short_range import AbstractShortRange
from systems.vector_field import Variable


class LennardJones(AbstractShortRange):
    """H = sum_i |p_i|^2 / 2 m_i + 4 epsilon sum over i<j of ((sigma / r)^12 - (sigma / r)^6), r = |q_i - q_j|.

    Any number of bodies in any number of dimensions. With a cutoff the energy goes smoothly to 0 there and the cost is
    linear in the bodies. It may be added to a `systems.PeriodicBox`.

    Source: Jones (1924), Proceedings of the Royal Society A 106, 463.

    Args:
        mass: ``(*batch, n)``.
        epsilon: depth of the well, ``(*batch)``.
        sigma: distance at which the potential is 0, ``(*batch)``.
        cutoff: see `AbstractShortRange`; 2.5 sigma is a usual cutoff.
        mask, trainable, units: see `AbstractVectorField`; fixed: see `AbstractNewtonian`; edges: see `AbstractPairs`.

    Raises:
        ValueError: as `AbstractShortRange`.

    Example:
        >>> pair = LennardJones(mass=torch.ones(2), epsilon=1.0, sigma=1.0)
        >>> pair.potential(torch.tensor([[0.0, 0.0], [2 ** (1 / 6), 0.0]]))
        tensor(-1.)
        >>> liquid, state = LennardJones.sample(1, seed=0, bodies=108, phase="liquid")
        >>> round(liquid.box_length.max().item(), 3), round(liquid.cutoff.item(), 3)
        (5.039, 2.5)
    """

    name = "lennard_jones"
    variables = (
        *AbstractShortRange.variables,
        Variable("epsilon", (), "1", "depth of the well", si="kg m^2 / s^2"),
        Variable("sigma", (), "1", "distance at which the potential is zero", positive=True, si="m"),
    )
    epsilon: Tensor
    sigma: Tensor

    def uncut_potential(self, square: Float[Tensor, "*pairs"], pair: Any) -> Float[Tensor, "*pairs"]:
        ratio = pair.sigma.square() / square
        cube = ratio * ratio * ratio
        return 4 * pair.epsilon * (cube * (cube - 1))

    def uncut_force(self, square: Float[Tensor, "*pairs"], pair: Any) -> Float[Tensor, "*pairs"]:
        ratio = pair.sigma.square() / square
        cube = ratio * ratio * ratio
        return 24 * pair.epsilon * (cube * (2 * cube - 1)) / square

    @classmethod
    def sample(
        cls,
        count: int | range,
        *,
        seed: int,
        bodies: int = 8,
        dimension: int = 3,
        phase: str = "cluster",
        dtype: torch.dtype = torch.float64,
        device: torch.device | str = "cpu",
    ) -> tuple[Any, PhaseSpace]:
        """Unit masses, epsilon = sigma = 1, as a cluster, a crystal or a liquid; at rest as a whole.

        A cluster is a ball of close-packed bodies in open space at the temperature 0.1, without a cutoff. A crystal is
        face-centred cubic in a periodic box of density 1, at the temperature 0.3. A liquid starts on the same lattice
        with density 0.8442 at the temperature 1.44, of which half is left after a unit of time; it melts in five to
        twenty. Both have the cutoff 2.5, or half of a box that is smaller. Energies count one half of the temperature
        for each direction.

        Args:
            count: number of trajectories, or their numbers: a range.
            seed: of all random numbers; the first trajectories do not depend on how many are drawn.
            bodies: number of bodies; of a crystal or a liquid 4, 32, 108, 256, ..., four times a cube.
            dimension: number of dimensions of space; a crystal or a liquid has 3.
            phase: cluster, crystal or liquid.

        Returns:
            The system, a sum with a `PeriodicBox` where there is one, and the states ``(count, bodies, dimension)``.

        Raises:
            ValueError: for numbers that are not possible, and another phase.

        Example:
            >>> system, state = LennardJones.sample(10, seed=0)
            >>> state.q.shape, bool((system.energy(state) < 0).all())
            (torch.Size([10, 8, 3]), True)
        """
        return matter(
            partial(cls, epsilon=1.0, sigma=1.0),
            count,
            seed=seed,
            bodies=bodies,
            dimension=dimension,
            phase=phase,
            spacing=2 ** (1 / 6),
            conditions={"crystal": (1.0, 0.3), "liquid": (0.8442, 1.44)},
            dtype=dtype,
            device=device,
        )
