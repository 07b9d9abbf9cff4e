"""Rollouts of learned networks whose forces go through torch.compile: of every model, and with what it is not told."""

import copy
import pkgutil
import warnings

import pytest
import torch

from hlieconv import rollout
from hlieconv.models.registry import MODELS
from systems import Springs, simulate
from systems.integrators import RK4
from systems.native import compiled, inductor

TIMES = torch.tensor([0.0, 0.1], dtype=torch.float64)


@pytest.fixture(scope="module")
def data():
    """Of three to four bodies, so that there is a mask."""
    return simulate(*Springs.sample(5, seed=0, bodies=(3, 4)), TIMES)


@pytest.fixture(autouse=True)
def compilations(monkeypatch):
    """torch.compile in name only: what is traced is called as it is."""
    asked = []
    monkeypatch.setattr(torch, "compile", lambda module, **options: asked.append(module) or module)
    monkeypatch.setattr(inductor, "_known", {})
    return asked


def model_of(name, data):
    torch.manual_seed(0)
    kind, small = pkgutil.resolve_name(MODELS[name]), {"blocks": 1} if "hlieconv" in name else {}
    return kind.of(data, **small).double()


@pytest.mark.parametrize("name", [name for name in MODELS if name != "expansion"])
def test_every_network(name, data, compilations):
    """Its trajectories are torch's; the model stays as it was."""
    if name == "generalised":  # has no mask
        data = data.isel(body=slice(0, 3))
    model = model_of(name, data)
    before = copy.deepcopy(vars(model)), copy.deepcopy(model.state_dict())
    with pytest.warns(UserWarning, match=r"^compile: by torch.compile, because of .*network of \d+ weights$"):
        found = rollout(model, data, integrator=RK4(step=0.1), dtype=torch.float64, compile="on")
    expected = rollout(model, data, integrator=RK4(step=0.1), dtype=torch.float64, compile="off")
    assert found.attrs["backend"] == "inductor"
    assert len(compilations) == 1
    assert abs(found.q - expected.q).max() < 1e-13
    assert vars(model).keys() == before[0].keys()
    assert model.training == before[0]["training"]
    assert all(torch.equal(x, before[1][key]) for key, x in model.state_dict().items())


def test_other_bodies_share_what_is_compiled(data, compilations):
    model = model_of("hfc", data)
    for rows in (slice(0, 2), slice(2, 4)):
        with pytest.warns(UserWarning, match="by torch.compile"):
            found = rollout(model, data.isel(trajectory=rows), compile="on")
        expected = rollout(model, data.isel(trajectory=rows), compile="off")
        assert abs(found.q - expected.q).max() < 1e-13
    assert len(compilations) == 1  # the stages': a shape that is there once is not worth it


def test_auto_goes_by_counts_and_a_file_keeps_to_what_it_was_begun_with(data, compilations, monkeypatch, tmp_path):
    model, path = model_of("hfc", data), tmp_path / "rollout.nc"
    assert rollout(model, data).attrs["backend"] == "eager"
    monkeypatch.setattr(compiled, "_NETWORK_WORTH", 1)
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        found = rollout(model, data, path=path)
    assert found.attrs["backend"] == "inductor"
    assert rollout(model, data, path=path).attrs["configuration"] == found.attrs["configuration"]
    with pytest.raises(ValueError, match="different backend"):
        rollout(model, data, path=path, compile="off")


def test_where_torch_compile_fails_torch_goes_on_and_one_line_says_so(data, monkeypatch):
    def fail(module, **options):
        raise RuntimeError("no compiler\nat all")

    monkeypatch.setattr(torch, "compile", fail)
    model = model_of("fc", data)
    with pytest.warns(UserWarning, match="weights; nor by torch.compile, because of no compiler$") as said:
        found = rollout(model, data, compile="on")
    assert len([x for x in said if "compile:" in str(x.message)]) == 1
    assert found.attrs["backend"] == "eager"
    assert found.q.equals(rollout(model, data, compile="off").q)
