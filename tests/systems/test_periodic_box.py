"""A periodic box: nearest images, and what follows from them."""

import pytest
import torch

import hlieconv.diagnostics  # noqa: F401
from systems import (
    AbstractNewtonian,
    Charges,
    Dashpots,
    PeriodicBox,
    PhaseSpace,
    Springs,
    UniformField,
    Variable,
    simulate,
    system_of,
    wrapped,
)
from systems.integrators import BlanesMoanSRKN11

D = torch.float64


class Soft(AbstractNewtonian):
    """A pair law of a user that ends smoothly at its cutoff: (1 - r^2 / cutoff^2)^4."""

    variables = (*AbstractNewtonian.variables, Variable("cutoff", (), "1", "cutoff"))

    @property
    def conserved(self):
        return ("energy", "momentum", "angular_momentum")

    def potential(self, q):
        square = sum(x.square() for x in self.differences(q)) / self.cutoff[..., None, None].square()
        return (1 - square).clamp(min=0).pow(4).triu(1).sum((-2, -1))


def gas(dimension=2):
    generator = torch.Generator().manual_seed(0)
    q = torch.rand(3, 8, dimension, generator=generator, dtype=D) * 3
    p = torch.randn(3, 8, dimension, generator=generator, dtype=D)
    return Soft(mass=torch.ones(8, dtype=D), cutoff=1.2), PhaseSpace(q, p)


@pytest.mark.parametrize("dimension", [1, 2, 3])
def test_forces_are_those_of_all_images(dimension):
    system, state = gas(dimension)
    box = torch.full((dimension,), 3.0, dtype=D)
    steps = torch.cartesian_prod(*[torch.arange(-1.0, 2.0, dtype=D)] * dimension).reshape(-1, dimension) * box
    energy = torch.zeros(3, dtype=D)
    for i in range(8):
        for j in range(i):
            square = (state.q[:, None, i] - state.q[:, None, j] + steps).square().sum(-1) / 1.2**2
            energy += (1 - square).clamp(min=0).pow(4).sum(-1)
    inside = system + PeriodicBox(box)
    assert torch.allclose(inside.potential(state.q), energy, rtol=1e-12)
    assert (energy > system.potential(state.q) + 1e-6).any()


def test_a_move_by_a_side_changes_nothing(dtype):
    system, state = gas()
    inside = (system + PeriodicBox([3.0, 4.0])).to(dtype)
    q = state.q.to(dtype)
    moved = q.clone()
    moved[:, 3] += torch.tensor([3.0, -8.0], dtype=dtype)
    assert (inside.force(moved) - inside.force(q)).abs().max() <= 200 * torch.finfo(dtype).eps * inside.force(
        q
    ).abs().max()


def test_energy_and_momentum_hold_and_positions_come_unwrapped():
    system, state = gas()
    inside = system + PeriodicBox([3.0, 4.0])
    assert inside.conserved == ("energy", "momentum")
    dataset = simulate(inside, state, torch.linspace(0, 1, 6, dtype=D), BlanesMoanSRKN11(step=0.05))
    assert float(dataset.dynamics.drift("energy").max()) < 1e-5
    assert float(dataset.dynamics.drift("momentum").max()) < 1e-12
    assert float(dataset.dynamics.drift("angular_momentum").max()) > 1e-3
    assert float(dataset.q.max()) > 3
    put_back = wrapped(dataset)
    assert ((put_back.q >= 0) & (put_back.q <= dataset.box_length)).all()
    crossed = (dataset.q - put_back.q) / dataset.box_length
    assert float(abs(crossed - crossed.round()).max()) < 1e-12
    with pytest.raises(ValueError, match="expected the variable box_length"):
        wrapped(dataset.drop_vars("box_length"))


def test_a_ring_of_springs_and_dashpots_across_the_wall():
    """Phonons: w = 2 sqrt(k / m) |sin(pi j / n)|."""
    n, j = 8, 3
    neighbours = torch.roll(torch.eye(n), 1, 0) + torch.roll(torch.eye(n), -1, 0)
    ring = Springs(mass=torch.ones(n), spring_constant=neighbours) + PeriodicBox(torch.tensor([8.0]))
    place = torch.arange(8.0)[:, None].to(D)
    wave = 0.01 * torch.cos(2 * torch.pi * j * place / n)
    w = 2 * abs(torch.sin(torch.tensor(torch.pi * j / n, dtype=D)))
    times = torch.linspace(0, 5, 6, dtype=D)
    ring = ring.double()
    dataset = simulate(ring, PhaseSpace((place + wave)[None], torch.zeros(1, n, 1, dtype=D)), times)
    exact = place + wave * (w * times).cos()[:, None, None]
    assert abs(dataset.q[0].values - exact.numpy()).max() < 1e-9
    assert torch.equal(system_of(dataset).force(exact), ring.force(exact))
    i = torch.arange(n)
    edges = Springs(mass=torch.ones(n), spring_constant=1.0, edges=(i, (i + 1) % n)) + PeriodicBox(torch.tensor([8.0]))
    assert torch.allclose(edges.double().force(exact), ring.force(exact), atol=1e-14)
    damped = ring + Dashpots(0.1)
    rates = damped(torch.zeros(1, 1), PhaseSpace(place[None], wave[None] * 100))
    first = rates.p[0, 0, 0] - ring.force(place[None])[0, 0, 0]
    pulls = [-0.1 * (wave[0] - wave[i]) * 100 for i in range(1, n)]
    assert first == pytest.approx(float(sum(pulls)), rel=1e-12)


def test_a_box_smaller_than_the_cutoff_is_refused():
    system, _ = gas()
    with pytest.raises(ValueError, match=r"box_length: expected sides of at least twice the cutoff 1.2 of Soft, got 2"):
        system + PeriodicBox([5.0, 2.0])
    with pytest.raises(ValueError, match="box_length: expected positive values"):
        PeriodicBox(-1.0)
    charges, state = Charges.sample(2, seed=0)
    both = charges + UniformField([0.0, 1.0]) + PeriodicBox(9.0)
    assert both.force(state.q).isfinite().all()
