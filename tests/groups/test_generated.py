"""Groups from their generators alone, and what is refused."""

import math

import pytest
import torch
from group_cases import BOOST, DILATION, HEISENBERG, L_Z, P_X, P_Y, SCREW, make, matrix, random_algebra

from hlieconv.groups import SE2, SE3, SO2, RxSO2, from_generators

E, F, H = matrix(2, (0, 1, 1)), matrix(2, (1, 0, 1)), matrix(2, (0, 0, 1), (1, 1, -1))
TURN = matrix(2, (0, 1, -1), (1, 0, 1))


@pytest.mark.parametrize("closed", [SE2(), RxSO2(), SE3()], ids=repr)
def test_agrees_with_the_closed_form(closed, dtype, generator):
    group = from_generators(closed.basis(torch.float64), closed.dimension)
    assert group.generator_names == closed.generator_names
    assert group.translation_dimension == closed.translation_dimension
    a = torch.cat([random_algebra(closed, (20,), generator), 1e-9 * random_algebra(closed, (20,), generator)]).to(dtype)
    g = closed.exp(a)
    tolerance = {"rtol": 0, "atol": 100 * torch.finfo(dtype).eps}
    torch.testing.assert_close(group.exp(a), g, **tolerance)
    torch.testing.assert_close(group.log(g), closed.log(g), **tolerance)


def test_half_turns_have_a_logarithm(dtype):
    """The matrix has the double eigenvalue -1 (here e^s), where the principal logarithm of a matrix ends."""
    group = make("Sim2")
    a = torch.tensor([[1.0, 2.0, math.pi, 0.3], [0.0, 0.0, math.pi, 0.0], [0.5, 0.0, -math.pi, 0.0]], dtype=dtype)
    found = group.log(group.exp(a))
    torch.testing.assert_close(found[:, 2].abs(), torch.full((3,), math.pi, dtype=dtype))
    torch.testing.assert_close(group.exp(found), group.exp(a))


def test_a_helix_counts_its_turns(dtype):
    """The principal logarithm is off by whole turns; the shift along the axis tells how many."""
    a = torch.tensor([[-50.0], [-math.pi], [0.1], [4.0], [2 * math.pi], [100.0]], dtype=dtype)
    torch.testing.assert_close(make("helix").log(make("helix").exp(a)), a)


def test_a_spiral_counts_its_turns(dtype):
    """Rotation with scaling, whose determinant grows."""
    spiral = from_generators([TURN + 0.1 * torch.eye(2)], dim=2, base=[1.0, 0.0])
    a = torch.tensor([[-20.0], [0.0], [7.0], [20.0]], dtype=dtype)
    torch.testing.assert_close(spiral.log(spiral.exp(a)), a, rtol=1e-5, atol=1e-5)


def test_lift_of_a_helix():
    """By hand: the point turns back by z / pitch into the plane z = 0."""
    points = torch.tensor([[1.0, 2.0, 3.0], [1.0, 2.0, -30.0]], dtype=torch.float64)
    elements, orbit = make("helix").section(points)
    angle = points[:, 2:] / 0.5
    torch.testing.assert_close(make("helix").log(elements), angle)
    torch.testing.assert_close(orbit, SO2().apply(SO2().exp(-angle), points[:, :2]))


def test_lift_of_the_heisenberg_group(generator):
    """It acts on itself: a point is its own element."""
    points = torch.randn(5, 3, generator=generator, dtype=torch.float64)
    elements, orbit = make("Heisenberg").section(points)
    torch.testing.assert_close(elements[:, :3, 3], points)
    assert orbit.shape == (5, 0)


def test_stabilisers():
    assert [make(name).stabiliser_dimension for name in ("Sim2", "Poincare", "Heisenberg", "helix")] == [2, 1, 0, 0]
    turning = from_generators([P_X, P_Y, 3 * L_Z], dim=2)
    nodes = turning.stabiliser_nodes(6, dtype=torch.float64)
    torch.testing.assert_close(nodes, SE2().stabiliser_nodes(6, dtype=torch.float64))
    for name in ("Sim2", "Poincare"):
        with pytest.raises(ValueError, match=f"stabiliser: that of {name} .* give lift its elements"):
            make(name).lift(torch.ones(3, 2))


