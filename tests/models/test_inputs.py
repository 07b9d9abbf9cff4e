"""What networks see of bodies: standardised, and apart where they span orders of magnitude."""

import torch

from hlieconv.models.inputs import Features, Inputs
from systems import Gravity


def test_features_are_standardised(dtype):
    features = {"mass": torch.rand(50, 4, dtype=dtype) + 0.1, "charge": torch.randn(50, 4, dtype=dtype)}
    inputs = Features(("mass", "charge"), (), normalised=True).to(dtype)
    inputs.calibrate(features, None)
    columns = inputs.bodies(features, None).flatten(0, -2)
    torch.testing.assert_close(columns.mean(0), torch.zeros(2, dtype=dtype), rtol=0, atol=1e-5)
    torch.testing.assert_close(columns.std(0, correction=0), torch.ones(2, dtype=dtype))
    assert not inputs.body_log.any()


def test_planets_of_other_masses_look_different(dtype):
    """Standardised beside a star of mass 1 as they are, planets of 0.0005 to 0.005 would lie within 0.01."""
    system, _ = Gravity.sample(50, seed=0, dtype=dtype)
    inputs = Features(("mass",), (), normalised=True).to(dtype)
    inputs.calibrate({"mass": system.mass}, None)
    planets = inputs.bodies({"mass": system.mass}, None)[:, 1:]
    assert planets.std() > 0.1
    mask = torch.ones(50, 4, dtype=torch.bool).index_fill(1, torch.tensor([3]), False)
    existing = torch.where(mask, system.mass, 0)
    assert inputs.bodies({"mass": existing}, mask).isfinite().all()


def test_units_are_of_the_masses_not_of_their_logarithms(dtype):
    system, state = Gravity.sample(50, seed=0, dtype=dtype)
    inputs = Inputs(("mass",), (), centred=False, normalised=True).to(dtype)
    inputs.calibrate(state.q, state.p, {"mass": system.mass}, None)
    assert inputs.features.body_log.all()
    torch.testing.assert_close(inputs.mass, system.mass.mean())
