"""Which pairs there are: against brute force, with gradients across the edge, and a radius that finds its fill."""

import math
import re

import pytest
import torch

from hlieconv.groups import SE2, SO2, T, Trivial
from hlieconv.nn import Neighbourhood, lift, nearest
from hlieconv.nn.metric import Distances, Metric
from hlieconv.nn.neighbour_list import _by_all_distances, _by_cells, _by_tree
from hlieconv.nn.subsampling import farthest_points, random_points


def cloud(n=40, d=2, batch=3, seed=0, dtype=torch.float64):
    generator = torch.Generator().manual_seed(seed)
    return torch.randn(batch, n, d, generator=generator, dtype=torch.float64).to(dtype)


@pytest.mark.parametrize("d", [1, 2, 3])
@pytest.mark.parametrize("search", [_by_tree, _by_cells])
def test_lists_find_what_brute_force_finds(d, search):
    points = torch.cat([cloud(300, d, 2), 1e-3 * cloud(300, d, 2, seed=1)], 1)  # with a dense core
    queries = 3 * cloud(50, d, 2, seed=2)  # also outside of it
    mask = torch.rand(2, 600, generator=torch.Generator().manual_seed(0)) < 0.7
    mask[1] = torch.arange(600) < 5  # fewer than asked for
    points = torch.where(mask[..., None], points, math.nan)
    expected = _by_all_distances(queries, points, mask, 12)
    assert (expected[1, :, 5:] == -1).all()
    torch.testing.assert_close(search(queries, points, mask, 12), expected)


def test_a_list_is_a_constant_under_every_transform():
    points = cloud(300, batch=2)

    def spread(x):
        neighbour = nearest(x, x, 4)[..., -1:]
        return (x.take_along_dim(neighbour, -2) - x).square().sum()

    slope = torch.func.grad(spread)(points)
    curvature = torch.func.jvp(torch.func.grad(spread), (points,), (points,))[1]
    torch.testing.assert_close(curvature, slope)  # spread is quadratic
    torch.testing.assert_close(torch.func.jvp(spread, (points,), (points,))[1], 2 * spread(points))


@pytest.mark.parametrize("group", [T(2), SO2(), SE2(), Trivial(2)], ids=lambda group: group.name)
def test_the_ball_holds_what_the_distance_says(group):
    lifted = lift(group, cloud(), samples=2 if group.stabiliser_dimension else 1)
    distances = Distances(Metric(group), lifted)
    n = distances.size
    distance = distances.rows(torch.arange(n).expand(3, n))
    inside = distance < 0.8
    everyone = Neighbourhood(group, radius=0.8)(lifted)
    assert everyone.weight is not None
    assert torch.equal(everyone.weight == 1, inside)
    few = Neighbourhood(group, radius=0.8, neighbours=5)(lifted)
    assert few.weight is not None
    assert few.neighbour is not None
    chosen = torch.zeros(3, n, n).scatter_add(-1, few.neighbour, few.weight.float())
    assert torch.equal(chosen.sum(-1), inside.sum(-1).clamp(max=5).float())
    assert chosen.max() == 1  # nobody twice
    order = torch.where(inside, distance, math.inf).argsort(-1).argsort(-1)
    assert torch.equal(chosen == 1, inside & (order < 5))


def test_a_random_choice_is_uniform_in_the_ball(generator):
    points = torch.linspace(0, 1, 11)[:, None].double()
    lifted = lift(T(1), points.expand(4000, 11, 1))
    pairs = Neighbourhood(T(1), radius=0.35, neighbours=2, choice="random")(
        lifted, torch.full((4000, 1), 5), generator=generator
    )
    assert pairs.neighbour is not None
    count = pairs.neighbour.flatten().bincount(minlength=11)
    assert (count[:2] == 0).all()
    assert (count[-2:] == 0).all()
    # 8000 draws of 7: binomial, standard deviation 31.
    assert (count[2:-2] - 8000 / 7).abs().max() < 5 * 31


