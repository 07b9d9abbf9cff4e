"""The network's laws over every registered group: equivariance, order, padding, smoothness, errors."""

import math
import re
from functools import partial

import pytest
import torch

from hlieconv.groups import GROUPS, SE2, SQ, T, group
from hlieconv.nn import (
    BottleneckBlock,
    LieConv,
    LieResNet,
    LiftedPoints,
    Lifting,
    Neighbourhood,
    Pairs,
    Stem,
    equivariance_error,
)

#: Options of the neighbourhood and of the network.
MODES = {
    "all pairs": ({}, {}),
    "logarithms": ({"coordinates": "log"}, {}),
    "bi-invariants": ({"coordinates": "bi_invariants"}, {}),
    "ball": (
        {"fill": 0.5},
        {
            "pooling": "sum",
            "block": partial(BottleneckBlock, convolution=partial(LieConv, widths=(8,), aggregation="sum")),
        },
    ),
    "nearest in a ball": ({"fill": 0.7, "neighbours": 4}, {}),
    "smooth edge": ({"radius": 1.5, "edge": "smooth"}, {}),
    "stem": ({"neighbours": 4}, {"subsampling": 0.6, "stem": Stem(5)}),
    "subsampling": ({"fill": 0.5}, {"subsampling": 0.4, "normalise": True}),
}
SMALL_KERNEL = partial(BottleneckBlock, convolution=partial(LieConv, widths=(8,)))
STABILISED = [name for name in GROUPS if group(name).stabiliser_dimension]


def network(name, mode, lifting=None, choice="nearest", **options):
    torch.manual_seed(0)
    some = 3 if group(name).stabiliser_dimension and mode != "bi-invariants" else 1
    of_neighbourhood, of_network = MODES[mode]
    options = {"channels": 12, "layers": 2, "block": SMALL_KERNEL} | of_network | options
    neighbourhood = Neighbourhood(group(name), choice=choice, **of_neighbourhood)
    lifting = lifting or Lifting(some, "random")
    return LieResNet(group(name), 3, 2, lifting=lifting, neighbourhood=neighbourhood, **options)


def data(name, dtype=torch.float64, batch=3, n=8):
    generator = torch.Generator().manual_seed(1)
    points = 0.5 + torch.rand(batch, n, group(name).dimension, generator=generator, dtype=torch.float64)
    values = torch.randn(batch, n, 3, generator=generator, dtype=torch.float64)
    mask = torch.rand(batch, n, generator=generator) < 0.8
    return points.to(dtype), values.to(dtype), mask | (torch.arange(n) == 0)


@pytest.mark.parametrize("mode", MODES)
@pytest.mark.parametrize("name", GROUPS)
def test_moving_the_points_changes_nothing(name, mode):
    """Exact to rounding: with the one lift there is, or with the samples moved along, or without stabilisers."""
    net = network(name, mode)
    points, values, mask = data(name)
    net.double().update_radius(points, mask)
    along = net.lifting.samples > 1
    error = equivariance_error(net, net.group, points, values, mask, samples_along=along, elements=2)
    # A few hundred roundings of numbers up to |g| ~ e^2.
    assert error < 1e-12
    moved = points * torch.linspace(0.8, 1.3, points.shape[-1], dtype=points.dtype) ** 2
    moved[..., 0, 0] += 0.1
    assert (net.eval()(moved, values, mask) - net(points, values, mask)).abs().max() > 1e-9


@pytest.mark.parametrize("name", STABILISED)
def test_the_error_of_random_lifts_falls_as_one_over_the_root(name):
    """K = 16 to 128 samples a point. Far points and a steep kernel: else K^-1 of the pairs' own noise hides it."""
    torch.manual_seed(0)
    block = partial(BottleneckBlock, convolution=partial(LieConv, widths=(8,), mid_channels=4))
    net = LieResNet(group(name), 1, 1, channels=8, layers=1, block=block)
    generator = torch.Generator().manual_seed(0)
    g = net.group.exp(torch.randn(net.group.algebra_dimension, generator=generator))
    points, values = 3 * (torch.rand(1, 2, net.group.dimension) + 0.5), torch.tensor([[[1.0], [-1.0]]])
    errors = []
    with torch.no_grad():
        net.blocks[0].convolution.kernel[0].weight.mul_(4)
        for samples, draws in ((16, 256), (64, 32), (128, 16)):
            net.lifting = Lifting(samples, "random")
            drawn = values.expand(draws, 2, 1)
            output = net(points.expand(draws, 2, -1), drawn, generator=generator)
            moved = net(net.group.apply(g, points).expand(draws, 2, -1), drawn, generator=generator)
            errors.append((output - moved).square().mean().sqrt())
    height = torch.stack(errors).log()
    width = torch.tensor([16.0, 64.0, 128.0]).log()
    width = width - width.mean()
    assert abs((width @ height / (width @ width)).item() + 0.5) < 0.15


