"""The tasks of Hamiltonian neural networks (Greydanus, Dzamba and Yosinski 2019): noise, and derivatives as data."""

import math
from collections.abc import Callable
from dataclasses import dataclass

import torch
import xarray as xr
from jaxtyping import Float
from torch import Tensor

from systems import AbstractNewtonian, Gravity, HarmonicTrap, PhaseSpace
from systems.dataset.by_rates import smoothed_by_rates
from systems.dataset.measured import from_arrays
from systems.integrators import AdaptiveGauss
from systems.sampling import Draws

#: Orbits on which energies are compared.
TRIALS = 15


class PlanePendulum(AbstractNewtonian):
    """H = p^2 / 2 m + 3 (1 - cos q)."""

    def potential(self, q: Float[Tensor, "*batch n d"]) -> Float[Tensor, "*batch"]:
        return (3 * (1 - q.cos())).sum((-2, -1))

    def force(self, q: Float[Tensor, "*batch n d"]) -> Float[Tensor, "*batch n d"]:
        return -3 * q.sin()


@dataclass(frozen=True)
class HNNTask:
    """One of the tasks."""

    system: Callable[[int], AbstractNewtonian]
    """For so many trajectories."""
    group: str
    """Of the motions that a law must not change."""
    start: Callable[[int, int], PhaseSpace]
    """First states of the training data, from a count and a seed."""
    begin: Callable[[int, int], PhaseSpace]
    """First states of the orbits on which energies are compared."""
    trajectories: int
    """To train on."""
    points: int
    seconds: float
    noise: float
    """Of the positions and momenta to train on, not of their derivatives."""
    trial_points: int
    trial_seconds: float
    published: tuple[float, float]
    """The mean square error of the energy: of their baseline network, and of theirs."""


def on_circle(low: float, high: float) -> Callable[[int, int], PhaseSpace]:
    """States (q, p) in the direction of a point of the square |q|, |p| < 1, at a radius U(low, high)."""

    def start(count: int, seed: int) -> PhaseSpace:
        draws = Draws(count, seed)
        direction, radius = draws.uniform(-1.0, 1.0, 2), draws.uniform(low, high, 1)
        q, p = (radius * direction / direction.norm(dim=1, keepdim=True)).split(1, 1)
        return PhaseSpace(q[..., None], p[..., None])

    return start


def in_square(count: int, seed: int) -> PhaseSpace:
    """States with q and p of 0.2 to 1, of either sign."""
    x = Draws(count, seed).uniform(-0.8, 0.8, 2)
    q, p = (x + 0.2 * x.sign()).split(1, 1)
    return PhaseSpace(q[..., None], p[..., None])


def two_bodies(count: int, seed: int) -> PhaseSpace:
    """Two unit masses on circles, but for one factor 1 + 0.05 N(0, 1) of their velocities."""
    draws = Draws(count, seed)
    q, noise = draws.uniform(0.5, 1.5, 2), draws.normal(1)
    radius = q.norm(dim=1, keepdim=True)
    p = torch.stack([-q[:, 1], q[:, 0]], 1) / (2 * radius**1.5) * (1 + 0.05 * noise)
    return PhaseSpace(torch.stack([q, -q], 1), torch.stack([p, -p], 1))


def three_bodies(count: int, seed: int) -> PhaseSpace:
    """Three unit masses that circle on a triangle, but for a factor U(0.8, 1.2) of each velocity component."""
    draws = Draws(count, seed)
    direction, radius = draws.uniform(-1.0, 1.0, 2), draws.uniform(0.9, 1.2, 1)
    q = radius * direction / direction.norm(dim=1, keepdim=True)
    turns = [2 * math.pi / 3 * k for k in range(3)]
    q = torch.stack([_turned(q, turn) for turn in turns], 1)
    circular = _turned(q, math.pi / 2) / radius[..., None] ** 1.5 * 3**-0.25
    return PhaseSpace(q, circular * draws.uniform(0.8, 1.2, 3, 2))


