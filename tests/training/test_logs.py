"""Where records go: a callback, a table, TensorBoard."""

import sys
import types

import pytest
import torch
from torch import nn

from hlieconv.plots import plot_learning_curve
from hlieconv.training import Run, Shuffle, TensorBoard, train

INPUTS = torch.linspace(-1, 1, 8)[:, None]


def regress(**options):
    def loss(model, index):
        return (model(INPUTS[index]) - INPUTS[index]).square().mean()

    return train(nn.Linear(1, 1), loss, Shuffle(8, 4, seed=0), steps=20, records=5, progress=False, **options)


def test_every_record_is_passed_on_and_drawn_from_its_folder(tmp_path):
    seen = []
    run = Run(tmp_path, {"model": {"name": "regression", "config": {}}})
    history = regress(on_record=seen.append, run=run)
    assert seen == history
    drawn = plot_learning_curve(tmp_path).get_lines()[0]
    assert [*drawn.get_xdata()] == [record["step"] for record in history]
    assert [*drawn.get_ydata()] == [record["loss"] for record in history]
    with pytest.raises(ValueError, match="source: expected records"):
        plot_learning_curve([])


def test_what_a_callback_raises_ends_the_training():
    with pytest.raises(ZeroDivisionError):
        regress(on_record=lambda record: 1 / 0)


def test_tensorboard_gets_the_numbers_or_names_its_extra(tmp_path, monkeypatch):
    written = []

    class Writer:
        def __init__(self, folder):
            self.folder = folder

        def add_scalar(self, *arguments):
            written.append(arguments)

        def flush(self):
            pass

    name = "torch.utils.tensorboard.writer"
    monkeypatch.setitem(sys.modules, "torch.utils.tensorboard", types.ModuleType("torch.utils.tensorboard"))
    monkeypatch.setitem(sys.modules, name, types.SimpleNamespace(SummaryWriter=Writer))
    history = regress(on_record=TensorBoard(tmp_path))
    assert [(value, step) for key, value, step in written if key == "loss"] == [
        (record["loss"], record["step"]) for record in history
    ]
    monkeypatch.setitem(sys.modules, name, None)
    with pytest.raises(ValueError, match=r"hlieconv\[tensorboard\]"):
        TensorBoard(tmp_path)
