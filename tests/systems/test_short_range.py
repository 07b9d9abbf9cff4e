"""Laws of short range: smooth at the cutoff, the same by neighbours as by all pairs, in a box as among its images."""

import itertools

import pytest
import torch

from systems import LennardJones, Morse, PeriodicBox, PhaseSpace, short_range, simulate, trajectory_of
from systems.crystals import cluster
from systems.integrators import Leapfrog
from systems.native import Compiled
from systems.native.compiled import backend_of
from systems.neighbours import NeighbourList

EPS = torch.finfo(torch.float64).eps


def liquid(count=2, bodies=108, steps=30):
    """A liquid on its way to melt."""
    system, state = LennardJones.sample(count, seed=0, bodies=bodies, phase="liquid")
    times = torch.tensor([0.0, 0.005 * steps]).double()
    path = Leapfrog(step=0.005).integrate(system, state, times)
    return system, PhaseSpace(path.q[-1], path.p[-1])


@pytest.fixture(scope="module")
def melting():
    return liquid()


@pytest.mark.parametrize("kind", [LennardJones, Morse])
def test_a_cutoff_is_smooth_four_times_and_leaves_what_is_near(kind):
    mass = torch.ones(2).double()
    own = {"epsilon": 1.3, "sigma": 0.9} if kind is LennardJones else {"depth": 1.3, "steepness": 2.0, "bond_length": 1}
    full, cut = kind(mass=mass, **own), kind(mass=mass, cutoff=2.5, **own)

    def of(system, distance):
        place = torch.stack([torch.zeros_like(distance), distance], -1)[..., None]
        gradient = torch.func.grad(lambda x: system.potential(x).sum())(place)
        force = system.force(place)
        assert (force + gradient).abs().max() <= 1e-12 * gradient.abs().max() + 1e-15
        return system.potential(place), force[:, 1, 0]

    near, far = torch.linspace(0.9, 1.999, 100).double(), torch.linspace(2.5, 2.7, 20).double()
    for a, b in zip(of(cut, near), of(full, near), strict=True):
        assert (a - b).abs().max() <= 4 * EPS * b.abs().max()
    assert (of(cut, far)[0] == 0).all()
    assert of(full, far)[0].abs().min() > 1e-4

    def missing(distance):
        place = torch.stack([torch.zeros_like(distance), distance])[:, None]
        return torch.where(distance < 2.25, cut.potential(place) - full.potential(place), cut.potential(place))

    for order in range(1, 5):  # at both ends derivatives vanish as the ends come nearer; the fifth does not
        missing = torch.func.grad(missing)
        for edge, side in ((2.0, 1), (2.5, -1)):
            far, near = (missing(torch.tensor(edge + side * x, dtype=torch.float64)).abs() for x in (1e-3, 5e-4))
            assert 0 < near < 0.6 * far, order


def test_neighbours_give_what_all_pairs_give(melting, monkeypatch):
    system, state = melting
    listed, energy = system.force(state.q), system.potential(state.q)
    gradient = torch.func.grad(lambda q: system.potential(q).sum())(state.q)
    monkeypatch.setattr(short_range, "FEW", 10_000)
    every = system.force(state.q)
    assert (listed - every).abs().max() < 50 * EPS * every.abs().max()
    assert (energy - system.potential(state.q)).abs().max() < 50 * EPS * energy.abs().max()
    assert (gradient + every).abs().max() < 1e-11 * every.abs().max()


def test_an_image_is_as_near_as_the_body(melting):
    system, state = melting
    moved = state.q + system.box_length * torch.randint(-2, 3, state.q.shape, generator=torch.manual_seed(0))
    force = system.force(state.q)
    assert (system.force(moved) - force).abs().max() < 1e-11 * force.abs().max()


def test_a_box_is_a_crystal_of_boxes():
    small, state = LennardJones.sample(1, seed=0, bodies=32, phase="crystal")
    shifts = torch.tensor([*itertools.product((-1.0, 0, 1), repeat=3)]).double() * small.box_length
    images = (state.q[0] + shifts[:, None]).reshape(1, -1, 3)
    large = LennardJones(mass=torch.ones(27 * 32).double(), epsilon=1.0, sigma=1.0, cutoff=small.cutoff)
    middle = slice(13 * 32, 14 * 32)
    force = small.force(state.q)
    assert (large.force(images)[:, middle] - force).abs().max() < 1e-12 * force.abs().max()


def test_when_a_list_is_made_changes_no_bit(melting):
    system, state = melting
    times = torch.linspace(0, 0.2, 3).double()
    method, before = Leapfrog(step=0.005), system.parts[0]._neighbours.count
    path = method.integrate(system, state, times)
    made = system.parts[0]._neighbours.count - before
    assert 0 < made < 20  # of 41 forces
    always = system.select(slice(None))
    always.parts[0]._neighbours.of = lambda *args: NeighbourList().of(*args)
    for a, b in zip(method.integrate(always, state, times), path, strict=True):
        assert a.equal(b)
    alone = system.select(slice(1, 2))
    one = method.integrate(alone, PhaseSpace(*(x[1:] for x in state)), times)
    assert one.q[:, 0].equal(path.q[:, 1])


