"""What integrable systems conserve beyond energy and momentum, and what they are near to."""

import pytest
import torch

from systems import FPUT, CalogeroMoser, PhaseSpace, Springs, Toda, lattice, simulate, trajectory_of
from systems.integrators import Leapfrog


@pytest.mark.parametrize("kind", [Toda, CalogeroMoser])
def test_lax_eigenvalues_do_not_move(kind):
    system, state = kind.sample(5, seed=0)
    _, path = trajectory_of(simulate(system, state, torch.linspace(0, 10, 5).double()))
    found = torch.linalg.eigvalsh(system.lax(path))
    assert (found - found[0]).abs().max() < 1e-9
    assert (path.p[-1] - path.p[0]).abs().max() > 0.1  # which is no trivial matter
    assert torch.allclose(found.sum(-1), path.p.sum((-2, -1)))
    assert torch.allclose(found.square().sum(-1) / 2, system.energy(path))


def test_particles_that_repel_end_with_the_eigenvalues_as_momenta():
    system, state = CalogeroMoser.sample(3, seed=1, bodies=3)
    _, path = trajectory_of(simulate(system, state, [0.0, 3e4]))
    assert torch.allclose(path.p[-1, ..., 0].sort(-1).values, torch.linalg.eigvalsh(system.lax(state)), atol=1e-4)


def test_a_lax_matrix_is_refused_where_nothing_is_integrable():
    state = PhaseSpace(torch.arange(2.0)[:, None], torch.zeros(2, 1))
    for options, says in (
        ({"mass": [1.0, 3.0]}, "mass: expected 1"),
        ({"mass": [1.0, 1], "fixed": [True, False]}, "fixed"),
    ):
        system = Toda(**{name: torch.tensor(value) for name, value in options.items()})
        with pytest.raises(ValueError, match=says):
            system.lax(state)


def test_a_harmonic_chain_is_a_chain_of_springs():
    system, state = FPUT.sample(3, seed=0, alpha=0.0, beta=0.0)
    springs = Springs(mass=system.mass, edges=lattice(8).edges, spring_constant=1.0)
    times = torch.linspace(0, 5, 4).double()
    _, path = trajectory_of(simulate(system, state, times))
    assert (path.q - springs.closed_form(state, times).q).abs().max() < 1e-9


def test_the_cubic_chain_touches_todas_lattice():
    """For small u, 4 alpha^2 of Toda's exp(2 alpha u) - 1 - 2 alpha u is u^2 / 2 + alpha u^3 / 3 + O(u^4)."""
    u, alpha = torch.tensor([[0.0], [1e-3]], dtype=torch.float64), 0.25
    cubic = FPUT(mass=torch.ones(2).double(), alpha=alpha, beta=0.0).potential(u)
    toda = Toda(mass=torch.ones(2).double()).potential(-2 * alpha * u)
    assert abs(float((toda - 1 - 2 * alpha * 1e-3) / (4 * alpha**2) - cubic)) < 1e-12


def test_the_energy_of_the_longest_wave_comes_back():
    """The published experiment with 8 bodies between walls; after 0.44 N^(3/2) / sqrt(alpha a) periods (Zabusky)."""
    n, alpha = 8, 0.5
    system, _ = FPUT.sample(1, seed=0, bodies=n + 2, alpha=alpha, beta=0.0, walls=True)
    wave = (torch.arange(n + 2).double() * torch.pi / (n + 1)).sin()[None, :, None]
    number = torch.arange(1, n + 1).double()
    omega = 2 * (number * torch.pi / (2 * n + 2)).sin()
    recurrence = 0.44 * n**1.5 / alpha**0.5 * 2 * torch.pi / float(omega[0])
    times = torch.linspace(0, 1.1 * recurrence, 111).double()
    _, path = trajectory_of(simulate(system, (wave, 0 * wave), times, Leapfrog(step=0.4)))
    modes = (number[:, None] * torch.arange(n + 2) * torch.pi / (n + 1)).sin()
    q, p = (x[:, 0, :, 0] @ modes.mT for x in path)
    energy = p.square() + (omega * q).square()
    share = energy[:, 0] / energy.sum(-1)
    assert share[:90].min() < 0.5
    assert share[90:].max() > 0.9
