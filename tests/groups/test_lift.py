"""Lifting: the elements that take the origin of an orbit to a point, and the orbit."""

import math

import pytest
import torch
from group_cases import NAMES, WITHOUT_SAMPLES, make, random_algebra, random_points, singular_points

from hlieconv.groups import SE2, SE3, SO3, SQ, T
from hlieconv.groups.rotation_quadrature import rotation_nodes

BATCHES = [(1,), (3,), (2, 3), (2, 1, 3), (3, 3)]


@pytest.fixture(params=NAMES)
def group(request):
    return make(request.param)


def lift(group, points, samples=1, **options):
    if group.name in WITHOUT_SAMPLES:
        a = torch.zeros(samples, group.algebra_dimension, dtype=points.dtype)
        a[:, group.translation_dimension :] = torch.linspace(-1, 1, samples, dtype=points.dtype)[:, None]
        options = {"stabiliser": group.exp(a)}
    return group.lift(points, samples, **options)


@pytest.mark.parametrize("batch", BATCHES, ids=str)
def test_lift_applied_to_the_origin_gives_the_point(group, batch, dtype, generator):
    points = random_points(group, batch, generator).to(dtype)
    for options in ({"samples": 1}, {"samples": 12}, {"samples": 3, "generator": generator}):
        elements, orbit = lift(group, points, **options)
        samples = options["samples"]
        assert elements.shape == (*batch, samples, group.element_size, group.element_size)
        assert orbit.shape == (*batch, samples, group.orbit_dimension)
        assert elements.dtype == orbit.dtype == dtype
        back = group.apply(elements, group.origin(orbit))
        torch.testing.assert_close(
            back,
            points[..., None, :].expand_as(back),
            rtol=20 * torch.finfo(dtype).eps,
            atol=20 * torch.finfo(dtype).eps,
        )


def test_singular_points(group, dtype):
    points = singular_points(group).to(dtype)
    elements, orbit = group.section(points)
    error = (group.apply(elements, group.origin(orbit)) - points).norm(dim=-1)
    # Shorter than 2e-13, a float32 point counts as 0.
    assert (error <= 20 * torch.finfo(dtype).eps * points.norm(dim=-1) + 1e-12).all()
    assert torch.isfinite(group.log(elements)).all()


def test_orbits_and_elements_move_along(group, generator):
    """The orbit of g x is that of x; a lift of g x is g times a lift of x, up to the stabiliser."""
    points = random_points(group, (20,), generator)
    g = group.exp(random_algebra(group, (20,), generator))
    elements, orbit = group.section(points)
    moved, same_orbit = group.section(group.apply(g, points))
    torch.testing.assert_close(same_orbit, orbit, rtol=0, atol=1e-12)
    rest = group.inverse(moved) @ g @ elements
    origins = group.origin(orbit)
    torch.testing.assert_close(group.apply(rest, origins), origins, rtol=0, atol=1e-11)
    if group.stabiliser_dimension == 0:
        torch.testing.assert_close(rest, group.identity((20,), dtype=torch.float64), rtol=0, atol=1e-11)


def test_a_lift_without_generator_is_deterministic(group, generator):
    points = random_points(group, (4,), generator)
    torch.testing.assert_close(lift(group, points, 12), lift(group, points, 12), rtol=0, atol=0)
    first = lift(group, points, 1).elements
    if group.name not in WITHOUT_SAMPLES:
        torch.testing.assert_close(first[:, 0], group.section(points)[0], rtol=0, atol=1e-15)


def test_samples_come_from_the_generator(group):
    if group.name in WITHOUT_SAMPLES:
        return
    points = random_points(group, (4,), torch.Generator().manual_seed(1))
    first, again, other = (
        group.lift(points, 5, generator=torch.Generator().manual_seed(seed)).elements for seed in (0, 0, 1)
    )
    assert torch.equal(first, again)
    assert torch.equal(first, other) == (group.stabiliser_dimension == 0)
    if group.stabiliser_dimension:
        assert not torch.allclose(first[0], first[1] - points[1, 0] + points[0, 0])  # anew for each point


