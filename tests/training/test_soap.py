"""SOAP by its laws: weights are stacked for speed alone, bases become eigenvectors, and round-off stays round-off."""

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


def test_the_bases_become_the_eigenvectors():
    [weight] = weights((4, 6))
    optimiser = SOAP([weight], lr=0.0)
    fixed = torch.randn(4, 6, generator=torch.Generator().manual_seed(1), dtype=torch.float64)
    for _ in range(600):
        weight.grad = fixed
        optimiser.step()
    [stack] = optimiser.stacks
    for outer, basis in zip(stack.outer, stack.basis, strict=True):
        [turned] = basis.mT @ outer @ basis
        assert (turned - turned.diagonal().diag()).abs().max() < 1e-9 * turned.max()
        assert (turned.diagonal().diff() < 1e-9 * turned.max()).all()
        torch.testing.assert_close(basis[0].T @ basis[0], torch.eye(len(turned), dtype=torch.float64))


def test_a_weight_without_a_gradient_keeps_its_basis():
    [weight] = weights((4, 6))
    optimiser = SOAP([weight], lr=0.1)
    for _ in range(2 * EVERY):
        optimiser.step()
    [stack] = optimiser.stacks
    for [basis] in stack.basis:
        assert torch.equal(basis, torch.eye(len(basis), dtype=torch.float64))


def test_nearly_equal_gradients_give_nearly_equal_weights():
    """Rounding in a preconditioner of low rank decides nothing: a change by 2e-16 stays below 1e-9 for 100 steps."""
    generator = torch.Generator().manual_seed(0)
    inputs = torch.randn(40, 16, generator=generator, dtype=torch.float64)
    found = []
    for change in (0.0, 2e-16):
        shapes, noise = ((16, 32), (32, 24), (24, 3)), torch.Generator().manual_seed(1)
        parameters = weights(*shapes)
        for parameter in parameters:
            scale = 1 + change * torch.randn(parameter.shape, generator=noise, dtype=torch.float64)
            parameter.register_hook(lambda gradient, scale=scale: gradient * scale)
        found.append(
            minimise(parameters, lambda a, b, c: ((inputs @ a).tanh() @ b).tanh().matmul(c).square().mean(), 100)
        )
    for one, other in zip(*found, strict=True):
        assert 0 < (one - other).abs().max() < 1e-9


def test_vectors_are_trained_by_adam():
    [found] = minimise(weights((6,)), bowl)
    [expected] = [x] = weights((6,))
    minimise([x], bowl, STEPS, torch.optim.Adam([x], lr=0.05, betas=(0.95, 0.95)))
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
