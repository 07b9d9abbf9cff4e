"""Morse's law: bonds that can break."""

from __future__ import annotations

from typing import Any

import torch
from jaxtyping import Float
from torch import Tensor

from systems.crystals import cluster, thermal
from systems.phase_space import PhaseSpace
from systems.sampling import Draws
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
        count: int,
        *,
        seed: int,
        bodies: int = 7,
        dimension: int = 3,
        dtype: torch.dtype = torch.float64,
        device: torch.device | str = "cpu",
    ) -> tuple[Morse, PhaseSpace]:
        """A cluster of close-packed unit masses at the temperature 0.1; D = 1, a = 3, l = 1.

        Args:
            count: number of trajectories.
            seed: of all random numbers; the first trajectories do not depend on how many are drawn.
            bodies: number of bodies.
            dimension: number of dimensions of space.

        Raises:
            ValueError: for numbers below 1.

        Example:
            >>> system, state = Morse.sample(10, seed=0)
            >>> state.q.shape, bool((system.energy(state) < 0).all())
            (torch.Size([10, 7, 3]), True)
        """
        draws = Draws(count, seed, bodies=bodies, dimension=dimension)
        q = cluster(bodies, dimension, 1.0) + 0.02 * draws.normal(bodies, dimension)
        p = thermal(draws.normal(bodies, dimension), 0.1)
        mass = torch.ones(count, bodies, dtype=dtype, device=device)
        system = cls(mass=mass, depth=1.0, steepness=3.0, bond_length=1.0)
        return system, PhaseSpace(q.to(device, dtype), p.to(device, dtype))
