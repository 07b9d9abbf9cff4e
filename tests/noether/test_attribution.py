"""Drift whose cause is known by construction, growth laws by formula, and projection back onto a level set."""

import pytest
import torch
from systems_at_hand import Tilted, springs

from hlieconv.diagnostics import charges
from hlieconv.models import HLieConv
from hlieconv.noether import Projected, attribution, growth_law, project
from systems import HenonHeiles, LinearDamping, PhaseSpace, Springs, simulate
from systems.integrators import RK4, AdaptiveGauss, Leapfrog

TIMES = torch.linspace(0, 2, 21, dtype=torch.float64)


@pytest.mark.parametrize(("law", "exponent"), [("bounded", 0.0), ("t^1/2", 0.5), ("t", 1.0), ("t^2", 2.0)])
def test_growth_laws(law, exponent):
    times = torch.linspace(0, 100, 1001, dtype=torch.float64)
    generator = torch.Generator().manual_seed(0)
    noise = 1 + 0.3 * torch.randn(1001, 20, generator=generator, dtype=torch.float64)
    errors = 1e-12 * times[:, None] ** exponent * noise
    found = growth_law(times, errors)
    assert found.law == law
    assert found.exponent == pytest.approx(exponent, abs=0.02)
    size = errors.square().mean(1).sqrt()
    torch.testing.assert_close(
        found(times)[100:], size[100:], rtol=0.3, atol=0
    )  # 20 trajectories: 5 % a point, six sigma


def test_growth_of_a_random_walk_and_of_nothing():
    times = torch.arange(2001, dtype=torch.float64)
    steps = torch.randn(2001, 200, generator=torch.Generator().manual_seed(0), dtype=torch.float64)
    assert growth_law(times, steps.cumsum(0)).law == "t^1/2"
    assert growth_law(times, 0 * steps)(times).max() == 0
    with pytest.raises(ValueError, match="at least 4 after zero"):
        growth_law(times[:3], steps[:3])


def test_runge_kutta_loses_angular_momentum_by_truncation(dtype):
    system, states = Springs.sample(5, seed=0, bodies=3, dtype=dtype)
    found = attribution(system, "SE2", states, TIMES, RK4(step=0.04))
    spin = found["L_z"]
    assert spin.cause == "truncation"
    # the drift is the truncation, as half a step shows it, up to its next order
    torch.testing.assert_close(spin.truncation[-1], spin.drift[-1], rtol=0.2, atol=0)
    finer = attribution(system, "SE2", states, TIMES, RK4(step=0.02))["L_z"]
    assert 2**3.5 < spin.truncation[-1] / finer.truncation[-1] < 2**6
    for name in ("P_x", "P_y"):  # Runge-Kutta methods preserve what is linear
        assert found[name].cause == "round_off"
        assert found[name].drift.max() < 300 * torch.finfo(dtype).eps
        assert found[name].truncation.max() == 0


def test_an_invariant_model_and_symplectic_steps_leave_round_off(dtype):
    system, states = Springs.sample(4, seed=0, bodies=3, dtype=dtype)
    torch.manual_seed(0)
    model = HLieConv(group="SE2", width=8, blocks=1).to(dtype)
    hamiltonian = model.condition({"mass": system.mass, "stiffness": system.stiffness})
    for row in attribution(hamiltonian, "SE2", states, TIMES, Leapfrog(step=0.1)).values():
        assert row.cause == "round_off"
        assert row.drift.max() < 300 * torch.finfo(dtype).eps
        assert row.truncation.max() == 0


def test_a_tilted_potential_is_the_models_fault():
    """dP_x/dt = -4 field, so that the drift grows as t, whatever the step is; P_y has its round-off only."""
    _, states = springs(4, states=10)
    tilted = Tilted(mass=torch.ones(4, dtype=torch.float64), field=torch.tensor(1e-7, dtype=torch.float64))
    found = attribution(tilted, "T2", states, TIMES, Leapfrog(step=0.05))
    row = found["P_x"]
    assert (row.cause, row.growth.law) == ("asymmetry", "t")
    scale = states.p.norm(dim=-1).sum(-1)
    expected = 4e-7 * TIMES * (1 / scale).square().mean().sqrt()
    torch.testing.assert_close(row.asymmetry, expected, rtol=1e-6, atol=1e-15)
    assert row.truncation.max() < 1e-14
    assert found["P_y"].cause == "round_off"
    assert "asymmetry" in repr(row)


