"""Derivatives that are data: dq/dt and dp/dt beside q and p, which force_matching takes as they are."""

import numpy as np
import pytest
import torch
from small import small, springs

import systems
from hlieconv.dynamics import fit
from hlieconv.dynamics.chunks import chunks_of
from hlieconv.dynamics.force_matching import ForceMatching
from hlieconv.dynamics.trajectories import trajectories_of
from hlieconv.models import PairExpansion
from systems import Springs, from_arrays, smoothed_by_rates
from systems.dataset.named_arrays import from_file

COARSE = 0.5


def with_rates(count=8, points=9, spacing=0.01, noise=0.0, **options):
    """Springs, and their trajectories with the derivatives of the true system, which may be noisy."""
    system, data = springs(count=count, points=points, spacing=spacing, **options)
    return system, assigned(data, system, noise)


def assigned(data, system, noise=0.0):
    trajectories, rng = trajectories_of(data), np.random.default_rng(0)
    rates = system(torch.zeros(()), trajectories.state)
    for letter in "qp":
        exact = getattr(rates, letter).transpose(0, 1).numpy()
        shaken = exact + noise * rng.standard_normal(exact.shape) * exact.std()
        data[f"{letter}_rate"] = data[letter].copy(data=np.where(data[letter].notnull(), shaken, np.nan))
    return data


@pytest.mark.parametrize("bodies", [3, (2, 4)])
@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
def test_the_true_field_has_no_loss_however_far_apart_points_are(bodies, dtype):
    system, data = with_rates(spacing=COARSE, bodies=bodies)
    chunks = chunks_of(trajectories_of(data), 5)
    samples = ForceMatching().samples(chunks, system.mass).to(dtype, torch.device("cpu"))
    field = system.select(samples.trajectory).to(dtype)
    assert len(samples.q) == 5 * len(chunks.trajectory)
    size = samples.force.square().mean().sqrt()
    assert ForceMatching()(field, samples).sqrt() < 50 * torch.finfo(dtype).eps * size
    canonical = ForceMatching(canonical=True).samples(chunks, None)
    assert torch.equal(canonical.velocity, ForceMatching().samples(chunks, None).velocity)
    without = data.drop_vars(["q_rate", "p_rate"])
    with pytest.raises(ValueError, match="spacing"):
        ForceMatching().check(chunks_of(trajectories_of(without), 5), system.mass)


def stiffness_off(system, data):
    """The largest relative error of stiffnesses that are fitted."""
    guess = Springs(mass=system.mass, stiffness=1.2 * system.stiffness, mask=system.mask, trainable=["stiffness"])
    settings = {"optimiser": "lbfgs", "learning_rate": 0.5, "steps": 25, "batch": 10_000, "weight_average": 0.0}
    fit(guess, data, validation=0.0, progress=False, loss="force_matching", **settings)
    return float((guess.stiffness.detach() / system.stiffness - 1).abs().max())


def test_what_is_given_exactly_is_at_least_as_good_as_what_is_interpolated():
    """The interpolant's error falls with the spacing, that of the data is round-off; noise in them shows in full."""
    system, data = with_rates(spacing=0.05, count=4)
    found = [stiffness_off(system, x) for x in (data, data.drop_vars(["q_rate", "p_rate"]))]
    noisy = [stiffness_off(*with_rates(spacing=0.05, count=4, noise=size)) for size in (1e-3, 1e-2)]
    assert found[0] < 1e-2 * found[1]
    assert found[0] < 1e-2 * noisy[0]
    assert 3 < noisy[1] / noisy[0] < 30


def test_a_network_takes_them():
    """On points far apart, where nothing can be interpolated, and the same frame moves states and rates."""
    _, data = with_rates(count=24, spacing=COARSE)
    options = {"steps": 200, "batch": 64, "validation": 0.25, "progress": False, "loss": "force_matching"}
    options |= {"optimiser": "adam", "learning_rate": 0.03}
    history = fit(small(), data, **options).history
    assert history[-1]["validation"] < 0.5 * history[0]["validation"]
    again = fit(small(), data.assign(p_rate=2 * data["p_rate"]), **options).history
    assert again[-1]["loss"] != history[-1]["loss"]


