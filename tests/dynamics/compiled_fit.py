"""Run by test_fit.py: a compiled fit in the folder given, killed at a step if one is given; prints its weights."""

import os
import signal
import sys

import torch
from small import springs

from hlieconv.dynamics import fit
from hlieconv.models import HLieConv
from hlieconv.models.hlieconv import LieConvPotential

CONTEXT, FORCE = HLieConv.context, LieConvPotential.force


def counting(*arguments):
    """A context is made at each step: the process dies at one of them."""
    if next(STEPS, None) is None:
        os.kill(os.getpid(), signal.SIGKILL)
    return CONTEXT(*arguments)


def checked(potential, q):
    """At the first step, compiled forces and their gradient by the weights are the eager ones."""
    if not torch.is_grad_enabled():
        return FORCE(potential, q)
    LieConvPotential.force = FORCE
    compiled, eager = (force_and_gradient(potential, q.detach(), mode) for mode in (True, False))
    torch.testing.assert_close(compiled, eager, rtol=1e-10, atol=1e-12)
    potential.model.compiled = True
    return FORCE(potential, q)


def force_and_gradient(potential, q, compiled):
    model = potential.model
    model.compiled = compiled
    model.zero_grad()
    force = LieConvPotential(model, potential.features, potential.mask).force(q)
    force.square().mean().backward()
    gradients = {name: weight.grad for name, weight in model.named_parameters() if "node" not in name}
    model.zero_grad()
    return force, gradients


if __name__ == "__main__":
    path, STEPS = sys.argv[1], iter(range(int(sys.argv[2])))
    torch.set_num_threads(1)
    torch.manual_seed(0)
    HLieConv.context, LieConvPotential.force = counting, checked
    _, data = springs(points=50)
    model = HLieConv.of(data, width=8, blocks=1).double()
    fit(model, data, path=path, compile="on", steps=24, batch=16, checkpoint_steps=7, validation=0.0, progress=False)
    print({name: weight.tolist() for name, weight in model.state_dict().items()})
