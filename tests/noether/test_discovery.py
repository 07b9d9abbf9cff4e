"""Discovery where all charges are known: none missed, none invented, with noise and in libraries larger than needed."""

import numpy as np
import pytest
import torch
from systems_at_hand import Softened, henon_heiles, springs, trajectories, with_noise

from hlieconv.diagnostics import charges
from hlieconv.dynamics import fit
from hlieconv.models import HLieConv
from hlieconv.noether import discover, polynomials
from hlieconv.noether.constancy import _number
from systems import (
    CalogeroMoser,
    HarmonicTrap,
    HenonHeiles,
    LinearDamping,
    Pendulum,
    PhaseSpace,
    SinusoidalDrive,
    Springs,
    Toda,
    simulate,
)


def names(found):
    return [charge.name for charge in found.charges]


@pytest.mark.parametrize("dimension", [2, 3])
def test_generators_of_the_euclidean_group(dimension, dtype):
    system, states = springs(4, dimension, rest_length=0.5, dtype=dtype)
    found = discover(system, states)
    generators = [charge.name for charge in charges(f"SE{dimension}")]
    assert names(found) == [*generators, *(f"K_{axis}" for axis in "xyz"[:dimension])]
    assert found.group == f"SE{dimension}"
    assert found.gap > 1e-2 / torch.finfo(dtype).eps
    assert found.approximate == ()
    for charge in charges(f"SE{dimension}"):  # the same functions, not only the same names
        torch.testing.assert_close(found[charge.name](states), charge(states).to(dtype), rtol=1e-4, atol=1e-4)


@pytest.mark.parametrize(("n", "d"), [(6, 2), (2, 2), (3, 1), (5, 1), (2, 3)])
def test_hidden_charges_of_linear_springs(n, d):
    """(n - 1) d^2 + d(d+1)/2 + d(d-1)/2 quadratic ones and the d momenta, of which d(d+1)/2 are products."""
    size = 2 * n * d
    system, states = springs(n, d, states=size * (size + 1) + 2 * size)
    found = discover(system, states, "quadratic")
    assert found.dimension == (n - 1) * d**2 + d * (d + 1) // 2 + d * (d - 1) // 2 + d
    assert len(found.products) == d * (d + 1) // 2
    assert len(found.charges) + len(found.products) == found.dimension
    assert "H" in names(found)
    assert found.gap > 1e6
    _, start = Springs.sample(3, seed=7, bodies=n, dimension=d)
    times = torch.linspace(0, 3, 5, dtype=torch.float64)
    trajectory = system.closed_form(start, times)
    for charge in found.charges:  # conserved indeed, on a trajectory that discovery has not seen
        values = charge(trajectory)
        assert (values - values[0]).abs().max() < 1e-9 * charge.coefficients.abs().sum() * 10
    if d > 1:
        extended = springs(n, d, rest_length=0.5)[0]
        with_lengths = discover(extended, states, "quadratic")
        assert with_lengths.dimension == d + d * (d + 1) // 2 + d * (d - 1)  # P, its products, L and L of the centre
        assert "H" not in names(with_lengths)


def spin(state):
    (x, y), (px, py) = state.q[..., 0, :].unbind(-1), state.p[..., 0, :].unbind(-1)
    return x * py - y * px


def lrl_x(state):
    return state.p[..., 0, 1] * spin(state) - state.q[..., 0, 0] / state.q[..., 0, :].norm(dim=-1)


def lrl_y(state):
    return -state.p[..., 0, 0] * spin(state) - state.q[..., 0, 1] / state.q[..., 0, :].norm(dim=-1)


def test_laplace_runge_lenz():
    generator = torch.Generator().manual_seed(0)
    states = PhaseSpace(*torch.randn(2, 100, 1, 2, dtype=torch.float64, generator=generator))
    needless = [
        lambda s: s.p[..., 0, 0],
        lambda s: 1 / s.q[..., 0, :].norm(dim=-1),
        lambda s: s.q[..., 0, 1] / s.q[..., 0, :].norm(dim=-1),
        lambda s: spin(s) ** 2,
    ]
    library = [spin, lrl_x, lrl_y, *needless]

    def softened(length):
        return discover(kepler(length), states, library)

    assert names(softened(0.0)) == ["spin", "lrl_x", "lrl_y"]
    assert softened(0.0).products == ("spin^2",)
    assert names(softened(0.5)) == ["spin"]
    assert names(discover(kepler(0.0), states, [spin, *needless])) == ["spin"]  # not in the library, not found
    barely = softened(1e-3)
    assert names(barely) == ["spin"]
    assert [charge.name for charge in barely.approximate] == ["lrl_x", "lrl_y"]
    assert 1e-9 < barely["lrl_x"].size < 1e-3


def kepler(length):
    one = torch.ones(1, dtype=torch.float64)
    return Softened(mass=one, softening=length * one[0])


def test_henon_heiles_has_nothing():
    system, states = henon_heiles(100)
    for library in ("affine", "quadratic"):
        found = discover(system, states, library)
        assert (found.dimension, found.charges, found.approximate) == (0, (), ())
    assert found.singular_values[0] > 1e-2


