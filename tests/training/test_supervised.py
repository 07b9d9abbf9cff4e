"""Trainings on samples with labels: norms of averaged weights, hours in place of epochs, runs of earlier versions."""

import json
from dataclasses import dataclass

import pytest
import torch
from torch import nn

from hlieconv.nn import MaskedBatchNorm
from hlieconv.training.loop import Shuffle
from hlieconv.training.run import CONFIG, budget_of, read_config
from hlieconv.training.settings import AbstractSettings, setting
from hlieconv.training.supervised import SETTLED, fit_samples

INPUTS = torch.linspace(-1, 1, 64)[:, None]
TARGETS = torch.sin(3 * INPUTS)


@dataclass(frozen=True)
class Settings(AbstractSettings):
    epochs: float = setting(15.0, "")
    optimiser: str = setting("adam", "")
    learning_rate: float = setting(3e-2, "")
    warmup: float = setting(0.0, "")
    weight_average: float = setting(0.98, "")
    seed: int = setting(0, "")
    patience: int = setting(0, "")
    records: int = setting(6, "")


class Normed(nn.Module):
    config: dict = {}

    def __init__(self):
        super().__init__()
        self.narrow, self.norm, self.readout = nn.Linear(1, 8), MaskedBatchNorm(8), nn.Linear(8, 1)

    def forward(self, x):
        return self.readout(torch.tanh(self.norm(self.narrow(x)[None])[0]))


def loss(model, index):
    return (model(INPUTS[index]) - TARGETS[index]).square().mean()


def validate(model):
    return loss(model, slice(None))


def fit(path=None, hours=None, **changes):
    with torch.random.fork_rng():
        torch.manual_seed(0)
        model = Normed()
    batches = Shuffle(len(INPUTS), 8, seed=0)
    return fit_samples(
        model, loss, batches, Settings(**changes), data={}, registry={}, validate=validate, path=path, hours=hours
    )


def test_norms_are_those_of_the_averaged_weights(tmp_path):
    done = fit(tmp_path / "run")
    # What is recorded is what the model does.
    assert done.history[-1]["validation"] == validate(done.model).item()
    seen = torch.cat([INPUTS[Shuffle(len(INPUTS), 8, seed=0)(step)] for step in range(SETTLED)])
    hidden = done.model.narrow(seen)
    # Means of batches of one size are the mean of all; variances within batches are not that of all.
    assert torch.allclose(done.model.norm.mean, hidden.mean(0), atol=1e-5)
    variance = hidden.unflatten(0, (SETTLED, -1)).var(1).mean(0)
    assert torch.allclose(done.model.norm.variance, variance, rtol=1e-4)


def test_patience_returns_the_norms_of_its_best_weights():
    done = fit(patience=2, records=30, learning_rate=0.3)
    assert min(record["validation"] for record in done.history) == validate(done.model).item()


def test_records_count_the_seconds_of_the_processor(tmp_path):
    seconds = [record["cpu_seconds"] for record in fit(tmp_path / "run").history]
    assert seconds == sorted(seconds)
    longer = fit(tmp_path / "run", epochs=20.0).history
    assert longer[-1]["cpu_seconds"] >= seconds[-1]


def test_hours_take_the_place_of_epochs(tmp_path):
    hours = 0.5 / 3600
    first = fit(tmp_path / "run", hours=hours)
    kept = budget_of(tmp_path / "run")
    assert first.settings["epochs"] == kept["epochs"]
    assert kept["epochs"] * 8 * kept["step"] + 6 * kept["record"] == pytest.approx(0.5, rel=0.02)
    again = fit(tmp_path / "run", hours=hours)  # it is done
    assert again.history == first.history
    longer = fit(tmp_path / "run", hours=2 * hours)
    assert longer.settings["epochs"] == pytest.approx(2 * kept["epochs"], abs=1e-3)
    assert longer.history[-1]["step"] == longer.settings["steps"] > first.settings["steps"]
    with pytest.raises(ValueError, match="hours: expected more hours"):
        fit(hours=1e-12)


def test_a_run_of_an_earlier_version_says_so(tmp_path):
    fit(tmp_path / "run")
    config = read_config(tmp_path / "run")
    del config["settings"]["warmup"]
    (tmp_path / "run" / CONFIG).write_text(json.dumps(config))
    version = config["versions"]["hlieconv"]
    with pytest.raises(ValueError, match=rf"earlier version, hlieconv {version}, which knew no settings warmup: go on"):
        fit(tmp_path / "run")
