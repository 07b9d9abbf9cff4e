"""Springs: forces, and the closed form against the exponential of the linear system, DOP853 and mpmath."""

import math

import mpmath
import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.integrate import solve_ivp
from scipy.linalg import expm
from torch.autograd import gradcheck, gradgradcheck

from systems import PhaseSpace, Springs, lattice, lattice_points
from systems.closed_forms.normal_modes import normal_mode_flow
from systems.closed_forms.waves import divided_differences

EPS = torch.finfo(torch.float64).eps


def random(*shape, seed=0, low=None, dtype=torch.float64):
    """Normal numbers, or uniform ones from ``low`` to 1."""
    generator = torch.Generator().manual_seed(seed)
    if low is None:
        return torch.randn(*shape, generator=generator, dtype=dtype)
    return low + (1 - low) * torch.rand(*shape, generator=generator, dtype=dtype)


def symmetric(x):
    return x.triu(1) + x.triu(1).mT


def start(n, d, *batch, seed=5):
    return PhaseSpace(random(*batch, n, d, seed=seed), random(*batch, n, d, seed=seed + 1))


def two_parts():
    """A chain of three and a pair, their bodies interleaved, and one free body."""
    k = torch.zeros(6, 6, dtype=torch.float64)
    for i, j, value in ((0, 2, 1.0), (2, 4, 3.0), (1, 3, 2.0)):
        k[i, j] = k[j, i] = value
    return Springs(mass=random(6, low=0.1), spring_constant=k)


def paper():
    system, _ = Springs.sample(1, seed=3)
    return Springs(mass=system.mass[0], stiffness=system.stiffness[0])


#: Linear springs of every kind, with the number of bodies.
LINEAR = {
    "paper": (6, paper),
    "two parts and a free body": (6, two_parts),
    "lattice of equal masses": (
        9,
        lambda: Springs(mass=torch.ones(9).double(), spring_constant=lattice(3, 3, periodic=True).matrix),
    ),
    "negative constants": (5, lambda: Springs(mass=random(5, low=0.5), spring_constant=symmetric(random(5, 5)) - 0.3)),
    "no springs": (3, lambda: Springs(mass=random(3, low=0.5), spring_constant=0.0)),
    "one number for all": (4, lambda: Springs(mass=torch.tensor(2.0).double(), spring_constant=1.5)),
    "one body": (1, lambda: Springs(mass=random(1, low=0.5), stiffness=1.0)),
    "masked": (
        4,
        lambda: Springs(
            mass=random(4, low=0.5), stiffness=random(4, low=0.5), mask=torch.tensor([True, False, True, True])
        ),
    ),
}
every_linear = pytest.mark.parametrize("case", LINEAR)


def linear(case, d):
    n, make = LINEAR[case]
    system = make()
    return system, PhaseSpace(*(system.existing(x) for x in start(n, d)))


def by_exponential(system, state, times):
    """exp of the linear vector field times t, one dimension of space like the other."""
    n = len(state.q)
    one, generator = torch.eye(n).double()[..., None], torch.zeros(2 * n, 2 * n).double()
    generator[:n, n:] = system.velocity(one)[..., 0].T  # time first: another body is moved at each time
    generator[n:, :n] = system.force(one)[..., 0].T
    path = np.stack([expm((t - times[0]).item() * generator.numpy()) @ torch.cat(tuple(state)).numpy() for t in times])
    return PhaseSpace(*torch.from_numpy(path).split(n, -2))


@every_linear
def test_closed_form_is_the_exponential_of_the_vector_field(case):
    system, state = linear(case, d=3)
    times = torch.tensor([0.5, 0.0, 2.5, -1.0, 0.7], dtype=torch.float64)  # in no order
    path = system.closed_form(state, times)
    for a, b in zip(path, by_exponential(system, state, times), strict=True):
        assert (a - b).abs().max() < 1e-12 * b.abs().max()  # expm squares some ten times
        if system.mask is not None:
            assert (a[:, ~system.mask] == 0).all()


