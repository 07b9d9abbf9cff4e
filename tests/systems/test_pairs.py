"""Laws of every pair law: known ones and a user's own, over all pairs and over edges."""

import pytest
import torch

from systems import AbstractPairs, Charges, Gravity, PhaseSpace, Springs, Variable, simulate
from systems.integrators.collocation import tableau

COUNT, BODIES = 3, 5


class Yukawa(AbstractPairs):
    """A user's own, with the derivative from torch; its product of three rounds as it is ordered."""

    variables = (
        *AbstractPairs.variables,
        Variable("charge", ("body",), "1", "charge"),
        Variable("strength", ("body", "other_body"), "1", "strength of a pair"),
        Variable("range", (), "1", "length of the decay"),
    )

    def pair_potential(self, square, pair):
        distance = square.sqrt()
        return pair.strength * pair.i.charge * pair.j.charge * torch.exp(-distance / pair.range) / distance

    @classmethod
    def sample(cls, count, *, seed, bodies, dtype):
        charges, state = Charges.sample(count, seed=seed, bodies=bodies, dtype=dtype)
        strength = torch.rand(count, bodies, bodies, generator=torch.Generator().manual_seed(seed), dtype=dtype)
        lengths = torch.linspace(0.5, 2.0, count, dtype=dtype)
        own = {"charge": charges.charge * 1.3, "strength": strength + strength.mT, "range": lengths}
        return cls(mass=charges.mass, **own), state


LAWS = {
    "own": (Yukawa, {}),
    "springs": (Springs, {}),
    "springs with rest lengths": (Springs, {"rest_length": (0.2, 1.0)}),
    "gravity": (Gravity, {}),
    "softened charges": (Charges, {"softening": 0.1}),
}
every_law = pytest.mark.parametrize("law", LAWS)


def sample(law, dtype=torch.float64):
    kind, options = LAWS[law]
    return kind.sample(COUNT, seed=1, bodies=BODIES, dtype=dtype, **options)


def along(system, edges, **options):
    """The same law over edges: of each pair's values, those of the edges."""
    i, j = edges
    values = {
        v.name: x[..., i, j] if v.dims == ("body", "other_body") else x
        for v, x in zip(system.variables, system.values.values(), strict=True)
    }
    return type(system)(edges=edges, **values, **options)


def assert_close(actual, expected, dtype):
    assert actual.shape == expected.shape
    assert (actual - expected).abs().max() <= 20 * torch.finfo(dtype).eps * expected.abs().max()


@every_law
def test_over_edges_as_over_all_pairs(law, dtype):
    system, state = sample(law, dtype)
    i, j = torch.triu_indices(BODIES, BODIES, 1)
    order = torch.randperm(len(i), generator=torch.Generator().manual_seed(0))
    edges = torch.where(order % 2 == 0, i[order], j[order]), torch.where(order % 2 == 0, j[order], i[order])
    sparse = along(system, edges)
    assert_close(sparse.potential(state.q), system.potential(state.q), dtype)
    assert_close(sparse.force(state.q), system.force(state.q), dtype)
    mask = torch.arange(BODIES) < torch.tensor([[5], [4], [2]])
    masked, fewer = type(system)(mask=mask, **system.values), along(system, edges, mask=mask)
    assert_close(fewer.potential(state.q), masked.potential(state.q), dtype)
    assert_close(fewer.force(state.q), masked.force(state.q), dtype)
    some = along(system, (edges[0][:4], edges[1][:4]))
    gradient = torch.func.grad(lambda q: some.potential(q).sum())(state.q)
    assert_close(some.force(state.q), -gradient, dtype)


@every_law
def test_pair_forces_are_the_derivative_and_antisymmetric_to_the_last_bit(law, dtype):
    system, state = sample(law, dtype)
    gradient = torch.func.grad(lambda q: system.potential(q).sum())(state.q)
    assert_close(system.force(state.q), -gradient, dtype)
    if law == "springs":
        return  # a product of matrices
    for k in range(1, BODIES):
        pair = type(system)(mask=(torch.arange(BODIES) % k == 0) & (torch.arange(BODIES) <= k), **system.values)
        force = pair.force(state.q)
        assert force.abs().max() > 0
        if k > BODIES // 2:  # just two of them
            assert force[:, 0].equal(-force[:, k])


