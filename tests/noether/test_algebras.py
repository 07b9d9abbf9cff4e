"""Algebras of charges against those of matrices, and what their flows do."""

import math

import pytest
import torch

from hlieconv.diagnostics import Charge, boosts, charges
from hlieconv.noether import algebra, discover, polynomials, transformed
from hlieconv.noether.algebras import NAMES
from systems import HarmonicTrap, HenonHeiles, PhaseSpace, Springs, Toda


def states_of(n, d, count=100, seed=0):
    return PhaseSpace(*torch.randn(2, count, n, d, dtype=torch.float64, generator=torch.Generator().manual_seed(seed)))


def linear(matrices):
    """The charges p . A q of matrices, whose brackets are those of the matrices."""
    return [Charge(f"X{k}", a, torch.zeros(len(a)).double()) for k, a in enumerate(matrices)]


def units(d):
    return torch.eye(d * d, dtype=torch.float64).reshape(d, d, d, d)


def so(d, sign=1.0):
    """Rotations of d dimensions; the last is a time where the sign is -1."""
    e = units(d)
    return [e[i, j] - (sign if j == d - 1 else 1.0) * e[j, i] for i in range(d) for j in range(i + 1, d)]


def real(matrix):
    """A complex matrix as a real one of twice the size."""
    return torch.cat([torch.cat([matrix.real, -matrix.imag], 1), torch.cat([matrix.imag, matrix.real], 1)])


def su(d):
    """Skew-Hermitian matrices without trace."""
    e = units(d).to(torch.complex128)
    pairs = [(i, j) for i in range(d) for j in range(i + 1, d)]
    found = [e[i, j] - e[j, i] for i, j in pairs] + [1j * (e[i, j] + e[j, i]) for i, j in pairs]
    return [real(x) for x in [*found, *(1j * (e[k, k] - e[k + 1, k + 1]) for k in range(d - 1))]]


@pytest.mark.parametrize(
    ("matrices", "name"),
    [
        (so(3), "so(3)"),
        (so(3, -1.0), "so(2,1)"),
        (so(4), "so(4)"),
        (so(4, -1.0), "so(3,1)"),
        (su(2), "so(3)"),
        (su(3), "su(3)"),
        (list(units(3)[[0, 1, 0], [1, 2, 2]]), "Heisenberg"),
        (list(units(2)[[0, 1], [0, 1]]), "R^2"),
    ],
)
def test_algebras_of_matrices(matrices, name):
    found = algebra(linear(matrices), states_of(2, len(matrices[0])))
    assert found.name == name
    brackets = [[a @ b - b @ a for b in matrices] for a in matrices]
    for a, row in enumerate(brackets):
        for b, bracket in enumerate(row):
            ours = sum(c * x for c, x in zip(found.constants[a, b], matrices, strict=True))
            torch.testing.assert_close(ours.abs(), bracket.abs(), atol=1e-9, rtol=0)
    assert found.errors.max() < 1e-9


@pytest.mark.parametrize(("q", "p", "away"), [(1e9, 1e-20, 0.0), (1.0, 1.0, 1e6)])
def test_units_and_the_origin_do_not_matter(q, p, away):
    states = states_of(3, 3)
    assert algebra(charges("SE3"), PhaseSpace(q * states.q + away, p * states.p)).name == "e(3)"


@pytest.mark.parametrize("d", [2, 3])
def test_groups_of_motion(d):
    mass = torch.tensor([1.0, 2.0, 0.5], dtype=torch.float64)
    system, states = Springs(mass=mass, stiffness=[1.0, 1.0, 1.0], rest_length=0.5), states_of(3, d)
    shifts = [charge for charge in charges(f"SE{d}") if charge.name.startswith("P")]
    assert algebra(charges(f"SE{d}"), states).name == f"e({d})"
    assert algebra([*shifts, *boosts(mass, d)], states).name == f"Heisenberg in {d} dimensions"
    galilei = algebra([*charges(f"SE{d}"), *boosts(mass, d), system.energy], states)
    assert galilei.name == f"Galilei in {d} dimensions"
    row = galilei.constants[galilei.elements.index("K_x"), galilei.elements.index("P_x")]
    assert float(row[galilei.elements.index("1")]) == pytest.approx(float(mass.sum()))  # the mass is the central charge


