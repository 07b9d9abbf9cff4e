"""A run says what a rollout has to know: the loaded model knows what the fitted one knew."""

import json

import pytest
from small import Small, small, springs

from hlieconv.dynamics import fit, load

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
