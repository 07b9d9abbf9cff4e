"""SOAP by its laws: weights are stacked for speed alone, and a rotation of their axes changes nothing."""

import pytest
import torch
from torch import nn

from hlieconv.training import train
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


def test_groups_have_rates_of_their_own():
    slow, fast = weights((3, 4), (3, 4))
    minimise([slow, fast], bowl, optimiser=SOAP([{"params": [slow], "lr": 0.01}, {"params": [fast]}], lr=0.05))
    for place, (found, rate) in enumerate(((slow, 0.01), (fast, 0.05))):
        x = weights((3, 4), (3, 4))[place]
        [alone] = minimise([x], bowl, optimiser=SOAP([x], lr=rate))
        torch.testing.assert_close(found.detach(), alone, rtol=0, atol=1e-9)


def test_a_rotation_of_the_axes_changes_nothing():
    u, v = (torch.linalg.qr(x.detach()).Q for x in weights((4, 4), (5, 5), seed=1))
    [start] = weights((4, 5), seed=2)
    [found] = minimise([start], bowl)
    [start] = weights((4, 5), seed=2)
    [turned] = minimise([nn.Parameter(u @ start.detach() @ v)], lambda x: bowl(u.T @ x @ v.T))
    # Adam divides round-off by roots of mean squares; where a slope is nearly 0 that is 1e-16 / eps = 1e-8 a step.
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
    # They differ by where eps stands: by at most eps / sqrt(1 - beta) of a step, relative to slopes of about 1.
    torch.testing.assert_close(found, expected.detach(), rtol=0, atol=STEPS * 0.05 * 1e-7)


def test_a_state_of_other_weights_is_refused():
    state = SOAP(weights((3, 4)), 0.1).state_dict()
    for shapes in (((3, 5),), ((3, 4), (3, 4)), ((3, 4), (2,))):  # one more of a shape would be broadcast
        with pytest.raises(ValueError, match="checkpoint: expected the state of this optimiser"):
            SOAP(weights(*shapes), 0.1).load_state_dict(state)
    with pytest.raises(ValueError, match="checkpoint: expected the state of this optimiser"):
        SOAP(weights((3, 4)), 0.1).load_state_dict({"state": {}, "param_groups": []})


def test_what_is_not_finite_ends_a_training_with_a_word():
    [weight] = weights((3, 4))
    model = nn.ParameterList([weight])
    with pytest.warns(RuntimeWarning, match="the loss is not finite at step"):
        train(model, lambda model, batch: model[0].sum() * torch.nan, lambda step: None, steps=3, optimiser="soap")
    assert weight.isfinite().all()
