"""Laws from noisy trajectories: the right form, honest errors, and evidence for and against."""

import math
import warnings

import numpy as np
import pytest
import torch
import xarray as xr

from hlieconv.dynamics import evidence
from hlieconv.dynamics.chunks import chunks_of
from hlieconv.dynamics.expansion import search, shooting
from hlieconv.dynamics.expansion.forces import RANGE, Forces, force, jacobian
from hlieconv.dynamics.expansion.noise import Noise, noise_in, noise_of
from hlieconv.dynamics.expansion.shooting import Shot, shoot
from hlieconv.dynamics.expansion.solving import bodies_in, equations_of, solve
from hlieconv.dynamics.expansion.steps import EXACT, Steps
from hlieconv.dynamics.expansion.variation import Variation
from hlieconv.dynamics.expansion.windows import window_targets
from hlieconv.dynamics.trajectories import trajectories_of
from hlieconv.models.expansion.law import Estimate
from hlieconv.models.expansion.model import PairExpansion
from hlieconv.models.expansion.terms import Anisotropic, Bodies, Factor, Monomial, Pair, Triple
from systems import Gravity, HarmonicTrap, MagneticField, PhaseSpace, Springs, from_arrays, simulate


def trajectories(count, points=60, seed=0, noise=0.0, *, kind=Springs, spacing=0.01, **options):
    """Springs with noise of a part of the spread of q and p, and its standard deviations."""
    system, state = kind.sample(count, seed=seed, **options)
    times = torch.arange(points, dtype=torch.float64) * spacing
    dataset = simulate(system, state, times)
    generator, sizes = np.random.default_rng(seed), []
    for name in ("q", "p"):
        size = noise * float(dataset[name].std())
        noisy = dataset[name] + size * generator.standard_normal(dataset[name].shape)
        dataset = dataset.assign({name: noisy.assign_attrs(dataset[name].attrs)})
        sizes.append(size)
    return dataset, Noise(*sizes)


def law(coefficient=1.0, power=2.0):
    k = Factor("stiffness")
    model = PairExpansion("SE2")
    model.estimates = [Estimate(Pair("power", (power,), (False,), (k, k)), coefficient)]
    return model


@pytest.mark.parametrize("noise", [1e-4, 1e-2])
def test_noise_is_measured(noise):
    dataset, sizes = trajectories(10, noise=noise)
    found = noise_of(chunks_of(trajectories_of(dataset), 60, 1))
    assert found == pytest.approx(sizes, rel=0.05)


def test_smooth_trajectories_have_no_noise():
    dataset, _ = trajectories(10)
    assert noise_of(chunks_of(trajectories_of(dataset), 60, 1)) is None


def test_forces_of_windows_are_as_wrong_as_they_say():
    dataset, _ = trajectories(10, noise=1e-2)
    mass = torch.as_tensor(dataset.mass.values)
    targets = window_targets(noise_in(trajectories_of(dataset)), mass)
    bodies = bodies_in(law(), trajectories_of(dataset)).take(targets.trajectory)
    true = law().condition(bodies.features).force(targets.q)
    off = ((targets.force - true) / targets.error[..., None]).square()
    assert 0.3 < float(off.median()) / 0.455 < 2  # the median of chi^2 with one degree of freedom is 0.455


@pytest.mark.parametrize("options", [{}, {"bodies": (3, 6)}])
def test_the_law_is_found_in_noise(options):
    dataset, _ = trajectories(20, noise=1e-2, **options)
    model = PairExpansion.of(dataset)
    solve(model, trajectories_of(dataset), chunks=0)
    (found,) = model.estimates
    assert (found.term.shape, found.term.parameters) == ("power", (2.0,))
    assert found.coefficient == pytest.approx(1, abs=5e-3)
    assert abs(found.coefficient - 1) < 4 * found.error < 0.02
    unseen, _ = trajectories(10, seed=1, noise=1e-2, **options)
    judged = evidence(model, unseen)
    assert judged.holds
    assert judged.chi_square == pytest.approx(1, abs=0.1)
    assert "the law holds" in str(judged)


