"""Kepler's problem against multiple precision, the classical equations of each conic, and numerical integration."""

import math

import mpmath
import numpy as np
import pytest
import torch
from hypothesis import example, given, settings
from hypothesis import strategies as st
from scipy.optimize import brentq

from systems import Charges, Gravity, PhaseSpace
from systems.closed_forms.kepler import kepler_step, stumpff

EPS = torch.finfo(torch.float64).eps


def tensor(x):
    return torch.as_tensor(x, dtype=torch.float64)


def stumpff_truth(k, z):
    """The series itself, with enough digits for its alternating terms."""
    terms = range(60 + int(abs(z)))
    return float(sum((-mpmath.mpf(z)) ** j / mpmath.factorial(k + 2 * j) for j in terms))


@pytest.mark.parametrize("z", [0.0, 1e-9, -1e-9, 0.5, -0.5, 3.999, 4.0, -3.999, -4.0, 9.8, 30.0, 39.4, -50.0, -400.0])
def test_stumpff_functions_and_their_derivatives(z, dtype):
    x = torch.tensor(z, dtype=dtype)
    with mpmath.workdps(60):
        for k, value in enumerate(stumpff(x)):
            assert value.dtype == dtype
            expected = stumpff_truth(k, x.item())
            # c_k oscillates with an amplitude of up to 1 / k! for z > 0; cosh(y) has a relative condition of y.
            size = max(abs(expected), 1 / math.factorial(k)) if z > 0 else (1 + math.sqrt(-z)) * expected
            assert abs(value.item() - expected) < 4 * torch.finfo(dtype).eps * size
    # d c_k / dz = (k c_{k+2} - c_{k+1}) / 2 for k >= 0, from the series; here for those that are at hand
    _, c1, c2, c3 = stumpff(tensor(z))
    for k, expected in ((0, -c1 / 2), (1, (c3 - c2) / 2)):
        slope = torch.func.grad(lambda y, k=k: stumpff(y)[k])(tensor(z))
        assert abs(slope - expected) < 1e-14 * (1 + abs(expected))


def truth(q, v, mu, t):
    """Universal variables with 50 digits and bisection: slow and certain."""
    mpf = mpmath.mpf
    q, v, mu, t = [mpf(x) for x in q], [mpf(x) for x in v], mpf(mu), mpf(t)
    r0, rv = mpmath.sqrt(sum(x * x for x in q)), sum(x * y for x, y in zip(q, v, strict=True))
    beta = 2 * mu / r0 - sum(x * x for x in v)
    if beta > 0:
        period = 2 * mpmath.pi * mu / beta ** mpf(1.5)
        t -= period * mpmath.nint(t / period)

    def powers(s):
        z = beta * s * s
        if abs(z) < mpf(10) ** -10:
            c = [sum((-z) ** j / mpmath.factorial(k + 2 * j) for j in range(6)) for k in range(4)]
        else:
            x = mpmath.sqrt(z)
            c0, c1 = mpmath.cos(x).real, (mpmath.sin(x) / x).real
            c = [c0, c1, (1 - c0) / z, (1 - c1) / z]
        return [s**k * c[k] for k in range(4)]

    def late(s):
        _, g1, g2, g3 = powers(s)
        return r0 * g1 + rv * g2 + mu * g3 - t

    low, high = mpf(-1), mpf(1)
    while late(low) > 0:
        low *= 2
    while late(high) < 0:
        high *= 2
    s, step = (low + high) / 2, mpf(1)
    while abs(step) > mpf(10) ** -40 * abs(s) and high - low > mpf(10) ** -40 * abs(high):
        low, high = (low, s) if late(s) > 0 else (s, high)
        g0, g1, g2, _ = powers(s)
        step = late(s) / (r0 * g0 + rv * g1 + mu * g2)
        s = s - step if low <= s - step <= high else (low + high) / 2
    g0, g1, g2, g3 = powers(s)
    r = r0 * g0 + rv * g1 + mu * g2
    f, g, df, dg = 1 - mu * g2 / r0, t - mu * g3, -mu * g1 / (r * r0), 1 - mu * g2 / r
    return [f * a + g * b for a, b in zip(q, v, strict=True)], [df * a + dg * b for a, b in zip(q, v, strict=True)]


def distance(a, b):
    return float(mpmath.sqrt(sum((x - y) ** 2 for x, y in zip(a, b, strict=True))))


