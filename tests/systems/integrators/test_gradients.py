"""Derivatives of trajectories, by every way that backpropagation can store them."""

import subprocess
import sys

import pytest
import torch
from problems import CASES, METHODS, Central, problem
from torch import nn

from systems import AbstractNewtonian, PhaseSpace, Springs
from systems.integrators import RK4, AdaptiveGauss, ImplicitMidpoint, Leapfrog, Recomputed, Torchdiffeq
from systems.integrators.stepping import AbstractStepping

#: An integrator as it is, and the same with recomputation.
WAYS = {"as it is": lambda integrator: integrator, "recomputed": Recomputed}
STEPPING = [name for name, method in METHODS.items() if issubclass(method, AbstractStepping)]


def springs():
    system, state = Springs.sample(3, seed=0, bodies=3, rest_length=1.0)
    values = {"mass": system.mass, "stiffness": system.stiffness, "rest_length": 1.0}
    return Springs(**values, trainable=("mass", "stiffness")), state


@pytest.mark.parametrize(("name", "kind"), CASES)
def test_gradcheck(name, kind):
    """With respect to the state and the times, by two steps an interval."""
    field, state = problem(kind, count=2)
    times = torch.tensor([0.0, 0.3, 0.5], dtype=torch.float64)
    options = {"rtol": 1e-10, "atol": 1e-12} if METHODS[name] is Torchdiffeq else {"step": 0.16}

    def path(q, p, times):
        return tuple(METHODS[name](**options).integrate(field, PhaseSpace(q, p), times))

    inputs = (state.q.clone().requires_grad_(), state.p.clone().requires_grad_(), times.requires_grad_())
    assert torch.autograd.gradcheck(path, inputs, fast_mode=True)


@pytest.mark.parametrize("name", STEPPING)
@pytest.mark.parametrize("each", [False, True])
@pytest.mark.parametrize("compensated", [False, True])
def test_recomputation_has_the_same_gradient(name, each, compensated):
    """To 1e-9 relative, to the state, the times and the parameters, and whatever the number of substeps of each."""
    gradients = {}
    for way, wrapped in WAYS.items():
        system, state = springs()
        q, p = (x.clone().requires_grad_() for x in state)
        times = torch.tensor([0.0, 0.2, 0.3], dtype=torch.float64)
        times = times[:, None] * torch.tensor([1.0, 0.7, -0.4], dtype=torch.float64) if each else times
        times.requires_grad_()
        method = wrapped(METHODS[name](step=0.04, compensated=compensated))
        path = method.integrate(system, PhaseSpace(q, p), times)
        (path.q.square().sum() + (path.p**3).sum()).backward()
        gradients[way] = [q.grad, p.grad, times.grad, system.mass.grad, system.stiffness.grad]
    for expected, found in zip(*gradients.values(), strict=True):
        assert expected.abs().max() > 0
        torch.testing.assert_close(found, expected, rtol=1e-9, atol=1e-9 * expected.abs().max().item())


def test_the_gradient_of_a_steady_field_is_that_of_the_field():
    gradients = []
    for way in (lambda field: field, Springs.steady):
        system, state = springs()
        path = AdaptiveGauss().integrate(way(system), state, torch.tensor([0.0, 0.2], dtype=torch.float64))
        path.q.square().sum().backward()
        gradients.append(system.stiffness.grad)
    assert torch.equal(*gradients)


@pytest.mark.parametrize("name", ["leapfrog", "rk4", "gauss4"])
def test_the_memory_of_recomputation_does_not_grow_with_the_steps(name):
    """What the graph saves is counted by hooks of autograd; without recomputation, the control, it grows."""
    saved = {}
    for way, wrapped in WAYS.items():
        for step in (0.05, 0.01):
            total = []
            q = torch.ones(2, 1, 2, dtype=torch.float64, requires_grad=True)
            times = torch.tensor([0.0, 0.5, 1.0], dtype=torch.float64)
            with torch.autograd.graph.saved_tensors_hooks(lambda x, t=total: t.append(x.numel()) or x, lambda x: x):
                wrapped(METHODS[name](step=step)).integrate(
                    Central(mass=torch.ones(1, dtype=torch.float64)), PhaseSpace(q, q), times
                )
            saved[way, step] = sum(total)
    assert saved["recomputed", 0.01] == saved["recomputed", 0.05] > 0
    assert saved["as it is", 0.01] > 3 * saved["as it is", 0.05]


