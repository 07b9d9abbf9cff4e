"""Functions of the distance as a kernel: where they vanish, what they see, and networks of them."""

from functools import partial

import pytest
import torch

from hlieconv.groups import SE2, SE3, T
from hlieconv.nn import BottleneckBlock, LieConv, LieResNet, Neighbourhood, Pairs, RadialFunctions, assert_equivariant


def network(group, radial=8, **options):
    torch.manual_seed(0)
    return LieResNet(
        group,
        3,
        2,
        channels=16,
        layers=2,
        neighbourhood=Neighbourhood(group, coordinates="bi_invariants", radial=RadialFunctions(radial, 4.0)),
        block=partial(BottleneckBlock, convolution=partial(LieConv, widths=None, aggregation="sum")),
        **{"normalise": "layer"} | options,
    )


def test_they_vanish_at_the_cutoff_with_two_derivatives(dtype):
    functions = RadialFunctions(6, 2.0)
    beyond = functions(torch.tensor([[4.0], [5.0], [1e6]], dtype=dtype))
    assert beyond.dtype == dtype
    assert not beyond.any()

    def sums(r):
        return functions(r.square().reshape(1, 1)).sum()

    slope = torch.func.grad(sums)
    curvature = torch.func.grad(slope)
    # (1 - x)^3 and its derivatives: 30 x^2 (1 - x)^2 and so on; 6 functions of at most 1, within 1e-3 of the cutoff.
    near = torch.tensor(2.0 * (1 - 1e-3), dtype=torch.float64)
    assert 0 < sums(near) < 6 * 10 * 1e-9
    assert abs(slope(near)) < 6 * 40 * 1e-6
    assert 0 < abs(curvature(near)) < 6 * 100 * 1e-3
    assert sums(torch.tensor(1.0)) > 0.5


def test_each_distance_is_seen(dtype):
    """From the nearest atoms to half the cutoff some function is large, and none is a sum of the others."""
    r = torch.linspace(0.4, 5.9, 200, dtype=dtype)[:, None]
    found = RadialFunctions(20, 6.0)(r.square())
    assert (found[r[:, 0] < 3].amax(-1) > 0.4).all()
    assert torch.linalg.matrix_rank(found) == 20


def test_they_have_derivatives_where_points_coincide():
    square = torch.zeros(1, 1, dtype=torch.float64, requires_grad=True)
    RadialFunctions()(square).sum().backward()
    assert square.grad.isfinite().all()


@pytest.mark.parametrize("group", [SE2(), SE3()], ids=str)
@pytest.mark.parametrize("normalise", ["layer", "none"])
def test_networks_of_them_are_exact_with_one_lift(group, normalise):
    assert_equivariant(network(group, normalise=normalise), group, tolerance=1e-11)


def test_the_features_are_the_kernel():
    layer, features = LieConv(3, 5, 4, widths=None, aggregation="sum"), torch.randn(2, 6, 6, 4)
    values = torch.randn(2, 6, 3)
    expected = torch.einsum("bijk,bjc,kcd->bid", features, values, layer.weight) + layer.bias
    torch.testing.assert_close(layer(values, Pairs(features)), expected, rtol=1e-4, atol=1e-5)


def test_autocast_rounds_products_alone():
    """Sums over blocks, norms' statistics and outputs stay in float32."""
    points, values = torch.randn(4, 7, 3), torch.randn(4, 7, 3)
    mask = torch.arange(7) < torch.tensor([[7], [5], [3], [6]])
    for normalise in ("layer", "batch", "none"):
        model = network(SE3(), normalise=normalise)
        exact = model(points, values, mask)
        with torch.autocast("cpu", torch.bfloat16):
            rounded = model(points, values, mask)
        rounded.sum().backward()
        assert rounded.dtype == torch.float32
        # Some roundings of 2^-9 after each other in each of two blocks.
        assert 0 < (rounded - exact).abs().max() < 30 * 2**-9 * exact.abs().max(), normalise


def test_bad_options():
    with pytest.raises(ValueError, match="radial: expected coordinates that are one squared distance"):
        Neighbourhood(T(3), radial=RadialFunctions())
    with pytest.raises(ValueError, match="count: expected at least 2, got 1"):
        RadialFunctions(1)
    with pytest.raises(ValueError, match="cutoff: expected a positive number, got 0"):
        RadialFunctions(cutoff=0.0)