def test_closed_form_is_what_dop853_finds():
    system, state = linear("paper", d=3)

    def derivative(t, z):
        q, p = torch.from_numpy(z).view(2, 6, 3)
        return torch.cat([system.velocity(p), system.force(q)]).ravel().numpy()

    times = torch.linspace(0, 0.5, 7, dtype=torch.float64)
    z = torch.cat(tuple(state)).ravel().numpy()
    truth = solve_ivp(derivative, (0, 0.5), z, "DOP853", times.numpy(), rtol=1e-13, atol=1e-13).y.T
    path = torch.stack(tuple(system.closed_form(state, times)), 1).reshape(7, -1)
    assert (path - torch.from_numpy(truth)).abs().max() < 1e-11


def test_a_hard_case_in_fifty_digits():
    """Masses over six decades, constants over eight, 1e4 periods of the fastest mode; a soft spring joins two parts."""
    n = 5
    mass = 10 ** (6 * random(n, low=0.0, seed=8) - 3)
    k = symmetric(10 ** (8 * random(n, n, low=0.0, seed=9) - 4))
    k[:3, 3:] = k[3:, :3] = 0
    k[2, 3] = k[3, 2] = 1e-4
    state, root = start(n, 1), mass.sqrt()[:, None]
    fastest = torch.linalg.eigvalsh((torch.diag(k.sum(-1)) - k) / root / root.T)[-1].sqrt().item()
    phase = 1e4 * 2 * math.pi
    times = torch.tensor([0, phase / fastest], dtype=torch.float64)
    path = Springs(mass=mass, spring_constant=k).closed_form(state, times)

    with mpmath.workdps(50):
        generator = mpmath.zeros(2 * n)
        for i in range(n):
            generator[i, n + i] = 1 / mpmath.mpf(mass[i].item())
            for j in range(n):
                generator[n + i, j] += mpmath.mpf(k[i, j].item())
                generator[n + i, i] -= mpmath.mpf(k[i, j].item())
        start_ = mpmath.matrix(torch.cat(tuple(state)).ravel().tolist())
        exact = mpmath.expm(generator * mpmath.mpf(times[1].item())) * start_
    q, p = torch.tensor([float(x) for x in exact], dtype=torch.float64).view(2, n, 1)
    # In the coordinates that the flow turns, omega x and y. Rounding shifts the phase of the fastest mode by about its
    # eps-th part, and those of soft ones by more, since all eigenvalues are rounded in units of the largest.
    size = (fastest * root * q).norm() + (p / root).norm()
    assert (fastest * root * (path.q[1] - q)).norm() + ((path.p[1] - p) / root).norm() < 100 * phase * EPS * size


@every_linear
def test_connected_parts_move_exactly_straight(case):
    """To round-off, however long: the bodies that springs join share one momentum and one straight line."""
    if case == "negative constants":
        return  # grows beyond all numbers
    system, state = linear(case, d=2)
    times = torch.tensor([0, 1.0, 1e3, 1e9], dtype=torch.float64)
    path, bodies = system.closed_form(state, times), list(range(len(state.q)))
    parts = {
        "two parts and a free body": [[0, 2, 4], [1, 3], [5]],
        "no springs": [[0], [1], [2]],
        "masked": [[0, 2, 3]],
    }
    for part in parts.get(case, [bodies]):
        mass = system.mass.expand(len(bodies))[part, None]
        q, p = path.q[:, part], path.p[:, part]
        momentum, gross = p.sum(-2), p.abs().sum(-2).amax(0)
        assert ((momentum - momentum[0]).abs() <= 10 * EPS * gross).all()
        centre = (mass * q).sum(-2) / mass.sum()
        line = centre[0] + times[:, None] * momentum[0] / mass.sum()
        lost = 10 * EPS * (q[0].abs().sum(-2) + times[:, None] * gross / mass.sum())
        assert ((centre - line).abs() <= lost).all()


