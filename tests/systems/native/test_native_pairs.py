"""Pair laws of many bodies are loops in machine code, and say what torch says."""

import shutil

import pytest
import torch

from systems import AbstractPairs, Gravity, PhaseSpace, Springs, Variable
from systems.integrators import RK4, AdaptiveGauss, Leapfrog
from systems.native import Compiled
from systems.native.abreast import AbreastProgram
from systems.native.compiled import backend_of
from systems.native.kernel import WRITTEN_OUT
from systems.native.pairs import PairProgram, force_on

pytestmark = pytest.mark.skipif(not any(map(shutil.which, ("cc", "gcc", "clang"))), reason="needs a C compiler")

BODIES, COUNT = WRITTEN_OUT + 5, 10


class Yukawa(AbstractPairs):
    """An own law with a call of the C library, charges and a range for each pair."""

    variables = (
        *AbstractPairs.variables,
        Variable("charge", ("body",), "1", "charge"),
        Variable("range", ("body", "other_body"), "1", "range"),
    )

    def pair_potential(self, square, pair):
        distance = (square + 0.01).sqrt()
        return pair.i.charge * pair.j.charge * torch.exp(-distance / pair.range) / distance


class Pushed(Gravity):
    """Pairs, and something else."""

    def force(self, q):
        return super().force(q) + 1e-9


def case(name, dtype=torch.float64, dimension=2, bodies=BODIES):
    generator = torch.Generator().manual_seed(0)
    draw = lambda *shape: torch.rand(*shape, generator=generator, dtype=torch.float64).to(dtype)  # noqa: E731
    mass = draw(COUNT, bodies) + 0.5
    state = PhaseSpace(3 * draw(COUNT, bodies, dimension), draw(COUNT, bodies, dimension))
    if name == "massless":
        mass[:, ::3] = 0
    if name in ("gravity", "massless", "pushed"):
        kind = Pushed if name == "pushed" else Gravity
        return kind(mass=mass, gravitational_constant=1.0, softening=0.2), state
    mask = torch.arange(bodies) < torch.arange(COUNT)[:, None] + bodies - COUNT
    if name == "edges":
        i, j = torch.randperm(bodies * (bodies - 1) // 2, generator=generator)[:50].sort().values, None
        i, j = torch.triu_indices(bodies, bodies, 1)[:, i]
        return Springs(
            mass=mass, spring_constant=draw(COUNT, 50), rest_length=draw(50), edges=(j, i), mask=mask
        ), PhaseSpace(*(torch.where(mask[..., None], x, 0) for x in state))
    ranges = draw(bodies, bodies) + 0.5
    field = Yukawa(mass=mass, charge=draw(COUNT, bodies) - 0.5, range=ranges + ranges.mT, mask=mask)
    return field, PhaseSpace(*(field.existing(x) for x in state))


def loops(method, field, state, times):
    fast = Compiled(method, "on").prepared(field, state, times)
    assert backend_of(fast) == "native"
    assert isinstance(fast.kernel.program, PairProgram)
    return fast.integrate(field, state, times)


CASES = [
    ("gravity", torch.float64, 3),
    ("massless", torch.float64, 2),
    ("edges", torch.float64, 2),
    ("own", torch.float64, 3),
    ("own", torch.float32, 1),
]


@pytest.mark.usefixtures("quickly")
@pytest.mark.parametrize(("name", "dtype", "dimension"), CASES)
def test_loops_are_what_torch_adds_up_and_feel_no_batch(name, dtype, dimension):
    field, state = case(name, dtype, dimension)
    times, steps = torch.tensor([0.0, 0.05], dtype=dtype), 5
    slow, fast = (f(Leapfrog(step=0.01), field, state, times) for f in (Leapfrog.integrate, loops))
    # Each force is a sum of as many terms as there are bodies.
    size = max(field.force(x).abs().max() for x in slow.q) * 0.05 + slow.p.abs().max()
    assert (slow.p - fast.p).abs().max() <= (BODIES + 4 * steps) * torch.finfo(dtype).eps * size
    assert (slow.q - fast.q).abs().max() <= (BODIES + 4 * steps) * torch.finfo(dtype).eps * (slow.q.abs().max() + size)
    assert not torch.equal(fast.p[0], fast.p[-1])
    one = loops(Leapfrog(step=0.01), field.select(slice(3, 4)), PhaseSpace(*(x[3:4] for x in state)), times)
    assert all(torch.equal(a[:, 0], b[:, 3]) for a, b in zip(one, fast, strict=True))


@pytest.mark.usefixtures("quickly")
@pytest.mark.parametrize("method", [RK4(step=0.05), AdaptiveGauss()])
def test_loops_in_other_methods(method):
    field, state = case("gravity")
    times = torch.tensor([0.0, 0.1, 0.2], dtype=torch.float64)
    slow, fast = method.integrate(field, state, times), loops(method, field, state, times)
    assert (slow.q - fast.q).abs().max() <= 100 * torch.finfo(torch.float64).eps * slow.q.abs().max()


def test_what_is_more_than_pairs_is_no_loop():
    assert not case("pushed")[0].is_sum
    assert not Springs.sample(1, seed=0, bodies=BODIES)[0].is_sum  # a matrix product
    assert case("gravity")[0].is_sum


@pytest.mark.parametrize("name", ["massless", "own"])
def test_the_force_on_some_bodies(name):
    field, state = case(name)
    rows = torch.tensor([0, 4, BODIES - 1])
    expected = field.force(state.q)[:, rows]
    bound = BODIES * torch.finfo(torch.float64).eps * expected.abs().max()
    assert (force_on(field, state.q, rows) - expected).abs().max() <= bound


@pytest.mark.usefixtures("quickly")
@pytest.mark.parametrize(("name", "dimension"), [("gravity", 3), ("massless", 2), ("own", 1)])
def test_few_bodies_abreast_are_what_they_are_side_by_side(name, dimension):
    """In torch's order: one trajectory, whose bodies fill vectors, and many, which do."""
    field, state = case(name, dimension=dimension, bodies=6)
    times, method = torch.tensor([0.0, 0.05], dtype=torch.float64), Leapfrog(step=0.01)
    one = field.select(slice(9, 10)), PhaseSpace(*(x[9:] for x in state)), times
    alone = Compiled(method, "on").prepared(*one)
    assert isinstance(alone.kernel.program, AbreastProgram)
    found = alone.integrate(*one)
    beside = Compiled(method, "on").integrate(field, state, times)
    assert all(torch.equal(a[:, 0], b[:, 9]) for a, b in zip(found, beside, strict=True))
    eager = method.integrate(*one)
    if name != "own":  # no call of the C library
        assert all(torch.equal(a, b) for a, b in zip(found, eager, strict=True))
    assert torch.allclose(found.p, eager.p, rtol=1e-13, atol=0)
    assert not torch.equal(found.p[0], found.p[-1])
