"""Laws are read out of trajectories: the right terms, the right numbers, for any units, masks and dimensions."""

import re

import pytest
import torch

import hlieconv.diagnostics  # noqa: F401 (the accessor)
from hlieconv.benchmarks.laws_data import LAWS as LAWS_OF
from hlieconv.dynamics import chunk_error, evidence, fit, load, rollout
from hlieconv.dynamics.chunks import Places
from hlieconv.dynamics.expansion import polynomials, search, solving
from hlieconv.dynamics.expansion.ends import ends_of
from hlieconv.dynamics.expansion.equations import least_squares
from hlieconv.dynamics.expansion.polishing import paths_of, polished
from hlieconv.dynamics.expansion.solving import bodies_in
from hlieconv.dynamics.trajectories import trajectories_of
from hlieconv.models.expansion.law import Estimate
from hlieconv.models.expansion.model import PairExpansion
from hlieconv.models.expansion.terms import Factor, Pair
from hlieconv.training.run import progress_of
from systems import AbstractNewtonian, Charges, Gravity, HarmonicTrap, Springs, Variable, simulate
from systems.integrators import BlanesMoanSRKN6, Leapfrog


def solve(model, dataset, **options):
    return solving.solve(model, trajectories_of(dataset), **options)


class OwnLaw(AbstractNewtonian):
    """A potential of our own, of bodies with one more feature."""

    variables = (*AbstractNewtonian.variables, Variable("stiffness", ("body",), "1", "stiffness"))
    stiffness: torch.Tensor

    def pairs(self, q, function):
        """The sum over pairs of k_i k_j times a function of the squared distance."""
        square = sum(x.square() for x in self.differences(q)) + torch.eye(q.shape[-2], dtype=q.dtype)
        product = self.stiffness[..., :, None] * self.stiffness[..., None, :]
        return self.existing_pairs(product * function(square)).triu(1).sum((-2, -1))


class Morse(OwnLaw):
    def potential(self, q):
        return self.pairs(q, lambda square: 0.3 * (1 - torch.exp(-1.5 * (square.sqrt() - 0.8))).square())


class Both(OwnLaw):
    def potential(self, q):
        mass = self.mass[..., :, None] * self.mass[..., None, :] / self.stiffness[..., :, None]
        return self.pairs(
            q, lambda square: 0.5 * square - mass / self.stiffness[..., None, :] * (square + 0.04).rsqrt()
        )


class Kink(OwnLaw):
    def potential(self, q):
        return self.pairs(q, lambda square: (square.sqrt() - 0.8).clamp(min=0).square())


class Centre(OwnLaw):
    def potential(self, q):
        square = self.existing(q).square().sum(-1)
        return self.pairs(q, lambda square: 0.3 * square) - (self.mass * (square + 0.25).rsqrt()).sum(-1)


class Trapped(OwnLaw):
    def potential(self, q):
        square = self.existing(q).square().sum(-1)
        trap = self.mass * square + 0.2 * self.stiffness * square.square()
        return self.pairs(q, lambda square: 0.3 * square) + trap.sum(-1)


def simulated(system, state, spacing=5 / 499, points=5):
    times = torch.arange(points, dtype=torch.float64) * spacing
    return simulate(system, state, times, None if system.has_closed_form else BlanesMoanSRKN6(step=spacing / 4))


def own(kind, count, seed):
    springs, state = Springs.sample(count, seed=seed)
    return kind(mass=springs.mass, stiffness=springs.stiffness), state


#: Systems and states of some seed, the group, and the shapes of the terms that their law consists of.
LAWS = {
    "springs": (lambda n, s: Springs.sample(n, seed=s), "SE2", {("power", (2.0,)): 1.0}),
    "rest lengths": (
        lambda n, s: Springs.sample(n, seed=s, rest_length=(0.2, 1.0)),
        "SE2",
        {("power", (2.0,)): 1.0, ("power", (1.0,)): -2.0},
    ),
    "gravity": (lambda n, s: Gravity.sample(n, seed=s, softening=0.1), "SE2", {("softened", (0.1, -1.0)): -1.0}),
    "charges": (lambda n, s: Charges.sample(n, seed=s, softening=0.2), "SE2", {("softened", (0.2, -1.0)): 1.0}),
    "trap": (
        lambda n, s: own(Trapped, n, s),
        "SO2",
        {("power", (2.0,)): 0.3, ("power", (2.0,), "i"): 1.0, ("power", (4.0,), "i"): 0.2},
    ),
    "centre": (
        lambda n, s: own(Centre, n, s),
        "SO2",
        {("power", (2.0,)): 0.3, ("softened", (0.5, -1.0), "i"): -1.0},
    ),
}


