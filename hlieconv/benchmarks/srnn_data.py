"""Noisy trajectories of a chain of springs and of three bodies (Chen, Zhang, Arjovsky and Bottou 2020)."""

from typing import Any

import torch
import xarray as xr
from torch import Tensor

from hlieconv.benchmarks.hnn_data import three_bodies
from systems import Gravity, PhaseSpace, Springs
from systems.dataset.schema import stored_variables, to_dataset
from systems.integrators import AdaptiveGauss
from systems.sampling import Draws

#: Points of a trajectory to train on, and of one to test on; seconds between them; noise of q and p of both systems.
SEEN, ASKED, BETWEEN = 10, 50, 0.1
NOISE = {"chain": 0.2, "three-body": 0.1}

#: Of the springs and masses of the chain, which all trajectories share.
CHAIN_SEED = 7


def chain(count: int, seed: int, *, bodies: int = 20) -> tuple[Springs, PhaseSpace]:
    """Bodies on a line between two walls at 0, each bound to the next by a spring without length.

    Masses 1 + N(0, 1/16) and constants 5 (1 + N(0, 1/16)), of which no factor is below 0.2; q and p ~ U(-2.5, 2.5), of
    the first body and the last one 0. The walls are two bodies more, which are fixed.
    """
    draws = Draws(1, CHAIN_SEED)
    mass, constant = ((1 + draws.normal(size)[0] / 4).clamp(min=0.2) for size in (bodies, bodies + 1))
    inner = slice(2, bodies)
    state = PhaseSpace(*torch.zeros(2, count, bodies + 2, 1, dtype=torch.float64))
    for x, drawn in zip(state, Draws(count, seed).uniform(-2.5, 2.5, 2, bodies - 2, 1).unbind(1), strict=True):
        x[:, inner] = drawn
    return bound(torch.nn.functional.pad(mass, (1, 1), value=1.0), 5 * constant), state


def bound(mass: Tensor, constant: Tensor, **options: Any) -> Springs:
    """A chain between walls, of springs between neighbours."""
    fixed = torch.zeros(len(mass), dtype=torch.bool)
    fixed[[0, -1]] = True
    upper = torch.diag(constant, 1)
    return Springs(mass=mass, spring_constant=upper + upper.mT, fixed=fixed, **options)


def attracted(count: int, seed: int) -> tuple[Gravity, PhaseSpace]:
    """Three unit masses, as in the tasks of Hamiltonian neural networks."""
    return Gravity(mass=torch.ones(3, dtype=torch.float64), gravitational_constant=1.0), three_bodies(count, seed)


def srnn_data(task: str, count: int, points: int, *, seed: int, bodies: int = 20) -> tuple[Any, xr.Dataset, PhaseSpace]:
    """A system, noisy trajectories with their standard errors, and the same without noise, ``(time, trajectory, ...)``.

    The masses of the three bodies are told, those of the chain are not.

    Args:
        task: "chain" or "three-body".
        count: of trajectories.
        points: of each.
        seed: of states and noise.
        bodies: of the chain.
    """
    system, state = chain(count, seed, bodies=bodies) if task == "chain" else attracted(count, seed)
    times = BETWEEN * torch.arange(points, dtype=torch.float64)
    exact, draws, size = AdaptiveGauss().integrate(system, state, times), Draws(count, seed + 1000), NOISE[task]
    moves = torch.ones_like(state.q[0]) if system.fixed is None else (~system.fixed).to(state.q)[:, None]
    noisy = PhaseSpace(*(x + size * moves * draws.normal(points, *moves.shape).transpose(0, 1) for x in exact))
    known = {"mass": stored_variables(system, state.q.shape)["mass"]} if task == "three-body" else {}
    data = to_dataset(noisy, times, variables=known)
    bars = {f"{x}_error": xr.full_like(data[x], size) for x in "qp"}
    return system, data.assign(bars), exact
