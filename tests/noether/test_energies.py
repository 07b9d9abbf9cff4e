"""Why an energy is not conserved: each cause, made on purpose, is named."""

import math

import numpy as np
import pytest
import torch

import hlieconv  # noqa: F401
from hlieconv.noether import Energy, attribution, energy_conservation
from systems import AbstractNewtonian, Gravity, HenonHeiles, PhaseSpace, simulate, system_of
from systems.integrators import RK4, Leapfrog

TIMES = torch.linspace(0, 20, 41)


def run(method, dtype=torch.float64):
    system, state = HenonHeiles.sample(4, seed=0, dtype=dtype)
    return simulate(system, state, TIMES, method)


@pytest.mark.parametrize(
    ("method", "dtype", "cause"),
    [
        (Leapfrog(step=0.1), torch.float64, "truncation"),
        (RK4(step=0.1), torch.float64, "not_symplectic"),
        (RK4(step=0.025), torch.float32, "round_off"),
        (None, torch.float64, "round_off"),
    ],
)
def test_the_cause_is_named(method, dtype, cause):
    found = energy_conservation(run(method, dtype))
    assert found.cause == cause, found
    assert found.sentence.endswith(".")


def test_half_the_step_does_what_the_sentence_says():
    """RK4: five orders of the drift of the energy, leapfrog: two."""
    for method, gain in ((RK4, 32), (Leapfrog, 4)):
        long, short = (float(run(method(step=step)).dynamics.drift().max("time").median()) for step in (0.1, 0.05))
        assert math.log2(long / short) == pytest.approx(math.log2(gain), abs=0.5)


def test_the_figures_are_those_of_a_known_energy():
    dataset = run(None)
    false = dataset.energy + 3e-3 * dataset.time + 1e-3 * np.cos(8 * dataset.time)
    found = energy_conservation(dataset.assign(energy=false.assign_attrs(dataset.energy.attrs)), system_of(dataset))
    assert found.drift_per_body == pytest.approx(3e-3, rel=0.01)
    kinetic = (dataset.p**2).sum(("body", "space")).mean("time") / 2
    assert found.fluctuation == pytest.approx(float((1e-3 / 2**0.5 / kinetic).median()), rel=0.05)


def test_another_energy_is_the_models_fault():
    """A learned Hamiltonian that is a little stiffer than the truth: no step is to blame."""

    class Stiffer(AbstractNewtonian):
        def potential(self, q):
            return 0.55 * q.square().sum((-2, -1))

    class Truth(AbstractNewtonian):
        def potential(self, q):
            return 0.5 * q.square().sum((-2, -1))

    state = PhaseSpace(torch.ones(2, 1, 1).double(), torch.zeros(2, 1, 1).double())
    model, truth = Stiffer(mass=[1.0]), Truth(mass=[1.0])
    dataset = simulate(model, state, TIMES, Leapfrog(step=0.05), true=truth)
    found = energy_conservation(dataset, model)
    assert found.cause == "model"
    parts = attribution(model, [Energy(truth)], state, torch.linspace(0, 10, 21), Leapfrog(step=0.05))["energy"]
    assert parts.cause == "asymmetry"


def test_an_encounter_and_an_end_are_said():
    system = Gravity(mass=[1.0, 0.1, 0.1], gravitational_constant=1.0, softening=1e-3)
    state = PhaseSpace.of([[[0, 0], [1, 0], [-1.0, 0.02]]], v=[[[0, 0], [0.0, 0.3], [0.0, -0.3]]], mass=[1.0, 0.1, 0.1])
    with pytest.warns(UserWarning, match="energy"):
        dataset = simulate(system, state, torch.linspace(0, 3, 61), Leapfrog(step=0.01))
    assert energy_conservation(dataset).cause == "encounter"
    q = torch.tensor([[[0.0, 3.0]]]).double()
    with pytest.warns(UserWarning, match="ended early"):
        dataset = simulate(HenonHeiles(mass=[1.0]), PhaseSpace(q, torch.zeros_like(q)), torch.linspace(0, 20, 21))
    found = energy_conservation(dataset)
    assert found.cause == "ended"
    assert "1 of 1 trajectories end early" in found.sentence
    with pytest.raises(ValueError, match="dataset: expected states, got NaN in all 1 trajectories"):
        energy_conservation(dataset.assign(q=dataset.q + np.nan))