def terms(model):
    """The coefficient of each shape; terms of single bodies are marked."""
    found = {}
    for estimate in model.estimates:
        shape = (estimate.term.shape, estimate.term.parameters)
        found[shape + (("i",) if estimate.term.over == "i" else ())] = estimate.coefficient
    return found


def check(model, expected, tolerance=1e-8):
    found = terms(model)
    assert len(found) == len(expected), model.law()
    for (shape, parameters, *over), coefficient in expected.items():
        same = [
            key
            for key in found
            if key[0] == shape and [*key[2:]] == over and key[1] == pytest.approx(parameters, rel=10 * tolerance)
        ]
        assert len(same) == 1, model.law()
        assert found[same[0]] == pytest.approx(coefficient, rel=tolerance)


@pytest.mark.parametrize(("name", "seed"), [(name, k % 2) for k, name in enumerate(LAWS)])
def test_the_law_is_found(name, seed):
    sample, group, expected = LAWS[name]
    dataset = simulated(*sample(20, seed), spacing=0.05 if name == "gravity" else 5 / 499)
    model = PairExpansion.of(dataset, group=group)
    assert solve(model, dataset).best.explained
    check(model, expected)
    unseen = simulated(*sample(50, seed + 100), spacing=0.05 if name == "gravity" else 5 / 499)
    assert chunk_error(model, unseen).median() < 1e-15


def test_two_exponentials_need_each_other():
    dataset = simulated(*own(Morse, 50, 0))
    model = PairExpansion.of(dataset)
    solve(model, dataset)
    e = torch.tensor(1.2, dtype=torch.float64).exp()
    check(model, {("exponential", (2 / 3,)): float(-0.6 * e), ("exponential", (1 / 3,)): float(0.3 * e * e)}, 1e-7)


def test_three_systems_suffice_for_springs():
    dataset = simulated(*Springs.sample(3, seed=5))
    model = PairExpansion.of(dataset)
    solve(model, dataset)
    check(model, {("power", (2.0,)): 1.0})
    assert chunk_error(model, simulated(*Springs.sample(50, seed=6))).mean() < 1e-15


@pytest.mark.parametrize("dimension", [1, 3])
def test_space_may_have_other_dimensions(dimension):
    dataset = simulated(*Springs.sample(20, seed=0, dimension=dimension, rest_length=0.0))
    model = PairExpansion.of(dataset)
    solve(model, dataset)
    check(model, {("power", (2.0,)): 1.0})


def test_systems_of_different_sizes_obey_one_law():
    dataset = simulated(*Springs.sample(20, seed=0, bodies=(2, 6), rest_length=(0.2, 1.0)))
    assert not dataset.mask.all()
    model = PairExpansion.of(dataset)
    solve(model, dataset)
    check(model, LAWS["rest lengths"][2])


def test_a_law_of_few_planets_holds_for_many():
    dataset = simulated(*Gravity.sample(20, seed=0, softening=0.1), spacing=0.05)
    model = PairExpansion.of(dataset)
    solve(model, dataset)
    many = simulated(*Gravity.sample(10, seed=1, bodies=20, softening=0.1), spacing=0.05)
    assert chunk_error(model, many).mean() < 1e-18


@pytest.mark.parametrize(("length", "mass"), [(1e11, 1e24), (1e-10, 1e-26)])
def test_units_do_not_matter(length, mass):
    """q in other units, and masses: momenta and energies follow, and so does the one coefficient."""
    dataset = simulated(*Springs.sample(20, seed=0))
    scaled = dataset.assign(q=dataset.q * length, p=dataset.p * length * mass, mass=dataset.mass * mass)
    for name in ("q", "p", "mass"):
        scaled[name].attrs = dataset[name].attrs
    model = PairExpansion.of(scaled)
    solve(model, scaled)
    check(model, {("power", (2.0,)): mass})


@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
def test_a_term_without_force_has_no_coefficient(dtype):
    """Beside others, and by itself."""
    y = torch.arange(1.0, 5.0, dtype=dtype)
    nothing = torch.zeros_like(y)
    assert least_squares(nothing[:, None], y) == 0
    torch.testing.assert_close(least_squares(torch.stack([nothing, 2 * y], 1), y), y.new_tensor([0.0, 0.5]))


def test_times_may_be_irregular():
    system, state = Springs.sample(20, seed=0)
    times = torch.tensor([0.0, 0.008, 0.021, 0.03, 0.04], dtype=torch.float64)
    dataset = simulate(system, state, times)
    model = PairExpansion.of(dataset)
    solve(model, dataset)
    check(model, {("power", (2.0,)): 1.0})


def test_the_same_data_give_the_same_law():
    dataset = simulated(*Springs.sample(20, seed=0, rest_length=(0.2, 1.0)))
    first, second = (PairExpansion.of(dataset) for _ in range(2))
    solve(first, dataset)
    solve(second, dataset)
    assert first.estimates == second.estimates