@pytest.fixture(scope="module")
def learned():
    """By group: a model fitted to springs, conditioned on one set of parameters, and states of these."""
    data = simulate(*Springs.sample(100, seed=5, bodies=3), torch.linspace(0, 5, 101, dtype=torch.float64))
    system, states = springs(3)
    found = {}
    for name, width, steps in (
        ("SE2", 16, 50),
        ("T2", 32, 400),
    ):  # only what is not built in must be learned
        torch.manual_seed(0)
        model = HLieConv(group=name, width=width, blocks=1).double()
        fit(model, data, steps=steps, validation=0.0, progress=False)
        found[name] = model.condition({"mass": system.mass, "stiffness": system.stiffness})
    return found, states


def test_a_fitted_model_has_its_symmetries_at_round_off(learned):
    models, states = learned
    for name, conserved in (("SE2", ["P_x", "P_y", "L_z", "K_x", "K_y"]), ("T2", ["P_x", "P_y", "K_x", "K_y"])):
        found = discover(models[name], states)
        assert found.group == name
        assert names(found) == conserved
        assert max(charge.size for charge in found.charges) < 1e3 * torch.finfo(torch.float64).eps


def test_a_model_that_learned_rotation_from_data_has_it_approximately(learned):
    models, states = learned
    [spin] = discover(models["T2"], states).approximate
    assert spin.name == "L_z"
    assert 1e-6 < spin.size < 0.1
    assert discover(models["SE2"], states).approximate == ()


def test_states_at_rest_do_not_hide_momentum():
    """In the frame of the centre of mass P is 0 at every state, and conserved all the same."""
    system, _ = springs(3, rest_length=0.5)
    _, states = Springs.sample(100, seed=3, bodies=3)
    share = system.mass / system.mass.sum()
    states = PhaseSpace(
        states.q - (share[:, None] * states.q).sum(1, True), states.p - share[:, None] * states.p.sum(1, True)
    )
    assert discover(system, states).group == "SE2"


# --- from data ---


@pytest.mark.parametrize("level", [0.0, 0.01])
def test_from_data(level):
    system, states = springs(2, rest_length=0.5, states=60)
    data = with_noise(trajectories(system, states, 3.0, 60), level, seed=0)
    found = discover(data)
    assert names(found) == ["P_x", "P_y", "L_z", "K_x", "K_y"]
    assert found.group == "SE2"
    found = discover(data, library="quadratic")
    assert names(found) == ["P_x", "P_y", "L_z", "L_z(cm)"]
    assert found.products == ("P_x^2", "P_x P_y", "P_y^2")
    linear, _ = springs(2, states=60)
    data = with_noise(trajectories(linear, states, 3.0, 60), level, seed=0)
    assert discover(data, library="quadratic").dimension == 10


def test_false_discoveries_are_rare():
    """At 1 % noise: none of a system without charges, none more than a system has; bench_discovery.py has more runs."""
    generator = np.random.default_rng(0)
    chaos = trajectories(*henon_heiles(300), 20.0, 80)

    def some(dataset, count, seed):
        chosen = generator.choice(dataset.sizes["trajectory"], count, replace=False)
        return with_noise(dataset.isel(trajectory=chosen), 0.01, seed)

    false = sum(
        discover(some(chaos, 30, k), library=library).dimension > 0
        for k in range(4)
        for library in ("affine", "quadratic")
    )
    assert false == 0
    pair = trajectories(*springs(2, rest_length=0.5, states=400), 3.0, 50)
    counts = [discover(some(pair, 40, k), library="quadratic").dimension for k in range(6)]
    assert sum(count > 7 for count in counts) == 0
    assert sum(count == 7 for count in counts) >= 5  # and it is not bought by finding nothing


def test_what_is_refused():
    system, states = springs(3)
    with pytest.raises(ValueError, match="library: expected affine, quadratic or functions of a state, got cubic"):
        discover(system, states, "cubic")
    with pytest.raises(ValueError, match="states: expected at least 180"):
        discover(system, states, "quadratic")
    with pytest.raises(ValueError, match="states: expected shape"):
        discover(system, library="affine")
    with pytest.raises(ValueError, match="states: expected finite values, got NaN or infinity in q"):
        discover(system, PhaseSpace(states.q / 0, states.p))
    with pytest.raises(ValueError, match="states: expected some that move"):
        discover(system, PhaseSpace(*(0 * x for x in states)))
    with pytest.raises(ValueError, match="library: expected candidates that are finite"):
        discover(system, states, [lambda state: state.q.sum((-2, -1)) / 0])
    several, many = Springs.sample(200, seed=0, bodies=3)
    assert discover(several, many).group == "SE2"  # a symmetry of all of them
    with pytest.raises(ValueError, match="one set of parameters, got several of mass"):
        discover(several, many, "quadratic")
    data = trajectories(system, states, 1.0, 20)
    for few in ({"trajectory": slice(10)}, {"trajectory": [0]}, {"time": [0]}):
        with pytest.raises(ValueError, match="at least 20 trajectories of 12 points"):
            discover(data.isel(few))
    with pytest.raises(ValueError, match="evenly spaced"):
        discover(data.isel(time=[*range(12), 15]))
    with pytest.raises(ValueError, match="close in time"):
        discover(trajectories(system, states, 60.0, 20))
    with pytest.raises(ValueError, match="several of mass"):
        discover(trajectories(several, many, 1.0, 20))
    chain, angles = Pendulum.sample(30, seed=0)
    with pytest.raises(ValueError, match="need cartesian coordinates"):
        discover(chain, angles)


