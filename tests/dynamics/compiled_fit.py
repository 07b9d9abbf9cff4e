"""Run by test_fit.py: a compiled fit goes on with the same bits after a kill, in the folder given."""

import itertools
import os
import signal
import sys
from pathlib import Path

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


def weights(path):
    torch.manual_seed(0)
    model = HLieConv.of(DATA, width=8, blocks=1).double()
    options = {"steps": 24, "batch": 16, "checkpoint_steps": 7, "validation": 0.0, "progress": False}
    fit(model, DATA, path=path, compile="on", **options)
    return model.state_dict()


if __name__ == "__main__":
    torch.set_num_threads(1)
    folder, STEPS, DATA = Path(sys.argv[1]), itertools.count(), springs(points=50)[1]
    HLieConv.context, LieConvPotential.force = counting, checked
    whole = weights(folder / "whole")
    child = os.fork()  # it has what is compiled
    if child == 0:
        STEPS = iter(range(10))
        weights(folder / "killed")
        os._exit(0)
    assert os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) == -signal.SIGKILL
    assert not (folder / "killed" / "model.safetensors").exists()
    assert (folder / "killed" / "checkpoint.safetensors").exists()
    resumed = weights(folder / "killed")
    assert all(torch.equal(resumed[name], weight) for name, weight in whole.items())
