"""HLieConv along edges: what it gives by a matrix of all pairs whose weight is 1 along edges and 0 elsewhere."""

import pytest
import torch
from torch.utils._python_dispatch import TorchDispatchMode
from torch.utils._pytree import tree_leaves

from hlieconv.dynamics import fit, rollout
from hlieconv.groups import group as group_of
from hlieconv.models import HLieConv
from hlieconv.models.pair_forces import readout_features
from hlieconv.nn import LieResNet, Lifting, Neighbourhood, Pairs
from hlieconv.nn.edge_list import edge_list
from hlieconv.nn.resnet import Geometry, Layer
from systems import PhaseSpace, lattice, lattice_points, simulate
from systems.edges import matrix_of

D = torch.float64
BATCH, N = 3, 7
EDGES = torch.tensor([[0, 1, 2, 5, 3, 0], [1, 2, 3, 4, 1, 4]])  # body 6 has none, body 1 has three


def bodies(dtype=D):
    generator = torch.Generator().manual_seed(0)
    draw = lambda *shape: torch.rand(shape, generator=generator, dtype=D).to(dtype)  # noqa: E731
    features = {"mass": 0.5 + draw(BATCH, N), "spring_constant": draw(BATCH, EDGES.shape[1])}
    ends = dict(zip(("edge_body", "edge_other_body"), EDGES.to(dtype).expand(BATCH, 2, -1).unbind(1), strict=True))
    return features | ends, torch.randn(BATCH, N, 2, generator=generator, dtype=D).to(dtype)


def made(dtype=D, **options):
    torch.manual_seed(0)
    names = {"body_features": ("mass",), "pair_features": ("spring_constant",)}
    return HLieConv(**({"edges": True, "width": 16} | names | options)).to(dtype)


def by_matrix(model, features, q, mask):
    """The same energy from all pairs, as the layers have it for dense weights."""
    context = model.context(model.checked(features, mask), mask)
    weight = matrix_of(EDGES, torch.ones(EDGES.shape[1], dtype=q.dtype), N).expand(BATCH, N, N)
    weight = weight if mask is None else weight * mask[..., None, :]
    known = model.embed_pairs(model.columns.pairs(model.checked(features, mask), mask))
    known = torch.stack([matrix_of(EDGES, x, N) for x in known.unbind(-1)], -1)
    bounded, growing = model.geometry(q)
    bounded, linear = readout_features(bounded, growing, known)
    near, values = Pairs(bounded, weight), context.values
    for block in model.layers:
        values = block(values, near)
    return model.energy(values, mask, near, Pairs(linear, weight))


@pytest.mark.parametrize("dtype", [torch.float32, D])
@pytest.mark.parametrize("options", [{}, {"blocks": 0}, {"group": "Tx"}, {"group": "SO2"}], ids=str)
@pytest.mark.parametrize("masked", [False, True])
def test_it_is_what_all_pairs_with_these_weights_give(dtype, options, masked):
    features, q = bodies(dtype)
    mask = torch.ones(BATCH, N, dtype=torch.bool) if masked else None
    if mask is not None:
        mask[1, 2] = mask[2, 0] = False
    model = made(dtype, **options)
    field = model.framed(features, mask)
    place = q if mask is None else torch.where(mask[..., None], q, 0)
    expected = by_matrix(model, features, place, mask)
    gradient = torch.func.grad(lambda x: by_matrix(model, features, x, mask).sum())(place)
    tolerance = 500 * torch.finfo(dtype).eps
    assert (field.potential(q) - expected).abs().max() <= tolerance * expected.abs().max()
    force = field.force(q)
    assert (force + gradient).abs().max() <= tolerance * gradient.abs().max().clamp(min=1)
    assert force.abs().max() > 1e-4


def test_names_of_bodies_and_directions_of_edges_do_not_matter():
    features, q = bodies()
    order = torch.randperm(N, generator=torch.manual_seed(1))
    edges = order.argsort()[EDGES].flip(0)[:, torch.tensor([5, 2, 0, 1, 4, 3])]
    moved = {
        "mass": features["mass"][:, order],
        "spring_constant": features["spring_constant"][:, [5, 2, 0, 1, 4, 3]],
        "edge_body": edges[0].double().expand(BATCH, -1),
        "edge_other_body": edges[1].double().expand(BATCH, -1),
    }
    model = made()
    a, b = model.framed(features).force(q), model.framed(moved).force(q[:, order])
    assert (a[:, order] - b).abs().max() <= 1e-12 * a.abs().max()