def test_what_forces_do_not_show_trajectories_do():
    """Planets that seldom meet: 1/r has a chi^2 of 1 as well, and a coefficient that is 1 % off."""
    dataset, _ = trajectories(20, noise=1e-2, kind=Gravity, spacing=0.05, softening=0.1)
    model, m = PairExpansion.of(dataset), Factor("mass")
    found = solve(model, trajectories_of(dataset), chunks=0)
    (softened,) = model.estimates
    assert softened.term.shape == "softened"
    assert softened.coefficient == pytest.approx(-1, abs=5e-3)
    whole = noise_in(trajectories_of(dataset))
    bodies = bodies_in(model, trajectories_of(dataset)).take(whole.trajectory)
    harder = shoot([Estimate(Pair("power", (-1.0,), (False,), (m, m)), -1.0)], whole, bodies)
    assert harder.holds
    assert abs(harder.estimates[0].coefficient + 1) > 5e-3
    assert found.shot.better(harder)
    assert not harder.better(found.shot)
    powers = [Estimate(Pair("power", (p,), (False,), (m, m)), c) for p, c in ((-1.0, -1.0), (-3.0, 5e-3))]
    expansion = shoot(powers, whole, bodies)  # as many numbers, and a chi^2 that is smaller by chance
    assert expansion.chi_square < found.shot.chi_square < expansion.chi_square + 1e-4
    assert found.shot.better(expansion)
    assert not expansion.better(found.shot)


def test_a_law_of_more_terms_has_to_be_better_beyond_a_bare_mention():
    freedom, estimate = torch.full((20,), 100.0), law().estimates
    laws = ((1, 0.0), (2, 0.05), (2, 0.2))
    one, alike, better = (Shot(terms * estimate, 2, freedom - less, freedom) for terms, less in laws)
    for winner, loser in ((one, alike), (better, one), (better, alike)):
        assert winner.better(loser)
        assert not loser.better(winner)


def test_one_segment_alone_does_not_decide():
    """Where bodies meet between two steps a softened law fits by chance; half as much in two segments is no chance."""
    freedom = torch.full((20,), 100.0)
    short, one, two = (Shot([], unknown, freedom.clone(), freedom) for unknown in (1, 2, 2))
    one.each[3] -= 50
    two.each[3:5] -= 25
    assert not one.better(short)
    assert two.better(short)
    assert not short.better(two)
    lost = Shot([], 6, freedom.clone(), freedom)
    lost.each[0] = torch.inf  # a law that diverges in one segment
    lost.each[1:] += 200
    assert short.better(lost)
    assert not lost.better(short)


def test_lengths_do_not_run_away():
    """Where data do not decide on a length a linear step may be as long as it likes."""
    bodies = Bodies({"mass": torch.ones(1, 2, dtype=torch.float64)}, None)
    term = Pair("softened", (0.3, -1.0), (True, True))
    for step in (1e18, -1e18):
        law = Forces([Estimate(term, 1.0)], bodies)
        taken = law.change(torch.tensor([0.5, step, step], dtype=torch.float64))
        (length, exponent), first = law.terms[0].parameters, term.parameters
        assert abs(math.log(length / 0.3)) == pytest.approx(math.log(RANGE))
        assert 0 < abs(exponent + 1) < 3
        assert taken.tolist() == pytest.approx([0.5, length - first[0], exponent - first[1]])


def test_steps_are_halved_where_bodies_meet():
    """A force that turns about within a step: its states, and their derivatives, are those of many short steps."""
    term, one = Pair("softened", (1e-4, 1.0), (True, False)), torch.ones(2, 2, 1, dtype=torch.float64)
    bodies = Bodies({"mass": one[..., 0]}, None)
    law, fine = Forces([Estimate(term, -2.0)], bodies), 1e3 * one
    q = torch.tensor([[[-0.004, 1e-3], [0.004, 0.0]], [[-0.5, 0.0], [0.5, 0.0]]], dtype=torch.float64)
    p, h = torch.zeros_like(q), torch.full((2, 1, 1), 0.01, dtype=torch.float64)
    p[:, 0, 0], p[:, 1, 0] = 1.0, -1.0

    def end(q, p, parts=1, fine=fine):
        state, taken = PhaseSpace(q, p), []
        for _ in range(parts):
            state, steps = Steps(law.weighted, one, fine).across(state, h / parts)
            taken += steps
        return state, taken

    exact, found, rough = end(q, p, 300, 0 * fine)[0], *(end(q, p, fine=x) for x in (fine, 0 * fine))
    assert float((found[0].p - exact.p).abs().max()) * 1e3 < 2 * EXACT < float((rough[0].p - exact.p).abs().max()) * 1e3
    assert len(rough[1]) == 1
    lengths = torch.stack(
        [step.length.new_zeros(2).index_add(0, step.segments, step.length[:, 0, 0]) for step in found[1]]
    )
    assert lengths.sum(0).tolist() == pytest.approx([0.01, 0.01])
    assert (lengths > 0).sum(0)[1] == 1 < (lengths > 0).sum(0)[0]
    variation = Variation(q, one, law, polish=True)
    for step in found[1]:
        variation.step(step)
    moved = q.clone()
    moved[0, 0, 1] += 1e-9
    slope = (end(moved, p)[0].p - found[0].p)[0].flatten() / 1e-9
    torch.testing.assert_close(variation.p[0, :, 1], slope, rtol=0.02, atol=0.02 * float(slope.abs().max()))


