"""A result says how it was made, and is never half written."""

import json
import math

import pytest

from systems.provenance import provenance, write_result


def test_a_result_says_how_it_was_made(tmp_path):
    write_result(tmp_path / "new" / "result.json", {"seed": 0, "ratio": 2.0}, command="make benchmarks")
    result = json.loads((tmp_path / "new" / "result.json").read_text())
    assert result.items() >= {"command": "make benchmarks", "seed": 0, "ratio": 2.0}.items()
    assert {"torch", "numpy", "python"} <= result["versions"].keys()
    assert "cores of" in result["hardware"]


def test_the_command_names_no_folder_of_this_machine(monkeypatch, tmp_path):
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr("sys.argv", [str(tmp_path / "tests" / "bench.py"), "a/b", "--count", "5", "/elsewhere/data.nc"])
    assert provenance()["command"] == "python tests/bench.py a/b --count 5 data.nc"
    monkeypatch.setattr("sys.argv", ["/elsewhere/hlieconv/__main__.py", "fit", "/elsewhere/data.nc"])
    assert provenance()["command"] == "python -m hlieconv fit data.nc"


def test_a_result_that_cannot_be_written_leaves_the_old_one(tmp_path):
    path = tmp_path / "result.json"
    write_result(path, {"error": 1.0})
    before = path.read_text()
    with pytest.raises(ValueError, match="JSON"):
        write_result(path, {"error": math.nan})
    assert path.read_text() == before
    assert [*tmp_path.iterdir()] == [path]