@pytest.mark.parametrize("spacing", [0.01, COARSE])
def test_a_law_is_read_from_them(spacing):
    _, data = with_rates(count=12, points=5, spacing=spacing, bodies=4)
    model = fit(PairExpansion.of(data), data, progress=False).model
    [term] = model.estimates
    assert term.coefficient == pytest.approx(1, rel=1e-12)


def test_noise_in_them_is_measured_and_stands_in_error_bars():
    _, data = with_rates(count=12, points=21, spacing=COARSE, noise=1e-3, bodies=4)
    [term] = fit(PairExpansion.of(data), data, progress=False).model.estimates
    assert 1e-6 < term.error < 1e-3
    assert abs(term.coefficient - 1) < 4 * term.error


def test_they_are_kept_by_files_and_have_units(tmp_path):
    t = np.linspace(0, 1, 6)
    q = np.stack([np.cos(t), np.sin(t)], -1)[:, None]
    v = np.stack([-np.sin(t), np.cos(t)], -1)[:, None]
    q[2] = np.nan
    units = {"q": "m", "mass": "kg", "q_rate": "km / s", "p_rate": "kN"}
    dataset = from_arrays(q, 2 * v, times=t, mass=2.0, q_rate=v / 1000, p_rate=-q / 500, units=units)
    assert (dataset["q_rate"].units, dataset["p_rate"].units) == ("m / s", "kg m / s^2")
    np.testing.assert_allclose(dataset["q_rate"][0], np.where(np.isfinite(q), v, np.nan), rtol=1e-15)
    systems.save(dataset, tmp_path / "circle.nc")
    with systems.open(tmp_path / "circle.nc") as again:
        assert again["p_rate"].identical(dataset["p_rate"])
    np.savez(tmp_path / "circle.npz", q=q, p=2 * v, t=t, m=[2.0], q_rate=v, p_rate=-2 * q)
    np.testing.assert_array_equal(from_file(tmp_path / "circle.npz")["p_rate"][0], -2 * q)


def test_fingerprints_differ():
    _, data = with_rates()
    known = trajectories_of(data).fingerprint
    assert torch.equal(known["p_rate"], trajectories_of(data).companions["rates"].p)


def test_what_does_not_fit_is_refused():
    t = np.linspace(0, 1, 6)
    q = np.stack([np.cos(t), np.sin(t)], -1)[:, None]
    given = {"times": t, "mass": 1.0}
    with pytest.raises(ValueError, match="q: expected bodies that were seen at some time, got 'NaN everywhere'"):
        from_arrays(np.full_like(q, np.nan), q, **given)
    with pytest.raises(ValueError, match=r"velocity: expected shape \(1,\) .* of the shape of q, are p, v, q_rate and"):
        from_arrays(q, velocity=q, **given)
    with pytest.raises(ValueError, match="p_rate: expected both q_rate and p_rate, or neither"):
        from_arrays(q, q, p_rate=q, **given)
    with pytest.raises(ValueError, match=r"p_rate: expected the shape of q, \(1, 6, 1, 2\), got \(1, 6, 2, 2\)"):
        from_arrays(q, q, q_rate=q, p_rate=np.repeat(q, 2, 1), **given)
    with pytest.raises(ValueError, match="q_rate: expected finite values, or NaN where a body was not seen"):
        from_arrays(q, q, q_rate=np.full_like(q, np.inf), p_rate=q, **given)
    with pytest.raises(ValueError, match="q_rate"):
        from_arrays(q, q, q_rate=q, p_rate=q, units={"q": "m", "mass": "kg", "q_rate": "m"}, **given)
    _, data = with_rates()
    with pytest.raises(ValueError, match="q_rate: expected both q_rate and p_rate, or neither, got one of them"):
        fit(small(), data.drop_vars("p_rate"))
    with pytest.raises(ValueError, match="found none: p_rate is NaN at all times; leave q_rate and p_rate out"):
        fit(small(), data.assign(p_rate=np.nan * data.p_rate))
    with pytest.raises(ValueError, match="p_rate: expected float64, as q, got int64"):
        fit(small(), data.assign(p_rate=data["p_rate"].astype(int)))
    with pytest.raises(ValueError, match="p_rate: expected dims trajectory, time, body, space, got trajectory, body"):
        fit(
            small(),
            data.assign(p_rate=data["p_rate"].isel(time=0).drop_vars("time").transpose("trajectory", "body", "space")),
        )
    with pytest.raises(ValueError, match="p_rate: expected finite values, or NaN"):
        fit(small(), data.assign(p_rate=data["p_rate"] / 0))
    with pytest.raises(ValueError, match="needs q_rate = p / mass, which the data do not obey"):
        fit(small(), data.assign(q_rate=2 * data["q_rate"]), loss="force_matching")