def test_conserves_energy_and_momenta_to_round_off(dtype):
    system, state = Springs.sample(300, seed=0, dtype=dtype)
    path = system.closed_form(state, torch.linspace(0, 5, 100, dtype=dtype))
    q, p = (x.double() for x in path)
    exact, _ = Springs.sample(300, seed=0)
    exact = Springs(mass=system.mass.double(), stiffness=system.stiffness.double())
    energy, momentum = exact.energy(PhaseSpace(q, p)), p.sum(-2)
    angular = (q[..., 0] * p[..., 1] - q[..., 1] * p[..., 0]).sum(-1)
    gross = exact.kinetic(p[0]) + exact.potential(q[0]).abs()
    # In float64 the bound of the issue; in float32 a state is rounded once, which errs the stiffest energies most.
    bound = 1e-12 if dtype == torch.float64 else 200 * torch.finfo(dtype).eps
    assert ((energy - energy[0]).abs() / gross).max() < bound
    assert ((momentum - momentum[0]).norm(dim=-1) / p[0].norm(dim=-1).sum(-1)).max() < bound
    assert ((angular - angular[0]).abs() / (q[0].norm(dim=-1) * p[0].norm(dim=-1)).sum(-1)).max() < bound


def test_float32_is_float64_rounded():
    system, state = Springs.sample(20, seed=0, dtype=torch.float32)
    times = torch.linspace(0, 5, 40, dtype=torch.float32)
    path = system.closed_form(state, times)
    exact = Springs(mass=system.mass.double(), stiffness=system.stiffness.double())
    for a, b in zip(path, exact.closed_form(PhaseSpace(*(x.double() for x in state)), times.double()), strict=True):
        # k_ij = 2 c_i c_j is rounded too
        assert a.dtype == torch.float32
        assert (a - b).abs().max() < 1e-4 * b.abs().max()


@pytest.mark.parametrize("count", [1, 31, 32, 67, 500])
def test_even_grids_are_no_different(count):
    """The table of cosines by the addition theorem, against cosines one by one."""
    system, state = Springs.sample(20, seed=0)
    times = torch.linspace(1, -4, count, dtype=torch.float64)
    order = torch.cat([torch.zeros(1, dtype=torch.long), 1 + torch.randperm(count - 1)])
    even, other = system.closed_form(state, times), system.closed_form(state, times[order])
    each = system.closed_form(state, times[:, None].expand(count, 20))
    for a, b, c in zip(even, other, each, strict=True):
        assert a.shape == (count, 20, 6, 2)
        assert (a[order] - b).abs().max() < 1e-12 * a.abs().max()
        assert (a - c).abs().max() < 1e-12 * a.abs().max()


@pytest.mark.parametrize(("n", "d"), [(1, 1), (3, 2), (5, 3), (6, 2), (7, 1), (13, 3), (66, 2)])
def test_bits_do_not_depend_on_the_batch_or_on_threads(n, d):
    system, state = Springs.sample(11, seed=n, bodies=n, dimension=d)
    threads = torch.get_num_threads()
    for times in (torch.linspace(0, 5, 67, dtype=torch.float64), torch.tensor([0.0, 1, 0.3], dtype=torch.float64)):
        path = system.closed_form(state, times)
        for size in (1, 2, 7):
            for i in range(0, 11, size):
                rows = slice(i, i + size)
                part = system.select(rows).closed_form(PhaseSpace(state.q[rows], state.p[rows]), times)
                assert part.q.equal(path.q[:, rows])
                assert part.p.equal(path.p[:, rows])
        try:
            torch.set_num_threads(2)
            again = system.closed_form(state, times)
        finally:
            torch.set_num_threads(threads)
        assert again.q.equal(path.q)
        assert again.p.equal(path.p)


def test_batches_of_any_shape_broadcast():
    system = Springs(mass=random(3, 1, 4, low=0.5), spring_constant=symmetric(random(2, 4, 4, low=0.5)))
    state, times = start(4, 2, 3, 2), torch.tensor([0, 1.0, 2.5], dtype=torch.float64)
    path = system.closed_form(state, times)
    assert path.q.shape == (3, 3, 2, 4, 2)
    for i in range(3):
        for j in range(2):
            alone = Springs(mass=system.mass[i, 0], spring_constant=system.spring_constant[j])
            one = alone.closed_form(PhaseSpace(state.q[i, j], state.p[i, j]), times)
            assert one.q.equal(path.q[:, i, j])
            assert one.p.equal(path.p[:, i, j])
    shared = Springs(mass=random(4, low=0.5), spring_constant=lattice(4).matrix)
    each = shared.closed_form(PhaseSpace(state.q[1, 0], state.p[1, 0]), times)
    assert each.q.equal(shared.closed_form(state, times).q[:, 1, 0])


