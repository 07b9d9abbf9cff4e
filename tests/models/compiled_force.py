"""Run by test_hlieconv.py: one loss on forces and its gradient by the weights, eager and compiled."""

import torch

from hlieconv.models import HLieConv
from systems import Springs


def loss_and_gradient(model, system, q):
    model.zero_grad()
    loss = model.condition(system.values).force(q).square().mean()
    loss.backward()
    return loss, {name: parameter.grad.clone() for name, parameter in model.named_parameters() if "node" not in name}


if __name__ == "__main__":
    torch.set_num_threads(1)
    torch.manual_seed(0)
    model = HLieConv(width=8, blocks=1).double()
    system, state = Springs.sample(4, seed=0, bodies=3)
    eager = loss_and_gradient(model, system, state.q)
    model.compiled = True
    torch.testing.assert_close(loss_and_gradient(model, system, state.q), eager, rtol=1e-10, atol=1e-12)
