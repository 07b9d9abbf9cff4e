"""Morse's law: bonds that can break."""

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


class Morse(AbstractShortRange):
    """H = sum_i |p_i|^2 / 2 m_i + D sum over i<j of (x^2 - 2 x) with x = exp(-a (|q_i - q_j| - l)).

    Two atoms of a molecule, or a metal's; any number of bodies in any number of dimensions.

    Source: Morse (1929), Physical Review 34, 57.

    Args:
        mass: ``(*batch, n)``.
        depth: D, of the well, ``(*batch)``.
        steepness: a, ``(*batch)``.
        bond_length: l, the distance at the bottom of the well, ``(*batch)``.
        cutoff: see `AbstractShortRange`.
        mask, trainable, units: see `AbstractVectorField`; fixed: see `AbstractNewtonian`; edges: see `AbstractPairs`.

    Raises:
        ValueError: as `AbstractShortRange`.

    Example:
        >>> pair = Morse(mass=torch.ones(2), depth=2.0, steepness=1.0, bond_length=1.0)
        >>> pair.potential(torch.tensor([[0.0], [1.0]]))
        tensor(-2.)
    """

    name = "morse"
    variables = (
        *AbstractShortRange.variables,
        Variable("depth", (), "1", "depth of the well", si="kg m^2 / s^2"),
        Variable("steepness", (), "1", "steepness of the well", positive=True, si="1 / m"),
        Variable("bond_length", (), "1", "distance at the bottom of the well", positive=True, si="m"),
    )
    depth: Tensor
    steepness: Tensor
    bond_length: Tensor

    def uncut_potential(self, square: Float[Tensor, "*pairs"], pair: Any) -> Float[Tensor, "*pairs"]:
        x = torch.exp(-pair.steepness * (square.sqrt() - pair.bond_length))
        return pair.depth * (x * (x - 2))

    def uncut_force(self, square: Float[Tensor, "*pairs"], pair: Any) -> Float[Tensor, "*pairs"]:
        distance = square.sqrt()
        x = torch.exp(-pair.steepness * (distance - pair.bond_length))
        return 2 * pair.depth * pair.steepness * (x * (x - 1)) / distance

    @classmethod
    def sample(
        cls,
        count: int | range,
        *,
        seed: int,
        bodies: int = 7,
        dimension: int = 3,
        phase: str = "cluster",
        dtype: torch.dtype = torch.float64,
        device: torch.device | str = "cpu",
    ) -> tuple[Any, PhaseSpace]:
        """Unit masses with D = 1, a = 3 and l = 1, as a cluster, a crystal or a liquid; at rest as a whole.

        A cluster is a ball of close-packed bodies in open space at the temperature 0.1, without a cutoff. A crystal is
        face-centred cubic in a periodic box of density 1.4, at the temperature 0.3. A liquid starts on the same lattice
        with density 1.1 at the temperature 1.8, and melts within a unit of time to about two thirds of it. Both have
        the cutoff 2.5, or half of a box that is smaller. Energies count one half of the temperature for each direction.

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
            >>> system, state = Morse.sample(10, seed=0)
            >>> state.q.shape, bool((system.energy(state) < 0).all())
            (torch.Size([10, 7, 3]), True)
        """
        return matter(
            partial(cls, depth=1.0, steepness=3.0, bond_length=1.0),
            count,
            seed=seed,
            bodies=bodies,
            dimension=dimension,
            phase=phase,
            spacing=1.0,
            conditions={"crystal": (1.4, 0.3), "liquid": (1.1, 1.8)},
            dtype=dtype,
            device=device,
        )