def condition(q, v, mu, t, place, speed):
    """How far the last bits of the arguments move the result: no algorithm is better than that."""
    bit = mpmath.mpf(EPS)
    size_q, size_v = bit * math.hypot(*q), bit * math.hypot(*v)
    nudged = [(q, v, mu * (1 + bit), t), (q, v, mu, t * (1 + bit))]
    for i in range(len(q)):
        nudged.append(([x + size_q * (i == k) for k, x in enumerate(q)], v, mu, t))
        nudged.append((q, [x + size_v * (i == k) for k, x in enumerate(v)], mu, t))
    moved = [truth(*arguments) for arguments in nudged]
    return size_q + max(distance(x, place) for x, _ in moved), size_v + max(distance(y, speed) for _, y in moved)


def orbits():
    """From circles to hyperbolas, parabolas to the last bit, nearly straight lines, both signs of mu."""
    size = st.floats(-3, 3).map(lambda x: 10.0**x)
    angle = st.floats(0, 2 * math.pi)
    tilt = st.one_of(angle, st.floats(-8, -1).map(lambda x: 10.0**x), st.just(math.pi / 2))
    near = st.floats(-16, -1).map(lambda x: 1 + 10.0**x)
    speed = st.one_of(
        st.floats(-3, 3).map(lambda x: 10.0**x), st.just(math.sqrt(2)), near, near.map(lambda x: x * math.sqrt(2))
    )
    return st.tuples(
        size,
        size,
        st.sampled_from([1, 1, -1]),
        angle,
        tilt,
        speed,
        st.floats(-4, 3).map(lambda x: 10.0**x),
        st.sampled_from([1, -1]),
        st.booleans(),
    )


@settings(max_examples=100, deadline=None)
@given(orbits())
@example((1.0, 0.9999997255105045, 1, 0.0, math.pi / 2, 0.9999997255105045, 0.004519507531300717, 1, False))
def test_as_exact_as_the_last_bit_of_the_arguments(orbit):
    r, mu, sign, phase, tilt, speed, time, direction, space = orbit
    unit = math.sqrt(mu / r)
    q = [r * math.cos(phase), r * math.sin(phase)]
    v = [speed * unit * math.cos(phase + tilt), speed * unit * math.sin(phase + tilt)]
    q, v = ([*q, 0.3 * r], [*v, -0.1 * unit]) if space else (q, v)
    mu, t = sign * mu, direction * time * r / unit
    with mpmath.workdps(45):
        place, velocity = truth(q, v, mu, t)
        change, kick = kepler_step(tensor(q), tensor(v), tensor(mu), tensor(t))
        error_q = distance([mpmath.mpf(x) + mpmath.mpf(y) for x, y in zip(q, change.tolist(), strict=True)], place)
        error_v = distance([mpmath.mpf(x) + mpmath.mpf(y) for x, y in zip(v, kick.tolist(), strict=True)], velocity)
        small_q = error_q < 10 * EPS * (math.hypot(*q) + mpmath.norm(place))
        if not (small_q and error_v < 10 * EPS * (math.hypot(*v) + mpmath.norm(velocity))):
            least_q, least_v = condition(q, v, mu, t, place, velocity)
            assert error_q < 20 * least_q
            assert error_v < 20 * least_v


def test_ellipse_solves_keplers_equation():
    e, a, mu = 0.6, 1.7, 2.3
    n = math.sqrt(mu / a**3)
    q, v = tensor([a * (1 - e), 0.0]), tensor([0.0, math.sqrt(mu * (1 + e) / (a * (1 - e)))])
    t = tensor(np.linspace(-20, 20, 41))
    change, _ = kepler_step(q, v, tensor(mu), t)
    for time, place in zip(t.tolist(), q + change, strict=True):
        anomaly = brentq(lambda x, m=n * time: x - e * math.sin(x) - m, n * time - 1, n * time + 1, xtol=1e-15)
        expected = tensor([a * (math.cos(anomaly) - e), a * math.sqrt(1 - e * e) * math.sin(anomaly)])
        assert (place - expected).abs().max() < 1e-13  # of n t = 16 radians


def test_hyperbola_solves_keplers_equation():
    e, a, mu = 1.8, 0.7, 2.3
    n = math.sqrt(mu / a**3)
    q, v = tensor([a * (e - 1), 0.0]), tensor([0.0, math.sqrt(mu * (e + 1) / (a * (e - 1)))])
    t = tensor(np.linspace(-20, 20, 41))
    change, _ = kepler_step(q, v, tensor(mu), t)
    for time, place in zip(t.tolist(), q + change, strict=True):
        anomaly = brentq(lambda x, m=n * time: e * math.sinh(x) - x - m, -10, 10, xtol=1e-15, rtol=1e-15)
        expected = tensor([a * (e - math.cosh(anomaly)), a * math.sqrt(e * e - 1) * math.sinh(anomaly)])
        assert (place - expected).abs().max() < 1e-13 * (1 + expected.abs().max())