@settings(max_examples=15, deadline=None)
@given(n=st.integers(1, 7), d=st.integers(1, 3), density=st.floats(0, 1), seed=st.integers(0, 10**6))
def test_flow_is_a_group_of_any_graph(n, d, density, seed):
    k = symmetric(random(n, n, seed=seed).abs() * (random(n, n, seed=seed + 1, low=0.0) < density))
    system, state = Springs(mass=random(n, low=0.2, seed=seed + 2), spring_constant=k), start(n, d, seed=seed + 3)
    times = torch.tensor([0.0, 1.3, 4.0, 0.0], dtype=torch.float64)
    path = system.closed_form(state, times)
    again = system.closed_form(PhaseSpace(path.q[1], path.p[1]), times[1:])
    for a, b, first in zip(again, path, state, strict=True):
        assert (a - b[1:]).abs().max() < 1e-12 * (1 + b.abs().max())
        assert (b[0] - first).abs().max() < 20 * EPS * (1 + first.abs().max())
        assert (b[3] - first).abs().max() < 20 * EPS * (1 + first.abs().max())


EQUAL = {
    "square lattice": lattice(2, 2).matrix,
    "ring": lattice(3, periodic=True).matrix,
    "unstable": -lattice(2, 2).matrix,
    "free": torch.zeros(3, 3, dtype=torch.float64),
    "two equal pairs": torch.block_diag(*[lattice(2).matrix] * 2),
}


@pytest.mark.parametrize("name", EQUAL)
def test_derivatives_where_frequencies_coincide(name):
    k = EQUAL[name].clone().requires_grad_()
    n = len(k)
    mass = torch.ones(n, dtype=torch.float64, requires_grad=True)
    state = [x.requires_grad_() for x in start(n, 1)]
    times = torch.tensor([0.2, 0.2, 1.7, -2.0], dtype=torch.float64, requires_grad=True)

    def flow(mass, k, q, p, times):
        return tuple(normal_mode_flow(mass, (k + k.mT) / 2, PhaseSpace(q, p), times))

    assert gradcheck(flow, (mass, k, *state, times), rtol=1e-6, atol=1e-7)
    assert gradgradcheck(flow, (mass, k, *state, times), rtol=1e-5, atol=1e-6, fast_mode=True)


def test_derivatives_in_blocks_and_with_shared_values(monkeypatch):
    """The sums over trajectories and times that share a value, against those of separate ones."""
    monkeypatch.setattr("systems.closed_forms.mode_tables._BLOCK", 100)  # several trajectories, several times a block
    mass, k = random(3, low=0.5), symmetric(random(3, 3, low=0.1))
    state, times = start(3, 2, 4), torch.linspace(0, 3, 40, dtype=torch.float64)
    separate = [mass.expand(4, 3), k.expand(4, 3, 3), *state, times[:, None].expand(40, 4)]

    def gradients(*inputs):
        inputs = [x.clone().requires_grad_() for x in inputs]
        path = normal_mode_flow(inputs[0], inputs[1], PhaseSpace(*inputs[2:4]), inputs[4])
        return torch.autograd.grad((path.q * path.p.sin()).sum(), inputs)

    for a, b in zip(gradients(mass, k, *state, times), gradients(*separate), strict=True):
        if a.shape != b.shape:
            b = b.sum(1 if len(b) == 40 else 0)
        assert (a - b).abs().max() < 1e-12 * b.abs().max()
    once = gradients(mass, k, *state, times)
    monkeypatch.setattr("systems.closed_forms.mode_tables._BLOCK", 10**6)
    for a, b in zip(once, gradients(mass, k, *state, times), strict=True):
        assert (a - b).abs().max() < 1e-12 * b.abs().max()


