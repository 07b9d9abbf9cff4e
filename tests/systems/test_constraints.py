"""Bodies that constraints hold: RATTLE, and the truth in angles."""

import math

import pytest
import torch

import hlieconv.diagnostics  # noqa: F401
from systems import (
    AbstractConstraint,
    LinearDamping,
    Pendulum,
    PhaseSpace,
    Rods,
    Springs,
    UniformField,
    simulate,
    system_of,
    trajectory_of,
)
from systems.integrators import RK4, AdaptiveGauss, Rattle, Rattle4, Recomputed

D = torch.float64


def chain(bodies=2, count=3):
    """The same pendulums in Cartesian coordinates and in angles."""
    system, state = Rods.sample(count, seed=0, bodies=bodies, gravity=2.0)
    length = torch.diagonal(system.rod_length, 1, -2, -1)
    along, velocity = state.q.diff(dim=-2), (state.p / system.mass[..., None]).diff(dim=-2)
    angle = torch.atan2(along[..., 0], -along[..., 1])
    rate = (angle.cos() * velocity[..., 0] + angle.sin() * velocity[..., 1]) / length
    pendulum = Pendulum(mass=system.mass[..., 1:], length=length, gravity=2.0)
    momenta = pendulum.mass_matrix(angle[..., None]) @ rate[..., None]
    return system, state, pendulum, PhaseSpace(angle[..., None], momenta)


def positions(angles, length):
    steps = length[..., None] * torch.stack([angles.sin(), -angles.cos()], -1)
    return torch.nn.functional.pad(steps.cumsum(-2), (0, 0, 1, 0))


TIMES = torch.linspace(0, 1, 3, dtype=D)


@pytest.mark.parametrize("bodies", [1, 3])
def test_rods_swing_as_pendulums_do(bodies):
    system, state, pendulum, angles = chain(bodies)
    kinetic = pendulum.energy(angles) - pendulum.energy(PhaseSpace(angles.q, 0 * angles.p))
    assert torch.allclose(system.hamiltonian.kinetic(state.p), kinetic, rtol=1e-12)
    _, found = trajectory_of(simulate(system, state, TIMES))
    _, exact = trajectory_of(simulate(pendulum, angles, TIMES))
    assert (found.q - positions(exact.q[..., 0], pendulum.length)).abs().max() < 1e-9


@pytest.mark.parametrize("method", [Rattle, Rattle4])
def test_rattle_has_its_order_keeps_the_rods_and_goes_back(method):
    system, state, pendulum, angles = chain(count=2)
    exact = positions(AdaptiveGauss().integrate(pendulum, angles, TIMES).q[..., 0], pendulum.length)
    paths = [method(step=h).integrate(system, state, TIMES) for h in (1 / 12, 1 / 24)]
    errors = [(x.q - exact).abs().max().item() for x in paths]
    assert method.order - 0.6 < math.log2(errors[0] / errors[1]) < method.order + 0.8, errors
    end = paths[1]
    assert system.constraints(end.q).abs().max() < 1e-14
    assert ((system.jacobian(end.q) * (system.velocity(end.p))[..., None, :, :]).sum((-2, -1))).abs().max() < 1e-13
    back = method(step=1 / 24).integrate(system, PhaseSpace(end.q[-1], end.p[-1]), TIMES.flip(0))
    assert (back.q[-1] - state.q).abs().max() < 1e-10


def test_the_constraint_and_the_energy_hold_over_many_steps():
    system, state, *_ = chain(bodies=1, count=1)
    path = Rattle(step=0.1).integrate(system, state, torch.linspace(0, 10, 21, dtype=D))
    assert system.constraints(path.q).abs().max() < 1e-13
    energy = system.hamiltonian.energy(path)
    size = system.hamiltonian.kinetic(path.p).max()
    assert (energy - energy[0]).abs().max() < 2e-2 * size
    early, late = (energy[1:] - energy[0]).abs().chunk(2)
    assert late.max() < 2 * early.max()  # no trend


