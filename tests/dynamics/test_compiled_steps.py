"""A known system is fitted by steps in machine code: the same values, where the counts of the whole training pay."""

import shutil

import pytest
import torch

from hlieconv import fit
from systems import Springs, simulate
from systems.native import compiled, kernel

pytestmark = pytest.mark.skipif(not any(map(shutil.which, ("cc", "gcc", "clang"))), reason="needs a C compiler")
TIMES = torch.linspace(0, 0.8, 9, dtype=torch.float64)


@pytest.fixture(scope="module")
def data():
    system, state = Springs.sample(4, seed=0, bodies=3, rest_length=0.3)
    return system, simulate(system, state, TIMES)


@pytest.fixture
def native(monkeypatch):
    """How many calls there were of machine code, forth and back."""
    calls = []
    monkeypatch.setattr(kernel, "shared", lambda *a: calls.append(a[1]) or SHARED(*a))
    return calls


SHARED = kernel.shared


def fitted(data, steps, mode):
    system, dataset = data
    guess = Springs(mass=system.mass, stiffness=1.2 * system.stiffness, rest_length=0.3, trainable=["stiffness"])
    options = {"chunk": 5, "segment": 2, "batch": 2, "step": 0.05, "optimiser": "adam", "learning_rate": 0.02}
    fit(
        guess,
        dataset,
        loss="multiple_shooting",
        integrator="leapfrog",
        steps=steps,
        compile=mode,
        validation=0.0,
        progress=False,
        **options,
    )
    return guess.stiffness.detach()


def test_the_same_values_by_machine_code(data, native):
    by_torch = fitted(data, 6, "off")
    assert not native
    by_machine_code = fitted(data, 6, "on")
    assert native.count("back") == 6
    assert (by_torch - 1.2 * data[0].stiffness).abs().max() > 1e-2
    torch.testing.assert_close(by_machine_code, by_torch, rtol=1e-9, atol=0)


def test_auto_counts_the_whole_training(data, native, monkeypatch):
    monkeypatch.setattr(compiled, "_WORTH", 5_000_000)  # a batch of two, two intervals of two steps: about 1e5
    fitted(data, 3, "auto")
    assert not native
    fitted(data, 100, "auto")
    assert native.count("back") == 100
