"""The last layer of an HLieConv is solved where that predicts trajectories left out better, and only there."""

import pytest
import torch
from small import small, springs

from hlieconv.dynamics import chunk_error, fit, load
from hlieconv.models import HLieConv


def network(dataset, **options):
    torch.manual_seed(0)
    return HLieConv.of(dataset, **({"width": 16, "blocks": 0} | options)).double()


def trained(dataset, last_layer="solved", steps=1, **options):
    model = network(dataset, **options)
    return fit(model, dataset, steps=steps, last_layer=last_layer, progress=False, compile="off").model


@pytest.mark.parametrize("bodies", [3, (2, 3)])
def test_the_law_of_springs_lies_in_the_span_of_the_network(bodies):
    """One step of descent and the solution: what thousands of steps do not reach."""
    data, unseen = springs(count=20, bodies=bodies)[1], springs(count=30, bodies=bodies, points=5)[1]
    solved, descended = trained(data), trained(data, "descent")
    assert chunk_error(solved, unseen).median() < 1e-14
    assert chunk_error(descended, unseen).median() > 1e-9


def test_blocks_are_solved_with_what_they_bring():
    data, unseen = springs(count=20)[1], springs(count=30, points=5)[1]
    solved, descended = (trained(data, kind, blocks=1) for kind in ("solved", "descent"))
    assert chunk_error(solved, unseen).median() < 1e-2 * chunk_error(descended, unseen).median()


def test_a_run_keeps_what_was_solved(tmp_path):
    data = springs(count=20)[1]
    options = {"steps": 2, "last_layer": "solved", "path": tmp_path / "run", "progress": False}
    model = network(data)
    found = fit(model, data, **options)
    kept = load(tmp_path / "run").state_dict()
    assert all(torch.equal(x, kept[name]) for name, x in model.state_dict().items())
    assert fit(network(data), data, **options).history == found.history


@pytest.mark.parametrize("model", [small(), HLieConv(readout="mean")])
def test_models_without_such_a_layer_are_refused(model):
    with pytest.raises(ValueError, match=r"last_layer: expected descent for .*, got solved"):
        fit(model, springs()[1], last_layer="solved", progress=False)