def test_torch_func_takes_the_closed_form():
    system, state = Springs.sample(2, seed=0)
    times = torch.linspace(0, 5, 40, dtype=torch.float64)

    def size(state):
        return system.closed_form(state, times).q.square().sum()

    gradient = torch.func.grad(size)(state)
    leaves = PhaseSpace(*(x.clone().requires_grad_() for x in state))
    for a, b in zip(gradient, torch.autograd.grad(size(leaves), leaves), strict=True):
        assert a.equal(b)


def test_divided_differences_in_fifty_digits():
    generator = np.random.default_rng(0)
    x = generator.choice([1, -1], 300) * 10 ** generator.uniform(-8, 3, 300)
    near = x * (1 + generator.choice([1, -1], 300) * 10 ** generator.uniform(-16, 0, 300))
    other = generator.choice([1, -1], 300) * 10 ** generator.uniform(-8, 3, 300)
    y = np.choose(generator.integers(0, 4, 300), [x, near, other, 0 * x])
    x, y = np.maximum(x, -100), np.maximum(y, -100)
    c, s = divided_differences(torch.from_numpy(x), torch.from_numpy(y))
    with mpmath.workdps(50):
        for a, b, cosine, sine in zip(x, y, c.tolist(), s.tolist(), strict=True):
            a, b = mpmath.mpf(a), mpmath.mpf(b)
            b = b if a != b else a * (1 + mpmath.mpf(10) ** -20)
            roots = [mpmath.sqrt(z) for z in (a, b)]
            growth = max(mpmath.cosh(root.imag) for root in roots)  # phases of up to 32 lose 32 eps
            for value, f in ((cosine, mpmath.cos), (sine, mpmath.sinc)):
                truth = ((f(roots[0]) - f(roots[1])) / (a - b)).real
                assert abs(value - truth) < 100 * EPS * growth / (1 + abs(a) ** 0.5) / (1 + abs(b) ** 0.5)


def test_potential_is_the_formula():
    q, k, length = random(5, 3, seed=1), symmetric(random(5, 5, seed=2)), symmetric(random(5, 5, seed=3, low=0.0))
    c = random(5, seed=4)
    pairs = [(i, j) for i in range(5) for j in range(i)]

    def formula(k, length):
        return sum(0.5 * k[i, j] * ((q[i] - q[j]).norm() - length[i, j]) ** 2 for i, j in pairs)

    diagonal = torch.diag(random(5, seed=6))  # has no meaning
    one, zero = torch.ones(5, dtype=torch.float64), torch.zeros(5, 5, dtype=torch.float64)
    everywhere = torch.full((5, 5), 0.7, dtype=torch.float64)
    for system, expected in (
        (Springs(mass=one, spring_constant=k + diagonal, rest_length=length + diagonal.abs()), formula(k, length)),
        (Springs(mass=one, stiffness=c, rest_length=length), formula(2 * c * c[:, None], length)),
        (Springs(mass=one, spring_constant=k + diagonal), formula(k, zero)),
        (Springs(mass=one, spring_constant=k, rest_length=zero), formula(k, zero)),
        (Springs(mass=one, stiffness=c, rest_length=0.7), formula(2 * c * c[:, None], everywhere)),
        (Springs(mass=one, spring_constant=0.7, rest_length=length), formula(everywhere, length)),
        (Springs(mass=one, spring_constant=0.7), formula(everywhere, zero)),
    ):
        assert math.isclose(system.potential(q), expected, rel_tol=1e-13)
        gradient = torch.func.grad(system.potential)(q)
        assert (system.force(q) + gradient).abs().max() < 1e-13 * gradient.abs().max()


def test_pair_forces_are_antisymmetric_to_the_last_bit(dtype):
    q = random(1000, 2, 3, dtype=dtype)
    for length in (random(1000, 1, 1, low=0.1, dtype=dtype).expand(1000, 2, 2), None):
        pair = Springs(
            mass=torch.ones(2, dtype=dtype), stiffness=random(1000, 2, low=0.1, dtype=dtype), rest_length=length
        )
        force = pair.force(q)
        if length is None:  # a product of matrices: to round-off
            assert force.sum(-2).abs().max() <= 8 * torch.finfo(dtype).eps * force.abs().max()
        else:
            assert force[:, 0].equal(-force[:, 1])