def test_jacobian_is_that_of_the_force():
    """Of functions of distances, in one direction, of three bodies and of one."""
    singles = Factor(""), Factor("")
    terms = (
        Pair("power", (-1.0,), (False,)),
        Pair("softened", (0.3, -1.0), (True, False)),
        Anisotropic("product", (0.0, 1.0), (False, False)),
        Triple("cosine", (2.0, 0.5), (False, True), singles),
        Monomial("monomial", (2.0, 1.0), (False, False)),
    )
    q = torch.randn(3, 4, 2, dtype=torch.float64, generator=torch.Generator().manual_seed(0))
    bodies = Bodies({"mass": torch.ones(3, 4, dtype=torch.float64)}, None)
    terms = [(term, term.weight(bodies)) for term in terms]
    for law in (terms[:2], terms):
        whole = torch.autograd.functional.jacobian(lambda x, law=law: force(law, x), q)
        true = torch.stack([whole[k, :, :, k].reshape(8, 8) for k in range(3)])
        torch.testing.assert_close(jacobian(law, q), true, rtol=1e-4, atol=1e-4)


def test_what_is_much_like_a_law_is_tried():
    dataset, _ = trajectories(20, noise=1e-2, kind=Gravity, spacing=0.05, softening=0.1)
    model, m = PairExpansion.of(dataset), (Factor("mass"),) * 2
    equations, _ = equations_of(model, trajectories_of(dataset), chunks=0, seed=0)
    powers = [Pair("power", (exponent,), (False,), m) for exponent in (-1.0, -4.0)]
    found = [[term.shape for term in law.terms] for law in search.relatives(equations.solve(powers))]
    for law in (["power"], ["softened"], ["yukawa"], ["softened", "power"], ["power", "softened"]):
        assert law in found
    softened = equations.solve([Pair("softened", (0.1, -1.0), (True, False), m)])
    assert [law.terms for law in search.relatives(softened)] == [(), (powers[0],)]


def test_no_law_is_read_where_bodies_are_free():
    """The best of the terms fits noise; that there is none fits as well by fewer numbers."""
    generator, t = np.random.default_rng(0), np.linspace(0, 1, 30)
    q, v = generator.standard_normal((2, 6, 1, 3, 2))
    q, v = (x + 0.01 * generator.standard_normal((6, 30, 3, 2)) for x in (q + v * t[:, None, None], v))
    model = PairExpansion.of(dataset := from_arrays(q, v=v, times=t, mass=1.0 + generator.random((6, 3))))
    solve(model, trajectories_of(dataset), chunks=0)
    assert model.law() == "V = 0"


def test_a_square_of_a_softened_square_is_read_as_powers():
    """(r^2 + 1)^2 / 4 is r^4 / 4 + r^2 / 2 and a constant, which moves nothing."""
    dataset, k = trajectories(6)[0], (Factor("stiffness"),) * 2
    equations, _ = equations_of(PairExpansion.of(dataset), trajectories_of(dataset), chunks=0, seed=0)
    equations.y = equations.columns([Pair("softened", (1.0, 4.0), (True, False), k)])[:, 0] / 4
    found = search.snapped(equations.solve([Pair("softened", (1.0, 4.001), (True, True), k)]))
    powers = dict(zip((term.parameters for term in found.terms), found.coefficients.tolist(), strict=True))
    assert powers == pytest.approx({(4.0,): 0.25, (2.0,): 0.5})


def test_evidence_is_none_where_forces_are_unknown():
    """In a magnetic field the canonical momenta are no masses times velocities: two estimates of the force differ."""
    system = HarmonicTrap(1.0, mass=[1.0]) + MagneticField(1.0, charge=[1.0])
    draw = torch.randn(2, 10, 1, 2, dtype=torch.float64, generator=torch.Generator().manual_seed(0))
    data = simulate(system, PhaseSpace(*draw), torch.linspace(0, 4, 60, dtype=torch.float64))
    judged = evidence(PairExpansion.of(data, group="SO2"), data)
    assert judged.expected > 0.1
    assert not judged.holds
    assert "does not hold" in str(judged)


