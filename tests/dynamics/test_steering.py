"""Validation, early stopping, and trainings that go on."""

import json

import numpy as np
import pytest
import torch
from small import Small, small, springs

from hlieconv.dynamics import fit, load
from hlieconv.models import HLieConv
from hlieconv.training.run import progress_of

DATA = springs(count=10)[1]
OTHER = springs(count=3, points=13)[1]


def quick(model, data=DATA, **changes):
    changes = {"optimiser": "adam", "steps": 20, "learning_rate": 1e-2, "batch": 4} | changes
    return fit(model, data, progress=False, **changes)


def assert_same_bits(model, other):
    for (name, a), b in zip(model.state_dict().items(), other.state_dict().values(), strict=True):
        assert torch.equal(a, b), name


@pytest.mark.parametrize("optimiser", ["adam", "soap"])
def test_a_finished_run_goes_on_with_more_steps(tmp_path, monkeypatch, optimiser):
    """The scales stay; a kill costs the steps since the last checkpoint, and no bit."""
    first = quick(small(), path=tmp_path / "a", optimiser=optimiser)
    kept = {name: value.clone() for name, value in first.model.state_dict().items() if "frame" in name}
    quick(small(), path=tmp_path / "b", optimiser=optimiser)
    longer = quick(small(seed=1), path=tmp_path / "a", steps=60, optimiser=optimiser)
    assert [record["step"] for record in longer.history][-1] == 60
    assert longer.history[: len(first.history)] == first.history
    assert all(torch.equal(longer.model.state_dict()[name], value) for name, value in kept.items())
    rates = [record["learning_rate"] for record in longer.history[len(first.history) :]]
    assert rates == sorted(rates, reverse=True)
    assert rates[0] > 5 * first.history[-1]["learning_rate"]  # the schedule of 60 steps
    forward, calls = Small.condition, iter(range(30))
    with monkeypatch.context() as patch:
        patch.setattr(Small, "condition", lambda *args: forward(*args) if next(calls, None) is not None else 1 / 0)
        with pytest.raises(ZeroDivisionError):
            quick(small(), path=tmp_path / "b", steps=60, optimiser=optimiser, checkpoint_steps=7)
    assert progress_of(tmp_path / "b")["state"].startswith("begun")
    assert_same_bits(quick(small(), path=tmp_path / "b", steps=60, optimiser=optimiser).model, longer.model)
    with pytest.raises(ValueError, match=r"steps was 60, is 20.*may have more steps, but not fewer"):
        quick(small(), path=tmp_path / "b", optimiser=optimiser)


def test_a_run_without_its_checkpoint_does_not_go_on(tmp_path):
    quick(small(), path=tmp_path)
    (tmp_path / "checkpoint.safetensors").unlink()
    assert quick(small(), path=tmp_path).history[-1]["step"] == 20
    with pytest.raises(ValueError, match=r"a finished run without checkpoint.safetensors"):
        quick(small(), path=tmp_path, steps=60)
    assert_same_bits(load(tmp_path, model=Small), quick(small(), path=tmp_path).model)


def test_patience_ends_with_the_best_weights(tmp_path):
    """With a learning rate that throws the weights about, some record is better than the last ones."""
    options = {"learning_rate": 0.3, "steps": 400, "patience": 3, "validation": OTHER}
    fitted = quick(small(), path=tmp_path, **options)
    values = [record["validation"] for record in fitted.history]
    assert len(values) - 1 - values.index(min(values)) == 3
    assert fitted.history[-1]["step"] < 400
    assert progress_of(tmp_path)["state"] == "done"
    assert_same_bits(load(tmp_path, model=Small), fitted.model)
    shorter = quick(small(), **options | {"patience": 0})
    assert shorter.history[values.index(min(values))]["validation"] == min(values)


def test_validation_on_other_trajectories(tmp_path):
    """They train nothing, they may be longer, and they belong to what a run is."""
    first = quick(small(), path=tmp_path, validation=OTHER)
    plain = quick(small(), validation=0.0)
    assert_same_bits(first.model, plain.model)
    assert "validation" in first.history[-1]
    with pytest.raises(ValueError, match="validation was"):
        quick(small(), path=tmp_path, validation=OTHER.isel(trajectory=[0, 1]))
    assert json.loads((tmp_path / "config.json").read_text())["settings"]["validation"] == 0


@pytest.mark.parametrize(
    ("changes", "words"),
    [
        ({"patience": 2, "validation": 0.0}, "patience: expected 0, as nothing is held out"),
        ({"validation": 0.09}, "validation: expected at least 12 trajectories, of which 0.09 are held out, got 10"),
        ({"validation": springs(bodies=4)[1]}, "validation: expected 3 bodies in 2 dimensions, as in dataset, got '4"),
        ({"validation": OTHER.drop_vars("stiffness")}, "validation: expected all variables .*, got 'none of stiffness"),
        ({"validation": OTHER.isel(space=[0])}, "validation: expected 3 bodies in 2 dimensions"),
        (
            {"validation": OTHER.assign(q=OTHER.q.assign_attrs(units="km"))},
            "validation: expected q in 1, as in dataset, got 'q in km",
        ),
    ],
)
def test_bad_validation_is_an_error_before_any_work(tmp_path, changes, words):
    with pytest.raises(ValueError, match=words):
        quick(small(), path=tmp_path / "run", **changes)
    assert not (tmp_path / "run").exists()


def test_a_model_tuned_on_other_data_keeps_its_scales(tmp_path):
    torch.manual_seed(0)
    model = HLieConv.of(DATA, width=8, blocks=1)
    quick(model, path=tmp_path / "run")
    before = {name: value.clone() for name, value in load(tmp_path / "run").state_dict().items()}
    other = springs(count=10, spacing=0.1)[1]
    tuned = quick(load(tmp_path / "run"), other, path=tmp_path / "tuned").model.state_dict()
    weights = {name for name, _ in model.named_parameters()}
    assert all(torch.equal(tuned[name], value) for name, value in before.items() if name not in weights)
    assert not all(torch.equal(tuned[name], before[name]) for name in weights)
    anew = quick(load(tmp_path / "run"), other, recalibrate=True).model.state_dict()
    assert not all(torch.equal(anew[name], before[name]) for name in before.keys() - weights)


def test_the_modes_of_torch_around_a_training_change_nothing():
    plain = quick(small()).history[-1]["loss"]
    for mode in (torch.inference_mode, torch.no_grad, lambda: torch.autocast("cpu", torch.bfloat16)):
        model = small()
        with mode():
            assert quick(model).history[-1]["loss"] == plain


def test_numbers_of_arrays_are_numbers(tmp_path):
    """A loop over widths, steps and learning rates, kept in a folder."""
    for steps, width, rate in zip(np.array([3]), np.array([8]), np.float32([0.25]), strict=True):
        model = quick(small(width=width), steps=steps, learning_rate=rate, batch=np.int32(4), path=tmp_path / "run")
    settings = json.loads((tmp_path / "run" / "config.json").read_text())["settings"]
    assert (settings["steps"], settings["learning_rate"], model.settings.batch) == (3, 0.25, 4)
    assert_same_bits(load(tmp_path / "run", model=Small), model.model)


def test_data_turned_round(tmp_path):
    """Selections that only change how an array is looked at."""
    turned = DATA.isel(body=slice(None, None, -1), trajectory=slice(None, None, -1))
    copied = turned.copy(deep=True)
    assert turned["q"].values.strides != copied["q"].values.strides
    assert_same_bits(quick(small(), turned).model, quick(small(), copied).model)
