"""Noise in the states: first states that are fitted, errors that weigh, residuals that are robust."""

import numpy as np
import pytest
import torch
from small import small, springs

from hlieconv.dynamics import fit
from hlieconv.dynamics.chunks import chunks_of
from hlieconv.dynamics.force_matching import ForceMatching
from hlieconv.dynamics.shooting import Shooting
from hlieconv.dynamics.trajectories import trajectories_of, with_measured_noise
from systems import HarmonicTrap, Springs, from_arrays, simulate
from systems.integrators import RK4

POINTS, NOISE = 11, (0.02, 0.05)
QUICK = {"optimiser": "lbfgs", "learning_rate": 0.5, "batch": 10_000, "weight_average": 0.0, "validation": 0.0}
QUICK |= {"progress": False, "loss": "rollout", "chunk": POINTS}


def shaken(data, seed=0, *, bars=True):
    """With white noise on q and p, and the errors that say so."""
    rng = np.random.default_rng(seed)
    noisy = data.copy()
    for letter, size in zip("qp", NOISE, strict=True):
        noisy[letter] = data[letter] + size * rng.standard_normal(data[letter].shape)
        if bars:
            noisy[f"{letter}_error"] = 0 * data[letter] + size
    return noisy


def bound(off, freedom):
    """Five standard deviations of a mean of chi^2."""
    return off < 5 * (2 / freedom) ** 0.5


@pytest.mark.parametrize("bodies", [3, (2, 4)])
@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
def test_the_true_field_leaves_the_noise_less_what_first_states_explain(bodies, dtype):
    """chi^2 by points is 1 - 1 / points for each segment; with measured first states it is larger."""
    system, data = springs(count=60, points=2 * POINTS - 1, spacing=0.02, bodies=bodies)
    chunks = chunks_of(trajectories_of(shaken(data)), 2 * POINTS - 1)
    loss, measured = (Shooting(RK4(), POINTS - 1, x) for x in ("auto", "measured"))
    samples = loss.samples(chunks, None).to(dtype, torch.device("cpu"))
    field = system.select(chunks.trajectory).to(dtype)
    n = 2 * data.q.shape[-1] * int(data.mask.sum()) * 2  # numbers of a state, of two segments
    found = float(loss(field, samples))
    assert bound(abs(found / (1 - 1 / POINTS) - 1), n * (POINTS - 1))
    assert float(measured(field, samples)) > 1.5


def test_derivatives_are_those_of_the_least_sum():
    """Springs are linear, so that the first states are exact, and the sum stationary in them."""
    system, data = springs(count=3, points=POINTS, spacing=0.02)
    chunks = chunks_of(trajectories_of(shaken(data)), POINTS)
    loss = Shooting(RK4(), POINTS - 1, "fitted")
    samples, mass = loss.samples(chunks, None), system.mass

    def value(stiffness):
        return loss(Springs(mass=mass, stiffness=stiffness), samples)

    guess = (1.1 * system.stiffness).detach().requires_grad_()
    assert torch.autograd.gradcheck(value, (guess,), eps=1e-5, atol=1e-4, rtol=1e-3)


def test_first_states_are_fitted_where_errors_are_known_or_asked_for():
    """The constant of a trap is the same with the errors of the data and with those measured; else it is another."""
    state = HarmonicTrap.sample(40, seed=0)[1]
    mass = torch.ones(1, 1, dtype=torch.float64)
    data = simulate(
        HarmonicTrap(trap_constant=2.0, mass=mass), state, torch.linspace(0, 1, POINTS, dtype=torch.float64)
    )
    found = []
    for bars, first_states in ((True, "auto"), (False, "fitted"), (True, "measured")):
        one = HarmonicTrap(trap_constant=1.5, mass=mass, trainable=("trap_constant",))
        fit(one, shaken(data, bars=bars), steps=1, **QUICK | {"first_states": first_states})
        found.append(float(one.trap_constant.detach()))
    assert found[0] == pytest.approx(2, abs=0.05)
    assert abs(found[0] - found[1]) < 0.1 * abs(found[0] - found[2])


def test_noise_is_measured():
    _, data = springs(count=20, points=41, spacing=0.05)
    errors = with_measured_noise(trajectories_of(shaken(data, bars=False))).errors
    assert [float(x.mean()) for x in errors] == pytest.approx(NOISE, rel=0.1)
    assert with_measured_noise(trajectories_of(data)).errors is None


@pytest.mark.parametrize("loss", ["rollout", "force_matching"])
def test_robust_residuals_overlook_what_is_wild(loss):
    """One trajectory of twenty that is of another law pulls least squares away."""
    times = torch.linspace(0, 1, POINTS, dtype=torch.float64)
    trap, odd = (HarmonicTrap(trap_constant=x, mass=[[1.0]]) for x in (2.0, 40.0))
    state = HarmonicTrap.sample(20, seed=0)[1]
    data, other = (simulate(field, state, times) for field in (trap, odd))
    for letter in "qp":
        data[letter][3] = other[letter][3]
    found = []
    for residuals in ("squares", "robust"):
        one = HarmonicTrap(trap_constant=1.5, mass=[[1.0]], trainable=("trap_constant",))
        fit(one, data, steps=1, **QUICK | {"loss": loss, "residuals": residuals})
        found.append(abs(float(one.trap_constant.detach()) - 2))
    assert 10 * found[1] < found[0] > 0.1


def test_forces_are_weighed_by_the_errors_of_momenta():
    """A smoother knows least where a trajectory ends."""
    _, data = springs(count=4, points=201, spacing=0.02)
    noise = 0.01 * np.random.default_rng(0).standard_normal(data.q.shape)
    noisy = from_arrays(data.q.values + noise, times=data.time.values, mass=data.mass.values)
    samples = ForceMatching().samples(chunks_of(trajectories_of(noisy), 5), trajectories_of(noisy).mass)
    end = (samples.times < 0.1) | (samples.times > 3.9)
    assert samples.weight[end].mean() < 0.5 * samples.weight[~end].mean()


def test_what_does_not_apply_is_refused():
    with pytest.raises(ValueError, match="first_states: expected auto or measured: force_matching has none"):
        fit(small(), springs()[1], first_states="fitted")
    data = shaken(springs(points=POINTS)[1])
    for name, values in (("q_error", -data["q_error"]), ("p_error", 0 * data["p_error"])):
        with pytest.raises(ValueError, match=f"{name}: expected standard errors above 0, of q and p both or of none"):
            fit(small(), data.assign({name: values}), **QUICK)
    with pytest.raises(ValueError, match="residuals: expected one of squares, robust, got 'huber'"):
        fit(small(), springs()[1], residuals="huber")
