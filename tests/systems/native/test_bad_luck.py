"""What stops machine code is told in one line, and the integrator goes on without."""

import os
import pkgutil
import subprocess
import sys
import warnings
from pathlib import Path

import pytest
import torch

from systems import AbstractNewtonian, HenonHeiles, PhaseSpace, Springs, simulate
from systems.integrators import RK4, AdaptiveGauss, Leapfrog, Recomputed
from systems.integrators.registry import INTEGRATORS
from systems.integrators.stepping import AbstractStepping
from systems.integrators.torchdiffeq import Torchdiffeq
from systems.native import Compiled, build
from systems.native.compiled import _MachineCode, backend_of

METHODS = {name: pkgutil.resolve_name(target) for name, target in INTEGRATORS.items()}
STEPPING = {
    name: kind
    for name, kind in METHODS.items()
    if issubclass(kind, AbstractStepping) and issubclass(HenonHeiles, kind.requires)
}
TIMES = torch.linspace(0, 1, 5, dtype=torch.float64)


def fallback(integrator, field, state, times=TIMES):
    """The line that is said; the trajectory is the integrator's own."""
    with pytest.warns(UserWarning, match="compile: without machine code") as said:
        found = Compiled(integrator, "on").integrate(field, state, times)
    assert torch.equal(found.q, integrator.integrate(field, state, times).q)
    [line] = [str(warning.message) for warning in said]
    assert "\n" not in line
    return line


class Branching(AbstractNewtonian):
    def potential(self, q):
        return q.square().sum((-2, -1)) if q.sum() > 0 else q.square().square().sum((-2, -1))


class Unknown(AbstractNewtonian):
    def potential(self, q):
        return torch.special.bessel_j0(q).sum((-2, -1))

    def force(self, q):
        return torch.special.bessel_j1(q)


class Hidden(AbstractNewtonian):
    """Uses one value a trajectory that it does not declare."""

    def __init__(self, **values):
        super().__init__(**values)
        self.register_buffer("strength", torch.tensor([1.0, 2.0], dtype=torch.float64))

    def potential(self, q):
        return (self.strength * q.square().sum(-1)).sum(-1)


def state(count=3, bodies=2):
    return PhaseSpace(*torch.rand(2, count, bodies, 2, generator=torch.Generator().manual_seed(0), dtype=torch.float64))


@pytest.mark.parametrize("kind", [Branching, Unknown])
def test_a_field_that_cannot_be_traced(kind):
    field = kind(mass=torch.ones(3, 2, dtype=torch.float64))
    line = fallback(Leapfrog(step=0.1), field, state())
    assert len(line) < 400
    assert ("bessel" if kind is Unknown else "a field that torch cannot trace: ") in line


def test_a_method_without_machine_code_and_other_states():
    field, first = Springs.sample(2, seed=0)
    assert "Torchdiffeq" in fallback(Torchdiffeq(), field, first)


def test_gradients_that_are_torchs():
    field, first = Springs.sample(2, seed=0)
    times = TIMES.clone().requires_grad_()
    for method, what in (
        (AdaptiveGauss(step=0.1), "a gradient through AdaptiveGauss"),
        (RK4(step=0.1), "times or steps"),
    ):
        with pytest.warns(UserWarning, match=f"compile: without machine code, because of .*{what}"):
            end = Compiled(method, "on").integrate(field, first, times)
        [gradient] = torch.autograd.grad(end.q[-1].sum(), times)
        assert gradient.abs().max() > 0


def test_hidden_values_of_each_trajectory_are_noticed():
    """They broadcast against the bodies of one trajectory as if they were values of bodies."""
    field = Hidden(mass=torch.ones(2, 2, dtype=torch.float64))
    with torch.no_grad(), warnings.catch_warnings():
        warnings.simplefilter("ignore")
        first = state(2)
        found = Compiled(Leapfrog(step=0.1), "on").integrate(field, first, TIMES)
    assert torch.equal(found.q, Leapfrog(step=0.1).integrate(field, first, TIMES).q)


@pytest.fixture
def fresh(monkeypatch, tmp_path):
    """An empty cache and no library in memory."""
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path))
    monkeypatch.setattr(build, "_loaded", {})
    return tmp_path


def test_no_compiler(fresh, monkeypatch):
    monkeypatch.setenv("PATH", str(fresh))
    monkeypatch.delenv("CC", raising=False)
    field, first = Springs.sample(2, seed=0)
    assert "no C compiler found" in fallback(Leapfrog(step=0.1), field, first)