def test_bodies_that_are_not_there_change_nothing():
    features, q = bodies()
    more = features | {"mass": torch.nn.functional.pad(features["mass"], (0, 2), value=1.0)}
    mask = torch.arange(N + 2).expand(BATCH, -1) < N
    padded = torch.nn.functional.pad(q, (0, 0, 0, 2), value=3.0)
    model = made()
    a, b = model.framed(features).force(q), model.framed(more, mask).force(padded)
    assert (a - b[:, :N]).abs().max() <= 1e-13 * a.abs().max()
    assert (b[:, N:] == 0).all()


def test_memory_is_linear_in_the_bodies():
    class Largest(TorchDispatchMode):
        size = 0

        def __torch_dispatch__(self, func, types, args=(), kwargs=None):
            found = func(*args, **kwargs or {})
            self.size = max(self.size, *(x.numel() for x in tree_leaves(found) if isinstance(x, torch.Tensor)), 0)
            return found

    sizes = []
    for n in (500, 1000):
        edges = torch.stack([torch.arange(n - 1), torch.arange(1, n)]).double()
        features = {"mass": torch.ones(n).double(), "spring_constant": torch.ones(n - 1).double()}
        features |= {"edge_body": edges[0], "edge_other_body": edges[1]}
        with Largest() as seen:
            field = made().framed(features)
            field.force(torch.randn(n, 2, dtype=D))
        assert field.pair_count(n) == 2 * n
        sizes.append(seen.size)
    assert sizes[1] < 2.1 * sizes[0]
    assert sizes[1] < 1000**2 / 5


def test_a_chain_is_learned_and_longer_ones_are_moved_by_it():
    """What a model has seen of each edge holds for all edges."""

    def chain(n, count):
        system = lattice(n)
        generator = torch.Generator().manual_seed(n)
        noise = 0.4 * torch.randn(2, count, n, 2, generator=generator, dtype=D)
        points = torch.nn.functional.pad(lattice_points(n), (0, 1))
        return simulate(system, PhaseSpace(points + noise[0], noise[1]), torch.linspace(0, 2, 21, dtype=D))

    torch.manual_seed(0)
    model = HLieConv.of(chain(5, 6), edges=True, blocks=0)
    assert model.pair_features == ("spring_constant",)
    result = fit(model, chain(5, 6), steps=120, progress=False, compile="off", seed=0)
    assert result.history[-1]["loss"] < 1e-2 * result.history[0]["loss"]
    longer = chain(12, 2).isel(time=slice(0, 6))
    error = abs(rollout(model, longer).q - longer.q).max()
    assert error < 0.1 * abs(longer.q - longer.q.isel(time=0)).max()


@pytest.mark.parametrize(("group", "samples"), [("T2", 1), ("SE2", 3)])
def test_a_network_of_points_sees_along_edges_what_all_pairs_with_these_weights_give(group, samples):
    symmetry = group_of(group)
    torch.manual_seed(0)
    network = LieResNet(symmetry, 2, 1, channels=16, layers=2, lifting=Lifting(samples)).double()
    mask = torch.arange(N).expand(BATCH, -1) != 2
    points, values = torch.randn(BATCH, N, 2).double(), torch.randn(BATCH, N, 2).double()
    start = network.lift(points, mask)
    pairs = network.neighbourhoods[0](start)
    weight = matrix_of(EDGES, torch.ones(EDGES.shape[1], dtype=D), N).expand(BATCH, N, N)
    weight = (weight * mask[..., None, :]).repeat_interleave(samples, -1).repeat_interleave(samples, -2)
    layers = [Layer(pairs._replace(weight=weight), start.mask, None)] * 2
    expected = network(Geometry(start, start, layers), values)
    assert (network(points, values, mask, edges=EDGES) - expected).abs().max() <= 1e-13 * expected.abs().max()
    with pytest.raises(ValueError, match="along: expected all points and no ball"):
        LieResNet(symmetry, 2, 1, neighbourhood=Neighbourhood(symmetry, radius=1.0))(points, values, edges=EDGES)
    with pytest.raises(ValueError, match="edges: expected all points in all blocks"):
        LieResNet(symmetry, 2, 1, subsampling=0.5)(points, values, edges=EDGES)


def test_what_does_not_fit_is_named():
    with pytest.raises(ValueError, match="pairs: expected invariant along edges"):
        HLieConv(edges=True, pairs="log")
    features, _ = bodies()
    with pytest.raises(ValueError, match="missing edge_body"):
        made().framed({name: x for name, x in features.items() if name != "edge_body"})
    with pytest.raises(ValueError, match="edges: expected points 0 to 2"):
        edge_list(torch.tensor([[0], [3]]), 3)
