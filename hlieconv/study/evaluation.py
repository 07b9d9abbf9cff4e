"""What is measured of a trained model: errors on fresh systems, along rollouts, with other numbers of bodies."""

import copy
from functools import cache
from typing import Any

import numpy as np
import torch
import xarray as xr
from torch import Tensor

import systems
from hlieconv.diagnostics import drift, geometric_mean, momentum, state_error, valid_time
from hlieconv.dynamics import chunk_error
from hlieconv.dynamics.chunks import chunks_of
from hlieconv.dynamics.rollouts import rollout
from hlieconv.dynamics.trajectories import trajectories_of
from hlieconv.models import AbstractModel
from hlieconv.study.catalogue import GENERAL, JUDGED, SYSTEMS, Effort, Trial
from systems.dataset.reading import trajectory_of

#: The paper's data: 500 points over 5 s.
POINTS, SECONDS = 500, 5.0
SPACING = SECONDS / (POINTS - 1)
#: Far from the seeds of trainings, 0, 1, 2, ...
TEST_SEED = 1_000_000
NUMBERS_OF_BODIES = (4, 8, 20)
#: Systems whose closed form makes any number of test chunks in no time; there are fewer of the others.
EXACT = ("springs", "springs-3d")


def sample(system: str, count: int, seed: int, points: int = POINTS, every: int = 1, **settings: Any) -> xr.Dataset:
    """Trajectories of a system of the study, as exact as is known."""
    name, own = SYSTEMS[system]
    kind = getattr(systems, systems.SYSTEMS[name].partition(":")[2])
    times = SPACING * every * torch.arange(points, dtype=torch.float64)
    made, state = kind.sample(count, seed=seed, **(own | settings))
    return systems.simulate(made, state, times, seed=seed)


@cache
def tests(system: str, chunks: int, count: int) -> list[xr.Dataset]:
    """Fresh systems, one a test chunk; made once a process."""
    return [sample(system, chunks, TEST_SEED + seed) for seed in range(count)]


def evaluate(model: AbstractModel, trial: Trial, size: Effort) -> dict[str, Any]:
    """All that is measured of a model, as JSON values. Weights are those given, arithmetic is in float64."""
    model, judged = copy.deepcopy(model).double(), trial.entry in JUDGED
    chunks = size.chunks if trial.system in EXACT else size.chunks // 4
    data = tests(trial.system, max(1, chunks), size.tests if judged else 1)
    found: dict[str, Any] = {"test": [_errors(model, dataset, seed) for seed, dataset in enumerate(data)]}
    found["free_motion"] = _statistics(free_motion(data[0], seed=0))
    truth = sample(trial.system, size.rollouts, TEST_SEED - 1, size.points)
    predicted = rollout(model, truth, dtype=torch.float64, workers=1)
    found["rollout"] = _curves(predicted, truth) | {"drift": _drifts(predicted)}
    found["example"] = _example(predicted, truth)
    return found | (_further(model, trial.system, size) if trial.entry in GENERAL and trial.seed == 0 else {})


def _further(model: AbstractModel, system: str, size: Effort) -> dict[str, Any]:
    """Ten times as long, and with other numbers of bodies."""
    truth = sample(system, size.long, TEST_SEED - 2, 1 + size.points, every=10)
    predicted = rollout(model, truth, dtype=torch.float64, workers=1)
    valid = valid_time(predicted, truth).clip(max=float(truth.time[-1]))
    long = {
        "seconds": float(truth.time[-1]),
        "valid_time": float(valid.median()),
        "state_error": _rounded(geometric_mean(state_error(predicted, truth)).values),
        "drift": _drifts(predicted),
    }
    count = 10 * size.long if system in EXACT else 2 * size.long
    others = {n: sample(system, count, TEST_SEED - 3, bodies=n) for n in NUMBERS_OF_BODIES}
    return {"long": long, "bodies": {str(n): _errors(model, dataset, 0) for n, dataset in others.items()}}


def _errors(model: AbstractModel, dataset: xr.Dataset, seed: int) -> dict[str, float | int]:
    """The test error, the mean over chunks, and what hides behind the mean."""
    return _statistics(chunk_error(model, dataset, seed=seed))


def free_motion(dataset: xr.Dataset, seed: int) -> Tensor:
    """What `chunk_error` is where every body moves straight on: how much there is to be learnt of the forces."""
    data = trajectories_of(dataset)
    chunks = chunks_of(data, 5, 1, seed=seed)
    velocity = chunks.p[0] / data.features["mass"][chunks.trajectory, :, None]
    straight = chunks.q[0] + (chunks.times - chunks.times[0])[..., None, None] * velocity
    return ((straight - chunks.q).square() + (chunks.p[0] - chunks.p).square()).mean((0, 2, 3)) / 2


def _statistics(error: Tensor) -> dict[str, float | int]:
    return {
        "chunks": len(error),
        "mean": float(error.mean()),
        "median": float(error.median()),
        "p99": float(error.quantile(0.99)),
    }


def _curves(predicted: xr.Dataset, truth: xr.Dataset) -> dict[str, list[float]]:
    """Errors along a rollout, one value a point."""
    (_, a), (_, b) = (trajectory_of(x, dtype=torch.float64) for x in (predicted, truth))
    square = ((a.q - b.q).square() + (a.p - b.p).square()).mean((-1, -2)) / 2
    curves = {
        "mse": square.mean(1).numpy(),
        "median_se": square.median(1).values.numpy(),
        "state_error": geometric_mean(state_error(predicted, truth)).values,
    }
    if "true_energy" in predicted:
        true = drift(predicted.assign(energy=predicted["true_energy"]), "energy")
        curves["energy_error"] = geometric_mean(true).values
    return {name: _rounded(values) for name, values in curves.items()}


def _drifts(predicted: xr.Dataset) -> dict[str, float]:
    """The largest drift of all trajectories at all times; the energy is the learned one."""
    quantities = ["momentum", "angular_momentum", *(["energy"] if "energy" in predicted else [])]
    return {name: float(drift(predicted, name).max()) for name in quantities}


def _example(predicted: xr.Dataset, truth: xr.Dataset) -> dict[str, Any]:
    """The rollout of one system beside the truth, for figures."""
    found: dict[str, Any] = {"time": _rounded(truth.time.values)}
    for name, dataset in {"predicted": predicted, "true": truth}.items():
        one = dataset.isel(trajectory=[0])
        found[name] = {
            "q": [[_rounded(row) for row in body] for body in one.q[0].transpose("body", "space", "time").values],
            "P_x": _rounded(momentum(one).isel(trajectory=0, space=0).values),
        }
    return found


def _rounded(values: np.ndarray) -> list[float]:
    """Five digits are enough for a curve."""
    return [float(f"{value:.5g}") for value in values]
