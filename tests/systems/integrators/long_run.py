"""Long runs of springs with rest length, and how fast round-off carries their charges away."""

import numpy as np
import torch

import hlieconv.diagnostics  # noqa: F401  (gives Datasets their accessor)
from systems import PhaseSpace, Springs, lattice, simulate


def chain(count):
    """Six of the paper's bodies in a chain of stiff springs, centre of mass at rest: neighbours never meet."""
    system, state = Springs.sample(count, seed=0)
    place = torch.arange(6, dtype=torch.float64) - 2.5
    q = 0.25 * state.q + torch.stack([place, torch.zeros_like(place)], -1)
    share = (system.mass / system.mass.sum(-1, keepdim=True))[..., None]
    state = PhaseSpace(q - (share * q).sum(-2, keepdim=True), state.p - share * state.p.sum(-2, keepdim=True))
    return Springs(mass=system.mass, spring_constant=50.0 * lattice(6).matrix, rest_length=1.0), state


def pairs(count):
    """The paper's bodies, every pair joined by a spring of length 1, centre of mass at rest at the origin."""
    return Springs.sample(count, seed=0, rest_length=1.0, centre_of_mass=True)


def drifting(count):
    """The same from the paper's own states: the centre of mass moves away."""
    return Springs.sample(count, seed=0, rest_length=1.0)


def run(sample, integrator, time, outputs, count=64):
    """A Dataset from t = 0 to ``time`` with so many evenly spaced outputs after the first."""
    times = torch.linspace(0, time, outputs + 1, dtype=torch.float64)
    return simulate(*sample(count), times, integrator, seed=0)


def drift(dataset, quantity):
    """RMS over trajectories, at the times after the first."""
    squares = dataset.dynamics.drift(quantity).isel(time=slice(1, None)) ** 2
    components = [dim for dim in squares.dims if dim not in ("trajectory", "time")]
    return np.sqrt(squares.sum(components).mean("trajectory"))


def growth(drift):
    """The exponent of t with which a drift grows over the last two decades of time, by least squares of logarithms."""
    time = drift["time"].values
    places = np.unique(np.searchsorted(time, np.geomspace(time[-1] / 100, time[-1], 60)).clip(max=len(time) - 1))
    return float(np.polyfit(np.log(time[places]), np.log(drift.values[places]), 1)[0])


def trend(dataset):
    """|slope of the energy| x T as a share of its oscillation (largest - least), both RMS over trajectories."""
    energy, time = dataset["energy"].transpose("time", "trajectory").values, dataset["time"].values
    slope = np.polyfit(time, energy, 1)[0]
    oscillation = energy.max(0) - energy.min(0)
    return float(np.sqrt((slope**2).mean() / (oscillation**2).mean()) * (time[-1] - time[0]))