def test_a_free_chain_keeps_its_charges_and_flows_are_symplectic():
    """On the manifold: the form dq ^ dp of two tangent vectors stays."""
    generator = torch.Generator().manual_seed(0)
    rods = torch.tensor([[0.0, 1, 0], [1, 0, 1], [0, 1, 0]], dtype=D)
    free = UniformField([0.0, 0.0], mass=[1.0, 2.0, 1.5]) + Rods(rods) + Springs(mass=[1.0, 2.0, 1.5], stiffness=0.5)
    start = PhaseSpace(*torch.randn(2, 1, 3, 2, generator=generator, dtype=D))
    state = free.project(start)
    path = Rattle(step=0.1).integrate(free, state, TIMES)
    x, y, u, v = *path.q.unbind(-1), *path.p.unbind(-1)
    assert (path.p.sum(-2) - path.p[0].sum(-2)).abs().max() < 1e-13
    spin = (x * v - y * u).sum(-1)
    assert (spin - spin[0]).abs().max() < 1e-13

    def step(z):
        one = free.project(PhaseSpace(*z.reshape(2, 1, 3, 2)))
        end = Rattle(step=0.3).integrate(free, one, torch.tensor([0.0, 0.3], dtype=D))
        return torch.stack([*one, end.q[-1], end.p[-1]]).reshape(2, -1)

    found = torch.autograd.functional.jacobian(step, torch.stack(list(state)).flatten())
    form = torch.kron(torch.tensor([[0.0, 1.0], [-1.0, 0.0]]), torch.eye(6)).to(D)
    before, after = (m.mT @ form @ m for m in found)
    assert (after - before).abs().max() < 1e-9 * before.abs().max()


class Ring(AbstractConstraint):
    """A user's: every body stays on the unit circle, by automatic derivatives."""

    def constraints(self, q):
        return (q.square().sum(-1) - 1) / 2


def test_a_constraint_of_a_user_and_damping_on_a_wire():
    bead = UniformField([0.0, -1.0], mass=[1.0, 2.0]) + Ring()
    angle = torch.tensor([[0.5, 2.0]], dtype=D)
    q, still = torch.stack([angle.sin(), -angle.cos()], -1), torch.zeros(1, 2, 2, dtype=D)
    pendulum = Pendulum(mass=[1.0], length=1.0, gravity=1.0)
    hanging = PhaseSpace(angle.mT[..., None], torch.zeros(2, 1, 1, dtype=D))
    exact = simulate(pendulum, hanging, TIMES)
    found = simulate(bead, PhaseSpace(q, still), TIMES, Rattle4(step=0.05))
    swung = torch.from_numpy(exact.q.values[..., 0, 0].copy())
    expected = torch.stack([swung.sin(), -swung.cos()], -1)
    assert abs(torch.from_numpy(found.q.values[0].copy()).transpose(0, 1) - expected).max() < 1e-5
    slowed = simulate(bead + LinearDamping(0.3), PhaseSpace(q, still), torch.linspace(0, 1, 21, dtype=D), RK4())
    account = slowed.dynamics.energy_balance(bead + LinearDamping(0.3))
    assert float(abs(account.gap).max()) < 1e-5 < float(abs(account.work).max())
    assert float(abs(account.rate_gap).max()) < 1e-6  # the error of RK4 moves it off the circle


def test_gradients_go_through_the_steps():
    system, state, *_ = chain(bodies=1, count=2)
    q = state.q.clone().requires_grad_()
    grads = []
    for method in (Rattle(step=0.1), Recomputed(Rattle(step=0.1))):
        end = method.integrate(system, PhaseSpace(q, state.p), torch.tensor([0.0, 0.5], dtype=D))
        grads.append(torch.autograd.grad(end.q[-1].square().sum(), q)[0])
    assert grads[0].isfinite().all()
    assert torch.allclose(*grads, rtol=1e-7, atol=1e-12)


def test_bad_states_and_rods_are_named(tmp_path):
    system, state, *_ = chain()
    longer = PhaseSpace(1.001 * state.q, state.p)
    for what, wrong in (("positions", longer), ("momenta", PhaseSpace(state.q, state.p + state.q))):
        with pytest.raises(ValueError, match=f"state: expected {what} that .* the constraints of uniform_field"):
            simulate(system, wrong, TIMES, path=tmp_path / "x.nc")
        fixed = system.project(wrong)
        simulate(system, fixed, TIMES[:2], Rattle(step=0.25))
    assert not list(tmp_path.iterdir())
    dataset = simulate(system, state, TIMES, Rattle(step=0.25))
    assert torch.equal(system_of(dataset).rod_length, system.rod_length)
    with pytest.raises(ValueError, match="rod_length: expected the same rods in all trajectories, at least one"):
        Rods(torch.zeros(2, 2))
    with pytest.raises(ValueError, match="constraint that moves nothing"):
        simulate(Rods([[0.0, 1.0], [1.0, 0.0]]), PhaseSpace.of([[0.0], [1.0]], [[0.0], [0.0]]), [0.0, 1.0])
    with pytest.raises(ValueError, match="expected constraints of an AbstractNewtonian"):
        Pendulum.sample(1, seed=0)[0] + Rods([[0.0, 1.0], [1.0, 0.0]])
    with pytest.raises(ValueError, match="Rattle needs an AbstractConstrained, got Springs"):
        simulate(*Springs.sample(1, seed=0), [0.0, 1.0], "rattle")