class Conditioned(AbstractNewtonian):
    """A field with a parameter, and a buffer that was computed from another parameter."""

    def __init__(self, weight, derived, hidden=None):
        super().__init__(mass=torch.ones(1, dtype=torch.float64))
        self.weight = nn.Parameter(weight)
        self.register_buffer("derived", derived)
        self.hidden = hidden

    def potential(self, q):
        strength = self.weight + self.derived * q.square().sum(-1)
        if self.hidden is not None:
            strength = strength * self.hidden
        return (strength * q.square().sum(-1)).sum(-1)


def test_buffers_made_from_parameters_are_counted_once():
    """As in a model that was conditioned: the derivative passes on through what the buffer was made from."""
    found = []
    for wrapped in WAYS.values():
        weight = torch.tensor(0.7, dtype=torch.float64, requires_grad=True)
        field = Conditioned(torch.tensor(0.3, dtype=torch.float64), weight.square())
        q = torch.ones(1, 2, dtype=torch.float64)
        path = wrapped(Leapfrog(step=0.1)).integrate(
            field, PhaseSpace(q, q), torch.linspace(0, 1, 3, dtype=torch.float64)
        )
        path.q.sum().backward()
        found.append(torch.stack([weight.grad, field.weight.grad]))
    torch.testing.assert_close(*found, rtol=1e-12, atol=0)


def test_hidden_tensors_are_an_error_not_a_wrong_gradient():
    one = torch.tensor(1.0, dtype=torch.float64)
    field = Conditioned(one, one, hidden=one.clone().requires_grad_())
    state = PhaseSpace(torch.ones(1, 2, dtype=torch.float64), torch.ones(1, 2, dtype=torch.float64))
    times = torch.tensor([0.0, 1.0], dtype=torch.float64)
    with pytest.raises(ValueError, match=r"field: .* another tensor that requires one, of shape"):
        Recomputed(Leapfrog()).integrate(field, state, times)
    Leapfrog().integrate(field, state, times).q.sum().backward()
    assert field.hidden.grad is not None


@pytest.mark.parametrize("method", [Leapfrog, RK4])
def test_second_derivatives(method):
    """Explicit methods can be differentiated twice."""
    field, state = problem("newtonian", count=1)
    times = torch.tensor([0.0, 0.4], dtype=torch.float64)

    def end(q):
        return method(step=0.2).integrate(field, PhaseSpace(q, state.p), times).q[-1]

    assert torch.autograd.gradgradcheck(end, (state.q.clone().requires_grad_(),), fast_mode=True)


@pytest.mark.parametrize("method", [ImplicitMidpoint(), AdaptiveGauss(), Recomputed(Leapfrog())])
def test_a_second_derivative_that_is_not_there_is_an_error(method):
    field, state = problem("newtonian", count=1)
    q = state.q.clone().requires_grad_()
    end = method.integrate(field, PhaseSpace(q, state.p), torch.tensor([0.0, 0.4], dtype=torch.float64)).q[-1]
    (gradient,) = torch.autograd.grad(end.sum(), q, create_graph=True)
    with pytest.raises(RuntimeError, match="there is no second derivative"):
        gradient.sum().backward()


COMPILING = """
import torch
from systems import PhaseSpace, Springs
from systems.integrators import RK4, BlanesMoanS6, Leapfrog

system, state = Springs.sample(3, seed=0, bodies=3, rest_length=1.0)
times = torch.linspace(0, 0.2, 3, dtype=torch.float64)
for method in (Leapfrog(), BlanesMoanS6(), RK4()):
    def path(q, p):
        return method.integrate(system, PhaseSpace(q, p), times).q

    compiled = torch.compile(path, fullgraph=True, backend="eager")
    torch.testing.assert_close(compiled(*state), path(*state), rtol=1e-14, atol=1e-14)
"""


def test_explicit_methods_compile_whole():
    """No graph break, and the same result. In a process of its own: checks of types at run time do not compile."""
    result = subprocess.run([sys.executable, "-c", COMPILING], capture_output=True, text=True, check=False)
    assert result.returncode == 0, result.stderr
