"""The layer against its formula, in both product orders, gathered and in tiles."""

import pytest
import torch

from hlieconv.nn import LieConv, Pairs
from hlieconv.nn.convolution import gather


def geometry(dtype, m=5, n=7, batch=2):
    generator = torch.Generator().manual_seed(3)
    features = torch.randn(batch, m, n, 3, generator=generator, dtype=torch.float64).to(dtype)
    values = torch.randn(batch, n, 4, generator=generator, dtype=torch.float64).to(dtype)
    weight = torch.rand(batch, m, n, generator=generator, dtype=torch.float64).to(dtype)
    return features, values, weight * (weight > 0.4)


def formula(layer, values, features, weight):
    """h_i = sum_j w_ij k(a_ij) f_j / sum_j w_ij + b, with the whole kernel written out."""
    kernel = torch.einsum("...c,cfo->...of", layer.kernel(features), layer.weight)
    total = torch.einsum("bijof,bij,bjf->bio", kernel, weight, values)
    if layer.aggregation == "mean":
        total = total / weight.sum(-1, keepdim=True)
    return total + layer.bias


@pytest.mark.parametrize("aggregation", ["mean", "sum"])
@pytest.mark.parametrize(("m", "channels"), [(5, 6), (7, 1)])  # either order is the cheaper one in one of these
def test_formula(dtype, aggregation, m, channels):
    layer = LieConv(4, channels, 3, aggregation=aggregation).to(dtype)
    features, values, weight = geometry(dtype, m=m)
    expected = formula(layer, values, features, weight)
    # Sums of at most 7 * 16 * 4 products.
    close = {"rtol": 0, "atol": 100 * torch.finfo(dtype).eps * expected.abs().max().item()}
    torch.testing.assert_close(layer(values, Pairs(features, weight)), expected, **close)
    unweighted = formula(layer, values, features, torch.ones_like(weight))
    torch.testing.assert_close(layer(values, Pairs(features)), unweighted, **close)
    everyone = torch.arange(7).expand(2, m, 7)
    torch.testing.assert_close(layer(values, Pairs(features, weight, everyone)), expected, **close)
    order = torch.argsort(torch.rand(2, m, 7), -1)
    shuffled = Pairs(features.take_along_dim(order[..., None], -2), weight.take_along_dim(order, -1), order)
    torch.testing.assert_close(layer(values, shuffled), expected, **close)


@pytest.mark.parametrize("aggregation", ["mean", "sum"])
def test_products_before_the_geometry_and_after_it_agree(dtype, aggregation):
    layer = LieConv(4, 6, 3, aggregation=aggregation).to(dtype)
    features, values, weight = geometry(dtype)
    pairs = Pairs(features, weight)
    expected = formula(layer, values, features, weight)
    close = {"rtol": 0, "atol": 100 * torch.finfo(dtype).eps * expected.abs().max().item()}
    torch.testing.assert_close(layer.sum(layer.weighted(values), pairs), expected, **close)


def test_no_neighbour_at_all_gives_the_bias():
    layer = LieConv(4, 6, 3)
    features, values, weight = geometry(torch.float32)
    torch.testing.assert_close(layer(values, Pairs(features, 0 * weight)), layer.bias.expand(2, 5, 6))


def test_first_and_second_derivatives():
    layer = LieConv(4, 2, 3, widths=(5,), mid_channels=3).double()
    arguments = tuple(x.requires_grad_() for x in geometry(torch.float64, m=3, n=4, batch=1))

    def convolve(features, values, weight):
        return layer(values, Pairs(features, weight))

    assert torch.autograd.gradcheck(convolve, arguments)
    assert torch.autograd.gradgradcheck(convolve, arguments)


@pytest.mark.parametrize("gathered", [False, True])
def test_one_geometry_for_a_batch_and_its_derivatives(gathered):
    layer = LieConv(4, 2, 3, widths=(5,), mid_channels=3).double()
    (features,), values, (weight,) = (x[:n] for x, n in zip(geometry(torch.float64, m=3), (1, 2, 1), strict=True))
    neighbour = torch.tensor([[1, 0], [6, 1], [1, 1]]) if gathered else None
    count = 7 if neighbour is None else 2
    arguments = tuple(x.requires_grad_() for x in (features[:, :count], values, weight[:, :count]))

    def convolve(features, values, weight):
        return layer(values, Pairs(features, 0.1 + weight, neighbour))

    def one_by_one(features, values, weight):
        pairs = Pairs(features[None], 0.1 + weight[None], None if neighbour is None else neighbour[None])
        return torch.cat([layer(entry[None], pairs) for entry in values])

    torch.testing.assert_close(convolve(*arguments), one_by_one(*arguments), rtol=1e-12, atol=1e-14)
    assert torch.autograd.gradcheck(convolve, arguments, check_forward_ad=True)
    assert torch.autograd.gradgradcheck(convolve, arguments)


@pytest.mark.parametrize("weighted", [False, True])
@pytest.mark.parametrize("gathered", [False, True])
def test_tiles_change_nothing_up_to_the_training_of_forces(weighted, gathered):
    plain = LieConv(4, 6, 3).double()
    tiled = LieConv(4, 6, 3, tile=2).double()
    tiled.load_state_dict(plain.state_dict())
    _, values, weight = geometry(torch.float64, m=7)
    points = torch.randn(2, 7, 3, dtype=torch.float64)
    neighbour = torch.randint(7, (2, 7, 4)) if gathered else None

    def slopes(layer):
        def energy(points):
            others = points[:, None] if neighbour is None else gather(points, neighbour)
            features = points[:, :, None] - others
            chosen = weight[..., : features.shape[-2]] if weighted else None
            return layer(values, Pairs(features, chosen, neighbour)).square().sum()

        force, value = torch.func.grad_and_value(energy)(points)
        curvature = torch.func.jvp(torch.func.grad(energy), (points,), (points,))[1]
        trained = torch.autograd.grad(force.square().sum(), layer.parameters(), allow_unused=True)
        return value, force, curvature, *(slope for slope in trained if slope is not None)

    torch.testing.assert_close(slopes(tiled), slopes(plain), rtol=1e-10, atol=1e-12)


def test_bad_input():
    with pytest.raises(ValueError, match="aggregation: expected mean or sum, got 'max'"):
        LieConv(4, 6, 3, aggregation="max")
    features, values, _ = geometry(torch.float32)
    with pytest.raises(ValueError, match=r"values: expected 4 channels, got shape \(2, 7, 3\)"):
        LieConv(4, 6, 3)(values[..., :3], Pairs(features))
    with pytest.raises(
        ValueError, match=r"pairs: expected features of 3 channels and 7 neighbours, got .*\(2, 5, 6, 3\)"
    ):
        LieConv(4, 6, 3)(values, Pairs(features[:, :, :6]))
