"""A preset is a network and its settings; Python, the command line and the study find it in one place."""

import pkgutil
import warnings

import pytest
from small import small, springs

from hlieconv import cli
from hlieconv.dynamics import fit, load
from hlieconv.models import MODELS, HLieConv
from hlieconv.study import trials
from hlieconv.study.catalogue import ENTRIES, Trial
from systems import save

DATA = springs(count=4)[1]
KINDS = {name: pkgutil.resolve_name(target) for name, target in MODELS.items()}


def train(model, preset):
    return fit(model, DATA, preset=preset, steps=1, batch=1, progress=False)


@pytest.mark.parametrize("name", KINDS)
def test_of_takes_a_preset(name):
    kind = KINDS[name]
    for preset in ("best", "paper"):
        options = kind.preset_options(preset)
        assert options.items() <= kind.of(DATA, preset=preset).config.items()
    assert kind.of(DATA).config == kind.of(DATA, preset="best").config
    with pytest.raises(ValueError, match="preset: expected one of best, paper, got 'worst'"):
        kind.of(DATA, preset="worst")


def test_an_option_counts_more_than_the_preset():
    model = HLieConv.of(DATA, preset="paper", width=8)
    assert (model.config["width"], model.config["pairs"]) == (8, "log")


def test_published_models_are_published():
    """Those whose defaults are not the published network."""
    changed = {name for name, kind in KINDS.items() if kind.of(DATA).config != kind.of(DATA, preset="paper").config}
    assert changed == set(KINDS) - {"expansion", "generalised", "port_hamiltonian"}


def test_settings_of_another_network_are_said():
    with pytest.warns(UserWarning, match=r"preset: .* has pairs='invariant' \('log'\), .*width=8 \(384\)"):
        train(HLieConv.of(DATA, width=8, blocks=1), "paper")


@pytest.mark.parametrize("preset", ["best", "paper"])
def test_a_model_and_its_settings_agree_without_a_word(preset):
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        train(KINDS["hogn"].of(DATA, preset=preset), preset)
        train(small(), preset)


@pytest.mark.parametrize("entry", ["FC", "SE2"])
def test_one_way_to_a_preset(entry, tmp_path, monkeypatch):
    """Fitted in Python, by the command and by the study: the same model."""
    name, preset, options = ENTRIES[entry].model, ENTRIES[entry].preset, ENTRIES[entry].options
    save(DATA, tmp_path / "data.nc")
    given = [word for key, value in options.items() for word in (f"--{key}", value)]
    command = ["fit", str(tmp_path / "data.nc"), "-o", str(tmp_path / "run"), "--model", name, *given]
    assert cli.main([*command, "--preset", preset, "--steps", "1", "--batch", "1"]) == 0
    monkeypatch.setattr(trials, "sample", lambda *_: DATA)
    studied, _, _ = trials.train_trial(Trial("springs", entry, 4, 0), steps=1)
    expected = KINDS[name].of(DATA, preset=preset, **options).config
    assert load(tmp_path / "run").config == expected
    assert studied.model.config == expected
