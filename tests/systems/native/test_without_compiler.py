"""Without a C compiler everything works as before, and one line says so."""

import warnings

import pytest
import torch

import systems
from systems import PhaseSpace, Springs, simulate
from systems.integrators import Leapfrog, Recomputed
from systems.native import build
from systems.registry import SYSTEMS

TIMES = torch.linspace(0, 0.1, 3, dtype=torch.float64)


@pytest.fixture(autouse=True)
def nowhere(monkeypatch, tmp_path):
    """CC names no program."""
    monkeypatch.setenv("CC", str(tmp_path / "nothing"))
    monkeypatch.setattr(build, "_loaded", {})


@pytest.mark.parametrize("name", SYSTEMS)
def test_every_system_is_simulated_by_torch(name):
    field, state = getattr(systems, SYSTEMS[name].partition(":")[2]).sample(2, seed=0)
    method = None if field.has_closed_form else "adaptive_gauss"
    with warnings.catch_warnings(record=True) as said:
        warnings.simplefilter("always")
        on = simulate(field, state, TIMES, method, compile="on")
    lines = [str(x.message) for x in said if "machine code" in str(x.message)]
    assert on.attrs["backend"] == "eager"
    if method is not None:
        assert len(lines) == 1
        assert "no C compiler found" in lines[0] or "jumps" in lines[0]
        off = simulate(field, state, TIMES, method, compile="off")
        assert on.q.equals(off.q)
        assert on.attrs["configuration"] == off.attrs["configuration"]


def test_gradients_are_torchs():
    system, state = Springs.sample(2, seed=0, rest_length=0.2)
    field = Springs(mass=system.mass, stiffness=system.stiffness, rest_length=0.2, trainable=["stiffness"])
    found = []
    for method in (Leapfrog(step=0.05, compile="on"), Recomputed(Leapfrog(step=0.05, compile="on"))):
        with pytest.warns(UserWarning, match="no C compiler found"):
            path = method.integrate(field, PhaseSpace(*state), TIMES)
        found += torch.autograd.grad(path.q.square().sum(), field.stiffness)
    for other in found[1:]:
        torch.testing.assert_close(other, found[0], rtol=1e-10, atol=0)