@every_law
def test_mean_forces_do_the_work_of_a_step_and_turn_nothing(law, dtype):
    """For long and short moves, all pairs and edges: F . (end - q) is V(q) - V(end); no net force and no torque."""
    system, state = sample(law, dtype)
    fields = system, along(system, torch.triu_indices(BODIES, BODIES, 1))
    nodes, weights, *_ = tableau(6, dtype, torch.device("cpu"))
    far = 0.3 * state.q.std() * torch.randn(state.q.shape, dtype=dtype, generator=torch.Generator().manual_seed(0))
    for field, share in ((field, share) for field in fields for share in (1, 0.1, 1e-3, 0)):
        move = share * far
        end, middle = state.q + move, state.q + move / 2
        force = field.mean_force(state.q, end, nodes, weights[0])
        lost = field.potential(state.q) - field.potential(end)
        bound = 200 * torch.finfo(dtype).eps
        scale = field.pair_count(BODIES) * field.potential(torch.stack([state.q, end])).abs().max()
        assert ((force * move).sum((-2, -1)) - lost).abs().max() <= bound * scale
        assert force.sum(-2).abs().max() <= bound * force.abs().max()
        assert torch.linalg.det(torch.stack([middle, force], -1)).sum(-1).abs().max() <= bound * force.abs().max()
        if share == 1 and law != "springs":  # the control: what a force at the middle would do
            assert ((field.force(middle) * move).sum((-2, -1)) - lost).abs().max() > 1e-3 * lost.abs().max()
        if share == 0:
            assert_close(force, field.force(state.q), dtype)


def test_bodies_at_one_point_do_not_act_on_each_other(dtype):
    for law in ("own", "gravity"):
        system, state = sample(law, dtype)
        q = state.q.clone()
        q[0, 1] = q[0, 0]
        i, j = torch.triu_indices(BODIES, BODIES, 1)
        for field in (system, along(system, (i, j))):
            assert field.singular(q).tolist() == [True, False, False]
            assert torch.isfinite(field.force(q)).all()
            assert torch.isfinite(torch.func.grad(lambda q, field=field: field.potential(q).sum())(q)).all()


def test_a_test_particle_pulls_nobody_along_edges_too(dtype):
    mass = torch.tensor([1.0, 0.0, 0.5], dtype=dtype)
    q = torch.tensor([[0.0, 0.0], [1.0, 0.3], [0.2, 2.0]], dtype=dtype)
    every = Gravity(mass=mass, gravitational_constant=1.0)
    sparse = Gravity(mass=mass, gravitational_constant=1.0, edges=([1, 2, 0], [0, 1, 2]))
    assert_close(sparse.force(q), every.force(q), dtype)
    assert every.force(q).sum(0).abs().max() > 0.1


def test_a_law_may_be_fitted_and_asks_for_what_there_is():
    system, state = sample("own")
    trained = Yukawa(trainable=("charge", "strength", "range"), **system.values)
    trained.force(state.q).square().sum().backward()
    for name, value in trained.named_parameters():
        assert (value.grad != 0).any(), name
    assert trained.strength.grad.equal(trained.strength.grad.mT)

    class Odd(Yukawa):
        def pair_potential(self, square, pair):
            return pair.i.colour * square

    with pytest.raises(AttributeError, match=r"colour: expected one of mass, charge"):
        Odd(**system.values).potential(state.q)


@pytest.mark.parametrize(
    ("edges", "says"),
    [
        (([0, 1], [1, 3]), r"edges: expected bodies 0 to 2, got the edge \(1, 3\)"),
        (([0, -1], [1, 2]), r"edges: expected bodies 0 to 2, got the edge \(-1, 2\)"),
        (([0, 1, 1], [1, 2, 0]), r"edges: expected each pair once, got the edge \(1, 0\)"),
        (([0, 1], [1, 1]), r"edges: expected two bodies, got the edge \(1, 1\)"),
        (([0, 1], [1]), "edges: expected i and j of one shape"),
        (([0.0, 1.0], [1.0, 2.0]), "edges: expected whole numbers"),
        (3, r"edges: expected two lists \(i, j\) of bodies, got 3"),
    ],
)
def test_wrong_edges_are_refused(edges, says):
    with pytest.raises(ValueError, match=says):
        Springs(mass=torch.ones(3), spring_constant=1.0, edges=edges)


def test_values_of_edges_are_as_many_as_the_edges():
    with pytest.raises(ValueError, match=r"rest_length: expected .*2.*, one number an edge, got"):
        Springs(mass=[1.0, 1, 1], spring_constant=1.0, rest_length=[1.0, 1, 1], edges=([0, 1], [1, 2]))


def test_springs_on_a_line_step_to_where_their_force_jumps_along_edges_too():
    mass, k, length = torch.ones(3).double(), torch.tensor([[0.0, 1, 0], [1, 0, 2], [0, 2, 0]]).double(), 0.5
    state = PhaseSpace(torch.tensor([[0.0], [0.4], [1.5]]).double(), torch.tensor([[1.0], [-0.5], [-0.4]]).double())
    times = torch.linspace(0, 3, 7).double()
    every = simulate(Springs(mass=mass, spring_constant=k, rest_length=length), state, times)
    edges = ([0, 1], [1, 2])
    sparse = simulate(Springs(mass=mass, spring_constant=[1.0, 2], rest_length=length, edges=edges), state, times)
    assert abs(sparse.q.values - every.q.values).max() < 1e-9
