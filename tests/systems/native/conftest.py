"""Kernels that no test before has made."""

import pytest

from systems.native import build, kernel


@pytest.fixture(autouse=True)
def forgotten(monkeypatch):
    """Nothing is known from the test before."""
    monkeypatch.setattr(kernel, "_known", {})


@pytest.fixture
def quickly(monkeypatch):
    """Without the compiler's optimisations, in a third of its time: they change no bit."""
    monkeypatch.setattr(build, "FLAGS", ("-O0", *build.FLAGS[1:]))
