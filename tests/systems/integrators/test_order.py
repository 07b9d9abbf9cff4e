"""Each method has the order that it states: not less, and not more."""

import math

import numpy as np
import pytest
import torch
import torchdiffeq
from problems import CASES, METHODS, Twisted, distance, fitting, problem, truth

from systems import AbstractNewtonian, AbstractVectorField, Gravity, PhaseSpace
from systems.integrators import AdaptiveGauss, Torchdiffeq, collocation
from systems.integrators.kick_drift import AbstractKickDrift

FIXED = [(name, kind) for name, kind in CASES if METHODS[name] not in (AdaptiveGauss, Torchdiffeq)]
COMPOSED = {name: method for name, method in METHODS.items() if issubclass(method, AbstractKickDrift)}
TIMES = torch.tensor([0.0, 1.0, 2.0], dtype=torch.float64)


@pytest.fixture(scope="module")
def solved():
    """Field, state and truth by the kind of problem."""
    kinds = {kind for _, kind in CASES}
    return {kind: (*problem(kind), truth(*problem(kind), TIMES)) for kind in kinds}


@pytest.mark.parametrize(("name", "kind"), FIXED)
def test_measured_order(name, kind, solved):
    """By halving a step at which the error is well above round-off and the leading term rules."""
    method, (field, state, exact) = METHODS[name], solved[kind]
    steps = {1: (1 / 64, 1 / 128), 8: (1 / 8, 1 / 16)}.get(method.order, (1 / 4, 1 / 8))
    coarse, fine = (distance(method(step=h).integrate(field, state, TIMES), exact) for h in steps)
    assert 1e-13 < fine < coarse < 0.05
    assert method.order - 0.2 < math.log2(coarse / fine) < method.order + 0.5


def test_measured_order_of_the_adaptive_method():
    """On Kepler's problem, with its steps forced to be equal; a smoother problem shows round-off at once."""
    system = Gravity(mass=torch.tensor([1.0, 1e-9], dtype=torch.float64), gravitational_constant=1.0, softening=0.0)
    q = torch.tensor([[0.0, 0.0], [0.9, 0.0]], dtype=torch.float64)
    p = torch.tensor([[0.0, 0.0], [0.0, 1e-9 * math.sqrt(1.1 / 0.9)]], dtype=torch.float64)
    times = torch.tensor([0.0, 4 * math.pi], dtype=torch.float64)
    exact = system.closed_form(PhaseSpace(q, p), times)
    coarse, fine = (
        distance(AdaptiveGauss(step=4 * math.pi / n, tolerance=1e9).integrate(system, PhaseSpace(q, p), times), exact)
        for n in (8, 12)
    )
    assert 1e-12 < fine < coarse < 1e-8
    assert 15.5 < math.log(coarse / fine) / math.log(1.5) < 16.5


@pytest.mark.parametrize("kind", fitting(AdaptiveGauss))
def test_the_adaptive_method_is_exact_to_round_off(kind, solved):
    field, state, exact = solved[kind]
    assert distance(AdaptiveGauss().integrate(field, state, TIMES), exact) < 1e-13  # the truth's own tolerance is 3e-14


@pytest.mark.parametrize(("name", "kind"), CASES)
def test_float32_follows_float64(name, kind):
    """The same steps in both: what differs is rounding, some hundred times the precision of float32 after 16 steps."""
    outputs = []
    for dtype in (torch.float32, torch.float64):
        field, state = problem(kind, dtype=torch.float32)
        field, state = field.to(dtype), PhaseSpace(*(x.to(dtype) for x in state))
        outputs.append(METHODS[name](step=1 / 8).integrate(field, state, TIMES.to(dtype)))
        assert outputs[-1].q.dtype == outputs[-1].p.dtype == dtype
    assert distance(*outputs) < 100 * torch.finfo(torch.float32).eps


# The order conditions of kicks B and drifts A: the product of the steps' exponentials is exp(h (A + B)) in the free
# algebra, where every word of length k has the coefficient 1 / k!. For T quadratic in p [B, [B, [B, A]]] = 0.


def _words(method, order):
    """The coefficients of all words, one array ``(2,) * k`` for each length k."""
    levels = [np.ones(())] + [np.zeros((2,) * k) for k in range(1, order + 1)]
    letters = [(1, method.kicks[0])]
    for drift, kick in zip(method.drifts, method.kicks[1:], strict=True):
        letters += [(0, drift), (1, kick)]
    for letter, coefficient in letters:
        grown = [level.copy() for level in levels]
        for k in range(1, order + 1):
            for j in range(1, k + 1):
                grown[k][(..., *(letter,) * j)] += coefficient**j / math.factorial(j) * levels[k - j]
        levels = grown
    return levels


def _vanishing(k):
    """An orthonormal basis of what [B, [B, [B, A]]] = 0 makes vanish among the words of length k ``(2^k, m)``."""
    drift, kick = np.eye(2)
    product = np.multiply.outer

    def bracket(x, y):
        return product(x, y) - product(y, x)

    zero = bracket(kick, bracket(kick, bracket(kick, drift)))
    spans = []
    for before in range(k - 3):
        for left in np.eye(2**before):
            spans += [product(product(left, zero.ravel()), right).ravel() for right in np.eye(2 ** (k - 4 - before))]
    left, sizes, _ = np.linalg.svd(np.array(spans).T, full_matrices=False)
    return left[:, sizes > 1e-9]


