"""Every subgroup that some of a group's generators make lifts by itself."""

from itertools import combinations

import pytest
import torch
from group_cases import make, random_algebra, random_points

from hlieconv.groups import SE2, SE3, SO2, SO3, SQ, Product, R, RxSO2, RxSQ, T, Trivial, subgroup

PARENTS = [SE2(), SE3(), SO3(), RxSO2(), RxSQ(), T(3)]


def closing(parent):
    """The sets of generators whose commutators stay among them, by their structure."""
    names = parent.generator_names
    for count in range(len(names) + 1):
        for chosen in combinations(names, count):
            basis = parent.basis(torch.float64)[[names.index(name) for name in chosen]]
            brackets = (basis[:, None] @ basis - basis @ basis[:, None]).flatten(0, 1).flatten(1)
            flat = basis.flatten(1)
            if torch.linalg.matrix_rank(torch.cat([flat, brackets])) == len(flat):
                yield chosen


@pytest.mark.parametrize("parent", PARENTS, ids=repr)
def test_all_subgroups(parent, generator):
    found = list(closing(parent))
    assert len(found) == {"SE2": 6, "SE3": 22, "SO3": 5, "RxSO2": 4, "RxSQ": 4, "T3": 8}[parent.name]
    for chosen in found:
        group = subgroup(parent, chosen)
        assert set(group.generator_names) == set(chosen)
        assert group.dimension == parent.dimension
        points = random_points(parent, (6,), generator)
        elements, orbit = group.lift(points, 1)
        back = group.apply(elements, group.origin(orbit))[:, 0]
        torch.testing.assert_close(back, points, rtol=0, atol=1e-13 * points.abs().max().item())
        g = group.exp(random_algebra(group, (6,), generator))
        torch.testing.assert_close(group.lift(group.apply(g, points)).orbit, orbit, rtol=0, atol=1e-12)
        if chosen:
            # The elements are those of the parent, as maps of space.
            directions = [parent.generator_names.index(name) for name in group.generator_names]
            a = torch.zeros(6, parent.algebra_dimension, dtype=torch.float64)
            a[:, directions] = group.log(g)
            torch.testing.assert_close(parent.apply(parent.exp(a), points), group.apply(g, points))


def test_known_ones_are_recognised():
    assert subgroup(SE2(), ["P_x", "P_y"]) == T(2)
    assert subgroup(SE2(), ["L_z"]) == SO2()
    assert subgroup(SE2(), ["P_y"]) == T(2, axes=(1,))
    assert subgroup(SE3(), ["L_z", "L_x", "L_y"]) == SO3()
    assert subgroup(RxSQ(), ["squeeze"]) == SQ()
    assert subgroup(RxSO2(), ["dilation"]) == R(2)
    assert subgroup(SE2(), SE2().generator_names) == SE2()
    assert subgroup(SE2(), []) == Trivial(2)
    assert subgroup(SE3(), ["P_z", "L_z"]) == Product((SO2(), (0, 1)), (T(1), (2,)))
    assert subgroup(make("Sim2"), ["P_x", "P_y", "L_z"]) == SE2()
    assert subgroup(make("Sim2"), ["P_x", "P_y", "dilation"]).generator_names == ("P_x", "P_y", "dilation")


def test_orbits_by_hand():
    """Turns about z: distance from the axis and height. With shifts along z: the distance. With those of the plane:
    the height."""
    points = torch.tensor([[3.0, 4.0, 7.0]])
    orbit = {names: subgroup(SE3(), names.split()).lift(points).orbit.flatten().tolist()
             for names in ("L_z", "L_z P_z", "L_z P_x P_y", "L_z P_x P_y P_z")}  # fmt: skip
    assert orbit == {"L_z": [5, 7], "L_z P_z": [5], "L_z P_x P_y": [7], "L_z P_x P_y P_z": []}


def test_refused():
    with pytest.raises(ValueError, match="generators: SE2 has P_x, P_y, L_z, got L_x"):
        subgroup(SE2(), ["L_x"])
    with pytest.raises(ValueError, match=r"the algebra does not close: \[P_x, L_z\] is no combination of P_x, L_z"):
        subgroup(SE2(), ["P_x", "L_z"])
    with pytest.raises(ValueError, match="the algebra does not close"):
        subgroup(SO3(), ["L_x", "L_y"])


def test_product_of_stabilisers(generator):
    """Two planes with an SE(2) each: random samples of both circles; one rule of nodes for both there is not."""
    group = Product((SE2(), (0, 1)), (SE2(), (2, 3)))
    points = torch.randn(5, 4, generator=generator)
    elements, orbit = group.lift(points, 3, generator=generator)
    torch.testing.assert_close(group.apply(elements, group.origin(orbit)), points[:, None].expand(-1, 3, -1))
    assert group.stabiliser_dimension == 2
    with pytest.raises(ValueError, match="has several factors with one"):
        group.lift(points, 3)
    with pytest.raises(ValueError, match="factors: expected every axis once"):
        Product((SE2(), (0, 1)), (T(1), (1,)))
