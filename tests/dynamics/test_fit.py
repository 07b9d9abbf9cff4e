"""fit: the recipe end to end, on networks of a few weights."""

import copy
import json
import subprocess
import sys
from dataclasses import asdict
from pathlib import Path

import numpy as np
import pytest
import torch
from small import Small, small, springs

from hlieconv.dynamics import fit, load
from hlieconv.dynamics.settings import Settings, settings
from systems.integrators import Leapfrog

DATA = springs()[1]


def quick(model, data=DATA, **changes):
    changes = {"optimiser": "adam", "steps": 40, "learning_rate": 1e-2} | changes
    return fit(model, data, progress=False, **changes)


def assert_same_bits(model, other):
    for (name, a), b in zip(model.state_dict().items(), other.state_dict().values(), strict=True):
        assert torch.equal(a, b), name


@pytest.mark.parametrize("optimiser", ["adam", "soap"])
def test_the_loss_falls(optimiser, dtype):
    model = small(dtype=str(dtype).removeprefix("torch."))
    data = springs(count=40)[1]
    history = quick(model, data, optimiser=optimiser, steps=300, learning_rate=3e-2, validation=0.25).history
    assert history[-1]["loss"] < 0.5 * history[0]["loss"]
    assert history[-1]["validation"] < 0.5 * history[0]["validation"]
    assert history[-1]["step"] == 300


def test_masked_bodies_train_nothing():
    """A masked body may hold anything, in the data too."""
    _, data = springs(bodies=(2, 4))
    other = data.copy(deep=True)
    for name in ("q", "p", "mass", "stiffness"):
        other[name] = other[name].fillna(7.0)
    first, second = quick(small(), data), quick(small(), other)
    assert first.history[-1]["loss"] == second.history[-1]["loss"]
    assert_same_bits(first.model, second.model)


def test_a_run_is_done_once(tmp_path):
    first = quick(small(), path=tmp_path / "run")
    again = quick(small(seed=1), path=tmp_path / "run")
    assert again.history == first.history
    for model in (again.model, load(tmp_path / "run", model=Small)):
        assert isinstance(model, Small)
        assert model.width == 8
        assert_same_bits(first.model, model)
    assert {file.name for file in (tmp_path / "run").iterdir()} == {
        "checkpoint.safetensors",
        "config.json",
        "metrics.jsonl",
        "model.safetensors",
    }


def test_a_stopped_fit_goes_on_with_the_same_bits(tmp_path, monkeypatch):
    whole = quick(small(), checkpoint_steps=10)
    with monkeypatch.context() as patch:
        forward, calls = Small.condition, iter(range(25))
        patch.setattr(Small, "condition", lambda *args: forward(*args) if next(calls, None) is not None else 1 / 0)
        with pytest.raises(ZeroDivisionError):
            quick(small(), path=tmp_path, checkpoint_steps=10)
    resumed = quick(small(seed=1), path=tmp_path, checkpoint_steps=10)
    assert_same_bits(whole.model, resumed.model)


def test_a_compiled_fit_is_eager_and_goes_on_with_the_same_bits_after_a_kill(tmp_path):
    """In a process of its own: the compiler does not understand the tests' type checks."""
    script = Path(__file__).with_name("compiled_fit.py")
    done = subprocess.run([sys.executable, script, tmp_path], capture_output=True, text=True, cwd=script.parents[2])
    assert done.returncode == 0, done.stderr


def test_another_run_is_not_overwritten_by_accident(tmp_path):
    quick(small(), path=tmp_path)
    for changes, words in [
        ({"learning_rate": 2e-2}, "learning_rate was 0.01, is 0.02"),
        ({"seed": 1}, "seed was 0, is 1"),
    ]:
        with pytest.raises(ValueError, match=words):
            quick(small(), path=tmp_path, **changes)
    with pytest.raises(ValueError, match="sha256"):
        quick(small(), springs(points=5)[1], path=tmp_path)
    quick(small(), path=tmp_path, seed=1, overwrite=True)
    assert json.loads((tmp_path / "config.json").read_text())["settings"]["seed"] == 1


def test_a_model_that_was_trained_elsewhere_does_not_become_that_of_a_finished_run(tmp_path):
    first = quick(small(), path=tmp_path / "run").model
    quick(first, path=tmp_path / "run")  # the same cell of a notebook again
    other = quick(small(seed=1)).model
    other.frame.load_state_dict(first.frame.state_dict())
    with pytest.raises(ValueError, match="finished run of a model with other weights than this one"):
        quick(other, path=tmp_path / "run")
    further = quick(copy.deepcopy(other), path=tmp_path / "further").model
    assert_same_bits(quick(other, path=tmp_path / "further").model, further)  # the same script again
    longer = quick(first, path=tmp_path / "run", steps=50)
    assert longer.history[-1]["step"] == 50


def test_a_folder_with_other_things_is_left_alone(tmp_path):
    (tmp_path / "thesis.tex").write_text("unsaved")
    with pytest.raises(ValueError, match="found other files"):
        quick(small(), path=tmp_path, overwrite=True)