def test_evidence_speaks_against_wrong_laws():
    noisy, _ = trajectories(7, noise=1e-2)
    exact, _ = trajectories(7)
    for wrong in (law(1.1), law(power=1.0)):
        against = evidence(wrong, noisy)
        assert not against.holds
        assert against.chi_square > 2
        assert not evidence(wrong, exact).holds
    assert evidence(law(), exact).holds


def test_error_bars_cover_the_truth(monkeypatch):
    """95 % bars of 200 repeats hold the true value in 90 to 99 % of them; bars half as long would not."""
    monkeypatch.setattr(shooting, "ITERATIONS", 1)  # from the true law one is enough
    dataset, _ = trajectories(4, points=6, bodies=2, dimension=1)
    exact, bars = trajectories_of(dataset), []
    whole = chunks_of(exact, 6, 1)
    noise = [0.01 * float(x.std()) for x in (exact.q, exact.p)]
    errors = PhaseSpace(*(torch.full_like(x, size) for x, size in zip((whole.q, whole.p), noise, strict=True)))
    start, bodies, generator = law().estimates, bodies_in(law(), exact), torch.Generator().manual_seed(0)
    for _ in range(200):
        q, p = (
            x + size * torch.randn(x.shape, dtype=x.dtype, generator=generator)
            for x, size in zip((whole.q, whole.p), noise, strict=True)
        )
        shot = shoot(start, whole._replace(q=q, p=p, errors=errors), bodies)
        bars.append((shot.estimates[0].coefficient - 1, shot.estimates[0].error))
    off, error = torch.tensor(bars).unbind(1)
    assert 0.90 <= float((off.abs() < 1.96 * error).double().mean()) <= 0.99
    assert float((off.abs() < 0.98 * error).double().mean()) < 0.80  # 67 % are expected


def tracks(count, seed=0, *, seen):
    """Positions alone with 1 % of noise, of which a part was seen."""
    exact, _ = trajectories(count, seed=seed)
    generator = np.random.default_rng(seed)
    q = exact.q.values + 0.01 * float(exact.q.std()) * generator.standard_normal(exact.q.shape)
    q[generator.uniform(size=q.shape[:-1]) > seen] = np.nan
    return from_arrays(q, times=exact.time.values, **{name: exact[name].values for name in ("mass", "stiffness")})


@pytest.mark.filterwarnings("ignore:dataset. .* have gaps", "ignore:q. the noise leaves errors")
def test_the_law_is_found_from_noisy_positions_alone():
    """Smooth positions are no exact ones: what was measured decides, with its gaps, whose momenta are unknown."""
    dataset = tracks(20, seen=0.95)
    model = PairExpansion.of(dataset)
    with warnings.catch_warnings():
        warnings.filterwarnings("error", "expansion")
        solve(model, trajectories_of(dataset), chunks=0)
    (found,) = model.estimates
    assert (found.term.shape, found.term.parameters) == ("power", (2.0,))
    assert abs(found.coefficient - 1) < 4 * found.error < 0.02
    unseen = tracks(10, seed=1, seen=0.95)
    judged = evidence(model, unseen)
    assert judged.holds
    assert judged.chi_square == pytest.approx(1, abs=0.1)
    assert judged.noise.p == float("inf")
    assert not evidence(law(power=1.0), unseen).holds


def test_error_bars_of_data_count():
    """One body is seen ten times worse than the others: chi^2 of the true law is 1 by the bars that were given."""
    dataset, noise = trajectories(20, noise=1e-2)
    blurred = np.where(np.arange(6)[:, None] == 0, 10.0, 1.0)
    more = np.sqrt(blurred**2 - 1) * np.random.default_rng(1).standard_normal(dataset.q.shape)
    bars = {f"{name}_error": blurred * xr.full_like(dataset.q, size) for name, size in zip("qp", noise, strict=True)}
    seen = dataset.assign({name: dataset[name] + size * more for name, size in zip("qp", noise, strict=True)})
    assert evidence(law(), seen.assign(bars)).chi_square == pytest.approx(1, abs=0.1)
    assert evidence(law(), seen).chi_square > 2
