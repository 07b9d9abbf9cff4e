"""A run says what a rollout has to know: the loaded model knows what the fitted one knew."""

import json

import pytest
import torch
from small import Small, small, springs

from hlieconv.dynamics import fit, load, rollout
from hlieconv.models import HLieConv
from systems import Gravity, simulate

DATA = springs(spacing=0.03)[1]
QUICK = {"optimiser": "adam", "steps": 2, "progress": False}


@pytest.mark.parametrize(
    "changes",
    [
        {},
        {"loss": "rollout"},
        {"loss": "one_step", "integrator": "leapfrog"},
        {"loss": "multiple_shooting", "integrator": "leapfrog", "step": 0.004},
    ],
)
def test_a_loaded_model_knows_how_it_was_trained(changes, tmp_path):
    fitted = fit(small(), DATA, path=tmp_path, **QUICK, **changes).model.trained
    loaded = load(tmp_path, model=Small).trained
    assert loaded.spacing == fitted.spacing == pytest.approx(0.03)
    assert type(loaded.through) is type(fitted.through)
    if "loss" in changes:
        assert loaded.through.step == fitted.through.step == pytest.approx(changes.get("step", 0.03))
    else:
        assert loaded.through is None


def test_a_run_of_an_earlier_version_says_so(tmp_path):
    fit(small(), DATA, path=tmp_path, **QUICK)
    file = tmp_path / "config.json"
    config = json.loads(file.read_text())
    del config["rollout"], config["sha256"]
    file.write_text(json.dumps(config))
    with pytest.raises(ValueError, match=r"expected the section rollout .* earlier version"):
        load(tmp_path, model=Small)


def test_units_are_those_of_the_training_data(tmp_path):
    """A rollout is in the units of its Dataset, which are those that the model knows."""
    system, state = Gravity.sample(2, seed=0, bodies=2)
    times = torch.linspace(0, 0.5, 11, dtype=torch.float64)
    own, other = (simulate(Gravity(mass=system.mass, units=u), state, times) for u in ("AU, yr, Msun", "SI"))
    model = HLieConv.of(own, width=8, blocks=0)
    history = fit(model, own, path=tmp_path, loss="rollout", step=0.05, **QUICK).history
    for known in (model, load(tmp_path)):
        predicted = rollout(known, own)
        for name in ("q", "p", "time", "energy", "true_energy"):
            assert predicted[name].attrs["units"] == own[name.removeprefix("true_")].attrs["units"]
        with pytest.raises(ValueError, match="dataset: expected q in AU, as the model was trained, got 'q in m'"):
            rollout(known, other)
        rollout(known, own.assign(q=own["q"].assign_attrs(units="1")))  # of numbers without units nobody knows
    config = json.loads((tmp_path / "config.json").read_text())
    del config["units"], config["sha256"]
    (tmp_path / "config.json").write_text(json.dumps(config))
    assert rollout(load(tmp_path), other)["q"].attrs["units"] == "m"
    again = fit(HLieConv.of(own, width=8, blocks=0), own, path=tmp_path, loss="rollout", step=0.05, **QUICK)
    assert again.history == history  # the same run
