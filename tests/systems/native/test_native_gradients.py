"""The way back through machine code is torch's gradient through the same steps."""

import shutil

import numpy as np
import pytest
import torch
from test_native_laws import Web, case
from torch import nn

from systems import AbstractNewtonian, Gravity, PhaseSpace
from systems.integrators import (
    RK4,
    AverageVectorField4,
    BlanesMoanSRKN6,
    Gauss4,
    Gauss6,
    ImplicitMidpoint,
    Leapfrog,
    Recomputed,
)
from systems.native.compiled import _MachineCode
from systems.native.reverse import _RULES, _SLOPES, pulled_back
from systems.native.scalars import Arithmetic
from systems.status import Status

pytestmark = [
    pytest.mark.skipif(not any(map(shutil.which, ("cc", "gcc", "clang"))), reason="needs a C compiler"),
    pytest.mark.usefixtures("quickly"),
]


class Learned(AbstractNewtonian):
    """A potential with weights that it does not declare."""

    def __init__(self, **values):
        super().__init__(**values)
        self.net = nn.Sequential(nn.Linear(2, 3), nn.Tanh(), nn.Linear(3, 1, bias=False)).double()

    def potential(self, q):
        return self.net(q).sum((-2, -1)) + torch.exp(-q.square().sum((-2, -1)))


def field_and_state(name, dtype=torch.float64):
    if name == "learned":
        torch.manual_seed(0)
        field, state = (
            Learned(mass=torch.rand(5, 2, dtype=torch.float64) + 1, trainable=["mass"]),
            case("own", torch.float64)[1],
        )
        return field, PhaseSpace(state.q[:, :2], state.p[:, :2])
    field, state = case(name, dtype)
    kind = type(field)
    marks = {"mask": field.mask} if field.mask is not None else {}
    values = {variable.name: getattr(field, variable.name) for variable in field.variables}
    return kind(**values, **marks, trainable=list(values)), state


def gradients(method, field, state, times, loss):
    q, p = (x.detach().clone().requires_grad_() for x in state)
    path = method.integrate(field, PhaseSpace(q, p), times)
    inputs = [q, p, *field.parameters()]
    return torch.autograd.grad(loss(path), inputs)


def by_all(path):
    """All output times have a part, unlike in q and in p."""
    weight = torch.linspace(1, 2, path.q.numel(), dtype=path.q.dtype).reshape(path.q.shape)
    return (weight * path.q.square()).nansum() + (weight * path.p**3).nansum()


@pytest.mark.parametrize(
    ("name", "kind", "each"),
    [
        ("rest", Leapfrog, True),
        ("gravity", BlanesMoanSRKN6, False),
        ("henon_heiles", Leapfrog, False),
        ("own", BlanesMoanSRKN6, True),
        ("learned", Leapfrog, False),
        ("rest", RK4, False),
        ("driven", RK4, True),
        ("pendulum", RK4, False),
        ("rest", Gauss4, True),
        ("driven", Gauss6, True),
        ("pendulum", Gauss4, False),
        ("learned", ImplicitMidpoint, False),
    ],
)
def test_gradients_are_those_of_torch(name, kind, each, monkeypatch):
    """By the state and all tensors of the field, for one and for many trajectories; steps of each, many and few."""
    field, state = field_and_state(name)
    times = torch.tensor([0.0, 0.05, 0.5], dtype=torch.float64)
    times = times[:, None] * torch.linspace(0.3, -1, len(state.q), dtype=torch.float64) if each else times
    runs = []
    monkeypatch.setattr(_MachineCode, "_run", lambda self, *given: runs.append(self) or run(self, *given))
    method = kind(step=0.03, compensated=each)
    fast = gradients(kind(step=0.03, compensated=each, compile="on"), field, state, times, by_all)
    assert runs
    slow = gradients(method, field, state, times, by_all)
    assert sum(x.abs().max() > 0 for x in slow) > 2
    for found, expected in zip(fast, slow, strict=True):
        torch.testing.assert_close(found, expected, rtol=0, atol=1e-12 * expected.abs().max().item())


run = _MachineCode._run


@pytest.mark.parametrize(("name", "kind"), [("henon_heiles", Gauss6), ("driven", AverageVectorField4)])
def test_float32_and_recomputation(name, kind):
    """Float32 is off by its own rounding alone; what torch recomputes is the same gradient."""
    times = torch.tensor([0.0, 0.05, 0.3], dtype=torch.float64)
    fast = gradients(kind(step=0.03, compile="on"), *field_and_state(name), times, by_all)
    slow = gradients(Recomputed(kind(step=0.03)), *field_and_state(name), times, by_all)
    rough = gradients(kind(step=0.03, compile="on"), *field_and_state(name, torch.float32), times.float(), by_all)
    for found, expected, narrow in zip(fast, slow, rough, strict=True):
        size = expected.abs().max().item()
        torch.testing.assert_close(found, expected, rtol=0, atol=1e-11 * size)
        error, eps = (narrow.double() - found).abs().max().item() / size, torch.finfo(torch.float32).eps
        assert 0 < error < 16 * eps


