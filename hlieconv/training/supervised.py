"""Train a model on samples with labels, in the folder of a run. Images and molecules are its clients."""

from collections.abc import Callable
from dataclasses import asdict
from pathlib import Path
from typing import Any, Protocol, TypeVar, runtime_checkable

import torch
from torch import Tensor, nn

from hlieconv.nn import MaskedBatchNorm
from hlieconv.training.best import check_patience
from hlieconv.training.budget import cost
from hlieconv.training.loading import describe
from hlieconv.training.loop import train
from hlieconv.training.result import Fit
from hlieconv.training.run import BUDGET, Run, budget_of, keep
from hlieconv.training.settings import AbstractSettings
from systems.provenance import versions
from systems.ranks import ranks

#: Batches by which the statistics of the norms are measured.
SETTLED = 10

#: Settings that are arguments of `train`.
CHOICES = ("steps", "optimiser", "learning_rate", "warmup", "weight_average", "seed", "patience", "records")

Model = TypeVar("Model", bound=nn.Module)


@runtime_checkable
class Epochs(Protocol):
    """Batches that come again in every epoch, such as `Shuffle`."""

    steps_per_epoch: int

    def __call__(self, step: int) -> Any: ...


class Made:
    """Batches of samples, made from those of indices.

    Args:
        batches: of indices.
        make: the samples of these; any randomness is from torch's own generators.
    """

    def __init__(self, batches: Epochs, make: Callable[[Tensor], Any]) -> None:
        self.batches, self.make, self.steps_per_epoch = batches, make, batches.steps_per_epoch

    def __call__(self, step: int) -> Any:
        return self.make(self.batches(step))


def fit_samples(
    model: Model,
    loss: Callable[[Any, Any], Tensor],
    batches: Epochs,
    settings: AbstractSettings,
    *,
    data: dict[str, Any],
    registry: dict[str, str],
    validate: Callable[[Any], Tensor] | None = None,
    path: str | Path | None = None,
    overwrite: bool = False,
    hours: float | int | None = None,
    checkpoint_seconds: float | int = 60.0,
    on_record: Callable[[dict[str, float | int]], None] | None = None,
) -> Fit[Model]:
    """`train` the model in place, and keep it: the same call resumes a killed run and returns one that is done.

    Args:
        model: with a ``config``, its constructor's arguments, by which it is built again.
        loss: ``loss(model, batch)``.
        batches: the batch of a step.
        settings: all that decides the weights; ``epochs`` of them give the steps, those of `CHOICES` go to `train`.
        data: JSON values that say which samples these are.
        registry: models by name, as `training.loading.load` takes it.
        validate: ``validate(model)``, at every record.
        path: folder of the run; None: nothing is kept.
        overwrite: throw away the run that is in the folder.
        hours: hours of the processor (on a GPU, of the clock) for which there shall be epochs: they take the place of
            the settings' and are counted from a few steps that are timed. A run that was begun with hours keeps its
            epochs; with more hours it has as many more.
        checkpoint_seconds: time between checkpoints.
        on_record: called with every record.

    Raises:
        ValueError: if the folder holds a run with other settings, or for patience without validation.
    """
    chosen = asdict(settings)
    check_patience(chosen["patience"], held_out=validate is not None)
    budget = {}
    if hours is not None:
        begun = None if overwrite or path is None else budget_of(path)
        if begun is None:
            options = {name: chosen[name] for name in ("optimiser", "learning_rate")}
            spent = ranks().from_first(cost(model, loss, batches, validate=validate, **options))
            epochs = spent.epochs(hours, steps_per_epoch=batches.steps_per_epoch, records=chosen["records"])
            budget = {BUDGET: {"hours": hours, "step": spent.step, "record": spent.record, "epochs": epochs}}
        else:
            budget = {BUDGET: begun | {"hours": hours, "epochs": round(begun["epochs"] * hours / begun["hours"], 3)}}
        chosen["epochs"] = budget[BUDGET]["epochs"]
    chosen["steps"] = max(1, round(chosen["epochs"] * batches.steps_per_epoch))

    def training(run: Run | None) -> list[dict[str, float | int]]:
        choices: dict[str, Any] = {name: chosen[name] for name in CHOICES}
        choices["checkpoint_seconds"] = checkpoint_seconds
        averaged = chosen["weight_average"] > 0 and any(_norms(model))

        def settled(model: nn.Module) -> None:
            settle(model, loss, batches)

        choices["settle"] = settled if averaged else None
        choices["graphs"] = next(model.parameters()).is_cuda
        return train(model, loss, batches, validate=validate, run=run, on_record=on_record, **choices)

    config = {
        "model": describe(model, getattr(model, "config"), registry),  # noqa: B009 (a Module's attributes are tensors)
        "settings": chosen,
        "data": data,
        "versions": versions(("hlieconv", "torch")),
    } | budget
    return Fit(model, keep(path, config, model, training, overwrite=overwrite), chosen)


def seeded(seed: int, make: Callable[[], Model]) -> Model:
    """A model whose first weights a seed decides; torch's own generators stay where they are.

    Example:
        >>> a, b = seeded(0, lambda: nn.Linear(1, 1)), seeded(0, lambda: nn.Linear(1, 1))
        >>> torch.equal(a.weight, b.weight)
        True
    """
    with torch.random.fork_rng(devices=[]):  # models are made on the CPU
        torch.manual_seed(seed)
        return make()


def _norms(model: nn.Module) -> list[MaskedBatchNorm]:
    return [module for module in model.modules() if isinstance(module, MaskedBatchNorm)]


@torch.no_grad()
def settle(model: nn.Module, loss: Callable[[Any, Any], Tensor], batches: Callable[[int], Any]) -> None:
    """Measure the statistics of the norms again: the running ones are those of other weights than the averaged ones.

    Nothing but the norms is in training mode: radii that follow the data stay where they are.

    Args:
        model: ends in evaluation mode.
        loss, batches: as in `train`; the first `SETTLED` batches are looked at.

    Source: Izmailov et al. 2018 (arXiv:1803.05407), section 3.2.
    """
    norms = _norms(model)
    momenta = [norm.momentum for norm in norms]
    model.eval()
    for norm in norms:
        norm.train()
    device = next(model.parameters()).device
    with torch.random.fork_rng(devices=[device] if device.type == "cuda" else []):
        torch.manual_seed(0)
        for number in range(SETTLED if norms else 0):
            for norm in norms:
                norm.momentum = 1 / (number + 1)  # the plain mean over batches
            loss(model, batches(number))
    for norm, momentum in zip(norms, momenta, strict=True):
        norm.momentum = momentum
    model.eval()
