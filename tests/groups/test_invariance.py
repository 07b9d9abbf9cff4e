"""What kernels and neighbourhoods are made of depends on v^-1 u alone."""

import math

import pytest
import torch
from group_cases import NAMES, WITHOUT_SAMPLES, make, random_algebra, rotations_of, with_angle

from hlieconv.groups import SE2, SE3, SO3


@pytest.fixture(params=NAMES)
def group(request):
    return make(request.param)


def elements(group, generator, dtype, count=20, angle=1.0):
    return group.exp(random_algebra(group, (count,), generator, angle=angle).to(dtype))


def tolerance(dtype):
    return {"rtol": 0, "atol": 2000 * torch.finfo(dtype).eps}  # products of four matrices with entries of about 10


def test_moving_both_changes_nothing(group, dtype, generator):
    w, u, v = (elements(group, generator, dtype) for _ in range(3))
    pairs = [group.relative, group.embedding]
    pairs += [] if group.name in WITHOUT_SAMPLES else [group.bi_invariants]
    for pair in pairs:
        torch.testing.assert_close(pair(w @ u, w @ v), pair(u, v), **tolerance(dtype))
        assert pair(w @ u, v).shape == pair(u, v).shape
    if group.algebra_dimension:
        assert not torch.allclose(group.relative(w @ u, v), group.relative(u, v), rtol=1e-2)


def test_embedding_vanishes_at_the_identity_only(group, dtype, generator):
    """Nor at half a turn, where the sine does."""
    u = elements(group, generator, dtype)
    torch.testing.assert_close(group.embedding(u, u), torch.zeros_like(group.embedding(u, u)), **tolerance(dtype))
    if not group.algebra_dimension:
        return
    half_turn = random_algebra(group, (20,), generator)
    if rotations := rotations_of(group):
        others = [k for k in range(group.algebra_dimension) if k not in rotations]
        half_turn = with_angle(group, half_turn, math.pi)
        half_turn[:, others] = 0
    for a in (random_algebra(group, (20,), generator), half_turn):
        found = group.embedding(group.exp(a.to(dtype)), group.identity(dtype=dtype))
        assert (found.norm(dim=-1) > 0.01 * a.norm(dim=-1)).all()


def test_embedding_crosses_the_cut(group, generator):
    """On both sides of the angle pi elements are close together; the embedding says so, the logarithm does not."""
    if not rotations_of(group):
        return
    a = random_algebra(group, (5,), generator)
    identity = group.identity(dtype=torch.float64)
    before, after = (group.exp(with_angle(group, a, math.pi + side)) for side in (-1e-6, 1e-6))
    jump = (group.embedding(before, identity) - group.embedding(after, identity)).norm(dim=-1)
    assert (jump < 1e-4).all()
    assert ((group.log(before) - group.log(after)).norm(dim=-1) > 1).all()


@pytest.mark.parametrize("group", [SE2(), SE3(), SO3(), make("horizontal")], ids=repr)
def test_bi_invariants_ignore_the_stabiliser(group, dtype, generator):
    u, v = (elements(group, generator, dtype) for _ in range(2))
    h, k = group.stabiliser_samples((2, 20), generator=generator, dtype=dtype)
    torch.testing.assert_close(group.bi_invariants(u @ h, v @ k), group.bi_invariants(u, v), **tolerance(dtype))
    assert not torch.allclose(group.bi_invariants(h @ u, v), group.bi_invariants(u, v), rtol=1e-2)
