"""The same fit finds the free parameters of a known system."""

import pytest
import torch

from hlieconv.dynamics import fit, load
from systems import PhaseSpace, Springs
from systems.dataset.schema import to_dataset
from systems.integrators import RK4, Leapfrog

N, COUNT, POINTS, SPACING = 4, 12, 17, 0.02
OTHERS = ~torch.eye(N, dtype=torch.bool)
QUICK = {
    "optimiser": "lbfgs",
    "learning_rate": 0.5,
    "batch": 10_000,
    "weight_average": 0.0,
    "validation": 0.0,
    "progress": False,
}


def pairs(low, high, generator, *batch):
    upper = (low + (high - low) * torch.rand(*batch, N, N, dtype=torch.float64, generator=generator)).triu(1)
    return upper + upper.mT


@pytest.fixture
def true(generator):
    mass = 0.5 + 2 * torch.rand(N, dtype=torch.float64, generator=generator)
    return Springs(mass=mass, spring_constant=pairs(1, 5, generator), rest_length=pairs(0.5, 1.5, generator))


def trajectories_of(system, generator, integrator, count=COUNT):
    """Of bodies that start apart: the force of a spring with a rest length jumps where its ends meet."""
    q, p = torch.randn(2, count, N, 2, dtype=torch.float64, generator=generator)
    q = 0.3 * q + torch.tensor([[0, 0], [1, 0], [0, 2], [2, 2]])
    times = SPACING * torch.arange(POINTS, dtype=torch.float64)
    return to_dataset(integrator.integrate(system, PhaseSpace(q, p), times), times, field=system)


def guess(like, trainable):
    values = {name: torch.ones_like(value) if name in trainable else value for name, value in like.values.items()}
    return Springs(**{name: value for name, value in values.items() if value is not None}, trainable=trainable)


def errors(system, true):
    return {
        name: float((value - other).detach()[..., OTHERS if value.ndim > 1 else ...].abs().max())
        for (name, value), other in zip(system.values.items(), true.values.values(), strict=True)
        if value is not None
    }


@pytest.mark.parametrize(("optimiser", "steps", "bound"), [("lbfgs", 20, 1e-9), ("soap", 500, 1e-2)])
def test_spring_constants_and_rest_lengths_from_forces(true, generator, optimiser, steps, bound):
    """L-BFGS ends at the error of the interpolant; SOAP, which sees a batch at a time, at that of its last steps."""
    system = guess(true, ("spring_constant", "rest_length"))
    data = trajectories_of(true, generator, RK4(step=SPACING / 20))
    fit(system, data, steps=steps, **(QUICK | {"optimiser": optimiser, "batch": 64 if optimiser == "soap" else 10_000}))
    found = errors(system, true)
    assert 0 < found["spring_constant"] < bound
    assert 0 < found["rest_length"] < bound
    assert torch.equal(system.spring_constant, system.spring_constant.mT)
    assert torch.equal(system.mass, true.mass)


def test_masses_too_from_a_shooting_loss(true, generator):
    """Data of the loss's own integrator, so that nothing but the optimiser limits what is found."""
    system = guess(true, ("mass", "spring_constant", "rest_length"))
    data = trajectories_of(true, generator, Leapfrog())
    result = fit(system, data, loss="one_step", integrator="leapfrog", steps=20, **QUICK)
    assert all(0 < error < 1e-8 for error in errors(system, true).values())
    assert result.history[-1]["loss"] < 1e-18


def test_values_of_each_trajectory(true, generator):
    """A system of its own for each of three trajectories, and masses shared by all."""
    k = pairs(1, 5, generator, 3)
    each = Springs(mass=true.mass, spring_constant=k, rest_length=true.rest_length)
    data = trajectories_of(each, generator, RK4(step=SPACING / 20), count=3)
    system = guess(each, ("spring_constant",))
    fit(system, data, steps=20, **QUICK)
    assert 0 < errors(system, each)["spring_constant"] < 1e-8
    wrong = Springs(mass=true.mass, spring_constant=k[:2], rest_length=true.rest_length, trainable=("spring_constant",))
    with pytest.raises(ValueError, match="spring_constant: expected values of 1 or 3 trajectories, got 2"):
        fit(wrong, data, **QUICK)


def test_positive_values_stay_positive(true, generator):
    data = trajectories_of(true, generator, Leapfrog())
    system = guess(true, ("mass",))
    fit(
        system,
        data,
        loss="one_step",
        integrator="leapfrog",
        steps=10,
        **(QUICK | {"optimiser": "adam", "learning_rate": 3.0}),
    )
    assert (system.mass > 0).all()


def test_a_system_is_kept_and_loaded(true, generator, tmp_path):
    data = trajectories_of(true, generator, Leapfrog())
    system = guess(true, ("spring_constant",))
    fit(system, data, steps=20, path=tmp_path, **QUICK)
    loaded = load(tmp_path)
    assert isinstance(loaded, Springs)
    assert torch.equal(loaded.spring_constant, system.spring_constant)
    again = guess(true, ("spring_constant",))
    fit(again, data, steps=20, path=tmp_path, **QUICK)
    assert torch.equal(again.spring_constant, system.spring_constant)


def test_what_cannot_be_fitted_is_named(true, generator):
    data = trajectories_of(true, generator, Leapfrog())
    with pytest.raises(ValueError, match="nothing to fit, give Springs the names of its trainable variables"):
        fit(guess(true, ()), data, **QUICK)
    with pytest.raises(ValueError, match="force_matching needs known masses"):
        fit(guess(true, ("mass",)), data, **QUICK)