def kepler_charges(sign):
    """L and A / sqrt(2 |H|) of V = -1 / |q|."""

    def turn(s):
        return torch.linalg.cross(s.q[..., 0, :], s.p[..., 0, :], dim=-1)

    def energy(s):
        return 0.5 * s.p[..., 0, :].square().sum(-1) - 1 / s.q[..., 0, :].norm(dim=-1)

    def runge_lenz(s):
        q, p = s.q[..., 0, :], s.p[..., 0, :]
        vector = torch.linalg.cross(p, turn(s), dim=-1) - q / q.norm(dim=-1, keepdim=True)
        return vector / (sign * 2 * energy(s))[..., None].sqrt()

    return [lambda s, f=f, k=k: f(s)[..., k] for f in (turn, runge_lenz) for k in range(3)], energy


@pytest.mark.parametrize(("sign", "name"), [(-1, "so(4)"), (1, "so(3,1)")])
def test_kepler(sign, name):
    found, energy = kepler_charges(sign)
    states = states_of(1, 3, 400)
    kept = sign * energy(states) > 0.05
    states = PhaseSpace(states.q[kept], states.p[kept])
    assert algebra(found, states).name == name
    unscaled = [lambda s, f=f: f(s) * (sign * 2 * energy(s)).sqrt() for f in found[3:]]
    assert not algebra([*found[:3], *unscaled], states).closed
    orbits = transformed(found[3], PhaseSpace(states.q[:3], states.p[:3]), [0.0, 0.2, 0.4])
    torch.testing.assert_close(energy(orbits), energy(states)[:3].expand(3, 3), rtol=1e-9, atol=1e-9)
    assert (orbits.q[2] - orbits.q[0]).norm() > 0.01


def test_oscillator_and_toda():
    states = states_of(1, 3, 300)
    trap = HarmonicTrap(1.0, mass=[1.0])
    found = algebra(discover(trap, states, "quadratic").charges, states)
    assert (found.name, len(found.commuting), found.integrable) == ("su(3) + R", 3, True)
    states = states_of(3, 1, 250)
    lattice = discover(Toda(mass=[1.0, 1.0, 1.0]), states, polynomials(3, 1, 3, {"exp": 1}))
    found = algebra(lattice.charges, states)
    assert (found.name, len(found.commuting), found.integrable) == ("R^4", 3, True)  # P^3 is one of the four
    chaos, states = HenonHeiles(mass=[1.0]), states_of(1, 2)
    energy = chaos.energy
    assert not algebra([energy, charges("SO2")[0]], states).integrable


def test_a_turn():
    [_, _, spin] = charges("SE2")
    states = states_of(2, 2, 3)
    turned = transformed(spin, states, [0.0, math.pi / 3])
    cos, sin = math.cos(math.pi / 3), math.sin(math.pi / 3)
    rotation = torch.tensor([[cos, -sin], [sin, cos]], dtype=torch.float64)
    for x, y in zip(states, turned, strict=True):
        torch.testing.assert_close(y[1], x @ rotation.mT)


def test_what_is_refused():
    with pytest.raises(ValueError, match="charges: expected at least two, got 1"):
        algebra(charges("SO2"), states_of(1, 2))
    with pytest.raises(ValueError, match=r"more than 8 states, got 5"):
        algebra(charges("SE2"), states_of(1, 2, 5))
    places = states_of(1, 2, 50)
    at_rest, one = PhaseSpace(places.q, 0 * places.p), PhaseSpace(*(x[:1].expand(50, -1, -1) for x in places))
    for states, rank in ((at_rest, 0), (one, 1)):
        with pytest.raises(ValueError, match=f"charges: expected 3 of which none is a combination .*, got {rank}"):
            algebra(charges("SE2"), states)
    with pytest.raises(ValueError, match="states: expected ones at which charges and their derivatives are finite"):
        algebra(charges("SE2"), PhaseSpace(places.q, places.p / 0))


def test_names_are_different():
    assert len(set(NAMES.values())) == len(NAMES)
