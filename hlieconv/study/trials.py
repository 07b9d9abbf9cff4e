"""One trial of the study: data, training, measurement, and one result file."""

import pkgutil
import time
from dataclasses import asdict
from pathlib import Path
from typing import Any

import torch

from hlieconv.dynamics import Fit, fit
from hlieconv.models import MODELS, AbstractModel
from hlieconv.study.catalogue import ENTRIES, Effort, Trial
from hlieconv.study.evaluation import evaluate, sample
from systems.provenance import write_result


def run_trial(trial: Trial, size: Effort, path: Path, device: str = "auto") -> dict[str, Any]:
    """Train a model, measure it, and write its result file. A killed training goes on from its checkpoint.

    Args:
        trial: what to train on what.
        size: how much to measure.
        path: the folder of the results.
        device: where to train and to measure.

    Returns:
        The result.
    """
    entry, run = ENTRIES[trial.entry], path / ".runs" / trial.name
    resumed = run.exists()
    trained, cpu, seconds = train_trial(trial, steps=size.steps, run=run, device=device)
    model: Any = trained.model
    last = trained.history[-1] if trained.history else {}
    started = time.process_time()
    measured = _finite(evaluate(model, trial, size))  # where it was trained
    result = {
        "trial": trial._asdict(),
        "seed": trial.seed,
        "model": {"name": entry.model, "config": model.config},
        "dtype": entry.dtype,
        "parameters": sum(parameter.numel() for parameter in model.parameters()),
        "settings": asdict(trained.settings),
        "cost": {
            "cpu_seconds": last.get("cpu_seconds") if resumed else cpu,
            "seconds": last.get("seconds") if resumed else seconds,
            "steps": last.get("step", 0),
            "device": model.like.device.type,
            "measuring_cpu_seconds": time.process_time() - started,
        },
        "size": size._asdict(),
        **measured,
    }
    write_result(result_file(path, trial), result, command=command_of(trial))
    return result


def train_trial(
    trial: Trial, *, steps: int | None = None, run: Path | None = None, device: str = "auto"
) -> tuple[Fit, float, float]:
    """Train the model of a trial.

    Args:
        trial: what to train on what.
        steps: of the training, if not those of its entry.
        run: a folder for checkpoints; None: there are none.
        device: where to train.

    Returns:
        The fit, and what it took: CPU seconds, and seconds.
    """
    entry = ENTRIES[trial.entry]
    dataset = sample(trial.system, trial.n_train, trial.seed)
    torch.manual_seed(trial.seed)
    kind: type[AbstractModel] = pkgutil.resolve_name(MODELS[entry.model])
    model = kind.of(dataset, preset=entry.preset, **entry.options).to(getattr(torch, entry.dtype))
    changes: dict[str, Any] = {"last_layer": "descent"} | entry.settings | ({} if steps is None else {"steps": steps})
    started, cpu = time.perf_counter(), time.process_time()
    trained = fit(
        model, dataset, preset=entry.preset, path=run, device=device, seed=trial.seed, validation=0.0, **changes
    )
    return trained, time.process_time() - cpu, time.perf_counter() - started


def result_file(path: Path, trial: Trial) -> Path:
    """The file that says that a trial is done."""
    return path / f"{trial.name}.json"


def command_of(trial: Trial) -> str:
    """The command that makes a result again."""
    return (
        f"hlieconv reproduce springs --systems {trial.system} --models {trial.entry} "
        f"--n-train {trial.n_train} --seeds {trial.seed}"
    )


def _finite(tree: Any) -> Any:
    """JSON has no infinities: what is not finite becomes None."""
    if isinstance(tree, dict):
        return {key: _finite(value) for key, value in tree.items()}
    if isinstance(tree, list):
        return [_finite(value) for value in tree]
    return None if isinstance(tree, float) and not torch.isfinite(torch.tensor(tree)) else tree