def test_parabola_solves_barkers_equation():
    mu, near = 2.0, 0.5  # the escape speed at the periapsis is sqrt(2 mu / near)
    q, v = tensor([near, 0.0]), tensor([0.0, math.sqrt(2 * mu / near)])
    t = tensor(np.linspace(-30, 30, 31))
    change, _ = kepler_step(q, v, tensor(mu), t)
    half = 1.5 * math.sqrt(mu / (2 * near**3)) * t
    tangent = 2 * torch.sinh(torch.asinh(half) / 3)
    expected = near * torch.stack([1 - tangent.square(), 2 * tangent], -1)
    assert (q + change - expected).abs().max() < 1e-13 * expected.abs().max()


def test_a_body_that_falls_onto_the_other_bounces():
    q, v, mu = tensor([1.0, 0.0]), tensor([0.0, 0.0]), tensor(1.0)
    fall = math.pi / math.sqrt(8)  # half a period of the flattest ellipse, a = 1/2
    times = fall * tensor([0.3, 0.7, 1.3, 1.7, 2.0])
    place = (q + kepler_step(q, v, mu, times)[0])[:, 0]
    assert torch.allclose(place, place[[3, 2, 1, 0, 4]].where(torch.arange(5) < 4, tensor(1.0)), rtol=1e-12)
    thin = (q + kepler_step(q, tensor([0.0, 1e-7]), mu, times)[0])[:, 0]
    assert torch.allclose(place, thin, rtol=1e-6)
    touch, _ = kepler_step(q, v, mu, tensor(fall))
    assert (q + touch).abs().max() < 1e-9  # position goes as the 2/3rd power of the time: eps^(2/3)
    line, _ = kepler_step(tensor([1.0]), tensor([0.0]), mu, times)  # one dimension
    assert torch.allclose(1 + line[:, 0], place)


def test_no_attraction_is_a_straight_line():
    q, v = tensor([[1.0, 0.0], [1.0, 0.0], [1.0, 0.0]]), tensor([[0.3, 0.4], [-2.0, 0.0], [0.0, 0.0]])
    t = tensor([[1.0], [-3.0], [100.0]])
    change, kick = kepler_step(q, v, torch.zeros(3, dtype=torch.float64), t)
    assert (change - t[..., None] * v).abs().max() < 1e-13
    assert (kick == 0).all()
    through, _ = kepler_step(q[1], v[1], tensor(0.0), tensor(0.5))  # at the centre itself
    assert (q[1] + through).abs().max() < 1e-15


@pytest.mark.parametrize(("angle", "charge"), [(60.0, 1.0), (120.0, 1.0), (75.0, -1.0)])
def test_rutherfords_scattering_angle(angle, charge):
    speed, far = 1.5, 1e6
    b = 1 / (speed**2 * math.tan(math.radians(angle) / 2))  # tan(theta / 2) = |k| / (m v^2 b)
    system = Charges(mass=tensor([1.0, 1e15]), charge=tensor([charge, 1.0]), coulomb_constant=1.0, softening=0.0)
    # Incoming from far away; the speed there is a little less or more than at infinity.
    there = math.sqrt(speed**2 - 2 * charge / far)
    state = PhaseSpace(tensor([[-far, b], [0.0, 0.0]]), tensor([[there, 0.0], [0.0, 0.0]]))
    end = system.closed_form(state, tensor([0.0, 2 * far / speed])).p[-1, 0]
    turned = math.degrees(math.atan2(end[1].abs(), end[0]))
    assert abs(turned - angle) < 1e-3  # 1 / (v^2 far) of the field is left


GRADIENTS = {
    "ellipse": ([1.0, 0.2], [0.1, 0.8], 1.0),
    "circle": ([1.0, 0.0], [0.0, 1.0], 1.0),
    "parabola": ([1.0, 0.0], [0.0, math.sqrt(2.0)], 1.0),
    "hyperbola": ([1.0, 0.1], [-0.4, 2.0], 1.0),
    "repelled": ([1.0, 0.3], [-0.5, 0.1], -1.0),
    "free": ([1.0, 0.3], [-0.5, 0.1], 0.0),
    "free, at rest": ([1.0, 0.3], [0.0, 0.0], 0.0),
    "on a line": ([1.0, 0.0], [0.1, 0.0], 1.0),
    "in space": ([1.0, 0.3, -0.2], [0.2, 0.5, 0.4], 1.0),
}