def test_one_long_trajectory_is_enough():
    dataset = simulated(*Springs.sample(1, seed=0), points=101)
    model = PairExpansion.of(dataset)
    solve(model, dataset, chunks=0)
    check(model, {("power", (2.0,)): 1.0})


def test_fit_keeps_a_law_as_it_keeps_a_network(tmp_path):
    dataset = simulated(*Springs.sample(20, seed=0, rest_length=(0.2, 1.0)), points=9)
    model = PairExpansion.of(dataset)
    found = fit(model, dataset, path=tmp_path / "run", progress=False)
    assert found.history[-1]["step"] == found.settings.steps == 1
    assert found.history[-1]["loss"] < 1e-4  # a few close passages
    loaded = load(tmp_path / "run")
    assert loaded.estimates == model.estimates
    assert progress_of(tmp_path / "run")["state"] == "done"
    again = fit(PairExpansion.of(dataset), dataset, path=tmp_path / "run", progress=False)
    assert again.model.estimates == model.estimates
    predicted = rollout(loaded, dataset, dtype=torch.float64)
    assert float(abs(predicted.q - dataset.q).median()) < 1e-9
    assert float(predicted.dynamics.drift("momentum").max()) < 1e-12
    assert float(predicted.dynamics.drift("angular_momentum").max()) < 1e-12


def test_what_is_known_need_not_be_found(tmp_path):
    """Gravity plus what? Springs."""
    dataset = simulated(*own(Both, 20, 0))
    model, m = PairExpansion.of(dataset), Factor("mass")
    model.known = [Estimate(Pair("softened", (0.2, -1.0), (False, False), (m, m)), -1.0)]
    fit(model, dataset, path=tmp_path / "run", progress=False)
    check(model, {("power", (2.0,)): 0.5})
    loaded = load(tmp_path / "run")
    assert loaded.law() == model.law() == "V = -1 m_i m_j/sqrt(r_ij^2 + 0.04) + 0.5 k_i k_j r_ij^2"
    assert chunk_error(loaded, simulated(*own(Both, 20, 1))).median() < 1e-15
    model.known = [Estimate(Pair("power", (2.0,), (False,), (Factor("charge"),) * 2), 1.0)]
    with pytest.raises(ValueError, match=r"known: expected terms of features .*: mass.* got 'a term of charge'"):
        fit(model, dataset, progress=False)


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"steps": 5}, "has no effect on an expansion"),
        ({"chunk": 2}, "got 2: frames far apart take the loss rollout, chunk=2 and a short step"),
        ({"optimiser": "adam"}, "has no effect on an expansion"),
        ({"preset": "paper"}, "chunk: expected 2 for an expansion whose loss is rollout"),
    ],
)
def test_settings_of_descent_do_not_apply(changes, message, tmp_path):
    dataset = simulated(*Springs.sample(5, seed=0))
    with pytest.raises(ValueError, match=message):
        fit(PairExpansion.of(dataset), dataset, path=tmp_path / "run", **changes)
    assert not (tmp_path / "run").exists()


def test_a_law_outside_of_the_library_is_said():
    """A force with a kink: no smooth function will do."""
    dataset = simulated(*own(Kink, 6, 0))
    with pytest.warns(UserWarning, match="the library does not hold the law"):
        solve(PairExpansion.of(dataset, body_features=("mass",), triples=False), dataset)


def test_three_bodies_may_obey_a_law_in_no_library(monkeypatch):
    """A polynomial of the sides of triangles leaves the law of pairs as it is, and holds for other systems."""
    monkeypatch.setattr(polynomials, "DEGREES", (6, 8))
    monkeypatch.setattr(polynomials, "LENGTHS", (2.0, 4.0))
    dataset, other = (simulated(*LAWS_OF["areas"].sample(count, seed, bodies=4)) for count, seed in ((40, 0), (20, 1)))
    model = PairExpansion.of(dataset)
    equations, length = solving.equations_of(model, trajectories_of(dataset), chunks=1, seed=0)
    library = solving.library_of(model, equations)
    lane = search.candidates(equations, library.plain())
    pairs = search.from_best_pair(lane)
    found = polynomials.with_polynomial(lane, pairs, library.arms())
    model.estimates = solving.estimates_of(found, length)
    assert found.typical < 1e-2 * pairs.typical
    number = r"0\.(49999|50000)\d*\(\d\)"
    assert re.fullmatch(rf"V = {number} k_i k_j r_ij\^2 \+ 1 k_i k_j k_k P\(r_ij, r_ik, r_jk\)", model.law())
    assert evidence(model, other).unexplained < 0.05