# --- polynomials of any degree, and what is independent ---


def states_of(n, d, count, seed=0):
    return PhaseSpace(*torch.randn(2, count, n, d, dtype=torch.float64, generator=torch.Generator().manual_seed(seed)))


@pytest.mark.parametrize(
    ("system", "n", "d", "library", "linearly", "functionally"),
    [
        (Toda(mass=[1.0, 1.0, 1.0]), 3, 1, polynomials(3, 1, 3, {"exp": 1}), 6, 3),  # P, P^2, P^3, H, P H and tr L^3
        (CalogeroMoser(mass=[1.0, 1.0, 1.0], coupling=1.0), 3, 1, polynomials(3, 1, 3, {"1/r^2": 1}, of="p"), 6, 3),
        (HarmonicTrap(1.0, mass=[1.0]), 1, 3, polynomials(1, 3, 3), 9, 5),  # d^2 of u(d), and 2 d - 1
        (HenonHeiles(mass=[1.0]), 1, 2, polynomials(1, 2, 4), 1, 1),
        (HarmonicTrap(1.0, mass=[1.0]) + LinearDamping(0.2), 1, 2, polynomials(1, 2, 4), 0, 0),
        (HarmonicTrap(1.0, mass=[1.0]) + SinusoidalDrive([0.5], 1.7), 1, 1, polynomials(1, 1, 4), 0, 0),
    ],
)
def test_as_many_charges_as_there_are(system, n, d, library, linearly, functionally):
    found = discover(system, states_of(n, d, 450), library)
    assert (found.dimension, len(found.independent)) == (linearly, functionally)


def test_keplers_five_of_seven():
    one = torch.ones(1, dtype=torch.float64)
    found = discover(Softened(mass=one, softening=0.0), states_of(1, 3, 200), polynomials(1, 3, 3, {"1/r": 1}))
    assert (found.dimension, len(found.independent)) == (7, 5)
    assert names(found)[:4] == ["L_x", "L_y", "L_z", "H"]


def test_noise_neither_makes_nor_breaks_charges():
    """Of 10 %: squares of noise are not zero; the energy of Henon and Heiles is of third degree."""
    level = 0.1
    chaos = with_noise(trajectories(*henon_heiles(60), 20.0, 80), level, 0)
    found = discover(chaos, library=polynomials(1, 2, 3))
    [energy] = found.charges
    system, states = henon_heiles(500, seed=1)
    values, exact = energy(states), system.energy(states)
    assert abs(np.corrcoef(values, exact)[0, 1]) > 1 - level
    damped = HarmonicTrap(1.0, mass=[1.0]) + LinearDamping(0.2)
    data = simulate(damped, states_of(1, 2, 60), torch.linspace(0, 9, 80, dtype=torch.float64))
    assert discover(with_noise(data, level, 0), library=polynomials(1, 2, 4)).dimension == 0


def test_of_many_true_charges_one_may_exceed_its_limit():
    """By 7.4 standard errors where the rest is a gap away, as in one run of a thousand; never without the gap."""
    errors = torch.full((2, 4), 0.02)
    for rest, number in ((1e3, 3), (1.5, 1)):
        assert _number(torch.tensor([1.0, 1.15, 1.02, rest]).expand(2, 4), 1.0, errors) == number


def test_numbers_that_would_do():
    data = trajectories(*henon_heiles(30), 20.0, 30)
    with pytest.raises(ValueError, match="and 48 of 30 for 69 candidates, got 30"):
        discover(data, library=polynomials(1, 2, 4))
    again = trajectories(HarmonicTrap(1.0, mass=[1.0]), PhaseSpace(*torch.ones(2, 30, 1, 2).double()), 1.0, 30)
    with pytest.raises(ValueError, match="20 of 30 for 6 candidates that differ by more than their noise, got 1"):
        discover(again.drop_vars("mass"))
    gap = data.copy(deep=True)
    gap["q"][0, 3] = np.nan
    with pytest.raises(ValueError, match="without gaps, got NaN"):
        discover(gap)
    with pytest.raises(ValueError, match="mask: expected a variable of this name, got none"):
        discover(data.drop_vars("mask"))
    rest = trajectories(HarmonicTrap(1.0, mass=[1.0]), PhaseSpace(*torch.zeros(2, 30, 1, 2).double()), 1.0, 30)
    with pytest.raises(ValueError, match="bodies that move, got q at rest in all 30"):
        discover(rest)
    with pytest.raises(ValueError, match="degree: expected at least 1"):
        polynomials(1, 2, 0)
    with pytest.raises(ValueError, match="times"):
        polynomials(1, 2, 2, {"1/r^3": 1})
