"""The law of long runs, on a twentieth of the steps of the full ones (tests/benchmarks/bench_integrators.py).

Round-off walks at random: sqrt(20) below the bound of 1e-12 after 1e5 steps, exponents near 1/2.
"""

import jaxtyping
import pytest
import torch
from long_run import chain, drift, drifting, growth, pairs, run, trend
from problems import METHODS

from systems.integrators import RK4, Gauss4, Leapfrog

BOUND = 1e-12 / 20**0.5
SYMPLECTIC = [name for name, method in METHODS.items() if method.symplectic]


@pytest.fixture(scope="module", autouse=True)
def _without_checks_of_types():
    """They would take most of the time of so many steps."""
    jaxtyping.config.update("jaxtyping_disable", True)
    yield
    jaxtyping.config.update("jaxtyping_disable", False)


@pytest.fixture(scope="module")
def runs():
    """Leapfrog, 5e3 steps, from each kind of state."""
    return {sample: run(sample, Leapfrog(step=2e-3), 10, 500) for sample in (chain, drifting)}


@pytest.mark.parametrize("quantity", ["momentum", "angular_momentum"])
def test_leapfrog_keeps_momenta_to_round_off(runs, quantity):
    found = drift(runs[chain], quantity)
    assert 1e-17 < found.max() < BOUND
    assert growth(found) < 0.7


def test_from_drifting_states_momentum_is_kept(runs):
    """The angular momentum's round-off grows with the distance from the origin."""
    assert drift(runs[drifting], "momentum").max() < BOUND
    assert growth(drift(runs[drifting], "momentum")) < 0.7
    assert drift(runs[drifting], "angular_momentum").max() < 10 * BOUND


def test_the_energy_has_no_trend(runs):
    assert trend(runs[chain]) < 0.1
    assert 1e-6 < drift(runs[chain], "energy").max() < 1e-3  # it oscillates


def test_rk4_loses_angular_momentum_and_energy():
    """The control: both bounds can fail."""
    found = run(chain, RK4(step=2e-2), 10, 500)
    assert drift(found, "angular_momentum").max() > 1e6 * BOUND
    assert trend(found) > 0.5


def test_compensated_summation_gains_tenfold(runs):
    compensated = run(drifting, Leapfrog(step=2e-3, compensated=True), 10, 500)
    for quantity in ("momentum", "angular_momentum"):
        assert drift(compensated, quantity)[-1] < 0.1 * drift(runs[drifting], quantity)[-1]


@pytest.mark.parametrize("name", SYMPLECTIC)
def test_every_symplectic_method_keeps_momenta_to_round_off(name):
    """At the same work, a thousand forces: steps as long as they are dear."""
    forces = len(getattr(METHODS[name], "drifts", range(10)))
    found = run(chain, METHODS[name](step=1e-3 * forces), 1, 20)
    assert max(drift(found, quantity).max() for quantity in ("momentum", "angular_momentum")) < 0.1 * BOUND


@pytest.mark.parametrize("method", [Leapfrog, Gauss4])
def test_momenta_of_a_pair_stay_opposite_to_the_last_bit(method):
    """As pair forces are antisymmetric to the last bit."""
    system, state = pairs(8)
    two = type(system)(mass=torch.ones(8, 2).double(), stiffness=system.stiffness[:, :2], rest_length=1.0)
    q = state.q[:, :2]
    p = torch.zeros_like(q)
    path = method(step=0.01, compensated=False).integrate(two, type(state)(q, p), torch.tensor([0.0, 1.0]).double())
    assert path.p[-1].abs().min() > 0
    assert torch.equal(path.p[-1, :, 0], -path.p[-1, :, 1])
