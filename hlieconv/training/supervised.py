"""Train a model on samples with labels, in the folder of a run. Images and molecules are its clients."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn

from hlieconv.nn import MaskedBatchNorm
from hlieconv.training.loop import train
from hlieconv.training.run import Run, describe, load
from systems.provenance import versions

#: Batches by which the statistics of the norms are measured.
SETTLED = 10

#: Choices of `train` that come from the settings of a run.
CHOICES = ("steps", "optimiser", "learning_rate", "warmup", "weight_average", "seed", "patience", "records")


def fit_samples(
    model: nn.Module,
    loss: Callable[[Any, Any], Tensor],
    batches: Callable[[int], Any],
    *,
    settings: dict[str, Any],
    data: dict[str, Any],
    validate: Callable[[Any], Tensor] | None = None,
    path: str | Path | None = None,
    overwrite: bool = False,
    checkpoint_seconds: float = 60.0,
) -> list[dict[str, float | int]]:
    """`train` the model in place, and keep it: the same call resumes a killed run and returns one that is done.

    Args:
        model: with a ``config``, its constructor's arguments, by which `load` builds it again.
        loss: ``loss(model, batch)``.
        batches: the batch of a step.
        settings: JSON values that decide the weights; those of `CHOICES` go to `train`.
        data: JSON values that say which samples these are.
        validate: ``validate(model)``, at every record.
        path: folder of the run; None: nothing is kept.
        overwrite: throw away the run that is in the folder.
        checkpoint_seconds: time between checkpoints.

    Raises:
        ValueError: if the folder holds a run with other settings, or something else.
    """
    run = None
    if path is not None:
        installed = versions(("hlieconv", "torch"))
        config = {"model": describe(model), "settings": settings, "data": data, "versions": installed}
        run = Run(path, config, overwrite=overwrite)
        if run.done:
            model.load_state_dict(load(path).state_dict())
            model.eval()
            return run.history(until=settings["steps"])
    choices = {name: settings[name] for name in CHOICES if name in settings}
    history = train(model, loss, batches, validate=validate, run=run, checkpoint_seconds=checkpoint_seconds, **choices)
    if run is not None:
        run.finish(model)
    return history


@torch.no_grad()
def settle(model: nn.Module, loss: Callable[[Any, Any], Tensor], batches: Callable[[int], Any]) -> None:
    """Measure the statistics of the norms again: the running ones are those of other weights than the averaged ones.

    Args:
        model: ends in evaluation mode.
        loss, batches: as in `train`; the first `SETTLED` batches are looked at.

    Source: Izmailov et al. 2018 (arXiv:1803.05407), section 3.2.
    """
    norms: list[Any] = [module for module in model.modules() if isinstance(module, MaskedBatchNorm)]
    momenta = [norm.momentum for norm in norms]
    model.train()
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(0)
        for number in range(SETTLED if norms else 0):
            for norm in norms:
                norm.momentum = 1 / (number + 1)  # the plain mean over batches
            loss(model, batches(number))
    for norm, momentum in zip(norms, momenta, strict=True):
        norm.momentum = momentum
    model.eval()
