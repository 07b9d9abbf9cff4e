"""Commands that look at trajectories: events, chaos, the report and the cause of a drift."""

import json

import pytest

import systems
from hlieconv.cli import main


@pytest.fixture(scope="module")
def stars(tmp_path_factory):
    path = tmp_path_factory.mktemp("looking") / "stars.nc"
    line = ["simulate", "henon_heiles", "-o", str(path), "--count", "2", "--time", "20", "--points", "41"]
    assert main([*line, "--integrator", "rk4", "--step", "0.1", "--section", "x", "--escape", "3"]) == 0
    return path


def test_events_are_kept(stars):
    with systems.open(stars) as dataset:
        assert dataset.event_kind.attrs["flag_meanings"] == "escape plane"
        assert (dataset.event_kind == 1).any()
        assert float(abs(dataset.event_q.isel(space=0)).max()) < 1e-14


def test_a_section_needs_its_dimension(tmp_path, capsys):
    assert main(["simulate", "henon_heiles", "-o", str(tmp_path / "a.nc"), "--count", "1", "--section", "z"]) == 2
    assert "section: expected one of the 2 dimensions" in capsys.readouterr().err


def test_chaos_prints_a_line_for_each_trajectory(stars, capsys):
    assert main(["chaos", str(stars), "--time", "10", "--points", "5", "--count", "4", "--json"]) == 0
    found = json.loads(capsys.readouterr().out)
    assert len(found["exponents"]) == 2
    assert abs(sum(found["exponents"][0])) < 1e-12
    assert main(["chaos", str(stars), "--time", "-1"]) == 2
    assert "time: expected a positive time" in capsys.readouterr().err


def test_diagnose_says_why_and_writes_a_report(stars, tmp_path, capsys):
    pytest.importorskip("plotly")
    report = tmp_path / "report.html"
    assert main(["diagnose", str(stars), "--why", "--html", str(report)]) == 0
    assert "rk4 is not symplectic" in capsys.readouterr().out
    assert "rk4 is not symplectic" in report.read_text()
    assert main(["diagnose", str(stars), "--html", str(report)]) == 2
    assert "--overwrite replaces it" in capsys.readouterr().err
    assert main(["diagnose", str(stars), "--why", "--json"]) == 0
    assert json.loads(capsys.readouterr().out)["why"]["cause"] == "not_symplectic"
