"""Rollouts keep what their symmetry promises, know both energies, and warn of another integrator."""

import warnings

import numpy as np
import pytest
import torch

import hlieconv.diagnostics  # noqa: F401 (the accessor)
from hlieconv.dynamics import chunk_error
from hlieconv.dynamics.rollouts import default_integrator, rollout
from hlieconv.models import AbstractModel, HLieConv, PairExpansion
from hlieconv.models.abstract import Trained
from hlieconv.models.expansion.law import Estimate
from hlieconv.models.expansion.terms import Factor, Pair
from systems import AbstractVectorField, PhaseSpace, Springs, simulate
from systems.integrators import RK4, BlanesMoanSRKN6, Gauss4, Leapfrog


def springs(count=3, **settings):
    times = torch.linspace(0, 0.2, 21, dtype=torch.float64)
    return simulate(*Springs.sample(count, seed=0, **({"bodies": 4} | settings)), times, seed=0)


class Truth(AbstractModel):
    """Springs themselves, as if they had been learned."""

    body_features = ("mass", "stiffness")

    def __init__(self):
        super().__init__()
        self.unit = torch.nn.Parameter(torch.ones(()))

    def condition(self, features, mask=None):
        return Springs(mask=mask, **self.checked(features, mask))


class Decay(AbstractVectorField):
    def forward(self, t, state):
        return PhaseSpace(-state.q, -state.p)


def network(group="SE2"):
    with torch.random.fork_rng():
        torch.manual_seed(0)
        return HLieConv(group=group, width=8, blocks=1)


def test_the_truth_rolls_out_to_the_truth(dtype):
    data = springs(bodies=(2, 4))
    predicted = rollout(Truth().to(dtype), data)
    assert predicted.q.dtype == str(dtype).removeprefix("torch.")
    error = predicted.dynamics.error(data)
    # float64: the error of the integrator; float32: its rounding, a few hundred steps' worth.
    assert float(error.max()) < (1e-7 if dtype == torch.float64 else 1e-4)
    np.testing.assert_allclose(predicted.energy, predicted.true_energy, rtol=1e-6)
    assert set(data.data_vars) | {"true_energy"} == set(predicted.data_vars)


def test_both_energies_are_known():
    data = springs()
    predicted = rollout(network(), data, dtype=torch.float64)
    np.testing.assert_allclose(predicted.true_energy[:, 0], data.energy[:, 0], rtol=1e-12)
    assert float(predicted.dynamics.drift("energy").max()) < 1e-3
    assert not np.allclose(predicted.true_energy, predicted.energy)
    summary = predicted.dynamics.summary()
    assert summary["true_energy"] > 10 * summary["energy"]  # an untrained model conserves its own energy only
    assert predicted.attrs["system"] == "hlieconv"
    unknown = data.assign_attrs(system="a mystery")
    assert "true_energy" not in rollout(network(), unknown)


@pytest.mark.parametrize(
    ("group", "momentum", "spin"), [("Trivial", False, False), ("T2", True, False), ("SE2", True, True)]
)
def test_charges_are_kept_as_the_group_promises(group, momentum, spin):
    predicted = rollout(network(group), springs(), dtype=torch.float64)
    for quantity, kept in {"momentum": momentum, "angular_momentum": spin}.items():
        drift = float(predicted.dynamics.drift(quantity).max())
        assert (drift < 1e-12) if kept else (drift > 1e-6), (quantity, drift)


def test_a_rollout_leaves_the_model_alone():
    model = network().train()
    before = {name: tensor.clone() for name, tensor in model.state_dict().items()}
    rollout(model, springs(), dtype=torch.float64)
    assert model.training
    assert all(parameter.requires_grad for parameter in model.parameters())
    assert all(torch.equal(tensor, before[name]) for name, tensor in model.state_dict().items())


def test_times_may_be_others(tmp_path):
    data = springs()
    times = torch.tensor([0.0, 0.25, 1.0])
    predicted = rollout(network(), data, times, path=tmp_path / "g.nc")
    assert predicted.time.values.tolist() == times.tolist()
    again = rollout(network(), data, times, path=tmp_path / "g.nc")
    np.testing.assert_array_equal(again.q, predicted.q)
    with pytest.raises(ValueError, match=r"g\.nc"):
        rollout(network("T2"), data, times, path=tmp_path / "g.nc")


