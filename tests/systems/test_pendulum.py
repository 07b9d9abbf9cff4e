"""The chain pendulum against Cartesian velocities, Lagrange's equations and elliptic functions."""

import math

import numpy as np
import pytest
import sympy
import torch
from scipy.integrate import solve_ivp
from scipy.special import ellipj, ellipk

from systems import Pendulum, PhaseSpace


def places(system, q):
    """Where the masses are: x to the right, y up, the pivot at the origin."""
    angle, length = q[..., 0], system.length
    return torch.stack([(length * angle.sin()).cumsum(-1), -(length * angle.cos()).cumsum(-1)], -1)


@pytest.mark.parametrize("bodies", [1, 2, 3, 6])
def test_energy_is_that_of_the_masses_in_the_plane(bodies, generator):
    system, state = Pendulum.sample(20, seed=0, bodies=bodies, gravity=1.3)
    rates = torch.randn(state.q.shape, generator=generator, dtype=torch.float64)
    place, velocity = torch.func.jvp(lambda q: places(system, q), (state.q,), (rates,))
    kinetic = 0.5 * (system.mass * velocity.square().sum(-1)).sum(-1)
    potential = 1.3 * (system.mass * place[..., 1]).sum(-1)
    momentum = system.mass_matrix(state.q) @ rates
    # p = dT/d(rates) is what makes it canonical.
    gradient = torch.func.grad(
        lambda w: (
            0.5
            * (system.mass * torch.func.jvp(lambda q: places(system, q), (state.q,), (w,))[1].square().sum(-1)).sum()
        )
    )(rates)
    assert torch.allclose(momentum, gradient, rtol=1e-12, atol=1e-12)
    now = PhaseSpace(state.q, momentum)
    assert torch.allclose(system.energy(now), kinetic + potential, rtol=1e-12)
    assert torch.allclose(system(torch.tensor(0.0), now).q, rates, rtol=1e-10, atol=1e-10)


def test_two_links_follow_lagranges_equations(generator):
    """Derived by sympy from positions alone."""
    time, g = sympy.Symbol("t"), sympy.Symbol("g")
    masses, lengths = sympy.symbols("m1 m2"), sympy.symbols("l1 l2")
    angles = [sympy.Function(f"a{i}")(time) for i in range(2)]
    x = y = lagrangian = sympy.Integer(0)
    for mass, length, angle in zip(masses, lengths, angles, strict=True):
        x, y = x + length * sympy.sin(angle), y - length * sympy.cos(angle)
        lagrangian += mass * (x.diff(time) ** 2 + y.diff(time) ** 2) / 2 - mass * g * y
    second = [angle.diff(time, 2) for angle in angles]
    equations = [lagrangian.diff(a.diff(time)).diff(time) - lagrangian.diff(a) for a in angles]
    solved = sympy.solve(equations, second)
    symbols = [*angles, *(a.diff(time) for a in angles), *masses, *lengths, g]
    plain = sympy.symbols(f"s:{len(symbols)}")
    expressions = [solved[a].subs(list(zip(symbols, plain, strict=True))[::-1]) for a in second]
    accelerations = sympy.lambdify(plain, expressions, "numpy")

    system, state = Pendulum.sample(50, seed=0, bodies=2, gravity=0.8)
    rates = torch.randn(state.q.shape, generator=generator, dtype=torch.float64)
    now = PhaseSpace(state.q, system.mass_matrix(state.q) @ rates)
    derivative = system(torch.tensor(0.0), now)
    # The second derivative of the angles, along the flow.
    _, acceleration = torch.func.jvp(
        lambda q, p: system(torch.tensor(0.0), PhaseSpace(q, p)).q, tuple(now), tuple(derivative)
    )
    values = [*state.q[..., 0].T, *rates[..., 0].T, *system.mass.T, *system.length.T]
    expected = accelerations(*(x.numpy() for x in values), 0.8)
    assert np.allclose(acceleration[..., 0].T.numpy(), np.stack(expected), rtol=1e-9, atol=1e-9)


def test_one_link_is_jacobis_elliptic_function():
    length, gravity, start = 0.7, 2.0, 2.5
    system = Pendulum(mass=torch.tensor([1.3]).double(), length=torch.tensor([length]).double(), gravity=gravity)
    times = np.linspace(0, 10, 21)

    def derivative(t, z):
        field = system(torch.tensor(t), PhaseSpace(*torch.from_numpy(z.reshape(2, 1, 1))))
        return torch.stack(field).ravel().numpy()

    angle = solve_ivp(derivative, (0, 10), [start, 0.0], "DOP853", times, rtol=1e-12, atol=1e-12).y[0]
    m = math.sin(start / 2) ** 2
    sn, *_ = ellipj(ellipk(m) - math.sqrt(gravity / length) * times, m)
    assert np.allclose(angle, 2 * np.arcsin(math.sin(start / 2) * sn), atol=1e-9)


def test_without_gravity_the_angular_momentum_about_the_pivot_is_conserved(dtype):
    system, state = Pendulum.sample(50, seed=0, bodies=4, gravity=0.0, dtype=dtype)
    rate = system(torch.zeros((), dtype=dtype), state)
    assert rate.p.sum(1).abs().max() < 20 * torch.finfo(dtype).eps * rate.p.abs().max()
    place, velocity = torch.func.jvp(lambda q: places(system, q), (state.q,), (rate.q,))
    spin = (system.mass * (place[..., 0] * velocity[..., 1] - place[..., 1] * velocity[..., 0])).sum(-1)
    total = state.p.sum((1, 2))
    assert (spin - total).abs().max() < 100 * torch.finfo(dtype).eps * total.abs().max()
    heavy, state = Pendulum.sample(50, seed=0, bodies=4, dtype=dtype)
    assert heavy(torch.zeros((), dtype=dtype), state).p.sum(1).abs().max() > 0.1


def test_a_missing_link_in_the_middle_is_no_link(dtype):
    system, state = Pendulum.sample(10, seed=0, bodies=3, dtype=dtype)
    mask = torch.tensor([True, False, True])
    gap = Pendulum(mass=system.mass, length=system.length, gravity=system.gravity, mask=mask.expand(10, 3))
    short = Pendulum(mass=system.mass[:, mask], length=system.length[:, mask], gravity=system.gravity)
    less = PhaseSpace(state.q[:, mask], state.p[:, mask])
    eps = torch.finfo(dtype).eps
    assert (gap.energy(state) - short.energy(less)).abs().max() < 50 * eps * short.energy(less).abs().max()
    for a, b in zip(gap(torch.tensor(0.0), state), short(torch.tensor(0.0), less), strict=True):
        assert (a[:, mask] - b).abs().max() < 50 * eps * b.abs().max()


def test_one_angle_a_link():
    system, _ = Pendulum.sample(4, seed=0)
    with pytest.raises(ValueError, match=r"q: .* expected \(\*batch, n, 1\), got \(4, 2, 2\)"):
        system.energy(PhaseSpace(torch.zeros(4, 2, 2).double(), torch.zeros(4, 2, 2).double()))
