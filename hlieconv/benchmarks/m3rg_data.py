"""Rings of springs and binary Lennard-Jones clusters, as the M3RG suite has them (Bishnoi et al. 2022 and 2023)."""

from typing import Any

import torch
import xarray as xr
from jaxtyping import Float
from torch import Tensor

from systems import AbstractPairs, LennardJones, PhaseSpace, Springs, Variable
from systems.dataset.schema import to_dataset
from systems.integrators import AdaptiveGauss
from systems.sampling import Draws

#: Frames of a trajectory, and the seconds between them.
FRAMES, BETWEEN = 100, {"springs": 0.1, "binary Lennard-Jones": 0.01}

#: Depths and sizes of pairs A-A, A-B and B-B, and the part of the bodies that are B (Kob and Andersen 1995).
DEPTHS, SIZES, PART = (1.0, 1.5, 0.5), (1.0, 0.8, 0.88), 0.2


class BinaryLennardJones(AbstractPairs):
    """V = 4 sum over i<j of depth_ij ((size_ij / r)^12 - (size_ij / r)^6), of bodies of the species 0 and 1."""

    variables = (*AbstractPairs.variables, Variable("species", ("body",), "1", "0 for A, 1 for B"))

    def pair_potential(self, square: Float[Tensor, "*pairs"], pair: Any) -> Float[Tensor, "*pairs"]:
        kinds = (pair.i.species + pair.j.species).long()
        depth, size = (square.new_tensor(values)[kinds] for values in (DEPTHS, SIZES))
        cube = (size.square() / square) ** 3
        return 4 * depth * cube * (cube - 1)


def springs(count: int, seed: int, *, bodies: int = 5) -> tuple[Springs, PhaseSpace]:
    """A ring of unit masses and springs of unit constant and length: q ~ U(0, 2) in 2D, p ~ U(0, 0.1) less its mean."""
    draws = Draws(count, seed, bodies=bodies)
    q, p = draws.uniform(0.0, 2.0, bodies, 2), draws.uniform(0.0, 0.1, bodies, 2)
    ring = torch.eye(bodies, dtype=q.dtype).roll(1, 0)
    bond = (ring + ring.mT).expand(count, -1, -1)
    system = Springs(mass=torch.ones_like(q[..., 0]), spring_constant=bond, rest_length=bond)
    return system, PhaseSpace(q, p - p.mean(1, keepdim=True))


def binary(count: int, seed: int, *, bodies: int = 20) -> tuple[BinaryLennardJones, PhaseSpace]:
    """A close-packed ball of unit masses at the temperature 0.1; a fifth of them, drawn at random, are of species B."""
    _, state = LennardJones.sample(count, seed=seed, bodies=bodies)
    order = Draws(count, seed + 1).uniform(0.0, 1.0, bodies).argsort(1)
    species = (order < round(PART * bodies)).to(state.q.dtype)
    return BinaryLennardJones(mass=torch.ones_like(species), species=species), state


TASKS = {"springs": springs, "binary Lennard-Jones": binary}


def m3rg_data(task: str, count: int, seed: int, *, bodies: int) -> tuple[Any, xr.Dataset]:
    """A system and its trajectories, to round-off."""
    system, state = TASKS[task](count, seed, bodies=bodies)
    times = BETWEEN[task] * torch.arange(FRAMES, dtype=torch.float64)
    return system, to_dataset(AdaptiveGauss().integrate(system, state, times), times, field=system)
