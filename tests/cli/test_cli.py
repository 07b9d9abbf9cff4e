"""The commands on trajectories: simulate, import, info; what a terminal, a closed pipe and an interruption see."""

import json
import os
import signal
import subprocess
import sys

import numpy as np
import pytest
import torch
import xarray as xr

import systems
from hlieconv import cli
from hlieconv.cli import signature
from hlieconv.training.interruption import SIGNALS
from systems.registry import COMPOSED

FEW = ["--count", "2", "--points", "4"]


@pytest.mark.parametrize("name", systems.SYSTEMS)
def test_options_of_a_system_are_those_of_its_sample(name):
    import inspect

    kind = getattr(systems, systems.SYSTEMS[name].partition(":")[2])
    found = {option.name: option.default for option in signature.options_of(systems.SYSTEMS[name], "sample")}
    parameters = inspect.signature(kind.sample).parameters.values()
    expected = {p.name: p.default for p in parameters if p.default is not p.empty and p.name not in ("dtype", "device")}
    assert found == expected


@pytest.mark.parametrize("number", SIGNALS)
def test_a_signal_ends_a_command_as_ctrl_c_does(number, tmp_path, monkeypatch, capsys):
    monkeypatch.setattr(systems, "simulate", lambda *_, **__: os.kill(os.getpid(), number))
    before = [signal.getsignal(one) for one in SIGNALS]
    assert cli.main(["simulate", "springs", "-o", str(tmp_path / "springs.nc"), *FEW]) == 130
    assert capsys.readouterr() == ("", "hlieconv: interrupted: the same command resumes what it can\n")
    assert [signal.getsignal(one) for one in SIGNALS] == before


@pytest.mark.parametrize("name", systems.SYSTEMS)
def test_every_system_is_simulated_by_default_options(name, tmp_path, capsys):
    path = tmp_path / f"{name}.nc"
    arguments = ["simulate", name, "-o", str(path), *FEW, "--time", "0.1", "--seed", "5"]
    assert cli.main(arguments) == 0
    out, err = capsys.readouterr()
    assert out.startswith(f"{path}: 2 trajectories of {name}")
    assert err == ""
    dataset = systems.open(path)
    kind = getattr(systems, systems.SYSTEMS[name].partition(":")[2])
    system, state = kind.sample(2, seed=5)
    expected = systems.simulate(system, state, torch.linspace(0, 0.1, 4, dtype=torch.float64))
    for variable in expected.data_vars:
        xr.testing.assert_equal(dataset[variable].load(), expected[variable])
    assert dataset.attrs["seed"] == 5
    before = path.read_bytes()
    assert cli.main(arguments) == 0
    assert "done already" in capsys.readouterr().out
    assert path.read_bytes() == before


@pytest.mark.parametrize("name", COMPOSED)
def test_sums_are_simulated_and_taken_up_again(name, tmp_path, capsys):
    first, again = tmp_path / "first.nc", tmp_path / "again.nc"
    assert cli.main(["simulate", name, "-o", str(first), *FEW, "--time", "0.1"]) == 0
    assert cli.main(["simulate", name, "-o", str(again), *FEW, "--time", "0.1", "--state", str(first)]) == 0
    assert capsys.readouterr().err == ""
    a, b = systems.open(first), systems.open(again)
    assert " + " in a.attrs["system"]
    xr.testing.assert_equal(a["q"].load(), b["q"].load())


def test_options_reach_the_sample_the_integrator_and_the_file(tmp_path, capsys):
    path = str(tmp_path / "springs.zarr")
    words = "--bodies 2,4 --dimension 3 --rest-length 0.5,1 --centre-of-mass --integrator leapfrog --step 0.01"
    options = [*words.split(), "--dtype", "float32", "--time", "-1", "--part-size", "1", "--workers", "1"]
    assert cli.main(["simulate", "springs", "-o", path, *FEW, *options]) == 0
    dataset = systems.open(path)
    assert dataset.sizes["space"] == 3
    assert dataset["q"].dtype == np.float32
    assert dataset["time"].values[-1] == -1
    assert (dataset.attrs["integrator"], dataset.attrs["step"]) == ("leapfrog", 0.01)
    settings = json.loads(dataset.attrs["configuration"])["settings"]
    assert settings == {"bodies": [2, 4], "dimension": 3, "rest_length": [0.5, 1.0], "centre_of_mass": True}
    assert 0.5 <= np.nanmax(dataset["rest_length"]) <= 1
    assert abs(dataset["p"].sum("body")).max() < 1e-5
    assert "from 0 to -1 s, by leapfrog" in capsys.readouterr().out