def test_gaps_in_them_are_left_out():
    _, data = with_rates(count=2)
    data["p_rate"][1, 6] = np.nan
    with pytest.warns(UserWarning, match=r"1 of 2 trajectories have gaps \(NaN in q or p or q_rate or p_rate\)"):
        assert chunks_of(trajectories_of(data), 5).trajectory.tolist() == [0, 1, 0]


def test_of_a_dataset_larger_than_memory_they_are_read_in_pieces(tmp_path, monkeypatch):
    _, data = with_rates()
    systems.save(data, tmp_path / "springs.nc")
    whole = chunks_of(trajectories_of(data), 5).rates
    monkeypatch.setattr("hlieconv.dynamics.trajectories.is_beyond_memory", lambda dataset: True)
    with systems.open(tmp_path / "springs.nc") as lazy:
        pieces = chunks_of(trajectories_of(lazy), 5).rates
    assert torch.equal(pieces.q, whole.q)
    assert torch.equal(pieces.p, whole.p)


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
@pytest.mark.parametrize("irregular", [False, True])
def test_noisy_states_are_the_integral_of_their_derivatives(dtype, irregular):
    """Of N points one part in sqrt(N) of the noise is left, the same at all points; gaps and masked bodies stay."""
    rng, count, points = np.random.default_rng(0), 40, 50
    t = np.sort(rng.uniform(0, 3, (count, points))) if irregular else np.linspace(0, 3, points)[None].repeat(count, 0)
    sine, cosine = (f(t + np.arange(count)[:, None])[:, :, None, None] for f in (np.sin, np.cos))
    q, p = (x + 0.1 * rng.standard_normal(x.shape) for x in (sine, cosine))
    q[3, 7] = np.nan
    both = [np.concatenate([x, x], 2).astype(dtype) for x in (q, p, cosine, -sine)]
    mask = np.array([[True, k != 5] for k in range(count)])
    named = dict(zip(("q", "p", "q_rate", "p_rate"), both, strict=True))
    noisy = from_arrays(**named, times=t if irregular else t[0], mask=mask)
    smooth = smoothed_by_rates(noisy)
    assert smooth.q.dtype == dtype
    np.testing.assert_array_equal(smooth.q_measured, noisy.q)
    for name, true in (("q", sine), ("p", cosine)):
        found = smooth[name].values
        assert (np.isnan(found) == np.isnan(noisy[name].values)).all()
        off = found[:, :, 0] - true[:, :, 0]
        assert np.nanstd(off, 1).max() < (1e-4 if irregular else 1e-6)
        assert 0.8 < np.nanmean(off, 1).std() / (0.1 / np.sqrt(points)) < 1.2
    with pytest.raises(ValueError, match="p_rate: expected time derivatives beside the states, got none"):
        smoothed_by_rates(noisy.drop_vars("p_rate"))
