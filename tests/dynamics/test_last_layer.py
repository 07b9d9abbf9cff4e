"""The last layer of an HLieConv is solved where that predicts trajectories left out better, and only there."""

import copy

import pytest
import torch
from small import small, springs

from hlieconv.dynamics import chunk_error, fit, last_layer, load
from hlieconv.dynamics.choice import messages_of
from hlieconv.dynamics.chunks import chunks_of
from hlieconv.dynamics.fitting import bodies_of
from hlieconv.dynamics.trajectories import trajectories_of
from hlieconv.models import HLieConv
from systems import Charges, PhaseSpace, Springs, simulate, to_dataset
from systems.integrators import AdaptiveGauss


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


def test_a_frozen_layer_stays_as_it_is(monkeypatch):
    data = springs(count=20)[1]
    monkeypatch.setattr(last_layer, "LONG", 1)  # then auto would solve
    model = network(data)
    model.energy.far.requires_grad_(False)
    before = [layer.weight.clone() for layer in model.energy.kernels]
    fit(model, data, steps=2, progress=False, compile="off")
    same = [torch.equal(x, layer.weight) for x, layer in zip(before, model.energy.kernels, strict=True)]
    assert same == [False, True]
    with pytest.raises(
        ValueError, match="last_layer: expected descent or auto, as the last layer requires no gradient"
    ):
        fit(model, data, last_layer="solved")


def test_messages_that_do_not_help_fall_silent():
    """What blocks add to the bodies' values hides the law of springs, which is a sum over pairs."""
    data, unseen = springs(count=20)[1], springs(count=30, points=5)[1]
    solved, descended = (trained(data, kind, blocks=1) for kind in ("solved", "descent"))
    assert "do not help" in messages_of(solved)
    assert messages_of(descended) == messages_of(network(data)) == ""
    assert chunk_error(solved, unseen).median() < 1e-14
    assert chunk_error(descended, unseen).median() > 1e-9


def test_messages_that_help_stay():
    """The law is that of a network with messages, of which the last layer alone is forgotten."""
    system, state = Springs.sample(40, seed=0, bodies=3)
    teacher = network(springs(count=2)[1], blocks=1, normalised=False).requires_grad_(False)
    field = teacher.condition({"mass": system.mass, "stiffness": system.stiffness})
    moved = AdaptiveGauss().integrate(field, state, torch.linspace(0, 0.4, 9, dtype=torch.float64))
    dataset = to_dataset(moved, torch.linspace(0, 0.4, 9, dtype=torch.float64), field=system)
    model = copy.deepcopy(teacher).requires_grad_(True)
    for layer in model.energy.kernels:
        torch.nn.init.zeros_(layer.weight)
    assert last_layer.solve_last_layer(*bodies_and_chunks(model, dataset), precision=2e-16)
    assert not model.is_silent
    features = {"mass": system.mass, "stiffness": system.stiffness}
    found, true = (x.condition(features).force(state.q + 0.1) for x in (model, teacher))
    assert (found - true).norm() < 1e-2 * true.norm()


def test_first_weights_are_solved_for_where_those_learned_span_less():
    data = simulate(*Charges.sample(40, seed=0, bodies=3), torch.linspace(0, 0.5, 26, dtype=torch.float64))
    model = network(data, blocks=1)
    for parameter in model.energy.near.kernel.parameters():
        torch.nn.init.zeros_(parameter)
    given = bodies_and_chunks(model, data)
    before = chunk_error(model, data).median()
    assert last_layer.solve_last_layer(*given, precision=2e-16)
    assert model.is_silent
    assert all(bool(parameter.any()) for parameter in model.energy.near.kernel.parameters())
    assert chunk_error(model, data).median() < 1e-6 * before


def test_frozen_blocks_stay_as_they_are():
    data = springs(count=20, points=9)[1]
    model = network(data, blocks=1)
    model.layers.requires_grad_(False)
    fit(model, data, steps=1, last_layer="solved", progress=False, compile="off")
    assert not model.is_silent


def test_a_run_keeps_what_was_solved(tmp_path):
    data = springs(count=20)[1]
    options = {"steps": 2, "last_layer": "solved", "path": tmp_path / "run", "progress": False}
    model = network(data)
    found = fit(model, data, **options)
    kept = load(tmp_path / "run").state_dict()
    assert all(torch.equal(x, kept[name]) for name, x in model.state_dict().items())
    assert fit(network(data), data, **options).history == found.history


def bodies_and_chunks(model, dataset):
    """What `solve_last_layer` is given by `fit` before the first step."""
    data = trajectories_of(dataset)
    bodies, chunks = bodies_of(model, data), chunks_of(data, 5)
    bodies.measure(chunks, recalibrate=False, kept={})
    chunks = bodies.framed(chunks)
    bodies.calibrate(chunks.to(model.like.dtype, model.like.device))
    return bodies, chunks


def test_forces_that_nobody_can_predict_are_refused():
    """Each body falls as it likes: a layer that explains this where it is seen is wrong where it is not."""
    system, state = Springs.sample(20, seed=0, bodies=3)
    t = torch.linspace(0, 0.1, 9, dtype=torch.float64)[:, None, None, None]
    own = torch.randn(state.q.shape, dtype=torch.float64, generator=torch.Generator().manual_seed(0))
    mass = system.mass[..., None]
    q, p = state.q + t * state.p / mass + t**2 / 2 * own, state.p + t * mass * own
    dataset = to_dataset(PhaseSpace(q, p), t.flatten(), field=system)
    model = network(dataset)
    bodies, chunks = bodies_and_chunks(model, dataset)
    for layer in model.energy.kernels:
        torch.nn.init.zeros_(layer.weight)
    assert not last_layer.solve_last_layer(bodies, chunks, precision=2e-16)
    assert not any(layer.weight.any() for layer in model.energy.kernels)


def test_what_is_judged_is_rounded():
    """Weights that cancel each other to many digits do not survive in bfloat16: another ridge is taken, or none."""
    data, unseen = springs(count=20, points=21)[1], springs(count=30, points=5)[1]
    model = network(data).bfloat16()
    bodies, chunks = bodies_and_chunks(model, data)
    before = chunk_error(model, unseen)
    assert last_layer.solve_last_layer(bodies, chunks, precision=2e-16)
    assert chunk_error(model, unseen).log().mean() < before.log().mean()


@pytest.mark.parametrize(("long", "few", "solved"), [(1, 8, True), (2, 8, False), (1, 2, False)])
def test_by_default_it_is_solved_where_that_costs_little(monkeypatch, long, few, solved):
    data = springs(count=20, points=21)[1]
    monkeypatch.setattr(last_layer, "LONG", long)
    monkeypatch.setattr(last_layer, "FEW", few)
    default, descended = trained(data, "auto").state_dict(), trained(data, "descent").state_dict()
    assert all(torch.equal(x, descended[name]) for name, x in default.items()) != solved


@pytest.mark.parametrize("model", [small(), HLieConv(readout="mean")])
def test_models_without_such_a_layer_are_refused(model):
    with pytest.raises(ValueError, match=r"last_layer: expected descent for .*, got solved"):
        fit(model, springs()[1], last_layer="solved", progress=False)


def test_it_is_solved_by_forces():
    data = springs()[1]
    with pytest.raises(ValueError, match="loss: expected force_matching, as last_layer is solved by forces"):
        fit(network(data), data, last_layer="solved", loss="rollout", progress=False)
