"""fit(model, dataset): train a model of dynamics, or the parameters of a known system, on trajectories."""

from collections.abc import Callable
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import torch
import xarray as xr
from torch import Tensor, nn

from hlieconv.dynamics.bodies import Conditioned, Unknowns
from hlieconv.dynamics.chunks import Chunks, chunks_of
from hlieconv.dynamics.compilation import check_mode, compiled
from hlieconv.dynamics.losses import AbstractLoss, ForceMatching, make_loss, trained_on
from hlieconv.dynamics.rollouts import spacing_of
from hlieconv.dynamics.settings import Settings, settings
from hlieconv.models import AbstractModel
from hlieconv.training.loop import Shuffle, device_named, train
from hlieconv.training.run import Run, describe, load
from systems import AbstractVectorField
from systems.dataset.schema import parameters_of, validate, variables_of
from systems.fingerprint import fingerprint
from systems.provenance import versions

#: Enough to judge by, few enough to evaluate at every record.
VALIDATION_SAMPLES = 256


@dataclass(frozen=True)
class Fit:
    """A trained model, and how it came about."""

    model: nn.Module
    history: list[dict[str, float | int]]
    """One record a row: step, loss, validation (both as a fraction of the data's size), learning_rate, seconds."""
    settings: Settings


def fit(
    model: AbstractModel | AbstractVectorField,
    dataset: xr.Dataset,
    *,
    preset: str = "best",
    path: str | Path | None = None,
    overwrite: bool = False,
    device: str = "auto",
    compile: str = "auto",
    checkpoint_seconds: float = 120.0,
    checkpoint_steps: int | None = None,
    progress: bool = True,
    **changes: Any,
) -> Fit:
    """Train a model on trajectories, in place.

    Args:
        model: a model, or a known system with ``trainable`` parameters.
        dataset: trajectories, with the variables that the model is conditioned on.
        preset: "best", or "paper" for the settings of Finzi et al. 2020.
        path: the folder of the run: checkpoints, metrics and the model. The same call again resumes a run that was
            killed, to the same bits on a CPU, and returns one that is done.
        overwrite: throw away the run that is in the folder.
        device: "cpu", "cuda", ... or "auto": a GPU where there is one.
        compile: "on", "off" or "auto": whether forces go through torch.compile; "auto" does on a GPU and in long
            trainings. A run resumes to the bit in the same mode.
        checkpoint_seconds: time between checkpoints.
        checkpoint_steps: steps between checkpoints, if that comes first.
        progress: show a bar, on a terminal.
        **changes: any field of `Settings`, in place of the preset's.

    Raises:
        ValueError: for a setting out of range, or a dataset without the variables that the model needs.
    """
    validate(dataset)
    check_mode(compile, model)
    description = describe(model)
    group = str(description["config"].get("group", ""))
    chosen = settings(preset, dataset.sizes["trajectory"], description["name"], group, **changes)
    loss = make_loss(chosen)
    target = device_named(device)
    model.to(target)
    bodies = (Conditioned if isinstance(model, AbstractModel) else Unknowns)(model, dataset)
    if (
        isinstance(bodies, Unknowns)
        and any(variable.name == "mass" for variable in bodies.unknown)
        and isinstance(loss, ForceMatching)
    ):
        raise ValueError("loss: force_matching needs known masses; use rollout, one_step or multiple_shooting")
    chunks = _split(dataset, chosen)
    mass = variables_of(dataset, ["mass"], dtype=torch.float64)["mass"] if "mass" in dataset else None
    dtype = next(bodies.parameters()).dtype
    seen, unseen = (loss.samples(part, mass).to(dtype, target) for part in chunks)
    count = len(unseen.trajectory)
    unseen = unseen.take(torch.arange(0, count, max(1, count // VALIDATION_SAMPLES), device=target))
    unit, spacing = loss.unit(seen), spacing_of(chunks[0].times)
    run = None
    if path is not None:
        run = Run(path, _configuration(model, description, chosen, dataset, spacing), overwrite=overwrite)
        if run.done:
            model.load_state_dict(load(path).state_dict())
            return Fit(_trained(model, chosen, spacing), run.history(until=chosen.steps), chosen)
    if isinstance(bodies, Conditioned):
        bodies.calibrate(chunks[0].to(dtype, target))
    with compiled(model, compile, steps=chosen.steps, device=target):
        history = train(
            bodies,
            lambda bodies, index: _evaluate(loss, bodies, seen.take(index)) / unit,
            Shuffle(len(seen.trajectory), chosen.batch, seed=chosen.seed, device=target),
            steps=chosen.steps,
            optimiser=chosen.optimiser,
            learning_rate=chosen.learning_rate,
            weight_average=chosen.weight_average,
            seed=chosen.seed,
            validate=(lambda bodies: _evaluate(loss, bodies, unseen) / unit) if len(unseen.trajectory) else None,
            run=run,
            records=max(1, min(100, chosen.steps // 10)),
            checkpoint_seconds=checkpoint_seconds,
            checkpoint_steps=checkpoint_steps,
            progress=progress,
        )
    if isinstance(bodies, Unknowns):
        bodies.write_back()
    if run is not None:
        run.finish(model)
    return Fit(_trained(model, chosen, spacing), history, chosen)


def _trained(model: AbstractModel | AbstractVectorField, chosen: Settings, spacing: float) -> nn.Module:
    if isinstance(model, AbstractModel):
        model.trained = trained_on(chosen, spacing)
    return model.eval()


def _evaluate(loss: AbstractLoss, bodies: Callable[[Tensor], AbstractVectorField], samples: Any) -> Tensor:
    return loss(bodies(samples.trajectory), samples)


def _split(dataset: xr.Dataset, chosen: Settings) -> tuple[Chunks, Chunks]:
    """Chunks to train on, no more than there is time to see, and chunks of other trajectories to validate on."""
    chunks = chunks_of(dataset, chosen.chunk, chosen.chunks, seed=chosen.seed)
    generator = torch.Generator().manual_seed(chosen.seed)
    count = dataset.sizes["trajectory"]
    held_out = torch.zeros(count, dtype=torch.bool)
    held_out[torch.randperm(count, generator=generator)[: int(chosen.validation * count)]] = True
    order = torch.randperm(len(chunks.trajectory), generator=generator)
    kept = held_out[chunks.trajectory[order]]
    return chunks.take(order[~kept][: chosen.steps * chosen.batch]), chunks.take(order[kept][:VALIDATION_SAMPLES])


def _configuration(
    model: nn.Module, description: dict[str, Any], chosen: Settings, dataset: xr.Dataset, spacing: float
) -> dict[str, dict[str, Any]]:
    known = {} if isinstance(model, AbstractModel) else model.state_dict()
    inputs = known | {"q": dataset["q"], "p": dataset["p"]} | parameters_of(dataset)
    data = {"trajectories": dataset.sizes["trajectory"], "spacing": spacing, "sha256": fingerprint(inputs)}
    return {"model": description, "settings": asdict(chosen), "data": data, "versions": versions(("hlieconv", "torch"))}
