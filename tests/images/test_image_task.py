"""Training, resuming and measuring a classifier, and its commands, on the embedded digits."""

import json

import pytest
import torch

from hlieconv.cli import main
from hlieconv.images import digits, evaluate_images, fit_images, load, probabilities
from hlieconv.images.task import classes_of

TINY = {"channels": 16, "layers": 2, "subsampling": 0.3, "fill": 0.3, "neighbours": 9, "rotation": 0.0, "records": 4}
TINY |= {"stem": 0, "products": "float32"}


@pytest.fixture(scope="module")
def data():
    return digits()


@pytest.fixture(scope="module")
def fitted(data, tmp_path_factory):
    path = tmp_path_factory.mktemp("runs") / "run"
    return path, fit_images(data, path=path, group="T2", epochs=5.0, batch=25, learning_rate=1e-2, seed=1, **TINY)


def test_it_learns_the_digits(fitted, data):
    path, fit = fitted
    result = evaluate_images(fit.model, data, angles=[0.0, 180.0])
    assert result["error"] < 0.3  # chance: 0.9; 0.15 here, by a few images more or less on other processors
    assert result["rotation"][0]["accuracy"] == pytest.approx(1 - result["error"])
    assert result["rotation"][1]["accuracy"] < 0.7
    confusion = torch.tensor(result["confusion"])
    assert confusion.sum() == 500
    assert confusion.diagonal().sum() == round(500 * (1 - result["error"]))
    assert [record["step"] for record in fit.history] == sorted({record["step"] for record in fit.history})
    again = load(path)
    assert torch.equal(classes_of(again, data.test_images), classes_of(fit.model, data.test_images))


def test_averages_over_rotations(fitted, data):
    _, fit = fitted
    some = data.first(test=100)
    mean, deviation = probabilities(fit.model, some.test_images, rotations=4)
    assert torch.allclose(mean.sum(-1), torch.ones(100))
    assert (deviation >= 0).all()
    single, none = probabilities(fit.model, some.test_images, rotations=1)
    assert torch.equal(single.argmax(-1), classes_of(fit.model, some.test_images))
    assert not none.any()
    turned = some.test_images[:5].rot90(1, (-2, -1))  # the same quarter turns in another order
    again, _ = probabilities(fit.model, turned, rotations=4)
    assert torch.allclose(again, mean[:5], atol=1e-4)
    result = evaluate_images(fit.model, some, rotations=4, angles=[0.0])
    wrong = (mean.argmax(-1) != some.test_labels).sum().item()
    assert result["averaged"]["error"] == wrong / 100
    low, high = result["averaged"]["interval"]
    assert low < wrong / 100 < high
    with pytest.raises(ValueError, match="rotations: expected at least 1, got 0"):
        evaluate_images(fit.model, some, rotations=0)


def test_a_killed_training_is_resumed_to_the_bit(data, tmp_path, monkeypatch):
    few = data.first(200, 10)
    options = TINY | {"group": "T2", "epochs": 2.0, "rotation": 30.0, "distortion": 1.0, "stem": 20}
    whole = fit_images(few, **options).model.state_dict()
    import hlieconv.training.loop as loop

    class Killed(Exception):
        pass

    calls = []
    update = loop._State.update

    def killing(self, *arguments):
        calls.append(1)
        if len(calls) == 6:
            raise Killed
        update(self, *arguments)

    monkeypatch.setattr(loop._State, "update", killing)
    with pytest.raises(Killed):
        fit_images(few, path=tmp_path / "run", checkpoint_seconds=0.0, **options)
    monkeypatch.undo()
    resumed = fit_images(few, path=tmp_path / "run", **options).model.state_dict()
    assert all(torch.equal(whole[name], resumed[name]) for name in whole)
    with pytest.raises(ValueError, match="holds a run with other settings"):
        fit_images(few, path=tmp_path / "run", **options | {"batch": 11})


def test_early_stop(data):
    options = TINY | {"group": "T2", "epochs": 40.0, "records": 40, "learning_rate": 1e-9, "patience": 2}
    history = fit_images(data.first(100, 10), **options).history
    assert len(history) == 3  # nothing gets better: one record, and two that bring nothing


def test_commands(tmp_path, capsys):
    run, result, figure = tmp_path / "run", tmp_path / "result.json", tmp_path / "figure.png"
    sizes = ["--channels", "8", "--layers", "1", "--neighbours", "9", "--group", "SO2", "--epochs", "0.2"]
    averaged = ["--rotations", "2"]
    assert main(["fit-images", "-o", str(run), "--train-images", "300", *sizes]) == 0
    assert main(["info", str(run)]) == 0
    command = [
        "evaluate-images",
        str(run),
        "-o",
        str(result),
        "--test-images",
        "40",
        "--figure",
        str(figure),
        *averaged,
    ]
    assert main(command) == 0
    printed = capsys.readouterr().out
    assert "1 samples: change" in printed
    assert "averaged over 2 rotations of each image" in printed
    written = json.loads(result.read_text())
    assert written["images"] == 40
    assert written["equivariance"][0]["error"] < 1e-10
    assert {"command", "commit", "hardware", "versions", "seed", "settings", "learning_curve"} <= written.keys()
    assert figure.stat().st_size > 1000
    assert main(command) == 2
    assert "exists and is not overwritten" in capsys.readouterr().err


@pytest.mark.parametrize(
    ("options", "message"),
    [
        (["--group", "SE3"], "group"),
        (["--epochs", "-1"], "epochs: expected a positive number, got -1.0"),
        (["--preset", "small"], "--preset"),
        (
            ["--data", "rotmnist", "--folder", "nowhere"],
            "folder: expected one with RotMNIST's files",
        ),
    ],
)
def test_bad_arguments_are_one_line(options, message, tmp_path, capsys):
    assert main(["fit-images", "-o", str(tmp_path / "run"), *options]) == 2
    error = capsys.readouterr().err
    assert message in error
    assert error.count("\n") == 1
    assert not (tmp_path / "run").exists()


def test_images_of_a_user(data):
    """Labels of any integers; a class that is tested on and was never seen; torch's own generator stays where it is."""
    few = data.first(30, 10)
    few = few._replace(train_labels=(few.train_labels % 3).int(), test_labels=few.test_labels.int() % 3 + 4)
    before = torch.get_rng_state()
    model = fit_images(few, epochs=1.0, batch=10, **TINY).model
    assert torch.equal(torch.get_rng_state(), before)
    result = evaluate_images(model, few, angles=[0.0])
    assert (model.classes, result["error"], len(result["confusion"])) == (7, 1.0, 7)
    only = few._replace(train_labels=0 * few.train_labels, test_labels=0 * few.test_labels)
    assert len(evaluate_images(model, only, angles=[0.0])["confusion"]) == 7
    with pytest.raises(ValueError, match="test_images: expected images to test on"):
        evaluate_images(model, few.first(30, 0))
    with pytest.raises(ValueError, match=r"train_labels: expected classes 0, 1, ..., got -1"):
        fit_images(few._replace(train_labels=few.train_labels - 1), **TINY)
