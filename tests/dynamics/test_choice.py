"""Of several models the one that predicts best is kept: a law where it holds, a network where no law will do."""

import functools

import pytest
import torch
from small import small, springs

from hlieconv.dynamics import fit, load
from hlieconv.dynamics.choice import automatic, law_beside
from hlieconv.dynamics.expansion import bodies
from hlieconv.models import HLieConv, PairExpansion
from hlieconv.training.run import read_config


@pytest.fixture(scope="module")
def data():
    return springs(count=12, points=21)[1]


def network(dataset, **options):
    torch.manual_seed(0)
    return HLieConv.of(dataset, width=8, blocks=0, **options)


def test_a_law_that_holds_needs_no_network(data, tmp_path):
    found = fit("auto", data, path=tmp_path / "run", progress=False)
    law, *untried = found.candidates
    assert (law.name, found.model.law()) == ("expansion", "V = 1 k_i k_j r_ij^2")
    assert law.median < 1e-15
    assert law.mean < 1e-12
    why = "not fitted (a law holds for the trajectories held out)"
    assert [*map(str, untried)] == [f"hlieconv: {why}", f"residual: {why}"]
    assert load(tmp_path / "run").law() == found.model.law()
    assert read_config(tmp_path / "run")["candidates"] == [*map(str, found.candidates)]
    again = fit("auto", data, path=tmp_path / "run", progress=False)
    assert again.candidates == found.candidates  # its cost, too, is that of the first time


class Other(PairExpansion):
    name = "other"


def test_the_later_model_is_kept_where_the_first_does_not_hold(data, tmp_path, monkeypatch):
    """A law that lacks a feature, beside one that has it."""
    monkeypatch.setattr(bodies, "solve", functools.partial(bodies.solve, thorough=False))
    models = [PairExpansion.of(data, body_features=("mass",)), Other.of(data)]
    with pytest.warns(UserWarning, match="the library does not hold the law"):
        found = fit(models, data, path=tmp_path / "run", progress=False)
    assert found.model is models[1]
    assert [candidate.name for candidate in found.candidates] == ["expansion", "other"]
    assert found.candidates[1].median < found.candidates[0].median
    assert {path.name for path in (tmp_path / "run").iterdir() if path.is_dir()} == {"expansion", "other"}
    assert load(tmp_path / "run", model=Other).law() == models[1].law()


def test_what_cannot_be_fitted_is_said_and_passed_over(data):
    few = data.isel(trajectory=slice(3), time=slice(5))  # two are left to solve from, where a law asks for four
    found = fit([PairExpansion.of(few), small()], few, progress=False, steps=2)
    assert found.model.name == "small"
    assert "needs 4 trajectories" in found.candidates[0].text
    with pytest.raises(ValueError, match="needs 4 trajectories"):
        fit([PairExpansion.of(few)], few)


def test_one_trajectory_is_divided_in_time():
    long = springs(count=1, points=101)[1]
    found = fit("auto", long, progress=False)
    assert found.candidates[0].median < 1e-15


def test_a_run_of_one_model_is_not_replaced(data, tmp_path):
    fit(PairExpansion.of(data), data, path=tmp_path / "run", progress=False)
    with pytest.raises(ValueError, match="holds the run of one model"):
        fit("auto", data, path=tmp_path / "run", progress=False)
    fit("auto", data, path=tmp_path / "run", progress=False, overwrite=True)
    assert "candidates" in read_config(tmp_path / "run")


def test_options_go_to_the_models_that_have_them(data):
    law, net, beside = automatic(data, group="T2", width=12, triples=False)
    assert (law.group, net.group, net.width, law.triples) == ("T2", "T2", 12, False)
    assert (beside.group, beside.width, beside.known.group, net.residual) == ("T2", 12, "T2", False)
    assert [model.name for model in automatic(data, centred=True)] == ["expansion", "hlieconv"]
    with pytest.raises(ValueError, match="options: expected options of PairExpansion or HLieConv, got 'colour'"):
        automatic(data, colour="red")
    with pytest.raises(ValueError, match="model: expected one of auto, got 'automatic'"):
        fit("automatic", data)


def test_a_law_beside_a_network_is_said(data):
    model = network(data)
    fit(model, data, steps=5, progress=False)
    assert "error" in law_beside(model, data)
    assert law_beside(model, data).endswith("(--model expansion): V = 1 k_i k_j r_ij^2")
    assert law_beside(small(), data) == ""
