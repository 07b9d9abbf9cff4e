"""Adiabatic invariants: the action of an oscillator whose spring is changed slowly."""

from itertools import pairwise

import pytest
import torch

from hlieconv.noether import attribution
from systems import AbstractHamiltonian, AbstractNewtonian, PhaseSpace
from systems.integrators import AdaptiveGauss, Gauss4, Leapfrog


class Slow(AbstractHamiltonian):
    """A mass at x on a spring of strength 3/2 + tanh(y) / 2, where y = rate * t is a coordinate: the energy is kept."""

    def __init__(self, rate):
        super().__init__()
        self.rate = rate

    def frequency(self, z):
        return (1.5 + 0.5 * z.q[..., 0, 1].tanh()).sqrt()

    def energy(self, state):
        return Oscillation(self)(state) + self.rate * state.p[..., 0, 1]

    def start(self, y):
        """Eight phases of one amplitude."""
        phase = (torch.arange(8, dtype=torch.float64) + 0.3) * torch.pi / 4
        q = torch.stack([phase.cos(), torch.full_like(phase, y)], -1)[:, None]
        speed = -self.frequency(PhaseSpace(q, q)) * phase.sin()
        return PhaseSpace(q, torch.stack([speed, torch.zeros_like(phase)], -1)[:, None])


class Oscillation:
    """The energy of the oscillator alone, which the change of the spring changes."""

    name = "oscillation"

    def __init__(self, system):
        self.system = system

    def __call__(self, z):
        return 0.5 * (z.p[..., 0, 0].square() + (self.system.frequency(z) * z.q[..., 0, 0]).square())

    def scale(self, z):
        return self(z)


class Action(Oscillation):
    """Oscillation / frequency: the area of the orbit, over 2 pi."""

    name = "action"

    def __call__(self, z):
        return super().__call__(z) / self.system.frequency(z)


def test_the_action_is_kept_to_exponentially_small_errors():
    """Half the rate squares the change (a power law would only halve it, or quarter it)."""
    changes = []
    for rate in (1.0, 0.5, 0.25):
        system = Slow(rate)
        path = AdaptiveGauss().integrate(system, system.start(-8.0), torch.tensor([0.0, 16 / rate]).double())
        action = Action(system)(path)
        changes.append(float((action[-1] / action[0] - 1).abs().max()))
    assert changes[0] < 0.1
    assert all(later < sooner**1.8 for sooner, later in pairwise(changes))
    assert changes == pytest.approx([5.8e-2, 3.5e-3, 6.9e-6], rel=0.02)  # docs/explanations/noether.md


def test_slow_charges_are_named():
    """The action and the energy of the oscillator both have a bracket; one is an adiabatic invariant, one is broken."""
    system = Slow(0.1)
    times = torch.linspace(0, 100, 101, dtype=torch.float64)
    found = attribution(system, [Action(system), Oscillation(system)], system.start(-5.0), times, Gauss4(step=0.1))
    assert found["action"].cause == "adiabatic"
    assert found["oscillation"].cause == "asymmetry"
    assert 1e-4 < found["action"].asymmetry.max() < 0.02 < 0.1 < found["action"].traffic[-1]
    assert found["action"].trend < 0.1 < 1 < found["oscillation"].trend


class Beside(AbstractNewtonian):
    """A round trap, not at the origin."""

    def potential(self, q):
        return 0.5 * (q - 0.3).square().sum((-2, -1))


def test_a_broken_charge_that_oscillates_is_not_adiabatic():
    """Momentum and angular momentum go there and back in a trap, by as much as they are large."""
    states = PhaseSpace(*torch.randn(2, 8, 1, 2, dtype=torch.float64, generator=torch.Generator().manual_seed(0)))
    times = torch.linspace(0, 60, 121, dtype=torch.float64)
    found = attribution(Beside(mass=[1.0]), "SE2", states, times, Leapfrog(step=0.1))
    assert {row.cause for row in found.values()} == {"asymmetry"}
    assert all(row.traffic[-1] > 10 * row.asymmetry.max() for row in found.values())
