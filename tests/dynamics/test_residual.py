"""A network on the residual of a law: what is left, in any units, kept only where it predicts better."""

import functools
from typing import Any

import numpy as np
import pytest
import torch
from small import springs

from hlieconv.dynamics import chunk_error, fit, load
from hlieconv.dynamics.expansion import bodies, solving
from hlieconv.dynamics.residual import give_law
from hlieconv.models import HLieConv, PairExpansion
from systems import PhaseSpace, Springs, simulate


@pytest.fixture(scope="module")
def data():
    """Springs whose stiffness varies by a tenth."""
    state = springs(count=12, points=2)[1].isel(time=0)
    q, p, mass = (torch.as_tensor(state[name].values) for name in ("q", "p", "mass"))
    stiffness = 1 + 0.1 * torch.randn(mass.shape, dtype=mass.dtype, generator=torch.Generator().manual_seed(0))
    return simulate(Springs(mass=mass, stiffness=stiffness), PhaseSpace(q, p), 0.01 * torch.arange(21).double())


@pytest.fixture
def short(monkeypatch):
    """No long search for what a library does not hold."""
    monkeypatch.setattr(bodies, "solve", functools.partial(solving.solve, thorough=False))


def network(dataset, **options) -> Any:
    torch.manual_seed(0)
    return HLieConv.of(dataset, **({"width": 16, "blocks": 0, "residual": True} | options)).double()


def in_other_units(dataset):
    """Lengths in 1e-3, masses in 1e3, from another origin."""
    moved = dataset.assign(q=1e3 * (dataset.q + 7), p=dataset.p, mass=1e-3 * dataset.mass)
    for name in ("q", "p", "mass"):
        moved[name].attrs = dataset[name].attrs
    return moved


@pytest.mark.parametrize("options", [{}, {"blocks": 1}, {"readout": "mean", "blocks": 1}])
def test_it_begins_at_the_law(data, options):
    """Before the first step its forces are those of the law that is read, whatever the units."""
    for dataset in (data, in_other_units(data)):
        model = network(dataset, **options)
        begun = fit(model, dataset, steps=1, learning_rate=1e-12, progress=False, compile="off").model
        assert begun.law().endswith("k_i k_j r_ij^2 + a network")
        assert chunk_error(begun, dataset).median() < 1e-13 * float(np.square(dataset.p.values).mean() + 1)


def test_it_is_kept_where_it_helps(data, tmp_path, short):
    """A law that was not told of the stiffness, and a network that was, whose last layer is solved."""
    models = [PairExpansion.of(data, body_features=("mass",)), network(data)]
    options = {"steps": 1, "last_layer": "solved", "progress": False, "compile": "off"}
    with pytest.warns(UserWarning, match="the library does not hold the law"):
        found = fit(models, data, path=tmp_path / "run", **options)
    law, residual = found.candidates
    assert found.model is models[1]
    assert found.model.known.estimates == models[0].estimates != []
    assert (law.name, residual.name) == ("expansion", "residual")
    assert residual.median < 1e-6 * law.median
    again = load(tmp_path / "run")
    assert again.law() == found.model.law()
    assert torch.equal(chunk_error(again, data), chunk_error(found.model, data))


def test_it_is_dropped_where_it_does_not_help(data, short):
    """A network that does not know the stiffness either."""
    models = [PairExpansion.of(data, body_features=("mass",)), network(data, body_features=("mass",))]
    with pytest.warns(UserWarning, match="the library does not hold the law"):
        found = fit(models, data, steps=20, learning_rate=0.3, optimiser="adam", progress=False, compile="off")
    assert found.model is models[0]
    assert found.candidates[1].median > 0  # it was tried


def test_without_a_law_there_is_no_residual(short):
    """Of springs as different as those of the paper no term is found by one who does not know the stiffness."""
    paper = springs(count=12, points=21)[1]
    with pytest.warns(
        UserWarning, match="no term was found that explains the forces: the library does not hold the law"
    ):
        found = fit([PairExpansion.of(paper, body_features=("mass",)), network(paper)], paper, progress=False)
    assert str(found.candidates[1]) == "residual: not fitted (no term of a law was found)"


def test_what_it_cannot_be_is_said():
    wrong: list[dict[str, Any]] = [{"edges": True}, {"centred": True}]
    for options in wrong:
        with pytest.raises(ValueError, match="residual: expected False along edges, and for centred positions"):
            HLieConv("SE2", residual=True, **options)


def test_a_known_law_is_not_read_again(data):
    law = PairExpansion.of(data)
    solved = fit(law, data, progress=False).model
    model = network(data)
    give_law(model, solved.estimates, 0.0)
    assert model.left > 0
    fit(model, data.isel(trajectory=slice(2), time=slice(5)), steps=1, progress=False, compile="off", validation=0.0)
    assert model.known.estimates == solved.estimates  # two trajectories would not suffice to read it
