"""The loop knows no physics: a regression with random dropout stands for images, molecules and trajectories."""

import json
import math
import os
import signal
import warnings
from itertools import pairwise

import pytest
import torch
from torch import nn

from hlieconv.training import Run, Shuffle, train
from hlieconv.training.checkpoint import restore, save
from hlieconv.training.interruption import SIGNALS, interruptible
from hlieconv.training.optimisers import Average, cosine
from hlieconv.training.run import read_metrics

STEPS, LAST = 60, 43
CONFIG = {"model": {"name": "regression", "config": {}}}
INPUTS = torch.linspace(-1, 1, 50)[:, None]
TARGETS = torch.sin(3 * INPUTS)


def network():
    with torch.random.fork_rng():
        torch.manual_seed(0)
        return nn.Sequential(nn.Linear(1, 8), nn.BatchNorm1d(8), nn.Tanh(), nn.Dropout(0.2), nn.Linear(8, 1))


def loss(model, index):
    return (model(INPUTS[index]) - TARGETS[index]).square().mean()


def regress(model, run=None, loss=loss, optimiser="adam", **settings):
    settings = {"learning_rate": 1e-2, "weight_average": 0.9, "checkpoint_steps": 7, "records": 20} | settings
    batches = Shuffle(len(INPUTS), 16, seed=3)
    return train(model, loss, batches, steps=STEPS, optimiser=optimiser, run=run, progress=False, **settings)


def assert_same_bits(model, other):
    for (name, a), b in zip(model.state_dict().items(), other.state_dict().values(), strict=True):
        assert torch.equal(a, b), name


class Stop(Exception):
    pass


def until(step, action):
    """The loss, until it is asked once more after so many steps."""
    asked = iter(range(step))

    def stopping(model, index):
        if next(asked, None) is None:
            action()
        return loss(model, index)

    return stopping


def stop():
    raise Stop


def killed():
    os.kill(os.getpid(), signal.SIGKILL)


@pytest.mark.parametrize("optimiser", ["adam", "soap"])
def test_a_stopped_training_goes_on_with_the_same_bits(tmp_path, optimiser):
    whole, resumed = network(), network()
    history = regress(whole, optimiser=optimiser, validate=lambda model: loss(model, slice(None)))
    for step in (5, LAST):  # before the first checkpoint, and between two
        with pytest.raises(Stop):
            regress(network(), Run(tmp_path, CONFIG), until(step, stop), optimiser)
    run = Run(tmp_path, CONFIG)
    assert run.checkpoint()["step"] == 42
    assert regress(resumed, run, until(STEPS - 42, stop), optimiser)[-1]["step"] == STEPS
    assert_same_bits(whole, resumed)
    recorded = [json.loads(line) for line in (tmp_path / "metrics.jsonl").read_text().splitlines()]
    assert [(row["step"], row["loss"]) for row in recorded] == [(row["step"], row["loss"]) for row in history]


def by_weights(model):
    """How far a weight is from where it has been on the way."""
    return (model[-1].bias - TURN).abs().sum()


TURN = 0.02


def test_patience_ends_with_the_best_weights_after_a_stop_too(tmp_path):
    whole, resumed, asked = network(), network(), []

    def validate(model):
        asked.append({name: value.clone() for name, value in model.state_dict().items()})
        return by_weights(model)

    history = regress(whole, validate=validate, patience=3, learning_rate=3e-2)
    values = [record["validation"] for record in history]
    best = values.index(min(values))
    assert 0 < best == len(values) - 4  # it ended early, three records later
    for name, value in whole.state_dict().items():
        assert torch.equal(value, asked[best][name]), name
    stopped = history[best]["step"] + 5
    with pytest.raises(Stop):
        regress(
            network(), Run(tmp_path, CONFIG), until(stopped, stop), validate=by_weights, patience=3, learning_rate=3e-2
        )
    regress(resumed, Run(tmp_path, CONFIG), validate=by_weights, patience=3, learning_rate=3e-2)
    assert_same_bits(whole, resumed)
    with pytest.raises(ValueError, match="patience: expected 0, as nothing is held out"):
        regress(network(), patience=3)


def test_a_killed_training_goes_on_with_the_same_bits(tmp_path):
    child = os.fork()
    if child == 0:
        regress(network(), Run(tmp_path, CONFIG), until(LAST, killed))
        os._exit(0)
    _, status = os.waitpid(child, 0)
    assert os.WIFSIGNALED(status)
    whole, resumed = network(), network()
    regress(whole)
    regress(resumed, Run(tmp_path, CONFIG))
    assert_same_bits(whole, resumed)


@pytest.mark.parametrize("number", SIGNALS)
def test_a_signal_ends_a_training_with_a_checkpoint(tmp_path, number):
    """Between two steps, and what goes on from there has the bits of one that was never disturbed."""
    with interruptible(), pytest.raises(KeyboardInterrupt):
        regress(
            network(),
            Run(tmp_path, CONFIG),
            until(LAST, lambda: os.kill(os.getpid(), number)),
            checkpoint_steps=None,
        )
    assert Run(tmp_path, CONFIG).checkpoint()["step"] == LAST + 1
    whole, resumed = network(), network()
    regress(whole)
    regress(resumed, Run(tmp_path, CONFIG))
    assert_same_bits(whole, resumed)


