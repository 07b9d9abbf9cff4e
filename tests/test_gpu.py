"""A GPU computes what the CPU computes: groups, systems, integrators, networks, a fit. Skipped where there is none.

`DEVICE=cpu python -m pytest tests/test_gpu.py` runs the tests themselves on a machine that has none.
"""

import copy
import os
import pkgutil
from functools import partial

import jaxtyping
import pytest
import torch

from hlieconv.dynamics import fit, rollout
from hlieconv.groups import GROUPS, group
from hlieconv.models import MODELS
from hlieconv.nn import BottleneckBlock, LieConv, LieResNet, Neighbourhood, nearest
from hlieconv.training.graphs import Gradients, RecordedGradients
from systems import SYSTEMS, PhaseSpace, simulate
from systems.integrators import INTEGRATORS
from systems.registry import system_class

DEVICE = os.environ.get("DEVICE", "cuda")
pytestmark = pytest.mark.skipif(DEVICE == "cuda" and not torch.cuda.is_available(), reason="needs a GPU")


def assert_equal(found, expected, dtype=torch.float64, factor=1e4):
    """Sums in another order: some thousand units in the last place."""
    assert found.device.type == torch.device(DEVICE).type
    size = max(1.0, expected.abs().max().item()) if expected.numel() else 1.0
    torch.testing.assert_close(found.cpu(), expected, rtol=0, atol=factor * size * torch.finfo(dtype).eps)


@pytest.mark.parametrize("name", GROUPS)
def test_groups(name, generator):
    chosen = group(name)
    points = 0.5 + torch.rand(4, 5, chosen.dimension, generator=generator, dtype=torch.float64)
    vectors = torch.rand(4, chosen.algebra_dimension, generator=generator, dtype=torch.float64)
    there, here = chosen.lift(points.to(DEVICE), samples=12), chosen.lift(points, samples=12)
    assert_equal(there.elements, here.elements)
    assert_equal(chosen.log(chosen.exp(vectors.to(DEVICE))), vectors)
    assert chosen.lift(points.to(DEVICE), 2, generator=torch.Generator(DEVICE)).elements.device == there.elements.device


@pytest.mark.parametrize("name", ["T2", "SO2", "SE2", "RxSO2"])
@pytest.mark.parametrize("options", [{"neighbours": 12}, {"tile": 64}, {"radius": 2.0, "edge": "smooth"}], ids=str)
def test_networks_and_their_slopes(name, options, generator):
    tiled = {"tile": options["tile"]} if "tile" in options else {}
    network = LieResNet(
        group(name),
        2,
        1,
        channels=8,
        layers=2,
        neighbourhood=Neighbourhood(group(name), **options),
        block=partial(BottleneckBlock, convolution=partial(LieConv, **tiled)),
    ).double()
    points = torch.randn(2, 300, 2, generator=generator, dtype=torch.float64)
    values = torch.randn(2, 300, 2, generator=generator, dtype=torch.float64)

    def slope(network, points, values):
        return torch.func.grad(lambda x: network(x, values).sum())(points)

    expected = slope(network, points, values)
    assert_equal(slope(network.to(DEVICE), points.to(DEVICE), values.to(DEVICE)), expected, factor=1e6)


@pytest.mark.parametrize("d", [1, 2, 3])
def test_neighbour_list(d, generator):
    points = torch.randn(2, 2000, d, generator=generator, dtype=torch.float64)
    assert torch.equal(nearest(points.to(DEVICE), points.to(DEVICE), 8).cpu(), nearest(points, points, 8))


@pytest.mark.parametrize("name", SYSTEMS)
def test_systems(name):
    kind = pkgutil.resolve_name(SYSTEMS[name])
    (system, state), (there, its_state) = kind.sample(3, seed=0), kind.sample(3, seed=0, device=DEVICE)
    for key, value in system.values.items():
        assert torch.equal(there.values[key].cpu(), value)  # the same draws
    slope, its_slope = (f(torch.zeros(()).to(s.q), s) for f, s in ((system, state), (there, its_state)))
    assert_equal(its_slope.q, slope.q)
    assert_equal(its_slope.p, slope.p)
    times = torch.linspace(0, 0.1, 3, dtype=torch.float64)
    found, expected = simulate(there, its_state, times), simulate(system, state, times)
    assert abs(found.q - expected.q).max() < 1e-9  # the default integrator's own promise


@pytest.mark.parametrize("name", INTEGRATORS)
def test_integrators(name):
    kind = system_class("rods" if name.startswith("rattle") else "springs")  # for constraints alone
    (system, state), (there, its_state) = (kind.sample(3, seed=0, device=device) for device in ("cpu", DEVICE))
    times = torch.linspace(0, 0.1, 3, dtype=torch.float64)
    integrator = pkgutil.resolve_name(INTEGRATORS[name])()
    found, expected = (integrator.integrate(f, s, times.to(s.q)) for f, s in ((there, its_state), (system, state)))
    assert_equal(found.q, expected.q, factor=1e6)
    assert_equal(found.p, expected.p, factor=1e6)


@pytest.mark.parametrize("name", MODELS)
def test_models_fit_and_roll_out(name, monkeypatch):
    monkeypatch.setattr(jaxtyping.config, "jaxtyping_disable", True)  # torch.compile of torch 2.11 trips over checks
    system, state = pkgutil.resolve_name(SYSTEMS["springs"]).sample(8, seed=0)
    dataset = simulate(system, state, torch.linspace(0, 0.5, 20, dtype=torch.float64))
    few = {} if name == "expansion" else {"steps": 5, "learning_rate": 1e-4}
    torch.manual_seed(0)  # hardly trained, some weights send a trajectory off
    kind = pkgutil.resolve_name(MODELS[name])
    model = fit(kind.of(dataset), dataset, **few, device=DEVICE, progress=False).model
    assert model.like.device.type == torch.device(DEVICE).type
    predicted = rollout(model, dataset, dtype=torch.float64, device=DEVICE)
    onto = PhaseSpace(*(torch.as_tensor(predicted[x].values) for x in ("q", "p")))
    assert onto.q.isfinite().all()
    same = rollout(model.cpu(), dataset, dtype=torch.float64)
    assert abs(predicted.q - same.q).max() < 1e-6


@pytest.mark.skipif(DEVICE == "cpu", reason="graphs are of a GPU")
def test_recorded_gradients_are_those_of_the_loss():
    """Over batches of two shapes, with the weights and the random numbers of each call."""
    layers = [torch.nn.Linear(3, 8), torch.nn.Dropout(0.5), torch.nn.Linear(8, 1)]
    network = torch.nn.Sequential(*layers).to(DEVICE)
    other = copy.deepcopy(network)

    def loss(network, batch):
        return network(batch["x"]).square().mean()

    gradients = Gradients(network, loss), RecordedGradients(other, loss)
    for step in range(12):
        batch, values = {"x": torch.randn(4 + step % 2, 3, device=DEVICE)}, []
        for part in gradients:
            torch.manual_seed(step)
            values.append(part(batch))
            with torch.no_grad():
                for parameter in part.parameters:
                    parameter.sub_(0.1 * parameter.grad)
        torch.testing.assert_close(*values)
        for one, same in zip(network.parameters(), other.parameters(), strict=True):
            torch.testing.assert_close(one.grad, same.grad)