def test_bodies_that_are_not_there_have_no_neighbours(melting):
    system, state = melting
    n = state.q.shape[1]
    mask = (torch.arange(n) % 2 == 0).expand(2, n)
    law, box = system.parts[0].values, PeriodicBox(system.box_length)
    masked = LennardJones(mask=mask, **law) + box
    fewer = LennardJones(**(law | {"mass": system.mass[:, ::2]})) + box
    q = torch.where(mask[..., None], state.q, torch.nan)
    force = fewer.force(state.q[:, ::2])
    assert (masked.force(q)[:, ::2] - force).abs().max() < 1e-13 * force.abs().max()
    assert (masked.force(q)[:, 1::2] == 0).all()
    assert torch.allclose(masked.potential(q), fewer.potential(state.q[:, ::2]))
    poisoned = state.q.clone()
    poisoned[0, 3] = torch.nan
    assert system.force(poisoned)[1].equal(system.force(state.q)[1])


def test_energy_is_kept_where_bodies_cross_the_cutoff(melting):
    """By leapfrog it swings with the square of the step, and has no trend: the law is smooth."""
    system, state = melting
    lost = []
    for step in (0.004, 0.002):
        _, path = trajectory_of(simulate(system, state, torch.linspace(0, 0.2, 11).double(), Leapfrog(step=step)))
        energy = system.energy(path)
        lost.append((energy - energy[0]).abs().max() / system.kinetic(state.p).max())
    assert lost[1] < lost[0] / 3 < 1e-3


def test_lists_of_neighbours_have_no_machine_code_and_say_so(melting):
    system, state = melting
    times = torch.tensor([0.0, 0.02], dtype=torch.float64)
    with pytest.warns(UserWarning, match="without machine code, because of .* neighbours are listed") as told:
        method = Compiled(Leapfrog(step=0.005), "on").prepared(system, state, times)
    assert len(told) == 1
    assert backend_of(method) == "eager"
    path = method.integrate(system, state, times)
    assert path.q.equal(Leapfrog(step=0.005).integrate(system, state, times).q)


@pytest.mark.parametrize(
    ("law", "phase", "density", "temperature"),
    [
        (LennardJones, "liquid", 0.8442, 1.44),
        (LennardJones, "crystal", 1.0, 0.3),
        (Morse, "liquid", 1.1, 1.8),
        (Morse, "crystal", 1.4, 0.3),
    ],
    ids=str,
)
def test_a_liquid_and_a_crystal_are_as_they_are_told(law, phase, density, temperature):
    system, state = law.sample(3, seed=0, bodies=108, phase=phase)
    if law is Morse:  # Lennard-Jones' lattice takes ten times as long to melt
        times = torch.linspace(0, 1, 3, dtype=torch.float64)
        path = Leapfrog(step=0.01).integrate(system.select(slice(0, 1)), PhaseSpace(*(x[:1] for x in state)), times)
        moved = (path.q[-1] - path.q[0]).square().sum(-1).mean().sqrt() / density ** (-1 / 3)
        assert moved > 0.5 if phase == "liquid" else moved < 0.2  # by how much of the distance of neighbours
    assert torch.allclose(108 / system.box_length.prod(), torch.tensor(density).double())
    assert torch.allclose(state.p.square().mean(), torch.tensor(temperature).double(), rtol=0.1)
    assert state.p.sum(1).abs().max() < 1e-12
    assert (2 * system.cutoff <= system.box_length).all()
    assert (system.potential(state.q) < -4 * 108).all()


def test_a_cluster_is_close_packed():
    assert torch.pdist(cluster(13, 3, 1.1)).min().item() == pytest.approx(1.1)


@pytest.mark.parametrize("cutoff", [-1.0, 0.0, float("nan"), 2.6])
def test_wrong_cutoffs_are_refused(cutoff):
    with pytest.raises(ValueError, match="cutoff"):
        LennardJones(mass=[1.0], epsilon=1.0, sigma=1.0, cutoff=cutoff) + PeriodicBox(5.0)


@pytest.mark.parametrize(
    ("options", "says"),
    [
        ({"phase": "gas"}, "phase: expected"),
        ({"phase": "liquid", "bodies": 100}, "bodies: expected four times a cube"),
        ({"phase": "crystal", "dimension": 2, "bodies": 32}, "dimension: expected 3"),
    ],
)
def test_impossible_phases_are_refused(options, says):
    with pytest.raises(ValueError, match=says):
        LennardJones.sample(2, seed=0, **options)