@pytest.mark.parametrize("lost", [0, 2, -1, None], ids=["the first", "one between", "the last", "all"])
def test_records_that_were_lost_are_those_of_the_checkpoint(tmp_path, lost):
    history = regress(network(), Run(tmp_path, CONFIG))
    file = tmp_path / "metrics.jsonl"
    lines = file.read_text().splitlines(keepends=True)
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        assert read_metrics(tmp_path) == history
    file.write_text("" if lost is None else "".join(line for line in lines if line != lines[lost]))
    with pytest.warns(UserWarning, match="records were lost or changed: they are those of checkpoint"):
        assert read_metrics(tmp_path) == history


def test_a_checkpoint_keeps_layout_and_alignment(tmp_path):
    """Products of other layouts, or of memory that begins elsewhere, may round differently."""
    tree = [torch.randn(3, 5).T, torch.randn(2, 3, 4).permute(1, 2, 0), torch.tensor(1.0), torch.randn(7)]
    save(tmp_path / "file", {"any length: " + "x" * length: tree for length in range(8)})
    for kept in restore(tmp_path / "file").values():
        for tensor, before in zip(kept, tree, strict=True):
            assert torch.equal(tensor, before)
            assert tensor.stride() == before.stride()
            assert tensor.data_ptr() % 64 == 0


def test_a_checkpoint_makes_no_difference(tmp_path):
    plain, kept = network(), network()
    regress(plain, checkpoint_steps=None)
    regress(kept, Run(tmp_path, CONFIG), checkpoint_steps=1)
    assert_same_bits(plain, kept)


def test_a_checkpoint_is_written_when_its_time_has_come(tmp_path):
    regress(network(), Run(tmp_path, CONFIG), checkpoint_steps=None, checkpoint_seconds=0.0)
    assert Run(tmp_path, CONFIG).checkpoint()["step"] == STEPS


def test_divergence_ends_with_the_last_good_weights(tmp_path):
    asked = iter(range(STEPS))

    def diverging(model, index):
        return loss(model, index) / (1.0 if next(asked) < 50 else 0.0)

    model = network()
    with pytest.warns(RuntimeWarning, match=r"not finite at step 51: .* of step 49"):
        history = regress(model, Run(tmp_path, CONFIG), diverging)
    kept = Run(tmp_path, CONFIG).checkpoint()
    assert (history[-1]["step"], kept["step"]) == (48, 49)
    for parameter, weight in zip(model.parameters(), kept["average"], strict=True):
        assert torch.equal(parameter, weight)


def test_batches_cover_an_epoch_and_depend_on_the_step_alone():
    batches = Shuffle(10, 3, seed=0)
    first = [batches(step) for step in range(6)]
    assert len(torch.cat(first[:3]).unique()) == 9
    assert not torch.equal(torch.cat(first[:3]), torch.cat(first[3:]))
    again = Shuffle(10, 3, seed=0)
    assert all(torch.equal(again(step), first[step]) for step in reversed(range(6)))
    assert not torch.equal(Shuffle(10, 3, seed=1)(0), first[0])


def test_the_learning_rate_rises_and_falls():
    rates = [cosine(step, 100, warmup=0.1) for step in range(101)]
    assert max(rates) == rates[10] == 1.0
    assert 0 < rates[0] < rates[5] < 1
    assert rates[55] == pytest.approx(0.5)
    assert rates[100] == pytest.approx(0, abs=1e-12)
    assert all(a > b for a, b in pairwise(rates[10:]))


def test_the_average_is_the_exponential_one():
    model = nn.Linear(1, 1, bias=False)
    average = Average(model, 0.5)
    start = average.weights[0].item()
    expected, values = start, [1.0, -2.0, 4.0, 3.0]
    for step, value in enumerate(values):
        nn.init.constant_(model.weight, value)
        average.update(step)
        decay = min(0.5, (1 + step) / (10 + step))
        expected = decay * expected + (1 - decay) * value
    average.swap()
    assert model.weight.item() == pytest.approx(expected, rel=1e-6)
    average.swap()
    assert model.weight.item() == values[-1]


def test_nothing_to_train_is_an_error():
    with pytest.raises(ValueError, match="nothing to train"):
        regress(network().requires_grad_(False))


def test_the_global_generator_is_left_alone():
    before = torch.get_rng_state()
    regress(network())
    assert torch.equal(before, torch.get_rng_state())
    assert math.isfinite(torch.rand(()).item())


@pytest.mark.parametrize("ending", [KeyboardInterrupt, ZeroDivisionError])
@pytest.mark.parametrize("where", ["record", "validation"])
def test_a_training_that_is_ended_leaves_a_model_to_use(ending, where):
    """In evaluation mode, with the average of its weights: as one that ends there by itself."""

    def end(*_):
        raise ending

    model, whole = network(), network()
    validate = end if where == "validation" else None
    options = {"records": 1, "weight_average": 0.9}
    with pytest.raises(ending):
        regress(model, validate=validate, on_record=None if validate else end, **options)
    regress(whole, **options)
    assert not model.training
    for found, truth in zip(model.parameters(), whole.parameters(), strict=True):
        assert torch.equal(found, truth)
