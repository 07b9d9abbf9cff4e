"""Gravity and charges: what the laws of every system do not say."""

import math

import pytest
import torch

from systems import Charges, Gravity, PhaseSpace


def by_hand(coupling, softening, q):
    """Potential and forces, pair by pair."""
    n, potential, force = len(q), 0.0, torch.zeros_like(q)
    for i in range(n):
        for j in range(i):
            apart = q[i] - q[j]
            distance = math.sqrt(apart.square().sum().item() + softening**2)
            potential += coupling(i, j) / distance
            force[i] += coupling(i, j) / distance**3 * apart
            force[j] -= coupling(i, j) / distance**3 * apart
    return potential, force


@pytest.mark.parametrize("softening", [0.0, 0.3])
@pytest.mark.parametrize("dimension", [1, 2, 3, 4])
def test_newton_and_coulomb_pair_by_pair(softening, dimension, generator):
    q = torch.randn(5, dimension, generator=generator, dtype=torch.float64)
    mass = 0.5 + torch.rand(5, generator=generator, dtype=torch.float64)
    charge = torch.randn(5, generator=generator, dtype=torch.float64)
    systems = [
        (Gravity(mass=mass, gravitational_constant=1.7, softening=softening), lambda i, j: -1.7 * mass[i] * mass[j]),
        (
            Charges(mass=mass, charge=charge, coulomb_constant=0.6, softening=softening),
            lambda i, j: 0.6 * charge[i] * charge[j],
        ),
    ]
    for system, coupling in systems:
        potential, force = by_hand(coupling, softening, q)
        assert torch.allclose(system.potential(q), potential, rtol=1e-13)
        assert torch.allclose(system.force(q), force, rtol=1e-11, atol=1e-12 * force.abs().max())


@pytest.mark.parametrize("kind", [Gravity, Charges])
@pytest.mark.parametrize("dimension", [2, 3])
def test_pair_forces_are_antisymmetric_to_the_last_bit(kind, dimension, dtype):
    system, state = kind.sample(50, seed=0, bodies=7, dimension=dimension, dtype=dtype)
    odd = torch.tensor(0.7, dtype=dtype)  # so that the order of the factors matters
    changed = {"gravitational_constant": odd} if kind is Gravity else {"coulomb_constant": odd, "charge": system.mass}
    system = kind(**(system.values | changed))
    apart, square, pair = system._of_pairs(state.q)
    for component in (system.pair_force(square, pair) * x for x in apart):
        assert torch.equal(component, -component.mT)
        assert component.abs().sum() > 0


def test_every_value_can_differ_between_trajectories(generator):
    mass, constant, softening = (torch.rand(4, *shape, generator=generator) + 0.5 for shape in ((3,), (), ()))
    q = torch.randn(10, 4, 3, 2, generator=generator)  # time first
    system = Gravity(mass=mass, gravitational_constant=constant, softening=softening)
    for k in range(4):
        alone = Gravity(mass=mass[k], gravitational_constant=constant[k], softening=softening[k])
        assert torch.allclose(system.potential(q)[:, k], alone.potential(q[:, k]))
        assert torch.allclose(system.force(q)[:, k], alone.force(q[:, k]))


@pytest.mark.parametrize("kind", [Gravity, Charges])
def test_bodies_at_one_point_are_finite_twice_over(kind, dtype):
    system, state = kind.sample(3, seed=0, bodies=4, softening=0.0, dtype=dtype)
    q = state.q.clone()
    q[0, 1], q[1, 1], q[2] = q[0, 0], q[1, 0] + 10 * torch.finfo(dtype).tiny, 0.0

    def bent(x):
        return torch.func.grad(lambda y: system.potential(y).sum())(x).square().sum()

    assert torch.isfinite(system.potential(q)).all()
    assert torch.isfinite(system.force(q)).all()
    assert torch.isfinite(torch.func.grad(bent)(q)).all()
    assert (system.force(q)[2] == 0).all()


@pytest.mark.parametrize("dimension", [2, 3])
def test_planets_are_bound_nearly_circular_and_seen_from_the_centre_of_mass(dimension):
    system, state = Gravity.sample(500, seed=0, bodies=5, dimension=dimension)
    mass = system.mass[..., None]
    assert (mass * state.q).sum(1).abs().max() < 1e-15
    assert state.p.sum(1).abs().max() < 1e-17
    apart = state.q[:, 1:] - state.q[:, :1]
    velocity = state.p / mass
    velocity = velocity[:, 1:] - velocity[:, :1]
    pull = (system.mass[:, :1] + system.mass[:, 1:])[..., None]
    r = apart.norm(dim=-1, keepdim=True)
    # The eccentricity vector of each planet and the star.
    alone = (velocity.square().sum(-1, keepdim=True) / pull - 1 / r) * apart
    eccentricity = (alone - (apart * velocity).sum(-1, keepdim=True) / pull * velocity).norm(dim=-1)
    assert eccentricity.max() < 0.2
    assert eccentricity.median() > 0.01
    i, j = torch.triu_indices(dimension, dimension, 1)
    spin = apart[..., i] * velocity[..., j] - apart[..., j] * velocity[..., i]
    assert (spin[..., 0] > 0).all()  # one sense of rotation
    if dimension == 3:
        tilt = torch.acos(spin[..., 0] / spin.norm(dim=-1))
        assert 0.05 < tilt.max() < 0.2
    assert (r[:, 1:] > 1.4 * r[:, :-1]).all()


def test_charges_are_of_either_sign():
    system, _ = Charges.sample(1000, seed=0)
    assert set(system.charge.unique().tolist()) == {-1.0, 1.0}
    assert abs(system.charge.mean()) < 0.05  # four standard deviations of 6,000 signs


@pytest.mark.parametrize(
    ("arguments", "says"),
    [({"bodies": 1}, "bodies: .* 2 or more, got 1"), ({"dimension": 4}, "dimension: expected 2 or 3, got 4")],
)
def test_what_a_star_with_planets_needs(arguments, says):
    with pytest.raises(ValueError, match=says):
        Gravity.sample(3, seed=0, **arguments)


def test_a_softened_pair_at_rest_oscillates_as_its_energy_says():
    system = Gravity(mass=torch.ones(2).double(), gravitational_constant=1.0, softening=0.5)
    state = PhaseSpace(torch.tensor([[1.0], [-1.0]]).double(), torch.zeros(2, 1).double())
    middle = PhaseSpace(torch.zeros(2, 1).double(), torch.zeros(2, 1).double())
    assert torch.allclose(system.energy(state), torch.tensor(-1 / math.sqrt(4.25)).double())
    assert system.energy(middle) == -2.0