@pytest.mark.parametrize("name", ["config.json", "model.safetensors"])
@pytest.mark.parametrize("damage", [b"", b"{}", "half"])
def test_a_damaged_run_is_named(tmp_path, name, damage):
    quick(small(), path=tmp_path)
    file = tmp_path / name
    content = file.read_bytes()
    file.write_bytes(content[: len(content) // 2] if damage == "half" else damage)
    with pytest.raises(ValueError, match=name.replace(".", r"\.")):
        load(tmp_path, model=Small)


@pytest.mark.parametrize("damage", [b"", b"{}", "half"])
def test_a_damaged_checkpoint_is_set_aside(tmp_path, damage):
    """And the training begins again, with the bits of one that was never disturbed."""
    with pytest.raises(ZeroDivisionError):
        quick(Broken(10), path=tmp_path, checkpoint_steps=5)
    file = tmp_path / "checkpoint.safetensors"
    content = file.read_bytes()
    file.write_bytes(content[: len(content) // 2] if damage == "half" else damage)
    with pytest.warns(UserWarning, match=r"checkpoint\.safetensors: .* begins again"):
        fitted = quick(Broken(10**9), path=tmp_path, checkpoint_steps=5)
    assert_same_bits(fitted.model, quick(Broken(10**9)).model)


class Broken(Small):
    """A model that fails after so many conditionings."""

    def __init__(self, after):
        with torch.random.fork_rng():
            torch.manual_seed(0)
            super().__init__()
        self.after, self.count = after, 0

    @property
    def config(self):
        return {}  # the same run, wherever it breaks

    def condition(self, features, mask=None):
        self.count += 1
        return super().condition(features, mask) if self.count <= self.after else 1 / 0


def test_a_run_that_is_not_finished_says_so(tmp_path):
    with pytest.raises(ZeroDivisionError):
        quick(Broken(3), path=tmp_path)
    with pytest.raises(ValueError, match="not finished"):
        load(tmp_path)
    with pytest.raises(ValueError, match="not a run"):
        load(tmp_path / "nowhere")


def test_a_model_that_cannot_be_imported_is_named(tmp_path):
    quick(small(), path=tmp_path)
    file = tmp_path / "config.json"
    file.write_text(file.read_text().replace("small:Small", "their_module:Model"))
    with pytest.raises(ValueError, match="their_module:Model: cannot be imported"):
        load(tmp_path, trust_code=True)


@pytest.mark.parametrize(
    ("changes", "words"),
    [
        ({"loss": "magic"}, "loss: expected one of force_matching, rollout"),
        ({"optimiser": "sgd"}, "optimiser: expected one of soap, adam"),
        ({"preset": "worst"}, "preset: expected one of best, paper"),
        ({"steps": 0}, "steps: expected a whole number from 1"),
        ({"validation": 1.0}, "validation: expected a number from 0 to 0.9"),
        ({"learning_rate": float("nan")}, "learning_rate: expected a number"),
        ({"chunk": 10}, "chunk: expected at most the 9 points"),
        ({"width": 3}, "no setting width: its settings are loss"),
        (
            {"integrator": Leapfrog(step=0.5)},
            r"expected its name here, as in fit\(..., integrator='leapfrog', step=0.5\)",
        ),
        ({"integrator": Leapfrog}, r"expected its name here, as in fit\(..., integrator='leapfrog'\), got <class"),
    ],
)
def test_bad_settings_are_named(changes, words):
    with pytest.raises(ValueError, match=words):
        quick(small(), **changes)


def test_bad_data_are_named():
    with pytest.raises(ValueError, match="missing stiffness"):
        quick(small(), DATA.drop_vars("stiffness"))
    with pytest.raises(ValueError, match="q: expected a variable"):
        quick(small(), DATA.drop_vars("q"))
    gaps = DATA.copy(deep=True)
    gaps.q[:, ::4] = float("nan")
    with pytest.raises(ValueError, match="without a gap"):
        quick(small(), gaps)
    hidden = DATA.copy(deep=True)
    hidden.q[:, :, 1] = float("nan")
    with pytest.raises(ValueError, match="found none: q of body 1 is NaN at all times; from_arrays"):
        quick(small(), hidden)
    with pytest.raises(ValueError, match="found none: p is NaN at all times"):
        quick(small(), DATA.assign(p=DATA.p * float("nan")))
    gaps.q[:] = float("nan")
    with pytest.raises(ValueError, match="dataset: expected bodies that were seen at some time, got 'NaN everywhere'"):
        quick(small(), gaps)
    with pytest.raises(ValueError, match="q: expected finite values, or NaN where a body was not seen, got infinity"):
        quick(small(), gaps.assign(q=gaps.q.fillna(np.inf)))
    with pytest.raises(ValueError, match="mask: expected a body that exists, got False for all"):
        quick(small(), DATA.assign(mask=DATA.mask & False))
    with pytest.raises(ValueError, match="validation: chunk: expected at most the 3 points of a trajectory, got 5"):
        quick(small(), DATA, validation=DATA.isel(time=slice(3)))
    with pytest.raises(ValueError, match="dataset: expected points at two times at least, got '1 of each trajectory'"):
        quick(small(), DATA.isel(time=[0]))


def test_the_paper_preset_is_the_paper():
    expected = {
        "loss": "rollout",
        "integrator": "rk4",
        "chunk": 5,
        "chunks": 1,
        "optimiser": "adam",
        "learning_rate": 1e-3,
        "batch": 200,
        "weight_average": 0.0,
    }
    assert expected.items() <= asdict(settings("paper", 3000, "hlieconv", "T2")).items()
    assert settings("paper", 3000).steps == 58 * 15  # sqrt(1e7 / 3000) epochs of 3000 / 200 steps
    assert settings("paper", 96000).steps == 10 * 480
    assert (settings("paper", 10).steps, settings("paper", 10).batch) == (1000, 10)
    assert settings("paper", 3000, "hlieconv", "SO2").learning_rate == 3e-4
    assert settings("paper", 3000, "hfc").learning_rate == 1e-2
    assert settings("paper", 3000, steps=5).steps == 5
    assert settings("best", 3000) == Settings()
