"""The distance of lifted points: its laws over every group, and its parts by hand."""

import pytest
import torch
from group_cases import NAMES, make, random_algebra, random_points, singular_algebra, singular_points

from hlieconv.groups import SE2, SE3, SO2, SO3, Product, T
from hlieconv.nn import LiftedPoints, lift
from hlieconv.nn.metric import Metric

STACKED = Product((SE2(), (0, 1)), (T(1), (2,)))


@pytest.fixture(params=NAMES)
def group(request):
    return make(request.param)


def random_lifted(group, generator, dtype=torch.float64, count=20):
    orbit = torch.rand(count, group.orbit_dimension, generator=generator, dtype=torch.float64)
    elements = group.exp(random_algebra(group, (count,), generator, angle=1.0).to(dtype))
    return LiftedPoints(elements, orbit.to(dtype))


def lifted_by_section(group, points):
    return LiftedPoints(*group.section(points))


def pairs_of(lifted):
    """Each point as a query, beside all of them."""
    return LiftedPoints(lifted.elements[:, None], lifted.orbit[:, None]), lifted


def test_distance_is_a_left_invariant_semimetric(group, dtype, generator):
    metric = Metric(group)
    u, v = (random_lifted(group, generator, dtype) for _ in range(2))
    allowed = {"rtol": 0, "atol": 2000 * torch.finfo(dtype).eps}  # products of four matrices with entries of about 10
    distance = metric.distance(u, v)
    torch.testing.assert_close(metric.distance(v, u), distance, **allowed)
    torch.testing.assert_close(metric.distance(u, u), torch.zeros_like(distance), **allowed)
    if group.algebra_dimension or group.orbit_dimension:
        assert (distance > 0).all()
    w = group.exp(random_algebra(group, (1,), generator, angle=1.0).to(dtype))[0]
    torch.testing.assert_close(metric.distance(u.moved(w), v.moved(w)), distance, **allowed)
    if group.algebra_dimension:
        assert not torch.allclose(metric.distance(u.moved(w), v), distance, rtol=1e-2)


def test_squared_distance_of_elements_is_twice_differentiable(group, generator):
    a, b = (random_algebra(group, (3,), generator, angle=1.4).requires_grad_() for _ in range(2))
    if not group.algebra_dimension:
        return
    orbit = torch.zeros(3, group.orbit_dimension, dtype=torch.float64)

    def squared(a, b):
        u, v = LiftedPoints(group.exp(a), orbit), LiftedPoints(group.exp(b), orbit)
        return Metric(group).distance(u, v).square()

    assert torch.autograd.gradcheck(squared, (a, b), fast_mode=True)
    assert torch.autograd.gradgradcheck(squared, (a, b), fast_mode=True)


def test_squared_distance_of_points_is_twice_differentiable(group, generator):
    points = random_points(group, (4,), generator).requires_grad_()

    def squared(points):
        u, v = lifted_by_section(group, points[:2]), lifted_by_section(group, points[2:])
        return Metric(group).distance(u, v).square()

    assert torch.autograd.gradcheck(squared, (points,), fast_mode=True)
    assert torch.autograd.gradgradcheck(squared, (points,), fast_mode=True)


def assert_finite_derivatives(values, inputs):
    for _ in range(2):
        assert torch.isfinite(values).all()
        if not values.requires_grad:
            return
        (values,) = torch.autograd.grad(values.sum(), inputs, create_graph=True)
    assert torch.isfinite(values).all()


@pytest.mark.parametrize("at", ["identity", "coincident", "apart"])
def test_distance_is_finite_with_its_derivatives(group, at, dtype, generator):
    a = singular_algebra(group, generator).to(dtype)
    b = {"identity": torch.zeros_like(a), "coincident": a.clone(), "apart": 1e-4 - a}[at]
    a = a.requires_grad_()
    orbit = a.new_zeros(len(a), group.orbit_dimension)
    u, v = LiftedPoints(group.exp(a), orbit), LiftedPoints(group.exp(b), orbit)
    assert_finite_derivatives(Metric(group).distance(u, v), a)


def test_all_pairs_of_singular_points_are_finite(group, dtype):
    points = singular_points(group).to(dtype).requires_grad_()
    assert_finite_derivatives(Metric(group).distance(*pairs_of(lifted_by_section(group, points))), points)


def test_parts_of_the_length():
    """alpha |angle| + (1 - alpha) |translation|, and the plain length where there is one part."""
    a = torch.tensor([3.0, 4.0, -2.0])
    torch.testing.assert_close(Metric(SE2()).norm(a), torch.tensor(0.2 * 2 + 0.8 * 5))
    torch.testing.assert_close(Metric(SE2(), alpha=0.5).norm(a), torch.tensor(0.5 * 2 + 0.5 * 5))
    torch.testing.assert_close(Metric(SO3()).norm(a, torch.tensor([1.0])), torch.tensor(0.2 * 29**0.5 + 0.8 * 1))
    torch.testing.assert_close(Metric(T(3)).norm(a), torch.tensor(29**0.5))
    torch.testing.assert_close(Metric(T(2, axes=(0,))).norm(a[:1], a[1:2]), torch.tensor(5.0))


@pytest.mark.parametrize("name", ["T2", "Tx", "Ty", "Trivial2"])
def test_neighbourhoods_of_translations_are_those_of_space(name, generator):
    """T(2), Tx and Trivial(2) see the same distance between points."""
    points = torch.randn(2, 10, 2, generator=generator, dtype=torch.float64)
    u, v = (lifted_by_section(make(name), some) for some in points)
    torch.testing.assert_close(Metric(make(name)).distance(u, v), (points[0] - points[1]).norm(dim=-1))


@pytest.mark.parametrize("group", [SE2(), SE3(), SO2()], ids=repr)
def test_square_is_left_invariant_and_smooth_at_coincident_points(group, generator):
    points = torch.randn(4, group.dimension, generator=generator, dtype=torch.float64)
    points[1] = points[0]
    lifted = lift(group, points)
    moved = lifted.moved(group.exp(torch.randn(group.algebra_dimension, generator=generator, dtype=torch.float64)))
    metric = Metric(group)
    torch.testing.assert_close(metric.square(*pairs_of(moved)), metric.square(*pairs_of(lifted)))
    hessian = torch.func.hessian(lambda x: metric.square(*pairs_of(lift(group, x))).sum())(points)
    assert hessian.isfinite().all()


def test_without_its_stabiliser_a_product_still_has_a_distance(generator):
    lifted = lift(STACKED, torch.randn(6, 3, generator=generator, dtype=torch.float64))
    positions = lifted.positions(STACKED)
    expected = torch.cdist(positions, positions, compute_mode="donot_use_mm_for_euclid_dist").square()
    torch.testing.assert_close(Metric(STACKED, "bi_invariants").square(*pairs_of(lifted)), expected)