@pytest.mark.parametrize("name", GRADIENTS)
def test_derivatives(name):
    q, v, mu = (tensor(x).requires_grad_() for x in GRADIENTS[name])
    t = tensor([-0.9, 0.0, 0.5, 2.0, 9.0][: 4 if name == "on a line" else 5]).requires_grad_()
    assert torch.autograd.gradcheck(kepler_step, (q, v, mu, t), atol=1e-6)
    assert torch.autograd.gradgradcheck(kepler_step, (q, v, mu, t[2:4].detach().requires_grad_()), atol=1e-5)
    forward = torch.func.jacfwd(kepler_step, argnums=(0, 1, 2))(q, v, mu, t)
    backward = torch.func.jacrev(kepler_step, argnums=(0, 1, 2))(q, v, mu, t)
    for a, b in zip(torch.utils._pytree.tree_leaves(forward), torch.utils._pytree.tree_leaves(backward), strict=True):
        assert (a - b).abs().max() < 1e-11 * (1 + b.abs().max())


@pytest.mark.parametrize("name", [name for name in GRADIENTS if name != "on a line"])
def test_third_derivative_in_time_is_the_jerk(name):
    q, v, mu = (tensor(x) for x in GRADIENTS[name])

    def place(t):
        return q + kepler_step(q, v, mu, t)[0]

    now = tensor(2.3)
    change, kick = kepler_step(q, v, mu, now)
    q1, v1 = q + change, v + kick
    r = q1.norm()
    jerk = -mu * (v1 / r**3 - 3 * (q1 @ v1) * q1 / r**5)
    third = torch.func.jacfwd(torch.func.jacfwd(torch.func.jacfwd(place)))(now)
    assert (third - jerk).abs().max() < 1e-11 * (1 + jerk.abs().max())


@pytest.mark.parametrize("kind", [Gravity, Charges])
@pytest.mark.parametrize("dimension", [2, 3])
def test_two_bodies_keep_everything_for_a_million_periods(kind, dimension, dtype):
    system, state = kind.sample(200, seed=3, bodies=2, dimension=dimension, softening=0.0, dtype=dtype)
    times = torch.tensor([0.0, 1.0, 1e2, 1e4, 1e6 if dtype == torch.float64 else 1e5], dtype=dtype)
    flow = system.closed_form(state, times)
    eps = torch.finfo(dtype).eps
    assert ((flow.p.sum(-2) - state.p.sum(-2)).abs() <= 4 * eps * (1 + state.p.abs().sum(-2))).all()
    q, p = flow.q.double(), flow.p.double()
    i, j = torch.triu_indices(dimension, dimension, 1)
    spin = (q[..., i] * p[..., j] - q[..., j] * p[..., i]).sum(-2)
    lever = (q.norm(dim=-1) * p.norm(dim=-1)).sum(-1, keepdim=True)
    assert ((spin - spin[0]).abs() <= 20 * eps * (lever + lever[0])).all()
    energy = system.double().energy(PhaseSpace(q, p))
    apart = (q[..., 0, :] - q[..., 1, :]).norm(dim=-1)
    near = q.norm(dim=-1).amax(-1) / apart  # what the two positions' own round-off does to 1 / r, at either end
    size = system.kinetic(p) + system.potential(q).abs()
    assert ((energy - energy[0]).abs() <= 50 * eps * (near * size + near[0] * size[0])).all()


def test_a_year_is_a_year():
    system = Gravity(mass=tensor([3.0, 1.0]), gravitational_constant=1.0, softening=0.0)
    e, a = 0.4, 2.0
    apart, speed = a * (1 - e), math.sqrt(4.0 * (1 + e) / (a * (1 - e)))
    q = tensor([[-0.25 * apart, 0.0], [0.75 * apart, 0.0]])
    p = tensor([[0.0, -0.75 * speed], [0.0, 0.75 * speed]])
    year = 2 * math.pi * math.sqrt(a**3 / 4.0)
    flow = system.closed_form(PhaseSpace(q, p), year * torch.arange(5, dtype=torch.float64))
    assert (flow.q - q).abs().max() < 1e-13
    assert (flow.p - p).abs().max() < 1e-13
    half = system.closed_form(PhaseSpace(q, p), tensor([0.0, year / 2]))
    assert abs((half.q[1, 1] - half.q[1, 0]).norm() - a * (1 + e)) < 1e-14


