"""A Lie group is a group: composition, inverse, action, adjoint, and its exponential is one-parameter subgroups."""

import pytest
import torch
from group_cases import NAMES, make, random_algebra, random_points

BATCHES = [(), (1,), (3,), (2, 1, 3), (0,)]


@pytest.fixture(params=NAMES)
def group(request):
    return make(request.param)


def close(actual, expected, dtype, factor=200):
    """Equal to `factor` eps of the size: products of up to four matrices with entries of about 10."""
    size = max(1.0, expected.abs().max().item()) if expected.numel() else 1.0
    torch.testing.assert_close(actual, expected, rtol=0, atol=factor * torch.finfo(dtype).eps * size)


@pytest.mark.parametrize("batch", BATCHES, ids=str)
def test_elements(group, batch, dtype, generator):
    a, b, c = (random_algebra(group, batch, generator).to(dtype) for _ in range(3))
    u, v = group.exp(a), group.exp(b)
    identity = group.identity(batch, dtype=dtype)
    assert u.shape == (*batch, group.element_size, group.element_size)
    assert u.dtype == dtype
    close(group.exp(torch.zeros_like(a)), identity, dtype)
    close(group.inverse(u) @ u, identity, dtype)
    close(u @ group.inverse(u), identity, dtype)
    close(group.inverse(u @ v), group.inverse(v) @ group.inverse(u), dtype)
    close(group.inverse(u), group.exp(-a), dtype)
    close(group.exp(0.3 * a) @ group.exp(0.7 * a), u, dtype)
    close(group.vee(group.hat(c)), c, dtype, factor=4)


@pytest.mark.parametrize("batch", BATCHES, ids=str)
def test_relative_is_the_logarithm_of_the_quotient(group, batch, dtype, generator):
    u, v = (group.exp(random_algebra(group, batch, generator, angle=1.0).to(dtype)) for _ in range(2))
    close(group.relative(u, v), group.log(group.inverse(v) @ u), dtype)
    close(group.relative(u, u), torch.zeros_like(group.log(u)), dtype)
    # All pairs, by broadcasting.
    if batch:
        pairs = group.relative(u[:, None], v[None])
        assert pairs.shape == (batch[0], *batch, group.algebra_dimension)
        close(pairs.diagonal().movedim(-1, 0), group.relative(u, v), dtype)


@pytest.mark.parametrize("batch", BATCHES, ids=str)
def test_adjoint(group, batch, dtype, generator):
    a, b = (0.5 * random_algebra(group, batch, generator).to(dtype) for _ in range(2))
    u = group.exp(a)
    moved = (group.adjoint(u) @ b[..., None])[..., 0]
    close(group.exp(moved), u @ group.exp(b) @ group.inverse(u), dtype)
    close(group.adjoint(u @ u), group.adjoint(u) @ group.adjoint(u), dtype)


@pytest.mark.parametrize("batch", BATCHES, ids=str)
def test_action(group, batch, dtype, generator):
    u, v = (group.exp(random_algebra(group, batch, generator).to(dtype)) for _ in range(2))
    points = random_points(group, batch, generator).to(dtype)
    close(group.apply(u @ v, points), group.apply(u, group.apply(v, points)), dtype)
    close(group.apply(group.identity(batch, dtype=dtype), points), points, dtype, factor=0)
    several = random_points(group, (4, *batch), generator).to(dtype)
    close(group.apply(u, several)[2], group.apply(u, several[2]), dtype)


def test_generators_are_the_velocities_of_the_action(group, generator):
    points = random_points(group, (5,), generator)
    linear, shift = group.generators(torch.float64)
    velocity = torch.einsum("kij,nj->kni", linear, points) + shift[:, None]
    directions = torch.eye(group.algebra_dimension, dtype=torch.float64)
    for direction, expected in zip(directions, velocity, strict=True):
        _, moved = torch.autograd.functional.jvp(
            lambda t, d=direction: group.apply(group.exp(t * d), points), torch.zeros(1, dtype=torch.float64),
            torch.ones(1, dtype=torch.float64),
        )  # fmt: skip
        close(moved, expected, torch.float64)
    assert len(set(group.generator_names)) == len(linear) == group.algebra_dimension


@pytest.mark.parametrize("name", NAMES)
def test_groups_are_values(name):
    """Made again it is equal and hashes alike; it differs from every other."""
    group, again = make(name), make.__wrapped__(name)
    assert group == again
    assert group is not again
    assert hash(group) == hash(again)
    assert [other for other in NAMES if make(other) == group] == [name]
    assert group.name in repr(group)