def test_quadrature_of_the_stabiliser_converges_exponentially():
    torch.manual_seed(0)
    net = LieResNet(SE2(), 2, 1, channels=16, layers=2)
    errors = {}
    for samples in (4, 8, 16, 32):
        net.lifting = Lifting(samples)
        errors[samples] = equivariance_error(net, SE2(), samples_along=False)
    assert errors[4] > 1e-7
    assert errors[8] < errors[4] / 100
    assert errors[16] < 1e-9
    assert errors[32] < 1e-14
    # Not with logarithms: they jump at pi.
    logarithms = Neighbourhood(SE2(), coordinates="log")
    net = LieResNet(SE2(), 2, 1, channels=16, layers=2, lifting=Lifting(32), neighbourhood=logarithms)
    assert equivariance_error(net, SE2(), samples_along=False) > 1e-7


@pytest.mark.parametrize("mode", MODES)
@pytest.mark.parametrize("name", GROUPS)
def test_order_and_padding_change_nothing(name, mode, dtype):
    # Of SE(3)'s nodes there are 1, or 12 and more.
    several = name in STABILISED and name != "SE3" and mode != "bi-invariants"
    net = network(name, mode, Lifting(3 if several else 1)).to(dtype)
    points, values, mask = data(name, dtype)
    net.update_radius(points, mask)
    net.eval()
    expected = net(points, values, mask)
    allowed = 50 * torch.finfo(dtype).eps * expected.abs().max()
    order = torch.randperm(points.shape[-2])
    shuffled = net(points[:, order], values[:, order], mask[:, order])
    assert (shuffled - expected).abs().max() <= allowed
    padded = (torch.cat([x, torch.full_like(x, math.nan)], 1) for x in (points, values))
    padding = net(*padded, torch.cat([mask, torch.zeros_like(mask)], 1))
    assert (padding - expected).abs().max() <= allowed
    # What is masked may be NaN, and is as if it were not there.
    hidden = [torch.where(mask[..., None], x, math.nan) for x in (points, values)]
    assert torch.equal(net(*hidden, mask), expected)
    alone = net(points[0, mask[0]], values[0, mask[0]])
    assert (alone - expected[0]).abs().max() <= allowed


@pytest.mark.parametrize("name", ["T2", "SE2", "SO2", "Trivial2", "RxSO2"])
def test_energy_is_twice_differentiable(name):
    torch.manual_seed(0)
    smooth = Neighbourhood(group(name), radius=1.2, edge="smooth")
    block = partial(BottleneckBlock, convolution=partial(LieConv, widths=(5,), mid_channels=3))
    net = LieResNet(
        group(name), 1, 1, channels=8, layers=2, lifting=Lifting(2), neighbourhood=smooth, block=block
    ).double()
    points = data(name, batch=1, n=3)[0][0].requires_grad_()
    values = torch.randn(3, 1, dtype=torch.float64)
    assert torch.autograd.gradcheck(lambda x: net(x, values), points)
    assert torch.autograd.gradgradcheck(lambda x: net(x, values), points)

    def energy(x):
        return net(x, values).sum()

    x = points.detach()
    slope, curvature = torch.func.jvp(torch.func.grad(energy), (x,), (x,))
    torch.testing.assert_close(slope, torch.autograd.grad(energy(points), points)[0])
    torch.testing.assert_close(curvature, torch.autograd.functional.hvp(energy, x, x)[1])


def test_tiles_change_nothing_in_training_of_forces():
    plain, tiled = (
        LieResNet(
            SE2(),
            1,
            1,
            channels=8,
            layers=2,
            lifting=Lifting(2),
            neighbourhood=Neighbourhood(SE2(), tile=tile),
            block=partial(BottleneckBlock, convolution=partial(LieConv, tile=tile)),
        ).double()
        for tile in (None, 5)
    )
    tiled.load_state_dict(plain.state_dict())
    points, values, _ = data("SE2", n=7)

    def trained(net):
        force = torch.func.grad(lambda x: net(x, values[..., :1]).sum())(points)
        return torch.autograd.grad(force.square().sum(), net.parameters(), allow_unused=True)

    for ours, theirs in zip(trained(tiled), trained(plain), strict=True):
        if ours is not None or theirs is not None:
            torch.testing.assert_close(ours, theirs, rtol=1e-9, atol=1e-12)


def test_poolings():
    poolings = ("mean", "sum", "points", None)
    nets = {
        pooling: LieResNet(SE2(), 3, 2, channels=8, layers=1, lifting=Lifting(4), pooling=pooling)
        for pooling in poolings
    }
    for net in nets.values():
        net.load_state_dict(nets["mean"].state_dict())
    points, values, mask = data("SE2", torch.float32)
    lifted, inside = nets[None](points, values, mask)
    assert isinstance(lifted, LiftedPoints)
    assert inside.shape == (3, 32, 2)
    of_points = nets["points"](points, values, mask)
    torch.testing.assert_close(of_points, inside.unflatten(1, (8, 4)).mean(2))
    total = (of_points * mask[..., None]).sum(1)
    torch.testing.assert_close(nets["sum"](points, values, mask), total)
    torch.testing.assert_close(nets["mean"](points, values, mask), total / mask.sum(1, keepdim=True))
    torch.testing.assert_close(nets["mean"](points, values), nets["points"](points, values).mean(1))


