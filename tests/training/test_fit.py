"""fit: the recipe end to end, on networks of a few weights."""

import pytest
from small import small, springs

from hlieconv.training import fit


@pytest.mark.parametrize("optimiser", ["adam", "soap"])
def test_the_loss_falls(optimiser):
    _, data = springs()
    history = fit(small(), data, optimiser=optimiser, steps=300, learning_rate=3e-2, progress=False).history
    assert history[-1]["loss"] < 0.5 * history[0]["loss"]
    assert history[-1]["step"] == 300
