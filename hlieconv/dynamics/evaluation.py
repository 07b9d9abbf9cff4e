"""The test error of a model of dynamics, as Finzi et al. 2020 measure it."""

import copy

import torch
import xarray as xr
from jaxtyping import Float
from torch import Tensor

from hlieconv.dynamics.chunks import chunks_of
from hlieconv.dynamics.rollouts import default_integrator
from hlieconv.dynamics.trajectories import spacing_of, trajectories_of
from hlieconv.models import AbstractModel
from systems import PhaseSpace
from systems.integrators import AbstractIntegrator
from systems.integrators.named import integrator_of

BLOCK = 256


@torch.no_grad()
def chunk_error(
    model: AbstractModel,
    dataset: xr.Dataset,
    *,
    chunk: int = 5,
    seed: int = 0,
    integrator: AbstractIntegrator | str | None = None,
) -> Float[Tensor, " chunk"]:
    """The mean square error of (q, p) over chunks, one at a random place in each trajectory; in float64.

    The model starts from the first point of a chunk; the mean is over all its points (the exact first one included),
    bodies, axes, q and p. The test error of a model is the mean of these, in the paper over 2,000 chunks.

    Args:
        model: a trained model.
        dataset: trajectories that it has not seen.
        chunk: points in a chunk.
        seed: of the places.
        integrator: an integrator or its name; by default that of `rollout`, on the paper's data far more accurate than
            any model. Where it cannot follow the model, the error is not a number.

    Raises:
        ValueError: if the Dataset lacks a feature of the model.
    """
    model = copy.deepcopy(model).double().eval()
    data, device = trajectories_of(dataset, along_edges=model.edges), model.like.device
    features = {name: x.to(device) for name, x in model.checked(data.features, data.mask).items()}
    mask = None if data.mask is None else data.mask.to(device)
    chunks = chunks_of(data, chunk, 1, seed=seed).to(torch.float64, device)
    spacing = spacing_of(chunks.times)
    errors = []
    for index in torch.arange(len(chunks.trajectory), device=device).split(BLOCK):
        some = chunks.take(index)
        own = {name: x[some.trajectory] for name, x in features.items()}
        field = model.condition(own, None if mask is None else mask[some.trajectory])
        solver = integrator_of(integrator or default_integrator(model, field, spacing))
        predicted, _ = solver.attempt(field, PhaseSpace(some.q[0], some.p[0]), some.times - some.times[0])
        square = ((predicted.q - some.q).square() + (predicted.p - some.p).square()).mean((0, 3)) / 2
        if field.mask is None:
            errors.append(square.mean(-1))
        else:
            errors.append(torch.where(field.mask, square, 0).sum(-1) / field.mask.sum(-1))
    return torch.cat(errors)
