"""No step of a training looks at a value that is on the device: a GPU would make the host wait.

On the device "meta", tensors have shapes and no values: whatever looks at one is an error.
"""

import pkgutil

import pytest
import torch

from hlieconv.dynamics.bodies import LearnedBodies
from hlieconv.dynamics.chunks import chunks_of
from hlieconv.dynamics.losses import make_loss
from hlieconv.dynamics.settings import LOSSES, Settings
from hlieconv.dynamics.trajectories import trajectories_of
from hlieconv.models import MODELS
from hlieconv.training.best import Best
from hlieconv.training.graphs import Gradients
from hlieconv.training.loop import _State
from hlieconv.training.optimisers import OPTIMISERS, Average
from hlieconv.training.parallel import Parallel
from systems import Springs, simulate
from systems.ranks import ranks

DATA = simulate(*Springs.sample(4, seed=0, bodies=3), torch.linspace(0, 0.1, 5, dtype=torch.float64))


def step(name, loss="force_matching", optimiser="adam"):
    model = pkgutil.resolve_name(MODELS[name]).of(DATA).to("meta")
    data = trajectories_of(DATA)
    bodies, loss = LearnedBodies(model, data), make_loss(Settings(loss=loss))
    samples = loss.samples(chunks_of(data, 5), data.mass).to(torch.float32, torch.device("meta"))
    parallel, steps = Parallel(bodies, ranks()), 3
    descent = OPTIMISERS[optimiser](bodies.parameters(), 1e-3)
    state = _State(bodies, descent, Average(bodies, 0.9), Best(0), steps, parallel)
    index = torch.zeros(4, dtype=torch.long, device="meta")

    def evaluate(bodies, index):
        some = samples.take(index)
        return loss(bodies(some.trajectory), some)

    for _ in range(steps):
        state.update(Gradients(bodies, evaluate), index, 1e-3)


@pytest.mark.parametrize("loss", LOSSES)
@pytest.mark.parametrize("name", [name for name in MODELS if name != "expansion"])  # which takes no steps
def test_models_and_losses(name, loss):
    step(name, loss)


@pytest.mark.parametrize("optimiser", ["adam", "soap"])
def test_optimisers(optimiser):
    step("hlieconv", optimiser=optimiser)