@pytest.mark.parametrize("length", [0.0, 0.5])
def test_bodies_at_one_point(length, dtype):
    system = Springs(mass=torch.ones(3, dtype=dtype), spring_constant=2.0, rest_length=length)
    q = torch.tensor([[1.0, 2.0], [1.0, 2.0], [1.0, 3.0]], dtype=dtype)
    for energy in (system.potential(q), Springs(mass=1.0, spring_constant=2.0).to(dtype).potential(q)):
        assert torch.isfinite(energy)
    hessian = torch.autograd.functional.hessian(system.potential, q)
    jacobian = torch.autograd.functional.jacobian(system.force, q)
    assert torch.isfinite(hessian).all()
    assert (hessian + jacobian).abs().max() <= 20 * torch.finfo(dtype).eps * 4
    if length == 0:
        linear = Springs(mass=torch.ones(3, dtype=dtype), spring_constant=2.0)
        assert (hessian - torch.autograd.functional.hessian(linear.potential, q)).abs().max() <= 1e-5
        assert (hessian[0, :, 0] - 4 * torch.eye(2, dtype=dtype)).abs().max() <= 1e-5
    barely = q + torch.tensor([[1e-30, 0.0], [0.0, 0.0], [0.0, 0.0]], dtype=dtype) * torch.finfo(dtype).tiny
    assert torch.isfinite(system.force(barely)).all()


def test_trained_values_keep_their_symmetry_and_missing_bodies_their_zeros():
    mask = torch.tensor([True, True, True, False])
    k, length = symmetric(random(4, 4, low=0.1)), symmetric(random(4, 4, low=0.1, seed=1))
    state, times = start(4, 2), torch.tensor([0.0, 0.5, 1.0], dtype=torch.float64)
    with_lengths = Springs(
        mass=random(4, low=0.5),
        spring_constant=k,
        rest_length=length,
        mask=mask,
        trainable=("mass", "spring_constant", "rest_length"),
    )
    linear = Springs(mass=random(4, low=0.5), spring_constant=k, mask=mask, trainable=("mass", "spring_constant"))
    each = Springs(mass=random(4, low=0.5), stiffness=k[0] + 1, mask=mask, trainable=("mass", "stiffness"))
    for system in (with_lengths, linear, each):
        outcome = system.force(state.q).square().sum() + system.energy(state)
        if system.has_closed_form:
            outcome = outcome + sum(x.square().sum() for x in system.closed_form(state, times))
        outcome.backward()
        for name, parameter in system.named_parameters():
            gradient = parameter.grad
            assert gradient is not None, name
            assert (gradient != 0).any(), name
            assert (gradient[~mask] == 0).all(), name
            if gradient.ndim == 2:
                assert (gradient - gradient.mT).abs().max() < 1e-14 * gradient.abs().max(), name
    assert not with_lengths.has_closed_form
    assert not Springs(mass=1.0, stiffness=1.0, rest_length=0.0, trainable=("rest_length",)).has_closed_form
    assert Springs(mass=1.0, stiffness=1.0, rest_length=0.0).has_closed_form


def test_sample_is_the_distribution_of_the_paper():
    system, state = Springs.sample(4000, seed=0)
    assert system.rest_length is None
    assert [variable.name for variable in system.variables] == ["mass", "stiffness"]
    count = 4000 * 6
    for value, low, high in ((system.mass, 0.1, 3.1), (system.stiffness, 0.0, 5.0)):
        assert value.min() >= low
        assert value.max() <= high
        # five standard errors of mean and variance
        width = high - low
        assert abs(value.mean() - (low + high) / 2) < 5 * width / math.sqrt(12 * count)
        assert abs(value.var() - width**2 / 12) < 5 * width**2 / math.sqrt(180 * count)
    for value, size in zip(state, (0.4, 0.6), strict=True):
        assert abs(value.mean()) < 5 * size / math.sqrt(2 * count)
        assert abs(value.std() - size) < 5 * size / math.sqrt(4 * count)
    numbers = torch.stack([system.mass.ravel(), system.stiffness.ravel(), *(x[..., 0].ravel() for x in state)])
    assert (torch.corrcoef(numbers) - torch.eye(4)).abs().max() < 5 / math.sqrt(count)


