"""What kind of force a law lacks: seen in its residual, whichever it is, and nothing where it holds."""

import pytest
import torch

from hlieconv.benchmarks.laws_data import Case, angles, field, law_of
from hlieconv.dynamics import evidence
from hlieconv.dynamics.expansion.leftover import kind_of
from hlieconv.dynamics.expansion.solving import bodies_in, forces_of, library_for, pieces_of
from hlieconv.dynamics.trajectories import trajectories_of
from hlieconv.models.expansion.law import Estimate
from hlieconv.models.expansion.model import PairExpansion
from hlieconv.models.expansion.terms import Factor, Pair
from systems import LinearDamping, Springs, simulate


def springs_of(dataset):
    """V = k_i k_j r^2, whatever moved the bodies."""
    model, k = PairExpansion.of(dataset, group="SE2"), Factor("stiffness")
    model.estimates = [Estimate(Pair("power", (2.0,), (False,), (k, k)), 1.0)]
    return model


def damped(count, points):
    system, state = Springs.sample(count, seed=0)
    times = torch.arange(points, dtype=torch.float64) * 0.01
    return simulate(system + LinearDamping(0.3), state, times)


def moved_by(phi, rest=None, **options):
    return Case(law_of(phi, rest), None).trajectories(20, 0, **({"points": 5} | options))


CASES = {
    "distances of pairs": lambda: moved_by(lambda r: r**2 + 0.3 * torch.tanh(r)),
    "external field": lambda: moved_by(lambda r: r**2, field),
    "three bodies": lambda: moved_by(lambda r: r**2, angles),
    "depends on velocities": lambda: damped(20, 5),
}


@pytest.mark.parametrize("kind", CASES)
def test_what_a_law_lacks_is_named(kind):
    """A field along one axis leaves the typical component of a force as it is: that is no evidence for a law."""
    dataset = CASES[kind]()
    judged = evidence(springs_of(dataset), dataset)
    assert not judged.holds
    assert kind in judged.left
    assert judged.left in str(judged)


def test_what_a_law_lacks_is_named_in_noise():
    dataset = moved_by(lambda r: r**2 + 0.3 * torch.tanh(r), points=60, noise=0.01)
    judged = evidence(springs_of(dataset), dataset)
    assert judged.chi_square > 2
    assert "distances of pairs" in judged.left


def test_free_bodies_speak_for_no_force():
    """Rounding is all the force that they show: V = 0 holds, and a weak force does not."""
    dataset = moved_by(lambda r: 0 * r)
    free, springs = PairExpansion.of(dataset), springs_of(dataset)
    springs.estimates = [springs.estimates[0]._replace(coefficient=1e-4)]
    assert evidence(free, dataset).holds
    assert evidence(free, dataset).unexplained < 1e-10
    assert not evidence(springs, dataset).holds


def test_a_law_that_holds_lacks_nothing():
    dataset = moved_by(lambda r: r**2)
    model, data = springs_of(dataset), trajectories_of(dataset)
    assert not evidence(model, dataset).left
    bodies, targets = bodies_in(model, data), forces_of(data, pieces_of(data, seed=0), seed=0)
    generator = torch.Generator().manual_seed(0)
    noise = targets.error[..., None] * torch.randn(targets.force.shape, dtype=torch.float64, generator=generator)
    library = library_for(model, bodies)
    assert kind_of(targets._replace(force=noise), bodies, library) == ""
    wild = torch.randn(targets.force.shape, dtype=torch.float64, generator=generator)
    assert "none of" in kind_of(targets._replace(force=wild), bodies, library)
