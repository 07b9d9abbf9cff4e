"""Fixtures that every test shares."""

import pytest
import torch

torch.set_num_threads(1)  # pytest-xdist already uses every core


@pytest.fixture(params=[torch.float32, torch.float64], ids=["float32", "float64"])
def dtype(request):
    return request.param


@pytest.fixture
def generator():
    return torch.Generator().manual_seed(0)