def test_sample_has_variants(dtype):
    system, state = Springs.sample(
        200, seed=1, bodies=(2, 5), dimension=3, rest_length=(0.5, 1.5), centre_of_mass=True, dtype=dtype
    )
    number = system.mask.sum(-1)
    assert (number.min(), number.max()) == (2, 5)
    assert system.mask.equal(torch.arange(5) < number[:, None])
    pairs = (system.mask[:, :, None] & system.mask[:, None, :]) & ~torch.eye(5, dtype=torch.bool)
    assert system.rest_length[pairs].min() >= 0.5
    assert system.rest_length[pairs].max() <= 1.5
    assert (system.rest_length[~pairs] == 0).all()
    for x in state:
        assert x.shape == (200, 5, 3)
        assert (x[~system.mask] == 0).all()
    mass = torch.where(system.mask, system.mass, 0)[..., None]
    # a few roundings of numbers of order one, as they were before they were centred
    assert ((mass * state.q).sum(1).abs() <= 10 * torch.finfo(dtype).eps * mass.sum(1)).all()
    assert (state.p.sum(1).abs() <= 20 * torch.finfo(dtype).eps).all()


def test_lattices():
    assert lattice(4, periodic=True).matrix.sum(-1).tolist() == [2.0] * 4
    assert lattice(2, periodic=True).edges.equal(lattice(2).edges)  # one spring, not two
    grid = lattice(3, 4).matrix
    assert grid.equal(grid.mT)
    assert grid.sum() / 2 == 2 * 4 + 3 * 3
    assert grid[5].nonzero().ravel().tolist() == [1, 4, 6, 9]
    assert lattice().matrix.equal(torch.zeros(1, 1).double())
    apart = torch.cdist(lattice_points(3, 4), lattice_points(3, 4))
    assert grid.bool().equal(apart == 1)


@pytest.mark.parametrize(
    ("settings", "says"),
    [
        ({"count": 0}, "count: expected at least 1, got 0"),
        ({"dimension": 0}, "dimension: expected at least 1, got 0"),
        ({"bodies": 0}, "bodies: expected a number"),
        ({"bodies": (5, 3)}, r"bodies: expected a number or a range .*got \(5, 3\)"),
        ({"rest_length": -1.0}, "rest_length: expected a finite number"),
        ({"rest_length": (0.5, math.inf)}, "rest_length: expected a finite number"),
    ],
)
def test_sample_names_what_is_wrong(settings, says):
    with pytest.raises(ValueError, match=says):
        Springs.sample(settings.pop("count", 3), seed=0, **settings)


def test_names_what_is_wrong():
    mass = torch.ones(3)
    with pytest.raises(ValueError, match="either stiffness or spring_constant, got neither"):
        Springs(mass=mass)
    with pytest.raises(ValueError, match="either stiffness or spring_constant, got both"):
        Springs(mass=mass, stiffness=1.0, spring_constant=1.0)
    with pytest.raises(ValueError, match="trainable: expected variables that are given, got stiffness"):
        Springs(mass=mass, spring_constant=1.0, trainable=("stiffness",))
    state, times = PhaseSpace(torch.zeros(3, 2), torch.zeros(3, 2)), torch.zeros(2)
    with pytest.raises(ValueError, match="no closed form"):
        Springs(mass=mass, stiffness=1.0, rest_length=1.0).closed_form(state, times)
    with pytest.raises(ValueError, match=r"state: expected q and p \(\*batch, 4, d\), got"):
        Springs(mass=torch.ones(4), stiffness=1.0).closed_form(state, times)
    with pytest.raises(ValueError, match=r"state: expected q and p \(\*batch, 4, d\), got"):
        Springs(mass=1.0, spring_constant=lattice(4).matrix).closed_form(state, times)
