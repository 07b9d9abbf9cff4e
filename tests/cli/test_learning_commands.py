"""fit, rollout and info of a run, from the command line: what they print, and one line for what is wrong."""

import json
from pathlib import Path

import pytest
import torch

from hlieconv import cli
from hlieconv.dynamics import load
from hlieconv.training.run import read_config

SMALL = ["--width", "8", "--blocks", "1", "--steps", "20", "--batch", "4"]


@pytest.fixture(scope="module")
def data(tmp_path_factory):
    path = tmp_path_factory.mktemp("data") / "springs.nc"
    arguments = ["--count", "6", "--points", "21", "--time", "0.2", "--bodies", "3", "-o", str(path)]
    assert cli.main(["simulate", "springs", *arguments]) == 0
    return str(path)


@pytest.fixture(scope="module")
def run(data, tmp_path_factory):
    path = str(tmp_path_factory.mktemp("runs") / "run")
    assert cli.main(["fit", data, "-o", path, "--group", "T2", *SMALL]) == 0
    return path


def test_a_fit_and_its_rollout(data, run, tmp_path, capsys):
    model = load(run)
    assert (model.group, model.body_features, model.pair_features) == ("T2", ("mass", "stiffness"), ())
    assert cli.main(["fit", data, "-o", run, "--group", "T2", *SMALL]) == 0
    assert "step 20" in capsys.readouterr().out
    g = str(tmp_path / "g.nc")
    assert cli.main(["rollout", run, data, "-o", g, "--time", "0.1"]) == 0
    assert "6 trajectories" in capsys.readouterr().out
    assert cli.main(["diagnose", g, "--json"]) == 0
    assert json.loads(capsys.readouterr().out)["P_x"] < 1e-12


def test_the_simplest_model_that_holds(data, run, tmp_path, capsys):
    path = str(tmp_path / "auto")
    assert cli.main(["fit", data, "-o", path, "--model", "auto", "--width", "8"]) == 0
    _, law, network, residual = capsys.readouterr().out.splitlines()
    assert law.startswith("expansion: error ")
    assert law.endswith("V = 1 k_i k_j r_ij^2")
    assert network.startswith("hlieconv: not fitted")
    assert residual.startswith("residual: not fitted")
    assert cli.main(["fit", data, "-o", run, "--group", "T2", *SMALL]) == 0
    assert "a law explains these data better" in capsys.readouterr().out


def test_validation_on_a_file_with_patience(data, tmp_path, capsys, monkeypatch):
    records = []
    monkeypatch.setattr("hlieconv.training.logs.TensorBoard", lambda folder: records.append)
    path = str(tmp_path / "validated")
    arguments = ["fit", data, "-o", path, "--group", "T2", "--validation", data, "--patience", "1"]
    arguments += ["--tensorboard", str(tmp_path / "logs")]
    assert cli.main([*arguments, *SMALL, "--learning-rate", "0.3"]) == 0
    assert "validation" in capsys.readouterr().out
    assert read_config(path)["settings"]["patience"] == 1
    assert {"step", "loss", "validation"} <= {*records[-1]}


def test_info_of_a_run(run, capsys):
    assert cli.main(["info", run]) == 0
    assert "hlieconv, done" in capsys.readouterr().out
    assert cli.main(["info", run, "--json"]) == 0
    assert json.loads(capsys.readouterr().out)["progress"]["step"] == 20


def test_the_learning_curve_and_the_table_of_a_run(run, data, tmp_path, capsys):
    figure, table = tmp_path / "curve.png", tmp_path / "metrics.csv"
    command = ["info", run, "--figure", str(figure), "--csv", str(table)]
    assert cli.main(command) == 0
    assert figure.stat().st_size > 1000
    assert table.read_text().splitlines()[0] == "step,loss,learning_rate,seconds,cpu_seconds"
    assert cli.main(command) == 2
    assert "figure: expected a new file, or --overwrite" in capsys.readouterr().err
    assert cli.main(["info", data, "--csv", str(table)]) == 2