@pytest.mark.parametrize("group", [SE2(), SE3(), SO3(), make("horizontal")], ids=repr)
def test_samples_follow_the_haar_measure(group, generator):
    """Moments of the rotation block do not change when all samples are multiplied by one element of the stabiliser.

    Means of 20,000 products of entries in [-1, 1], with standard error below 0.007: five of them.
    """
    h, fixed = group.stabiliser_samples((20001,), generator=generator, dtype=torch.float64).split([20000, 1])
    d = group.dimension
    torch.testing.assert_close(group.apply(h[:9], group.origin(torch.ones(9, group.orbit_dimension).double())),
                               group.origin(torch.ones(9, group.orbit_dimension).double()))  # fmt: skip
    for block in (h[:, :d, :d], (fixed @ h)[:, :d, :d], (h @ fixed)[:, :d, :d]):
        second = torch.einsum("nij,nkl->ijkl", block, block) / len(block)
        first = block.mean(0)
        expected_first, expected_second = haar_moments(group)
        torch.testing.assert_close(first, expected_first, rtol=0, atol=0.035)
        torch.testing.assert_close(second, expected_second, rtol=0, atol=0.035)


def haar_moments(group):
    """E R_ij and E R_ij R_kl, from an equally spaced (one angle) or a Gauss-Legendre product rule (three angles)."""
    angles = torch.arange(8, dtype=torch.float64) * math.pi / 4
    c, s, one, zero = angles.cos(), angles.sin(), torch.ones_like(angles), torch.zeros_like(angles)
    if isinstance(group, SE3):
        heights = torch.tensor([-(0.6**0.5), 0, 0.6**0.5], dtype=torch.float64)
        weights = torch.tensor([5.0, 8, 5], dtype=torch.float64) / 18
        about_z = torch.stack([torch.stack(row, -1) for row in ([c, -s, zero], [s, c, zero], [zero, zero, one])], -2)
        side, up = (1 - heights**2).sqrt(), torch.ones_like(heights)
        lean = torch.stack(
            [torch.stack(row, -1) for row in ([heights, 0 * up, side], [0 * up, up, 0 * up], [-side, 0 * up, heights])],
            -2,
        )
        turns = (about_z[:, None, None] @ lean[:, None] @ about_z).flatten(0, 2)
        weights = weights[None, :, None].expand(8, 3, 8).flatten() / 64
    else:
        rows = {
            2: ([c, -s], [s, c]),
            3: ([one, zero, zero], [zero, c, -s], [zero, s, c]) if isinstance(group, SO3) else
               ([c, -s, zero], [s, c, zero], [zero, zero, one]),
        }[group.dimension]  # fmt: skip
        turns, weights = torch.stack([torch.stack(row, -1) for row in rows], -2), torch.full((8,), 0.125).double()
    return torch.einsum("n,nij->ij", weights, turns), torch.einsum("n,nij,nkl->ijkl", weights, turns, turns)


@pytest.mark.parametrize(("count", "degree"), [(1, 0), (12, 2), (24, 3), (60, 5), (384, 7), (900, 9)])
def test_nodes_on_rotations_are_exact_up_to_their_degree(count, degree, generator):
    """The mean of a polynomial does not change when all nodes are turned; that of one degree more does."""
    nodes = rotation_nodes(count, torch.float64)
    turns = SO3().exp(random_algebra(SO3(), (5,), generator))
    coefficients = torch.randn(8, 3, 3, generator=generator, dtype=torch.float64)
    traces = torch.einsum("cij,tnij->ctn", coefficients / coefficients.flatten(1).norm(dim=1)[:, None, None],
                          turns[:, None] @ nodes)  # fmt: skip
    for power in range(degree + 1):
        assert (traces.pow(power).mean(-1).std(-1) < 1e-14).all()
    one_more = degree + 1 if degree != 5 else 6
    assert (traces.pow(one_more).mean(-1).std(-1) > 1e-8).any()
    torch.testing.assert_close(nodes[0], torch.eye(3, dtype=torch.float64))
    assert (torch.cdist(nodes.flatten(1), nodes.flatten(1)) + 9 * torch.eye(count)).min() > 1e-3 or count == 1


