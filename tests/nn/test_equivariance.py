"""The check that users get: it passes what is equivariant, and says how far off what is not."""

import pytest
import torch
from torch import nn

import hlieconv
from hlieconv.groups import SE2, SO2, T
from hlieconv.nn import LieResNet, Lifting, assert_equivariant, equivariance_error


def centre(points):
    return points.mean(-2, keepdim=True)


def test_exported_at_the_top():
    assert hlieconv.assert_equivariant is assert_equivariant


def test_networks_need_only_the_group():
    for group in (T(2), SO2(), SE2()):
        assert_equivariant(LieResNet(group, 3, 1, channels=8, layers=1, lifting=Lifting(2)), group)
    with pytest.raises(AssertionError, match=r"LieResNet is not equivariant to SE2: error .* of the output's size"):
        assert_equivariant(LieResNet(T(2), 3, 1, channels=8, layers=1), SE2())


def test_few_samples_lifted_anew_are_not_exact():
    net = LieResNet(SE2(), 3, 1, channels=8, layers=1, lifting=Lifting(2))
    with pytest.raises(AssertionError):
        assert_equivariant(net, SE2(), samples_along=False)


def test_outputs_that_move_too():
    points = torch.rand(5, 3, 2, dtype=torch.float64)
    assert_equivariant(centre, SE2(), points, output="points")
    assert_equivariant(lambda x: x - centre(x), SE2(), points, output=lambda g, y: y @ g[:2, :2].mT)
    with pytest.raises(AssertionError, match=r"error .* of the output's size"):
        assert_equivariant(centre, SE2(), points)
    assert equivariance_error(lambda x: x, SE2(), points, output="points") == 0


def test_the_module_is_left_as_it_was():
    net = LieResNet(T(2), 3, 1, channels=8, layers=1, normalise=True)
    before = {name: tensor.clone() for name, tensor in net.state_dict().items()}
    assert_equivariant(net, T(2))
    assert net.training
    assert next(net.parameters()).dtype == torch.float32
    assert all(torch.equal(tensor, before[name]) for name, tensor in net.state_dict().items())


def test_nan_is_no_symmetry():
    class Broken(nn.Module):
        def forward(self, points):
            return points.sum() * torch.nan

    with pytest.raises(AssertionError, match="error nan"):
        assert_equivariant(Broken(), T(2))


def test_bad_input():
    with pytest.raises(ValueError, match="output: expected invariant, points or a function, got 'vectors'"):
        assert_equivariant(centre, SE2(), output="vectors")
    with pytest.raises(ValueError, match="samples_along: expected a module with a lift, got function"):
        assert_equivariant(centre, SE2(), samples_along=True)