def test_states_of_a_file_are_simulated_again(tmp_path, capsys):
    first, second = str(tmp_path / "first.nc"), str(tmp_path / "second.nc")
    cli.main(["simulate", "springs", "-o", first, *FEW, "--bodies", "2,4"])
    options = ["--state", first, "--points", "4", "--integrator", "gauss6", "--step", "0.05"]
    assert cli.main(["simulate", "springs", "-o", second, *options]) == 0
    a, b = systems.open(first).load(), systems.open(second).load()
    assert abs(a["q"] - b["q"]).max() > 0
    xr.testing.assert_allclose(a[["mass", "stiffness"]], b[["mass", "stiffness"]])
    xr.testing.assert_allclose(a["q"].isel(time=0), b["q"].isel(time=0), rtol=0, atol=1e-14)


def test_a_table_is_imported_and_described(tmp_path, capsys):
    t = np.linspace(0, 1, 20)
    rows = [f"{s},{name},{np.cos(s) + k},{np.sin(s)},{k + 1}" for s in t for k, name in enumerate(["sun", "earth"])]
    (tmp_path / "orbit.csv").write_text("\n".join(["time,body,x,y,mass", *rows]))
    assert cli.main(["import", str(tmp_path / "orbit.csv")]) == 0
    assert cli.main(["info", str(tmp_path / "orbit.nc")]) == 0
    out = capsys.readouterr().out
    assert "1 trajectory of an unknown system, 2 bodies in 2 dimensions, 20 points from 0 to 1 s, by measurement" in out
    assert "canonical momentum (estimated from q, by local polynomials" in out
    assert cli.main(["info", str(tmp_path / "orbit.nc"), "--json"]) == 0
    described = json.loads(capsys.readouterr().out)
    assert described["sizes"] == {"trajectory": 1, "time": 20, "body": 2, "space": 2}
    assert described["variables"]["mass"]["units"] == "1"


def test_info_gives_the_whole_configuration(tmp_path, capsys):
    path = str(tmp_path / "springs.nc")
    cli.main(["simulate", "springs", "-o", path, *FEW])
    capsys.readouterr()
    assert cli.main(["info", path, "--json"]) == 0
    attributes = json.loads(capsys.readouterr().out)["attributes"]
    assert attributes["configuration"]["settings"]["bodies"] == 6
    assert attributes["versions"].keys() == {"hlieconv", "torch", "numpy", "xarray"}


class Terminal:
    """A stream that says that it is a terminal, and keeps what is written."""

    def __init__(self):
        self.text = ""

    def write(self, text):
        self.text += text

    def flush(self):
        pass

    def isatty(self):
        return True


def test_a_bar_on_a_terminal_only(tmp_path, monkeypatch, capsys):
    cli.main(["simulate", "springs", "-o", str(tmp_path / "quiet.nc"), *FEW])
    assert capsys.readouterr().err == ""
    terminal = Terminal()
    monkeypatch.setattr(sys, "stderr", terminal)
    cli.main(["simulate", "springs", "-o", str(tmp_path / "loud.nc"), *FEW])
    assert "0/2 [" in terminal.text


def test_the_module_runs_and_a_closed_pipe_is_no_error(tmp_path):
    nobody_reads, pipe = os.pipe()
    os.close(nobody_reads)
    command = [sys.executable, "-m", "hlieconv", "simulate", "springs", *FEW]
    buffered = {key: value for key, value in os.environ.items() if key != "PYTHONUNBUFFERED"}
    piped = subprocess.run(
        command, stdout=pipe, stderr=subprocess.PIPE, text=True, cwd=tmp_path, env=buffered, check=False
    )
    os.close(pipe)
    assert (piped.returncode, piped.stderr) == (0, "")
    assert (tmp_path / "springs.nc").exists()


def test_an_interruption_is_one_line(tmp_path, monkeypatch, capsys):
    def interrupted(*arguments, **options):
        raise KeyboardInterrupt

    monkeypatch.setattr("systems.simulate", interrupted)
    assert cli.main(["simulate", "springs", "-o", str(tmp_path / "springs.nc")]) == 130
    assert capsys.readouterr().err == "hlieconv: interrupted: the same command resumes what it can\n"


def test_compile_says_what_stops_it(tmp_path, capsys, monkeypatch):
    monkeypatch.setenv("CC", str(tmp_path / "nowhere"))
    path = tmp_path / "gravity.nc"
    arguments = ["simulate", "gravity", "-o", str(path), *FEW, "--time", "0.1", "--compile", "on"]
    assert cli.main(arguments) == 0
    [line] = capsys.readouterr().err.splitlines()
    assert line.startswith("hlieconv: compile: without machine code, because of no C compiler found")
    assert systems.open(path).attrs["backend"] == "eager"