def test_a_step_that_is_not_found_is_told_and_has_no_gradient():
    """Beside it there is one that is."""
    field = Gravity(mass=torch.ones(2, dtype=torch.float64), gravitational_constant=1.0, softening=0.0)
    q = torch.tensor([[[0.0, 0], [1, 0]], [[0, 0], [4, 0]]], dtype=torch.float64, requires_grad=True)
    state, times = PhaseSpace(q, torch.zeros_like(q)), torch.linspace(0, 2, 9, dtype=torch.float64)
    method = Gauss4(step=0.2, compile="on")
    with pytest.raises(ValueError, match="1 of 2 trajectories ended early"):
        method.integrate(field, state, times)
    path, status = method.attempt(field, state, times)
    assert status.tolist() == [Status.UNSOLVED, Status.OK]
    [found] = torch.autograd.grad(path.q.square().sum(), q)
    one = PhaseSpace(q[1:], torch.zeros_like(q[1:]))
    [alone] = torch.autograd.grad(Gauss4(step=0.2).integrate(field, one, times).q.square().sum(), q)
    assert found[0].isnan().all()
    torch.testing.assert_close(found[1], alone[1])


def test_gradcheck():
    field, state = field_and_state("own")
    field = Web(mass=field.mass.detach()[:2], depth=field.depth.detach()[:2])
    times = torch.tensor([0.0, 0.1, 0.3], dtype=torch.float64)

    def path(q, p, mass):
        field._buffers["mass"] = mass
        return tuple(Leapfrog(step=0.04, compile="on").integrate(field, PhaseSpace(q, p), times))

    inputs = [x.detach().clone().requires_grad_() for x in (state.q[:2], state.p[:2], field.mass)]
    assert torch.autograd.gradcheck(path, inputs)


def test_memory_does_not_grow_with_the_steps():
    field, state = field_and_state("rest")
    times, saved = torch.tensor([0.0, 0.5, 1.0], dtype=torch.float64), []
    for step in (0.1, 0.002):
        total = []
        with torch.autograd.graph.saved_tensors_hooks(lambda x, t=total: t.append(x.numel()) or x, lambda x: x):
            Recomputed(Leapfrog(step=step, compile="on")).integrate(field, state, times)
        saved.append(sum(total))
    assert saved[0] == saved[1] > 0


def test_second_derivatives_are_refused_and_hidden_tensors_are_torchs():
    field, state = field_and_state("henon_heiles")
    times = torch.tensor([0.0, 0.1], dtype=torch.float64)
    q = state.q.clone().requires_grad_()
    end = Leapfrog(step=0.05, compile="on").integrate(field, PhaseSpace(q, state.p), times)
    [once] = torch.autograd.grad(end.q.sum(), q, create_graph=True)
    with pytest.raises(RuntimeError, match="no second derivative"):
        once.sum().backward()
    hidden = torch.ones((), dtype=torch.float64, requires_grad=True)
    field.potential = lambda q: hidden * q.square().sum((-2, -1))
    field.force = lambda q: -2 * hidden * q
    with pytest.warns(UserWarning, match="requires a gradient and is no parameter"):
        end = Leapfrog(step=0.05, compile="on").integrate(field, state, times)
    assert torch.autograd.grad(end.q.sum(), hidden)[0] != 0


@pytest.mark.parametrize("name", [*_RULES, *_SLOPES])
def test_each_rule_is_a_difference_quotient(name):
    """In mpmath's place: central differences of the same scalars, evaluated by numpy."""
    arithmetic = Arithmetic(np.float64)
    x, y, g = (arithmetic.input("q", k) for k in range(3))
    values = {"acosh": (1.4, 0.0, 1.7)}.get(name, (0.6, 0.8, 1.7))
    make = {
        "+": lambda: arithmetic.add(x, y),
        "-": lambda: arithmetic.subtract(x, y),
        "*": lambda: arithmetic.multiply(x, y),
        "/": lambda: arithmetic.divide(x, y),
        "quotient": lambda: arithmetic.divide(x, arithmetic.input("values", 0)),
        "neg": lambda: arithmetic.negative(x),
        "?": lambda: arithmetic.where(arithmetic.compare(">")(x, y), x, y),
        "pow": lambda: arithmetic.power(x, y),
        "atan2": lambda: arithmetic.call("atan2", x, y),
    }.get(name, lambda: arithmetic.call(name, x))
    output = make()
    assert output.operation == name
    found = pulled_back([output], [g], [x, y], arithmetic)
    for k in range(2):
        small = 1e-6
        ends = [value_of(output, [v + s * (j == k) for j, v in enumerate(values)]) for s in (small, -small)]
        quotient = values[2] * (ends[0] - ends[1]) / (2 * small)
        assert value_of(found[k], values) == pytest.approx(quotient, rel=1e-8, abs=1e-8)


def value_of(scalar, q):
    """By torch, whose functions have C's names but for a few."""
    if scalar.operation == "input":
        array, k = scalar.arguments
        return q[k] if array == "q" else 0.8
    if scalar.operation == "constant":
        return scalar.arguments[0]
    given = [value_of(y, q) for y in scalar.inputs]
    binary = {"+": "add", "-": "sub", "*": "mul", "/": "div", ">": "gt", "<": "lt"}
    if scalar.operation in ("?", "quotient", "neg"):
        a = given[0]
        return {"?": lambda: given[1] if a else given[2], "quotient": lambda: a / given[1], "neg": lambda: -a}[
            scalar.operation
        ]()
    name = binary.get(scalar.operation, {"fabs": "abs"}.get(scalar.operation, scalar.operation))
    return getattr(torch, name)(*(torch.as_tensor(z, dtype=torch.float64) for z in given)).item()
