"""A device is one that torch can use here."""

import pytest
import torch

from hlieconv.training.device import device_named


def test_auto_is_a_device_that_there_is():
    assert torch.empty(1, device=device_named("auto")).device.type in ("cpu", "cuda")


@pytest.mark.parametrize("name", ["gpu", "cuda:99", ""])
def test_others_are_named(name):
    with pytest.raises(ValueError, match="device: expected one that torch can use here"):
        device_named(name)


def test_a_process_has_chosen_its_gpu_before_anything_is_on_one(monkeypatch):
    """Else the model of the second process is on the first GPU, and its data on the second."""
    order = []
    monkeypatch.setattr("hlieconv.training.device.ranks", lambda: order.append("ranks"))
    monkeypatch.setattr(torch, "empty", lambda *size, device: order.append(device) or torch.zeros(*size))
    device_named("cuda")
    assert order == ["ranks", "cuda"]