def test_nodes_on_a_circle_converge_exponentially():
    """The mean of exp(3 cos t) over 8, 16, 32 angles of SE(2) is Bessel's I_0(3)."""
    errors = []
    for count in (8, 16, 32):
        cosine = SE2().stabiliser_nodes(count, dtype=torch.float64)[:, 0, 0]
        errors.append(abs((3 * cosine).exp().mean().item() - torch.special.i0(torch.tensor(3.0).double()).item()))
    assert errors[0] > 1e-4
    assert errors[1] < 1e-9
    assert errors[2] < 1e-14


def test_transformed_samples_lift_the_moved_points(generator):
    """With the same stabiliser elements, g lift(x) is a lift of g x."""
    group, points = SE2(), torch.randn(6, 2, generator=generator, dtype=torch.float64)
    g = group.exp(torch.tensor([0.3, -1.0, 2.0], dtype=torch.float64))
    elements = g @ group.lift(points, 4, generator=generator).elements
    moved = group.apply(g, points)
    canonical, _ = group.section(moved)
    stabiliser = group.inverse(canonical)[:, None] @ elements
    torch.testing.assert_close(group.lift(moved, stabiliser=stabiliser).elements, elements)


def test_masked_points_do_not_matter(group, generator):
    points = random_points(group, (2, 3), generator)
    mask = torch.tensor([[True, True, False], [True, False, False]])
    spoilt = torch.where(mask[..., None], points, torch.nan)
    elements, orbit = lift(group, spoilt, mask=mask) if group.name not in WITHOUT_SAMPLES else group.lift(
        spoilt, stabiliser=group.identity((1,), dtype=torch.float64), mask=mask
    )  # fmt: skip
    expected, expected_orbit = group.section(points)
    assert torch.isfinite(elements).all()
    assert torch.isfinite(orbit).all()
    torch.testing.assert_close(elements[mask][:, 0], expected[mask], rtol=0, atol=1e-12)
    torch.testing.assert_close(orbit[mask][:, 0], expected_orbit[mask], rtol=0, atol=1e-12)


@pytest.mark.parametrize(
    ("group", "points", "message"),
    [
        (SE3(), torch.zeros(4, 2), r"points: SE3 acts on R\^3, expected shape \(..., 3\), got \(4, 2\)"),
        (T(2), torch.zeros(5, 0, 2), r"points: expected .* n > 0 bodies, got \(5, 0, 2\)"),
        (SQ(), torch.tensor([[1.0, 2.0], [1.0, -2.0]]), "points: SQ acts on positive coordinates, got -2"),
        (SQ(), torch.tensor([[1.0, 0.0]]), "points: SQ acts on positive coordinates, got 0"),
        (make("RxSQ"), torch.tensor([[-1.0, 1.0]]), "points: RxSQ acts on positive coordinates, got -1"),
        (SQ(), torch.tensor([[1.0, torch.nan]]), "points: SQ acts on positive coordinates, got nan"),
    ],
)
def test_bad_points(group, points, message):
    with pytest.raises(ValueError, match=message):
        group.lift(points)


def test_bad_samples():
    with pytest.raises(ValueError, match="samples: expected at least 1, got 0"):
        SE2().lift(torch.zeros(3, 2), samples=0)
    with pytest.raises(
        ValueError, match=r"samples: a fixed rule on SO.3. has 1, 12, 24, 60, 384, 900 rotations, got 7"
    ):
        SE3().lift(torch.zeros(3, 3), samples=7)
    with pytest.raises(ValueError, match="points: T2 acts on R"):
        T(2).apply(T(2).identity(dtype=torch.float32), torch.zeros(3))