def test_the_seed_makes_the_weights(data, run, tmp_path):
    again = str(tmp_path / "again")
    cli.main(["fit", data, "-o", again, "--group", "T2", *SMALL])
    for a, b in zip(load(run).state_dict().values(), load(again).state_dict().values(), strict=True):
        assert torch.equal(a, b)


def test_the_paper_preset_reaches_the_run(data, tmp_path):
    path = str(tmp_path / "paper")
    assert cli.main(["fit", data, "-o", path, "--preset", "paper", *SMALL, "--steps", "2"]) == 0
    settings = read_config(path)["settings"]
    assert (settings["loss"], settings["optimiser"], settings["chunks"]) == ("rollout", "adam", 1)
    assert settings["steps"] == 2


def test_divergence_is_exit_code_1(data, tmp_path, capsys):
    path = str(tmp_path / "diverged")
    assert cli.main(["fit", data, "-o", path, "--learning-rate", "1e30", *SMALL]) == 1
    assert "hlieconv: the loss is not finite" in capsys.readouterr().err
    assert cli.main(["info", path]) == 0
    assert "diverged: the model is the last good one" in capsys.readouterr().out


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (["fit", "nothing.nc"], "there is no nothing.nc"),
        (["fit", "F", "--model", "nowhere:Model"], "model: expected auto, hlieconv"),
        (["fit", "F", "--group", "SE9"], "SE9"),
        (["fit", "F", "--steps", "0"], "steps: expected a whole number"),
        (["fit", "F", "--pairs", "angles"], "pairs: expected invariant or log, got 'angles'"),
        (["fit", "F", "--model", "fc", "--compile", "on"], "compile: expected auto or off for FC"),
        (["fit", "F", "--body-features", "mass,charge"], "missing charge"),
        (["fit", "F", "--device", "abacus"], "device: expected one that torch can use"),
        (["fit", "F", "-o", "RUN", "--seed", "7"], "seed was 0, is 7"),
        (["fit", "F", "--validation", "nothing.nc"], "there is no nothing.nc"),
        (["fit", "F", "--validation", "0", "--patience", "3"], "patience: expected 0, as nothing is held out"),
        (["rollout", "nowhere", "F"], "nowhere: not a run"),
        (["info", "."], "not a run"),
    ],
)
def test_wrong_input_is_one_line(data, run, tmp_path, monkeypatch, capsys, arguments, words):
    monkeypatch.chdir(tmp_path)
    arguments = [{"F": data, "RUN": run}.get(x, x) for x in arguments]
    if arguments[0] == "fit" and run in arguments:
        arguments += ["--group", "T2", *SMALL]
    assert cli.main(arguments) == 2
    error = capsys.readouterr().err
    assert words in error
    assert error.count("\n") == 1


def test_a_rollout_on_data_without_the_features(run, tmp_path, capsys):
    other = str(tmp_path / "gravity.nc")
    cli.main(["simulate", "gravity", "--count", "2", "--points", "5", "-o", other])
    capsys.readouterr()
    assert cli.main(["rollout", run, other, "-o", str(tmp_path / "g.nc")]) == 2
    assert "missing stiffness" in capsys.readouterr().err
    assert not (tmp_path / "g.nc").exists()


def test_a_group_of_the_users_that_is_gone(run, data, tmp_path, capsys):
    config = read_config(run)
    config["model"]["config"]["group"] = "their_groups:Spiral"
    (tmp_path / "config.json").write_text(json.dumps(config))
    (tmp_path / "model.safetensors").write_bytes((Path(run) / "model.safetensors").read_bytes())
    assert cli.main(["rollout", str(tmp_path), data, "-o", str(tmp_path / "g.nc")]) == 2
    assert "their_groups" in capsys.readouterr().err