@pytest.mark.parametrize("body", ["exit 1", "echo 1.0; [ $# = 1 ] || { echo 'x.c:1: error: broken' >&2; exit 1; }"])
def test_a_broken_compiler(fresh, monkeypatch, body):
    command = fresh / "broken"
    command.write_text(f"#!/bin/sh\n{body}\n")
    command.chmod(0o755)
    monkeypatch.setenv("CC", str(command))
    field, first = Springs.sample(2, seed=0)
    assert "compiler" in fallback(Leapfrog(step=0.1), field, first)
    assert not list(fresh.rglob("*.so"))
    assert not list(fresh.rglob(".building*"))


def test_unknown_modes_are_named():
    with pytest.raises(ValueError, match="compile: expected one of auto, on, off, got 'fast'"):
        Compiled(Leapfrog(), "fast")
    with pytest.raises(ValueError, match="compile"):
        simulate(*Springs.sample(1, seed=0), TIMES, compile="fast")


needs_compiler = pytest.mark.skipif(
    subprocess.run("cc --version || gcc --version", shell=True, capture_output=True).returncode != 0,
    reason="needs a C compiler",
)


@needs_compiler
def test_a_cache_that_cannot_be_written_to(fresh, monkeypatch):
    (fresh / "file").write_text("")
    monkeypatch.setenv("XDG_CACHE_HOME", str(fresh / "file"))
    field, first = Springs.sample(2, seed=0)
    assert backend_of(Compiled(Leapfrog(step=0.1), "on").prepared(field, first, TIMES)) == "native"


@needs_compiler
def test_a_library_that_is_not_whole_is_made_again(fresh, monkeypatch):
    source = "int one(void) { return 1; }"
    assert build.library(source).one() == 1
    [path] = fresh.rglob("*.so")
    monkeypatch.setattr(build, "_loaded", {})
    path.unlink()
    path.write_bytes(b"")
    assert build.library(source).one() == 1


@needs_compiler
def test_two_processes_that_build_at_once(fresh):
    code = "from systems.native.build import library; print(library('int two(void) { return 2; }').two())"
    environment = os.environ | {"PYTHONPATH": str(Path(__file__).parents[3])}
    started = [
        subprocess.Popen([sys.executable, "-c", code], stdout=subprocess.PIPE, env=environment) for _ in range(2)
    ]
    assert [int(process.communicate()[0]) for process in started] == [2, 2]
    assert len(list(fresh.rglob("*.so"))) == 1
    assert not list(fresh.rglob(".building*"))


@needs_compiler
def test_the_backend_is_recorded_and_a_file_keeps_to_it(tmp_path):
    field, first = Springs.sample(3, seed=0, rest_length=0.2)
    path = tmp_path / "springs.nc"
    native = simulate(field, first, TIMES, Leapfrog(step=0.1), compile="on", path=path)
    assert native.attrs["backend"] == "native"
    assert simulate(field, first, TIMES, Leapfrog(step=0.1)).attrs["backend"] == "eager"
    again = simulate(field, first, TIMES, Leapfrog(step=0.1), compile="on", path=path)
    assert again.attrs["configuration"] == native.attrs["configuration"]
    with pytest.raises(ValueError, match="different backend"):
        simulate(field, first, TIMES, Leapfrog(step=0.1), compile="off", path=path)


@needs_compiler
@pytest.mark.parametrize("name", STEPPING)
def test_each_stepping_method_has_the_word(name, monkeypatch):
    """Machine code takes the steps that say on; simulate's auto leaves the word to them, and its off is the last."""
    kind, runs = STEPPING[name], []
    monkeypatch.setattr(_MachineCode, "_run", lambda self, *given: runs.append(name) or kernel_run(self, *given))
    field, first = HenonHeiles.sample(2, seed=0)
    times = TIMES[:2]
    expected = kind(step=0.1, compile="off").integrate(field, first, times)
    assert not runs
    for method in (kind(step=0.1, compile="on"), Recomputed(kind(step=0.1, compile="on"))):
        torch.testing.assert_close(method.integrate(field, first, times), expected, rtol=1e-12, atol=1e-13)
    assert runs == [name, name]
    assert simulate(field, first, times, kind(step=0.1, compile="on")).attrs["backend"] == "native"
    runs.clear()
    assert simulate(field, first, times, kind(step=0.1, compile="on"), compile="off").attrs["backend"] == "eager"
    kind(step=0.1).integrate(field, first, times)  # auto: too little for a compiler
    assert not runs
    with pytest.raises(ValueError, match="compile: expected one of auto, on, off, got 'fast'"):
        kind(compile="fast")


kernel_run = _MachineCode._run