def test_randomness_comes_from_the_generator_or_the_seed(generator):
    net = network("SE2", "nearest in a ball", subsampling=0.5, sampling="random", choice="random")
    points, values, _ = data("SE2", torch.float32)
    net.update_radius(points)
    net.eval()
    assert torch.equal(net(points, values), net(points, values))
    drawn = net(points, values, generator=generator.manual_seed(1))
    assert not torch.equal(drawn, net(points, values))
    assert torch.equal(drawn, net(points, values, generator=generator.manual_seed(1)))


def test_radii_move_only_when_asked():
    net = network("T2", "subsampling")
    points, values, mask = data("T2", torch.float32)
    net(points, values, mask)
    assert all(neighbourhood.radius.isinf() for neighbourhood in net.neighbourhoods)
    net.eval().update_radius(points, mask)
    assert all(neighbourhood.radius.isinf() for neighbourhood in net.neighbourhoods)
    net.train().update_radius(points, mask)
    assert all(neighbourhood.radius.isfinite() for neighbourhood in net.neighbourhoods)
    fills = [neighbourhood.fill for neighbourhood in net.neighbourhoods]
    assert fills == pytest.approx([0.5, 0.5 * 0.4**-0.25])
    assert [block.widen.out_features for block in net.blocks] == [round(12 * 0.4**-0.25), round(12 * 0.4**-0.5)]


def test_pairs_are_shared_by_blocks_that_keep_all_points():
    net = LieResNet(T(2), 3, 2, channels=8, layers=3)
    seen = []
    for block in net.blocks:
        block.convolution.register_forward_pre_hook(lambda module, arguments: seen.append(arguments[1].features))
    points, values, _ = data("T2", torch.float32)
    net(points, values)
    assert seen[0] is seen[1] is seen[2]


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"layers": 0}, "layers: expected at least 1, got 0"),
        ({"neighbourhood": Neighbourhood(T(2))}, "neighbourhood: expected one of SE2, got one of T2"),
        ({"subsampling": 0.0}, "subsampling: expected a fraction in (0, 1], got 0.0"),
        ({"sampling": "near"}, "sampling: expected farthest or random, got 'near'"),
        ({"pooling": "max"}, "pooling: expected mean, sum, points or None, got 'max'"),
        ({"pooling": "points", "subsampling": 0.5}, "pooling: expected mean, sum or None where points are left out"),
    ],
)
def test_bad_options(options, message):
    with pytest.raises(ValueError, match=re.escape(message)):
        LieResNet(SE2(), 3, 2, **options)


def test_bad_lifting():
    with pytest.raises(ValueError, match="samples: expected at least 1, got 0"):
        Lifting(0)
    with pytest.raises(ValueError, match="stabiliser: expected nodes or random, got 'grid'"):
        Lifting(stabiliser="grid")
    with pytest.raises(ValueError, match="generator: random elements of the stabiliser need one, got None"):
        Lifting(2, "random")(SE2(), torch.randn(3, 2))


def test_a_network_leaves_the_given_neighbourhood_alone():
    given = Neighbourhood(T(2), fill=0.5)
    net = LieResNet(T(2), 3, 2, channels=8, layers=2, neighbourhood=given, subsampling=0.5)
    net.update_radius(data("T2", torch.float32)[0])
    assert given.radius.isinf()
    assert all(neighbourhood.radius.isfinite() for neighbourhood in net.neighbourhoods)


def test_bad_input():
    net = LieResNet(SE2(), 3, 2, channels=8)
    points, values, mask = data("SE2", torch.float32)
    for arguments, message in (
        ((points[..., :1], values), "expected shape (..., 2), got (3, 8, 1)"),
        ((points[:, :0], values[:, :0]), "with n > 0 points, got (3, 0, 2)"),
        ((points, values[..., :2]), "values: expected shape (3, 8, 3) for these points, got (3, 8, 2)"),
        ((points, values, mask & torch.tensor([[True], [False], [True]])), "got one with all masked"),
    ):
        with pytest.raises(ValueError, match=re.escape(message)):
            net(*arguments)
    with pytest.raises(ValueError, match="positive"):
        LieResNet(SQ(), 3, 2, channels=8)(-points, values)


def test_what_knows_no_geometry_is_spared(dtype):
    torch.manual_seed(0)
    block = BottleneckBlock(8, 12, 2, normalise=True).to(dtype).eval()
    points, values = torch.randn(3, 5, 2, dtype=dtype), torch.randn(3, 5, 8, dtype=dtype)
    mask = torch.rand(3, 5) > 0.3
    pairs = Pairs(points[:, :, None] - points[:, None], mask[:, None].expand(3, 5, 5).to(dtype))
    expected = block(values, pairs, mask)
    close = {"rtol": 0, "atol": 1000 * torch.finfo(dtype).eps * expected.abs().max().item()}
    spared = block(values, pairs, mask, weighted=block.weighted(values, mask))
    torch.testing.assert_close(spared, expected, **close)