def _turned(x: Tensor, angle: float) -> Tensor:
    c, s = math.cos(angle), math.sin(angle)
    return x @ torch.tensor([[c, s], [-s, c]], dtype=x.dtype)


def _half(count: int) -> Tensor:
    return torch.full((count, 1), 0.5, dtype=torch.float64)


def _gravity(n: int) -> Callable[[int], AbstractNewtonian]:
    return lambda count: Gravity(mass=torch.ones(count, n, dtype=torch.float64), gravitational_constant=1.0)


TASKS = {
    "spring": HNNTask(
        system=lambda count: HarmonicTrap(torch.full((count,), 2.0, dtype=torch.float64), mass=_half(count)),
        group="Trivial",
        start=on_circle(0.1, 1.0),
        begin=in_square,
        trajectories=25,
        points=30,
        seconds=3.0,
        noise=0.1,
        trial_points=100,
        trial_seconds=20.0,
        published=(1.7077e-1, 3.8416e-4),
    ),
    "pendulum": HNNTask(
        system=lambda count: PlanePendulum(mass=_half(count)),
        group="Trivial",
        start=on_circle(1.3, 2.3),
        begin=in_square,
        trajectories=25,
        points=45,
        seconds=3.0,
        noise=0.1,
        trial_points=100,
        trial_seconds=20.0,
        published=(4.1519e-2, 2.4852e-2),
    ),
    "two-body": HNNTask(
        system=_gravity(2),
        group="SE2",
        start=two_bodies,
        begin=two_bodies,
        trajectories=800,
        points=50,
        seconds=20.0,
        noise=0.0,
        trial_points=500,
        trial_seconds=25.0,
        published=(6.3276e-2, 3.8751e-5),
    ),
    "three-body": HNNTask(
        system=_gravity(3),
        group="SE2",
        start=three_bodies,
        begin=three_bodies,
        trajectories=4000,
        points=20,
        seconds=5.0,
        noise=0.0,
        trial_points=500,
        trial_seconds=3.0,
        published=(1.0906e2, 4.1926e-2),
    ),
}


def hnn_data(task: HNNTask, count: int | None = None, *, seed: int = 0) -> xr.Dataset:
    """The training data: noisy states, and the exact derivatives of those without noise.

    No mass is among them where there is noise.

    Args:
        task: one of the four.
        count: of trajectories, if not that of the task.
        seed: of states and noise.
    """
    count = task.trajectories if count is None else count
    system = task.system(count)
    times = torch.linspace(0, task.seconds, task.points, dtype=torch.float64)
    path = AdaptiveGauss().integrate(system, task.start(count, seed), times)
    rates = system(times, path)
    draws = Draws(count, seed + 1)
    q, p, *given = (x.transpose(0, 1) for x in (*path, *rates))
    q, p = (x + task.noise * draws.normal(*x.shape[1:]) for x in (q, p))
    q, p, q_rate, p_rate = (x.numpy() for x in (q, p, *given))
    data = from_arrays(q, p, times=times.numpy(), mass=1.0, q_rate=q_rate, p_rate=p_rate)
    return data.drop_vars("mass") if task.noise else data


def without_noise(dataset: xr.Dataset) -> xr.Dataset:
    """States as smooth as their derivatives say, and the mass that p = m dq/dt has then."""
    smooth = smoothed_by_rates(dataset)
    momenta, velocities = (x - x.mean("time") for x in (smooth["p"], smooth["q_rate"]))
    mass = float((momenta * velocities).sum() / (velocities**2).sum())
    q, p, q_rate, p_rate = (smooth[name].values for name in ("q", "p", "q_rate", "p_rate"))
    return from_arrays(q, p, times=smooth["time"].values, mass=mass, q_rate=q_rate, p_rate=p_rate)
