"""SOAP by its laws: weights are stacked for speed alone, and a rotation of their axes changes nothing."""

import pytest
import torch
from torch import nn

from hlieconv.training.soap import EVERY, SOAP

STEPS = 2 * EVERY + 3


def weights(*shapes, seed=0):
    generator = torch.Generator().manual_seed(seed)
    return [nn.Parameter(torch.randn(shape, generator=generator, dtype=torch.float64)) for shape in shapes]


def minimise(parameters, loss, steps=STEPS, optimiser=None):
    optimiser = optimiser or SOAP(parameters, lr=0.05)
    for _ in range(steps):
        optimiser.zero_grad()
        loss(*parameters).backward()
        optimiser.step()
    return [parameter.detach() for parameter in parameters]


def bowl(*parameters):
    """A sum over the weights: none of them knows of the others."""
    return sum((x - torch.arange(x.numel()).reshape(x.shape).cos()).square().square().sum() for x in parameters)


def test_weights_of_one_shape_are_trained_as_each_by_itself():
    shapes = ((3, 4), (3, 4), (5,), (2, 3, 4), (3, 4), (1, 6))
    together = minimise(weights(*shapes), bowl)
    for place, found in enumerate(together):
        [alone] = minimise([weights(*shapes)[place]], bowl)
        torch.testing.assert_close(found, alone, rtol=0, atol=1e-9)


def test_a_rotation_of_the_axes_changes_nothing():
    u, v = (torch.linalg.qr(x.detach()).Q for x in weights((4, 4), (5, 5), seed=1))
    [start] = weights((4, 5), seed=2)
    [found] = minimise([start], bowl)
    [start] = weights((4, 5), seed=2)
    [turned] = minimise([nn.Parameter(u @ start.detach() @ v)], lambda x: bowl(u.T @ x @ v.T))
    torch.testing.assert_close(u.T @ turned @ v.T, found, rtol=0, atol=1e-5)
    [adam] = weights((4, 5), seed=2)
    optimiser = torch.optim.Adam([turned := nn.Parameter(u @ adam.detach() @ v)], lr=0.05, betas=(0.95, 0.95))
    minimise([turned], lambda x: bowl(u.T @ x @ v.T), optimiser=optimiser)
    [plain] = minimise([adam], bowl, optimiser=torch.optim.Adam([adam], lr=0.05, betas=(0.95, 0.95)))
    assert (u.T @ turned.detach() @ v.T - plain).abs().max() > 1e-3  # of Adam it does


def test_vectors_are_trained_by_adam():
    """But for the first step, at which SOAP only looks."""
    [found] = minimise(weights((6,)), bowl)
    [expected] = [x] = weights((6,))
    minimise([x], bowl, STEPS - 1, torch.optim.Adam([x], lr=0.05, betas=(0.95, 0.95)))
    torch.testing.assert_close(found, expected.detach(), rtol=1e-6, atol=1e-3)


def test_a_state_of_other_weights_is_refused():
    state = SOAP(weights((3, 4)), 0.1).state_dict()
    for wrong in (state, {"state": {}, "param_groups": []}):
        with pytest.raises(ValueError, match="checkpoint: expected the state of this optimiser"):
            SOAP(weights((3, 5)), 0.1).load_state_dict(wrong)