def test_masked_points_are_nobodys_neighbours():
    mask = torch.rand(3, 40, generator=torch.Generator().manual_seed(0)) < 0.5
    points = torch.where(mask[..., None], cloud(), math.nan)
    lifted = lift(T(2), points, mask=mask)
    for options in ({}, {"radius": 1.0}, {"neighbours": 6}, {"radius": 1.0, "edge": "smooth"}):
        pairs = Neighbourhood(T(2), **options)(lifted)
        assert pairs.weight is not None
        index = torch.arange(40).expand(3, 40, 40) if pairs.neighbour is None else pairs.neighbour
        exists = mask[:, None].expand(3, 40, 40).gather(-1, index)
        assert (pairs.weight[~exists] == 0).all()
        assert pairs.features.isfinite().all()


@pytest.mark.parametrize("coordinates", ["embedding", "bi_invariants"])
def test_forces_are_right_across_a_smooth_edge(coordinates):
    """A body leaves the ball: energy, force and its derivative are continuous, and the list's edge is never felt."""
    group = SE2()
    start = torch.tensor([[0.0, 0.0], [0.3, 0.1], [0.9, 0.0], [4.0, 4.0]], dtype=torch.float64)

    def energy(shift, neighbours):
        points = start + shift * torch.tensor([[0.0, 0.0], [0.0, 0.0], [1.0, 0.0], [0.0, 0.0]])
        neighbourhood = Neighbourhood(
            group, radius=1.0, edge="smooth", neighbours=neighbours, coordinates=coordinates
        ).double()
        pairs = neighbourhood(lift(group, points))
        return (pairs.weight * pairs.features.square().sum(-1).cos()).sum()

    derivatives = (energy, torch.func.grad(energy), torch.func.grad(torch.func.grad(energy)))
    edge, tiny = torch.tensor(0.1, dtype=torch.float64), 1e-6
    for derivative in derivatives:
        inside, outside = derivative(edge - tiny, None), derivative(edge + tiny, None)
        # (1 - y)^3 has third derivative 6 (2 / r)^3 = 48 in the distance: that much a unit of shift, twice for i, j.
        torch.testing.assert_close(inside, outside, rtol=0, atol=200 * 2 * tiny)
        torch.testing.assert_close(derivative(edge - 0.05, 4), derivative(edge - 0.05, None), rtol=1e-12, atol=1e-12)
    # The hard edge fails the same bound.
    hard = Neighbourhood(T(2), radius=1.0)
    weights = [hard(lift(T(2), torch.tensor([[0.0, 0.0], [x, 0.0]]))).weight for x in (1 - tiny, 1 + tiny)]
    assert [weight is not None and weight[0, 1].item() for weight in weights] == [1, 0]


def test_a_smooth_edge_is_never_cut_off():
    with pytest.raises(ValueError, match="neighbours: expected balls of fewer than neighbours = 5 points"):
        Neighbourhood(T(2), radius=3.0, edge="smooth", neighbours=5)(lift(T(2), cloud()))


@pytest.mark.parametrize("options", [{}, {"radius": 2.0, "edge": "smooth"}, {"neighbours": 7}])
def test_tiles_of_pair_features_change_nothing(options):
    points = cloud(10)

    def slopes(tile):
        neighbourhood = Neighbourhood(SE2(), tile=tile, **options).double()

        def energy(points):
            pairs = neighbourhood(lift(SE2(), points))
            weight = torch.ones(()) if pairs.weight is None else pairs.weight
            return (pairs.features.sin().sum(-1) * weight).sum()

        return energy(points), torch.func.grad(energy)(points), torch.func.hessian(energy)(points[:1])

    torch.testing.assert_close(slopes(3), slopes(None))


