"""exp and log: each other's inverse, and what they are by definition."""

import math

import mpmath
import pytest
import torch
from group_cases import NAMES, make, random_algebra, rotations_of, singular_algebra
from hypothesis import given, settings
from hypothesis import strategies as st

BATCHES = [(), (1,), (3,), (2, 1, 3), (40,), (0,)]


@pytest.fixture(params=NAMES)
def group(request):
    return make(request.param)


def bound(a):
    """50 eps max(1, |a|)."""
    return 50 * torch.finfo(a.dtype).eps * a.norm(dim=-1).clamp(min=1)


@pytest.mark.parametrize("batch", BATCHES, ids=str)
def test_log_of_exp(group, batch, dtype, generator):
    a = random_algebra(group, batch, generator).to(dtype)
    found = group.log(group.exp(a))
    assert found.shape == a.shape
    assert found.dtype == dtype
    assert ((found - a).abs() <= bound(a)[..., None]).all()


@pytest.mark.parametrize("batch", BATCHES, ids=str)
def test_exp_of_log(group, batch, dtype, generator):
    g = group.exp(random_algebra(group, batch, generator).to(dtype))
    g = g @ group.exp(random_algebra(group, batch, generator).to(dtype))
    a = group.log(g)
    assert ((group.exp(a) - g).abs() <= bound(a)[..., None, None]).all()
    if rotations := rotations_of(group):
        assert (a[..., rotations].norm(dim=-1) <= math.pi * (1 + torch.finfo(dtype).eps)).all()


def test_singular_elements(group, dtype, generator):
    tolerance = {torch.float32: 1e-5, torch.float64: 1e-12}[dtype]
    a = singular_algebra(group, generator).to(dtype)
    g = group.exp(a)
    assert torch.isfinite(g).all()
    assert ((group.exp(group.log(g)) - g).abs() <= tolerance).all()
    inside = singular_algebra(group, generator, at_the_cut=False).to(dtype)
    inside = inside[inside[..., rotations_of(group)].norm(dim=-1) < math.pi - 1e-6]
    assert ((group.log(group.exp(inside)) - inside).abs() <= tolerance).all()


def test_tiny_vectors_keep_their_digits(group, dtype, generator):
    """Relative, not absolute: the logarithm of a small motion is that motion."""
    a = 1e-9 * random_algebra(group, (20,), generator).to(dtype)
    scales = [k for k, name in enumerate(group.generator_names) if name in {"dilation", "squeeze", "X2"}]
    others = [k for k in range(group.algebra_dimension) if k not in scales]  # e^s rounds to 1
    found = group.log(group.exp(a))
    torch.testing.assert_close(found[:, others], a[:, others], rtol=1e-6, atol=0)


def test_exp_is_the_power_series(group, dtype, generator):
    """Against mpmath, with the input as it was rounded."""
    mpmath.mp.dps = 40
    vectors = torch.cat([random_algebra(group, (2,), generator), singular_algebra(group, generator)[-1:]]).to(dtype)
    for a in vectors:
        exact = mpmath.expm(mpmath.matrix(group.hat(a).double().tolist()), method="taylor")
        expected = torch.tensor([[float(x) for x in row] for row in exact.tolist()], dtype=torch.float64)
        assert ((group.exp(a).double() - expected).abs() <= bound(a).double()).all()


def test_log_is_the_matrix_logarithm(group, generator):
    """Against mpmath, within one turn: there the logarithm of the group is the principal one of the matrix."""
    mpmath.mp.dps = 30
    for a in random_algebra(group, (1,), generator, angle=2.0):
        g = group.exp(a)
        exact = mpmath.logm(mpmath.matrix(g.tolist()))
        expected = torch.tensor([[float(x.real) for x in row] for row in exact.tolist()], dtype=torch.float64)
        assert ((group.hat(group.log(g)) - expected).abs() <= bound(a)).all()


numbers = st.floats(-40, 40, width=32) | st.sampled_from([0.0, math.pi, -math.pi, math.pi / 2, 2 * math.pi, 1e-20])


@settings(deadline=None, max_examples=60)
@given(st.lists(numbers, min_size=6, max_size=6))
def test_any_rotation_and_shift(vector):
    """Many turns, exact multiples of pi about any axis, and shifts that outweigh them."""
    for name in ("SE3", "SO3", "SE2", "SO2", "horizontal"):
        a = torch.tensor(vector[-make(name).algebra_dimension :], dtype=torch.float64)
        g = make(name).exp(a)
        found = make(name).log(g)
        assert ((make(name).exp(found) - g).abs() <= 50 * torch.finfo(a.dtype).eps * max(1, g.abs().max())).all()
        assert found[rotations_of(make(name))].norm() <= math.pi + 1e-15


def test_what_is_no_element_has_no_logarithm(group, dtype, generator):
    g = group.exp(random_algebra(group, (3,), generator, angle=0.5).to(dtype) / 2)
    mirror = torch.eye(group.element_size, dtype=dtype)
    mirror[0, 0] = -1
    for matrix in (mirror @ g, g + 0.1, torch.nan * g, 0 * g):
        with pytest.raises(ValueError, match=r"^g: expected"):
            group.log(matrix)