def _defect(method, k):
    """By how much the conditions of order k fail."""
    error = _words(method, k)[k].ravel() - 1 / math.factorial(k)
    if issubclass(method.requires, AbstractNewtonian) and k >= 4:
        basis = _vanishing(k)
        error = error - basis @ (basis.T @ error)
    return np.abs(error).max()


@pytest.mark.parametrize("name", COMPOSED)
def test_coefficients_satisfy_the_order_conditions(name):
    method = COMPOSED[name]
    assert all(_defect(method, k) < 1e-14 for k in range(1, method.order + 1))
    assert _defect(method, method.order + 1) > 1e-8


@pytest.mark.parametrize("stages", [1, 2, 3, 8])
def test_gauss_coefficients_satisfy_the_order_conditions(stages):
    """Butcher's simplifying assumptions B(2s), C(s), D(s), which give order 2s; and B(2s + 1) does not hold."""
    table = collocation.tableau(stages, torch.float64, torch.device("cpu"))
    c, b, a = table.nodes.numpy(), table.weights[0].numpy(), table.matrix.numpy()
    for k in range(1, 2 * stages + 1):
        assert abs(b @ c ** (k - 1) - 1 / k) < 1e-15
    for k in range(1, stages + 1):
        np.testing.assert_allclose(a @ c ** (k - 1), c**k / k, rtol=0, atol=1e-15)
        np.testing.assert_allclose((b * c ** (k - 1)) @ a, b * (1 - c**k) / k, rtol=0, atol=1e-15)
    assert abs(b @ c ** (2 * stages) - 1 / (2 * stages + 1)) > 1e-11
    np.testing.assert_allclose(b[:, None] * a + (b[:, None] * a).T, np.outer(b, b), rtol=0, atol=1e-16)


class Clock(AbstractVectorField):
    """dq/dt = (k + 1) t^k: a method that evaluates its stages at the right times is a quadrature."""

    def __init__(self, power):
        super().__init__()
        self.power = power
        self.seen = []

    def forward(self, t, state):
        self.seen.append(t)
        rate = (self.power + 1) * t**self.power
        return PhaseSpace(rate + torch.zeros_like(state.q), torch.zeros_like(state.p))


@pytest.mark.parametrize(
    ("name", "each"),
    [
        (name, each)
        for name, method in METHODS.items()
        for each in (False, True)
        if method.requires is AbstractVectorField and not (each and method is Torchdiffeq)  # it has one time a batch
    ],
)
def test_stages_are_evaluated_at_their_times(name, each):
    """A method of order k integrates t^(k-1) exactly, and not t^k, also with times of each trajectory."""
    method = METHODS[name]
    times = torch.tensor([0.1, 6.1], dtype=torch.float64)
    times = times[:, None] * torch.tensor([1.0, 0.6], dtype=torch.float64) if each else times
    state = PhaseSpace(torch.zeros(2, 1, 1, dtype=torch.float64), torch.zeros(2, 1, 1, dtype=torch.float64))
    options = {"step": 6.0}
    if method is AdaptiveGauss:
        options["tolerance"] = 1e9
    if method is Torchdiffeq:
        options = {"method": "rk4", "step": 6.0}
    # A quadrature may be of higher order than the method: with s Gauss nodes it is of order 2 s.
    order = 4 if method is Torchdiffeq else 2 * method.stages if hasattr(method, "stages") else method.order

    def error(power):
        found = method(**options).integrate(Clock(power), state, times).q[..., 0, 0]
        exact = times ** (power + 1) - times[0] ** (power + 1)
        return ((found - (exact if each else exact[:, None])).abs() / times[-1] ** (power + 1)).max()

    assert error(order - 1) < 1e-14
    assert error(order) > 1e-12


def test_rk4_times():
    field = Clock(0)
    state = PhaseSpace(torch.zeros(1, 1), torch.zeros(1, 1))
    METHODS["rk4"]().integrate(field, state, torch.tensor([1.0, 3.0]))
    assert torch.stack(field.seen).flatten().tolist() == [1, 2, 2, 3]


def test_nystroem_methods_lose_their_order_elsewhere():
    """The control of `requires`: without T quadratic in p the conditions of order 4 fail."""
    method = METHODS["mclachlan_atela4"]
    error = _words(method, 4)[4].ravel() - 1 / 24
    assert np.abs(error).max() > 1e-3
    field, state = Twisted(), problem("hamiltonian")[1]
    with pytest.raises(ValueError, match="field: McLachlanAtela4 needs an AbstractNewtonian, got Twisted"):
        method().integrate(field, state, TIMES)


@pytest.mark.parametrize("method", ["dopri8", "dopri5"])
def test_torchdiffeq_steps_onto_the_output_times(method, solved):
    """The error stays near the tolerance; left to itself torchdiffeq interpolates with orders of magnitude more."""
    field, state, exact = solved["hamiltonian"]
    stepped = Torchdiffeq(method, rtol=1e-10, atol=1e-12).integrate(field, state, TIMES)
    left = torchdiffeq.odeint(
        lambda t, z: tuple(field(t, PhaseSpace(*z))), tuple(state), TIMES, rtol=1e-10, atol=1e-12, method=method
    )
    assert distance(stepped, exact) < 1e-9
    assert method == "dopri5" or distance(left, exact) > 1e-8