def test_terms_that_act_on_nothing_have_no_part():
    """One body has no pairs."""
    trapped = simulate(*HarmonicTrap.sample(30, seed=0, dimension=3), torch.linspace(0, 0.04, 5).double())
    model = PairExpansion.of(trapped, group="SO3")
    equations, _ = solving.equations_of(model, trajectories_of(trapped), chunks=1, seed=0)
    library = solving.library_of(model, equations).plain()
    kept = search.candidates(equations, library).terms
    assert 0 < len(kept) < len(library)
    assert not any(isinstance(term, Pair) for term in kept)
    assert search.from_best_pair(search.candidates(equations, library[:0])).terms == ()


def test_what_cannot_be_decided_is_said():
    few = simulated(*Springs.sample(2, seed=0))
    with pytest.raises(ValueError, match=r"needs 3 trajectories .* of 6 bodies in 2 dimensions, got 2"):
        solve(PairExpansion.of(few), few)
    pair = simulated(*Springs.sample(4, seed=0, bodies=2))
    with pytest.raises(ValueError, match="needs 6 trajectories"):
        solve(PairExpansion.of(pair), pair)
    alone = simulated(*Springs.sample(30, seed=0, bodies=1))
    with pytest.raises(ValueError, match="group: under SE2 one body alone has no potential"):
        solve(PairExpansion.of(alone), alone)
    still = few.assign(q=0 * few.q + few.q.isel(time=0), p=0 * few.p)
    with pytest.raises(ValueError, match="expected bodies that move, got all at rest"):
        solve(PairExpansion.of(still), still)


def test_features_that_do_not_vary_are_said():
    """Bodies of one mass, in systems of different sizes: what is masked is no other mass."""
    springs, state = Springs.sample(20, seed=0, bodies=(2, 4))
    system = Springs(mass=2 * torch.ones_like(springs.mass), stiffness=springs.stiffness, mask=springs.mask)
    dataset = simulated(system, state)
    model = PairExpansion.of(dataset)
    with pytest.warns(UserWarning, match="^mass: the same everywhere in these data"):
        solve(model, dataset)
    check(model, {("power", (2.0,)): 1.0})


def far(count=60, *, seen=True):
    """Charges at two times far apart: states at the first, positions alone at the second, of one system not all."""
    system, state = Charges.sample(count, seed=0, bodies=3, dimension=3, softening=0.0)
    dataset = simulate(system, state, torch.tensor([0.0, 0.5], dtype=torch.float64))
    dataset = dataset.drop_vars(["coulomb_constant", "softening"]).assign(p=dataset.p.where(dataset.time < 0.1))
    dataset.q[0, 1, 0] = float("nan")
    return dataset if seen else dataset.assign(q=dataset.q.where(dataset.time < 0.1))


@pytest.mark.filterwarnings("ignore:dataset. .* have gaps")
def test_a_law_from_end_points_alone():
    """Of charges: c_i c_j / r, although no force was seen; what would be wrong is said."""
    settings = {"loss": "rollout", "chunk": 2, "integrator": "leapfrog", "step": 0.02, "progress": False}
    dataset = far()
    model = PairExpansion.of(dataset)
    history = fit(model, dataset, **settings).history
    [estimate] = model.estimates
    assert str(model.law()).endswith("c_i c_j/r_ij")
    assert abs(estimate.coefficient - 1) < 1e-3  # the error of the steps
    assert history[-1]["loss"] < 1e-6
    for wrong, line in [
        ({"step": 0.0}, "step: expected the step from one frame to the other"),
        ({"chunk": 3}, "chunk: expected 2 for an expansion"),
        ({"loss": "one_step"}, "loss: expected force_matching"),
    ]:
        with pytest.raises(ValueError, match=line):
            fit(model, dataset, **settings | wrong)
    with pytest.raises(ValueError, match="for points far apart take chunk=2, the loss rollout and a short step"):
        fit(model, dataset)
    with pytest.raises(ValueError, match="and something of them after it"):
        fit(model, far(seen=False), **settings)
    with pytest.raises(ValueError, match="dataset: expected at least 10 systems"):
        fit(model, dataset.isel(trajectory=slice(0, 9)), **settings)
    close_passages_hold_no_law_back(model, dataset)


def close_passages_hold_no_law_back(model, dataset):
    """Ends that any change of the law moves by far, and not in proportion, do not decide its coefficients."""
    data, steps = trajectories_of(dataset), Leapfrog(step=0.04)
    seen = ends_of(Places(data, 2, whole=1).read(torch.arange(data.count)), bodies_in(model, data))
    ends = seen._replace(duration=4 * seen.duration)
    law = [model.estimates[0]._replace(coefficient=1.0)]
    ends = ends._replace(end=paths_of(model, law, ends, steps)[-1])
    [found], _ = polished(model, [law[0]._replace(coefficient=1.01)], ends, steps, steps=4)
    assert abs(found.coefficient - 1) < 1e-4