def test_cross_section_of_ones_own(generator):
    """SO(2) again, with the half line x > 0; the plane that is tried otherwise meets each circle twice."""
    angle_and_radius = {"section": SO2().section, "origin": SO2().origin}
    group = from_generators([TURN], dim=2, name="turns", **angle_and_radius)
    points = torch.randn(5, 2, generator=generator)
    torch.testing.assert_close(group.lift(points), SO2().lift(points))
    without = from_generators([TURN], dim=2, name="turns", base=[1.0, 0.0])
    with pytest.raises(ValueError, match=r"turns cannot lift: .*give from_generators section and origin"):
        without.lift(points)
    with pytest.raises(ValueError, match=r"turns cannot lift: the orbit of its base .* has dimension 0, others have 1"):
        from_generators([TURN], dim=2, name="turns").lift(points)
    with pytest.raises(ValueError, match="do not take the origins to the points"):
        from_generators([TURN], dim=2, section=SO2().section, origin=lambda orbit: SO2().origin(2 * orbit))
    with pytest.raises(ValueError, match="some orbit meets its cross-section more than once"):
        from_generators(
            [TURN],
            dim=2,
            section=lambda x: (torch.eye(2, dtype=x.dtype).expand(*x.shape, 2), x),
            origin=lambda orbit: orbit,
        )


def test_stabiliser_that_differs_from_orbit_to_orbit():
    """Shifts and boosts of a line (Galilei): shift = -time * boost leaves an event in place."""
    galilei = from_generators([P_X, matrix(3, (0, 1, 1))], dim=2, name="Galilei")
    with pytest.raises(ValueError, match="Galilei cannot lift: the stabiliser is another one on each orbit"):
        galilei.lift(torch.ones(3, 2))


@pytest.mark.parametrize(
    ("matrices", "dim", "message"),
    [
        ([E, F], 2, r"the algebra does not close: \[X0, X1\] is no combination of X0, X1"),
        ([P_X, L_Z], 2, r"the algebra does not close: \[P_x, L_z\] is no combination of P_x, L_z"),
        ([E, F, H], 2, "not surjective, .* one has the negative eigenvalue -.*, hence no real logarithm"),
        ([TURN, F], 2, "the algebra does not close"),
        ([P_X, P_Y, P_X + P_Y], 2, "expected independent ones, got P_x, P_y, X2"),
        ([matrix(4, (0, 3, 1)), matrix(4, (1, 3, 1)), SCREW], 3, "the principal logarithm leaves the algebra"),
        ([P_X], 4, r"matrices: expected \(a, 4, 4\) or \(a, 5, 5\), got \(1, 3, 3\)"),
        ([P_X.mT], 2, "zeros in the last row of an affine generator"),
        ([P_X * math.inf], 2, "matrices: expected finite entries"),
    ],
)
def test_refused(matrices, dim, message):
    with pytest.raises(ValueError, match=message):
        from_generators(matrices, dim=dim)


def test_refused_arguments():
    with pytest.raises(ValueError, match="names: expected 2 different ones, got a, a"):
        from_generators([P_X, P_Y], dim=2, names=["a", "a"])
    with pytest.raises(ValueError, match="section: expected together with origin"):
        from_generators([TURN], dim=2, section=SO2().section)
    with pytest.raises(ValueError, match=r"base: expected a point of R\^2, got \(1.0,\)"):
        from_generators([TURN], dim=2, base=[1.0])
    with pytest.raises(ValueError, match="matrices: expected at least one generator"):
        from_generators([], dim=2)


def test_what_is_accepted_has_logarithms():
    """A test that refuses everything would be a defect as well."""
    for matrices, dim in (([P_X, P_Y, L_Z, DILATION], 2), (HEISENBERG, 3), ([P_X, P_Y, BOOST], 2), ([SCREW], 3)):
        assert from_generators(matrices, dim=dim).algebra_dimension == len(matrices)
