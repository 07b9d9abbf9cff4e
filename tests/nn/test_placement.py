"""The list finds the elements that all distances find, for every group that can be placed in a Euclidean space."""

import pytest
import torch

from hlieconv.groups import GROUPS, SE2, SE3, SO2, SO3, Product, RxSO2, T, from_generators, group
from hlieconv.nn import Neighbourhood, lift
from hlieconv.nn.metric import Metric
from hlieconv.nn.placement import placement_of

STACKED = Product((SE2(), (0, 1)), (T(1), (2,)))
CASES = [SE2(), SO2(), RxSO2(), SO3(), SE3(), T(2, axes=(0,)), STACKED]


def cloud(group, n, samples=1, seed=0):
    generator = torch.Generator().manual_seed(seed)
    points = 5 * torch.randn(2, n, group.dimension, generator=generator, dtype=torch.float64)
    mask = torch.rand(2, n, generator=generator) < 0.9
    return lift(group, points, samples if group.stabiliser_dimension else 1, mask=mask, generator=generator)


def by_all_distances(neighbourhood, distances, rows, count):
    neighbourhood.placement = None
    return neighbourhood._choose(distances, rows, count, None)


@pytest.mark.parametrize("group", CASES, ids=lambda group: group.name)
@pytest.mark.parametrize("options", [{}, {"radius": 1.0}, {"edge": "smooth"}], ids=str)
def test_the_list_finds_what_all_distances_find(group, options):
    lifted = cloud(group, 280)  # more than are compared one by one
    neighbourhood = Neighbourhood(group, neighbours=9, **options)
    distances = neighbourhood.distances(lifted)
    rows = torch.arange(0, distances.size, 7).expand(2, -1)
    found = neighbourhood._choose(distances, rows, 9, None)
    expected = by_all_distances(neighbourhood, distances, rows, 9)
    assert torch.equal(found.sort(-1).values, expected.sort(-1).values)


def test_a_poor_bound_only_costs_time():
    """With the angles left out of the coordinates, most of what is found first is not near at all."""
    lifted = cloud(SE2(), 100, samples=8)
    neighbourhood = Neighbourhood(SE2(), neighbours=5)
    assert neighbourhood.placement is not None
    neighbourhood.placement = neighbourhood.placement._replace(weights=(0.1, 0.1, 0.0))
    distances = neighbourhood.distances(lifted)
    rows = torch.arange(distances.size).expand(2, -1)
    found, distance = neighbourhood._confirmed(distances, rows, 5, 10)
    expected = by_all_distances(neighbourhood, distances, rows, 5)
    assert torch.equal(found, expected)
    assert torch.equal(distance, distances.among(rows, expected))


@pytest.mark.parametrize("name", GROUPS)
@pytest.mark.parametrize(("coordinates", "smooth"), [("embedding", True), ("log", False), ("bi_invariants", True)])
def test_every_group_of_the_paper_has_one(name, coordinates, smooth):
    placed = placement_of(Metric(group(name), coordinates, smooth=smooth))
    if (name, coordinates) == ("SO3", "bi_invariants"):
        assert placed is None  # only an angle is left, and no position
    else:
        assert placed is not None
        assert placed.exact or not smooth


def test_none_where_distances_cannot_be_placed():
    """Moving along y shears the plane: lengths change with the place."""
    along_x = [[0.0, 0.0, 1.0], [0.0, 0.0, 0.0], [0.0, 0.0, 0.0]]
    shearing = [[0.0, 1.0, 0.0], [0.0, 0.0, 1.0], [0.0, 0.0, 0.0]]
    parabolas = from_generators([along_x, shearing], dim=2)
    assert placement_of(Metric(parabolas, smooth=True)) is None
    pairs = Neighbourhood(parabolas, neighbours=4)(lift(parabolas, torch.randn(300, 2, dtype=torch.float64)))
    assert pairs.features.shape[:2] == (300, 4)
    assert pairs.features.isfinite().all()
