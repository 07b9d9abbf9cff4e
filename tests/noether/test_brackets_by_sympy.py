"""Brackets and structure constants by automatic differentiation, against those that SymPy derives by hand."""

import pytest
import sympy as sp
import torch

from hlieconv.noether import algebra, poisson_bracket
from systems import PhaseSpace

X, P = sp.symbols("x:3", real=True), sp.symbols("p:3", real=True)
R = sp.sqrt(sum(x**2 for x in X))
H = sum(p**2 for p in P) / 2 - 1 / R


def cross(a, b):
    return [a[1] * b[2] - a[2] * b[1], a[2] * b[0] - a[0] * b[2], a[0] * b[1] - a[1] * b[0]]


TURNS = cross(X, P)
RUNGE_LENZ = [a - x / R for a, x in zip(cross(P, TURNS), X, strict=True)]
KEPLER = [*TURNS, *(a / sp.sqrt(-2 * H) for a in RUNGE_LENZ)]
OSCILLATOR = [*TURNS, *(P[i] * P[j] + X[i] * X[j] for i in range(3) for j in range(i, 3))]
GALILEI = [*P, *TURNS, *(2 * x for x in X), sum(p**2 for p in P) / 4]
ALGEBRAS = {"so(4)": KEPLER, "su(3) + R": OSCILLATOR, "Galilei in 3 dimensions": GALILEI}


def by_hand(f, g):
    """{f, g} = sum_k df/dx_k dg/dp_k - df/dp_k dg/dx_k."""
    return sum(sp.diff(f, x) * sp.diff(g, p) - sp.diff(f, p) * sp.diff(g, x) for x, p in zip(X, P, strict=True))


def function(expression):
    """A function of a state of one body, also where the expression is a number."""
    compiled = sp.lambdify([*X, *P], expression, [{"sqrt": torch.sqrt}])

    def value(z):
        found = compiled(*z.q[..., 0, :].unbind(-1), *z.p[..., 0, :].unbind(-1))
        return found + torch.zeros_like(z.q[..., 0, 0])

    return value


def bound_states(count):
    """Of negative energy."""
    q, p = torch.randn(2, count, 1, 3, dtype=torch.float64, generator=torch.Generator().manual_seed(0))
    sizes = torch.linspace(0.8, 1.2, count, dtype=torch.float64)[:, None, None]
    return PhaseSpace(*(size * x / x.norm(dim=-1, keepdim=True) for size, x in ((sizes, q), (sizes.flip(0) / 2, p))))


@pytest.mark.parametrize("name", ALGEBRAS)
def test_brackets_and_constants(name):
    """Every bracket at every state, and as the combination of charges that `algebra` names."""
    charges, states = ALGEBRAS[name], bound_states(60)
    functions = [function(f) for f in charges]
    found = algebra(functions, states)
    assert found.name == name
    assert found.residual < 1e-12
    extended = [*charges, 1][: len(found.elements)]
    for a in range(len(charges)):
        for b in range(a):
            derived = function(by_hand(charges[a], charges[b]))(states)
            bracket = poisson_bracket(functions[a], functions[b], states)
            size = bracket.terms.max().clamp(min=1.0)
            assert (bracket.value - derived).abs().max() < 1e-13 * size
            combined = sum(float(c) * f for c, f in zip(found.constants[a, b], extended, strict=True))
            assert (function(combined)(states) - derived).abs().max() < 1e-10 * size


def test_the_runge_lenz_vector_is_what_it_is_said_to_be():
    """{A_x, H} = 0 and {A_x, A_y} = -2 H L_z, symbolically."""
    assert sp.simplify(by_hand(RUNGE_LENZ[0], H)) == 0
    assert sp.simplify(by_hand(RUNGE_LENZ[0], RUNGE_LENZ[1]) + 2 * H * TURNS[2]) == 0