def test_attribution_refuses_other_steps():
    system, states = Springs.sample(2, seed=0)
    with pytest.raises(ValueError, match="integrator: expected one of fixed steps"):
        attribution(system, "SE2", states, TIMES, RK4())


# --- projection ---


def test_projection_restores_the_charges_and_moves_little(dtype):
    system, state = Springs.sample(5, seed=0, bodies=3, dtype=dtype)
    rollout = RK4(step=0.05).integrate(system, state, TIMES.to(dtype))
    preserved = [*charges("SE2"), system.energy]
    found = project(rollout, preserved)
    assert found.before["L_z"] > 1e-4
    assert max(found.after.values()) < 50 * torch.finfo(dtype).eps
    error = torch.stack([charge(rollout) - charge(state) for charge in preserved]).abs().amax(0)
    assert found.correction.max() < 10 * error.max()
    assert found.correction[0].max() < 50 * torch.finfo(dtype).eps  # the first states are on the level set already
    again = project(found.states, preserved, torch.stack([charge(state) for charge in preserved])[:, None])
    assert again.correction.max() < 50 * torch.finfo(dtype).eps
    assert "before" in repr(found)


def test_projection_is_differentiable():
    system, state = Springs.sample(1, seed=0, bodies=2)
    preserved = [*charges("SE2"), system.energy]
    targets = torch.stack([charge(state) for charge in preserved]) * 1.01

    def projected(q, p):
        return project(PhaseSpace(q, p), preserved, targets).states.q

    q, p = (x.clone().requires_grad_() for x in state)
    assert torch.autograd.gradcheck(projected, (q, p), atol=1e-6)
    # targets are met whatever the state, so that charges of the result have no gradient
    spin = charges("SE2")[2]
    result = project(PhaseSpace(q, p), preserved, targets).states
    gradient = torch.autograd.grad(spin(result).sum(), (q, p))
    assert max(x.abs().max() for x in gradient) < 1e-10


def test_charges_that_depend_on_each_other_and_an_equilibrium():
    """The first trajectory rests where nothing changes any charge; the energy is named twice."""
    system, state = Springs.sample(3, seed=0)
    rest = torch.arange(3) == 0
    state = PhaseSpace(*(torch.where(rest[:, None, None], 0, x) for x in state))
    preserved = [*charges("SE2"), system.energy, system.energy]
    targets = torch.stack([charge(state) for charge in preserved])
    moved = PhaseSpace(torch.where(rest[:, None, None], state.q, 1.001 * state.q), state.p)
    found = project(moved, preserved, targets)
    assert max(found.before.values()) > 1e-4
    assert max(found.after.values()) < 1e-13
    assert found.correction[0] == 0


def test_projected_steps_preserve_the_energy():
    system, state = HenonHeiles.sample(5, seed=0)
    times = torch.linspace(0, 5, 11, dtype=torch.float64)
    plain = simulate(system, state, times, RK4(step=0.5))
    projected = simulate(system, state, times, Projected(RK4(step=0.5), [system.energy]))
    assert plain.dynamics.drift("energy").max() > 1e-4
    assert projected.dynamics.drift("energy").max() < 1e-12
    exact = simulate(system, state, times, AdaptiveGauss())
    assert projected.dynamics.error(exact)[:, -1].max() < 2 * plain.dynamics.error(exact)[:, -1].max()
    named = simulate(system, state, times, Projected(RK4(step=0.5), ["energy"]))
    assert named.equals(projected.assign_attrs(named.attrs))
    damped = system + LinearDamping(0.5)
    with pytest.raises(ValueError, match="which is nothing, got 'energy'"):
        simulate(damped, state, times, Projected(RK4(step=0.5), ["energy"]))
    with pytest.raises(ValueError, match="charges: expected at least one function"):
        Projected(RK4(), [])
    with pytest.raises(ValueError, match="charges: expected one of energy, momentum, angular_momentum"):
        Projected(RK4(), ["spin"])
    with pytest.raises(ValueError, match="expected at least one function"):
        project(state, [])
    with pytest.raises(ValueError, match="states: expected finite values, got NaN or infinity in q"):
        project(PhaseSpace(state.q / 0, state.p), [system.energy])
    with pytest.raises(ValueError, match="charges: expected ones that are finite at all states"):
        project(PhaseSpace(0 * state.q, state.p), [lambda s: 1 / s.q.norm(dim=-1).sum(-1)])
    with pytest.raises(ValueError, match="expected 1 values, one a charge"):
        project(state, [system.energy], torch.zeros(3, 5))