def test_the_default_integrator_suits_the_field():
    model, data = network(), springs()
    field = model.condition({name: torch.ones(4) for name in ("mass", "stiffness")})
    assert isinstance(default_integrator(model, field, 0.1), BlanesMoanSRKN6)
    assert isinstance(default_integrator(model, Decay(), 0.1), RK4)
    model.trained = Trained(0.01, None)
    assert default_integrator(model, field, 0.1).step == 0.01
    model.trained = Trained(0.01, RK4(step=0.01))
    assert isinstance(default_integrator(model, field, 0.1), BlanesMoanSRKN6)
    model.trained = Trained(0.01, Leapfrog(step=0.01))
    assert isinstance(default_integrator(model, field, 0.1), Leapfrog)
    assert rollout(model, data).attrs["integrator"] == "leapfrog"


def test_a_law_is_followed_to_round_off():
    """Through close passages too, where steps of the data's spacing are far off."""
    times = torch.linspace(0, 1, 11, dtype=torch.float64)
    truth, k = simulate(*Springs.sample(2, seed=0, rest_length=(0.2, 1.0)), times), Factor("stiffness")
    law = PairExpansion.of(truth)
    law.estimates = [
        Estimate(Pair("power", (2.0,), (False,), (k, k)), 1.0),
        Estimate(Pair("power", (1.0,), (False,), (k, k), (Factor("rest_length"),)), -2.0),
    ]
    predicted = rollout(law, truth)
    assert predicted.attrs["integrator"] == "adaptive_gauss"
    fixed = rollout(law, truth, integrator=BlanesMoanSRKN6(step=0.1))
    assert float(predicted.dynamics.error(truth).max()) < 1e-12
    assert float(fixed.dynamics.error(truth).max()) > 1e-3
    assert float(predicted.dynamics.drift("momentum").max()) < 1e-12


def test_another_integrator_than_that_of_a_low_order_training_is_warned_of():
    model, data = network(), springs()
    model.trained = Trained(0.01, Leapfrog(step=0.01))
    with pytest.warns(UserWarning, match=r"trained through Leapfrog\(step=0.01\)"):
        rollout(model, data, integrator=RK4())
    with pytest.warns(UserWarning, match=r"Leapfrog\(step=0.002\) will not"):
        rollout(model, data, integrator=Leapfrog(step=0.002))
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        rollout(model, data, integrator=Leapfrog(step=0.01))
        rollout(model, data, integrator=Leapfrog())  # one step from point to point: the same
        model.trained = Trained(0.01, RK4(step=0.01))
        rollout(model, data, integrator=Gauss4())


def test_states_are_put_back_onto_the_charges_that_are_named():
    names, times = ["energy", "momentum", "angular_momentum"], torch.linspace(0, 2, 11)
    plain = rollout(network(), springs(), times, RK4(step=0.2))
    projected = rollout(network(), springs(), times, RK4(step=0.2), project=names)
    for name in names:
        assert float(projected.dynamics.drift(name).max()) < 1e-5  # float32
    assert float(plain.dynamics.drift("energy").max()) > 1e-5


def test_missing_features_are_named():
    with pytest.raises(ValueError, match="missing stiffness"):
        rollout(network(), springs().drop_vars("stiffness"))


def test_the_chunk_error_is_that_of_its_definition():
    data = springs(count=20, bodies=(2, 4))
    model = network()
    errors = chunk_error(model, data, seed=3)
    assert errors.shape == (20,)
    assert chunk_error(Truth(), data).max() < 1e-14
    assert torch.equal(errors, chunk_error(model, data, seed=3))
    starts = torch.randint(17, (1, 20), generator=torch.Generator().manual_seed(3))[0]
    for trajectory in (0, 7):
        piece = data.isel(trajectory=[trajectory], time=slice(starts[trajectory], starts[trajectory] + 5))
        predicted = rollout(model, piece, dtype=torch.float64)
        bodies = piece.mask.values.sum()
        square = sum(float(((predicted[x] - piece[x]) ** 2).sum()) for x in "qp")
        np.testing.assert_allclose(errors[trajectory], square / (2 * 5 * bodies * 2), rtol=1e-6)
