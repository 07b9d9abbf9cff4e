"""Training, resuming and measuring a regressor, and its commands, on molecules drawn at random."""

import json

import pytest
import torch
from random_molecules import molecules

from hlieconv.cli import main
from hlieconv.molecules import MoleculeRegressor, evaluate_molecules, fit_molecules, load, predict, predict_ensemble
from hlieconv.molecules.data import write_compact

TINY = {"channels": 16, "layers": 1, "batch": 20, "records": 4, "optimiser": "adam"}


def test_it_learns_and_is_loaded(tmp_path):
    some = molecules(300, largest=5)
    fit = fit_molecules(some, ("homo", "cv"), path=tmp_path / "run", epochs=20.0, learning_rate=1e-2, **TINY)
    result, found, true = evaluate_molecules(fit.model, some)
    assert result["molecules"] == 30
    for row, k in zip(result["errors"], range(2), strict=True):
        assert row["mean_absolute_error"] == pytest.approx((found - true)[:, k].abs().mean().item())
        assert row["mean_absolute_error"] < 0.7 * row["of_the_median"]
    assert [row["units"] for row in result["errors"]] == ["meV", "cal/mol/K"]
    assert torch.equal(predict(load(tmp_path / "run"), some), predict(fit.model, some))
    assert fit.settings["steps"] == 240


def test_a_run_goes_on_and_does_not_mix(tmp_path):
    some = molecules(100)
    options = TINY | {"epochs": 2.0, "group": "T3", "fill": 0.6, "neighbours": 4, "normalise": "batch"}
    first = fit_molecules(some, path=tmp_path / "run", **options)
    again = fit_molecules(some, path=tmp_path / "run", **options)
    assert again.history == first.history
    assert torch.equal(predict(again.model, some), predict(first.model, some))
    with pytest.raises(ValueError, match="holds a run with other settings"):
        fit_molecules(some, ("lumo",), path=tmp_path / "run", **options)


def test_commands(tmp_path, capsys):
    data, run, result, figure = (tmp_path / name for name in ("m.npz", "run", "r.json", "f.png"))
    write_compact(data, molecules(100))
    sizes = ["--channels", "8", "--layers", "1", "--epochs", "1", "--batch", "50"]
    assert main(["fit-molecules", "--data", str(data), "-o", str(run), "--target", "u0", "mu", *sizes]) == 0
    command = ["evaluate-molecules", str(run), "--data", str(data), "-o", str(result), "--samples", "1"]
    assert main([*command, "--figure", str(figure)]) == 0
    assert "u0: mean absolute error" in capsys.readouterr().out
    written = json.loads(result.read_text())
    assert written["equivariance"][0]["motion"] < 1e-9
    assert written["errors"][0]["minus_free_atoms"]
    assert {"command", "commit", "hardware", "seed", "settings", "learning_curve"} <= written.keys()
    assert figure.stat().st_size > 1000
    pytest.importorskip("ase")
    (tmp_path / "own.xyz").write_text("3\n\nO 0 0 0\nH 0.96 0 0\nH -0.24 0.93 0\n")
    assert main(["predict-molecules", str(run), str(tmp_path / "own.xyz")]) == 0
    assert capsys.readouterr().out.splitlines()[0] == "molecule\tu0 (meV)\tmu (D)"
    assert main(["predict-molecules", str(run), str(tmp_path / "own.xyz"), "--ensemble", str(run)]) == 0
    names, numbers = (line.split("\t") for line in capsys.readouterr().out.splitlines())
    assert names[3:] == ["deviation of u0 (meV)", "deviation of mu (D)"]
    assert numbers[3:] == ["0", "0"]  # the same run twice


def test_which_molecules_are_predicted():
    some = molecules(20)
    model = MoleculeRegressor(targets=["mu"], channels=8, layers=1).eval()
    everything, meant = predict(model, some), some.n_atoms > 3
    for index, rows in ((meant, meant.nonzero()[:, 0]), (torch.ones(20, dtype=torch.bool), torch.arange(20))):
        torch.testing.assert_close(predict(model, some, index), everything[rows])
    torch.testing.assert_close(predict(model, some, torch.tensor([-1, 3])), everything[[19, 3]])
    for wrong in (torch.tensor([20]), meant[:5], torch.zeros(20, dtype=torch.bool), torch.tensor([0.5])):
        with pytest.raises(ValueError, match="index: expected"):
            predict(model, some, wrong)


def test_molecules_that_nothing_can_be_learnt_from():
    some = molecules(20)
    model = MoleculeRegressor(targets=["mu"], channels=8, layers=1).eval()
    places = some._replace(target=some.target[:, :0])
    assert torch.equal(predict(model, places), predict(model, some))
    for use in (lambda: fit_molecules(places, **TINY), lambda: evaluate_molecules(model, places)):
        with pytest.raises(ValueError, match=r"molecules: expected the 12 targets mu, .* got 0"):
            use()
    with pytest.raises(ValueError, match="molecules: expected at least 10, of which a tenth is tested on, got 5"):
        evaluate_molecules(model, molecules(5))
    with pytest.raises(ValueError, match="count: expected at least 1, got 0"):
        evaluate_molecules(model, some, count=0)


def test_an_ensemble_is_a_mean_with_a_deviation():
    some = molecules(20)
    models = [MoleculeRegressor(targets=["mu"], channels=8, layers=1).eval() for _ in range(3)]
    mean, deviation = predict_ensemble(models, some)
    each = torch.stack([predict(model, some) for model in models])
    assert torch.allclose(mean, each.mean(0))
    assert torch.allclose(deviation, ((each - each.mean(0)).square().sum(0) / 2).sqrt())
    with pytest.raises(ValueError, match="models: expected at least 2, got 1"):
        predict_ensemble(models[:1], some)
    other = MoleculeRegressor(targets=["homo"], channels=8, layers=1)
    with pytest.raises(ValueError, match="models: expected models of the same targets"):
        predict_ensemble([models[0], other], some)


@pytest.mark.parametrize(
    ("options", "message"),
    [
        (["--target", "energy"], "target: expected one of mu,"),
        (["--largest", "3"], "molecule: expected at most largest = 3 atoms"),
        (["--epochs", "0"], "epochs: expected a positive number"),
        (["--group", "SE2"], "group: expected one that acts on 3 dimensions"),
    ],
)
def test_bad_arguments_are_one_line(options, message, tmp_path, capsys):
    write_compact(tmp_path / "m.npz", molecules())
    command = ["fit-molecules", "--data", str(tmp_path / "m.npz"), "-o", str(tmp_path / "run")]
    assert main([*command, *options]) == 2
    error = capsys.readouterr().err
    assert message in error
    assert error.count("\n") == 1
    assert not (tmp_path / "run").exists()