@pytest.mark.parametrize("start", [1e-6, 1.0, 1e6, None])
@pytest.mark.parametrize("fill", [0.05, 0.5])
def test_the_radius_finds_its_fill_from_any_start(start, fill):
    lifted = lift(SO2(), 1e-3 * cloud(60, batch=5))  # small coordinates: an additive controller would go negative
    neighbourhood = Neighbourhood(SO2(), fill=fill, radius=start, momentum=0.5)
    distances = neighbourhood.distances(lifted)
    for _ in range(40):  # of the first distance in the logarithm, less than 20, 2^-40 is left
        neighbourhood.update(distances)
        assert neighbourhood.radius > 0
    weight = neighbourhood(lifted).weight
    assert weight is not None
    assert abs(weight.mean().item() - fill) < 0.01


def test_only_update_in_training_mode_moves_the_radius():
    neighbourhood = Neighbourhood(T(2), fill=0.3)
    lifted = lift(T(2), cloud())
    neighbourhood(lifted)
    assert neighbourhood.radius.isinf()
    neighbourhood.eval().update(neighbourhood.distances(lifted))
    assert neighbourhood.radius.isinf()
    fixed = Neighbourhood(T(2), radius=2.0)
    fixed.update(fixed.distances(lifted))
    assert fixed.radius == 2
    full = Neighbourhood(T(2), fill=1.0)
    full.update(full.distances(lifted))
    assert full(lifted).weight is None  # all pairs, and not those in a large ball


def test_farthest_points_spread_and_follow_the_order_of_nothing():
    lifted = lift(SE2(), cloud(50), samples=2)
    distances = Distances(Metric(SE2()), lifted).keep()
    rows, kept = farthest_points(distances, 0.1)
    assert rows.shape == (3, 10)
    assert kept is None
    lazily, _ = farthest_points(Distances(Metric(SE2()), lifted), 0.1)
    assert torch.equal(rows, lazily)
    order = torch.randperm(100)
    shuffled, _ = farthest_points(Distances(Metric(SE2()), lifted.at(order.expand(3, 100))), 0.1)
    assert torch.equal(order[shuffled], rows)

    def covering(rows):
        return distances.rows(rows).amin(-2).amax(-1)

    drawn, _ = random_points(None, (3, 100), 0.1, generator=torch.Generator().manual_seed(0))
    assert (covering(rows) < covering(drawn)).all()


def test_padding_does_not_change_how_many_points_are_kept(generator):
    mask = torch.arange(20) < torch.tensor([[20], [7], [1]])
    lifted = lift(T(2), cloud(20), mask=mask)
    for rows, kept in (
        farthest_points(Distances(Metric(T(2)), lifted), 0.3),
        random_points(mask, (3, 20), 0.3, generator=generator),
    ):
        assert kept is not None
        assert kept.sum(-1).tolist() == [6, 3, 1]
        assert mask.gather(-1, rows)[kept].all()
        assert all(len(set(row[here].tolist())) == here.sum() for row, here in zip(rows, kept, strict=True))


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"radius": -1.0}, "radius: expected a finite number that is not negative or None, got -1.0"),
        ({"fill": 1.5}, "fill: expected a fraction in (0, 1], got 1.5"),
        ({"neighbours": 0}, "neighbours: expected at least 1, got 0"),
        ({"choice": "all"}, "choice: expected nearest or random, got 'all'"),
        ({"edge": "soft"}, "edge: expected hard or smooth, got 'soft'"),
        ({"edge": "smooth", "choice": "random"}, "choice: expected nearest with a smooth edge"),
        ({"coordinates": "polar"}, "coordinates: expected one of embedding, log, bi_invariants, got 'polar'"),
    ],
)
def test_bad_options(options, message):
    with pytest.raises(ValueError, match=re.escape(message)):
        Neighbourhood(T(2), **options)


def test_bad_calls():
    with pytest.raises(ValueError, match="generator: a random choice of neighbours needs one"):
        Neighbourhood(T(2), neighbours=3, choice="random")(lift(T(2), cloud()))
    with pytest.raises(ValueError, match="k: expected 1 to 40"):
        nearest(cloud(), cloud(), 41)