def test_one_trajectory_or_part_is_the_same_to_the_last_bit():
    system, state = Gravity.sample(300, seed=0, bodies=2)
    times = torch.linspace(0, 30, 40, dtype=torch.float64)
    whole = system.closed_form(state, times)
    for rows in (slice(0, 1), slice(7, 24), slice(100, 300)):
        part = system.select(rows).closed_form(PhaseSpace(state.q[rows], state.p[rows]), times)
        assert torch.equal(part.q, whole.q[:, rows])
        assert torch.equal(part.p, whole.p[:, rows])
    some = system.closed_form(state, times[[0, 5, 33]])
    assert torch.equal(some.q, whole.q[[0, 5, 33]])


def test_values_can_be_fitted_through_the_closed_form():
    mass = tensor([1.0, 0.4])
    system = Gravity(mass=mass, gravitational_constant=1.0, softening=0.0, trainable=["mass", "gravitational_constant"])
    state = PhaseSpace(tensor([[0.0, 0.0], [1.0, 0.0]]), tensor([[0.0, -0.3], [0.0, 0.3]]))
    times = torch.linspace(0, 3, 7, dtype=torch.float64)

    def last(mass, constant):
        held = torch.func.functional_call
        return held(
            ClosedForm(system), {"system.mass": mass, "system.gravitational_constant": constant}, (state, times)
        )

    assert torch.autograd.gradcheck(last, (system.mass, system.gravitational_constant))


class ClosedForm(torch.nn.Module):
    def __init__(self, system):
        super().__init__()
        self.system = system

    def forward(self, state, times):
        return self.system.closed_form(state, times).q


@pytest.mark.parametrize(
    ("what", "change"),
    [
        ("softening", {"softening": 0.1}),
        ("trainable softening", {"trainable": ["softening"]}),
        ("three bodies", {"mass": [1.0, 1.0, 1.0]}),
        ("missing body", {"mask": torch.tensor([True, False])}),
    ],
)
def test_no_closed_form(what, change):
    values = {"mass": [1.0, 1.0], "gravitational_constant": 1.0, "softening": 0.0} | change
    system = Gravity(**(values | {"mass": tensor(values["mass"])}))
    n = system.mass.shape[-1]
    assert not system.has_closed_form
    with pytest.raises(ValueError, match="no closed form"):
        system.closed_form(PhaseSpace(torch.rand(n, 2).double(), torch.rand(n, 2).double()), tensor([0.0, 1.0]))


def test_a_collision_at_the_start_is_an_error():
    system = Gravity(mass=tensor([1.0, 1.0]), gravitational_constant=1.0, softening=0.0)
    with pytest.raises(ValueError, match="collision"):
        system.closed_form(PhaseSpace(torch.zeros(2, 2).double(), torch.ones(2, 2).double()), tensor([0.0, 1.0]))


@pytest.mark.parametrize("e", [0.5, 1 - 1e-3, 1 - 1e-6])
def test_the_condition_number_of_the_claim_is_that_of_the_docstring(e):
    """A bit of the velocity at the periapsis moves the body along its orbit by 1.5 eps t (2 mu / r + v^2) / beta."""
    periods = 5.25
    with mpmath.workdps(45):
        q, v = [1.0, 0.0], [0.0, math.sqrt(1 + e)]
        beta = 2 - mpmath.mpf(v[1]) ** 2
        t = float(periods * 2 * mpmath.pi / beta ** mpmath.mpf(1.5))
        place, velocity = truth(q, v, 1.0, t)
        moved, _ = truth(q, [0.0, mpmath.mpf(v[1]) * (1 + mpmath.mpf(EPS))], 1.0, t)
        factor = float(1.5 * t * (2 + mpmath.mpf(v[1]) ** 2) / beta)
        seconds = distance(moved, place) / float(mpmath.norm(velocity))
        assert 0.1 < seconds / (EPS * factor) < 2
        change, _ = kepler_step(tensor(q), tensor(v), tensor(1.0), tensor(t))
        error = distance([mpmath.mpf(x) + mpmath.mpf(y) for x, y in zip(q, change.tolist(), strict=True)], place)
        assert error < 4 * EPS * (factor * float(mpmath.norm(velocity)) + float(mpmath.norm(place)))
