"""PairExpansion: forces are gradients, the group is a symmetry to round-off, and a law is what it says it is."""

import json
import shutil

import pytest
import sympy
import torch
import xarray as xr

from hlieconv.groups import group as group_of
from hlieconv.models.expansion.law import Estimate, expression
from hlieconv.models.expansion.library import TermLibrary
from hlieconv.models.expansion.model import KINDS, ExpansionPotential, PairExpansion
from hlieconv.models.expansion.polynomial import basis
from hlieconv.models.expansion.shapes import SHAPES
from hlieconv.models.expansion.spline import Spline, knots
from hlieconv.models.expansion.terms import Bodies, Factor, Pair, from_json, to_json
from hlieconv.noether import certificate
from systems import AbstractPairs, PhaseSpace, simulate
from systems.integrators import Leapfrog
from systems.native.kernel import WRITTEN_OUT

GROUPS = ["Trivial", "T2", "Tx", "Ty", "SO2", "SE2", "T3", "SO3", "SE3"]
FEATURES = {"body_features": ("mass", "stiffness"), "pair_features": ("rest_length",)}

# Sums of a few thousand rounded numbers; derivatives of shapes as steep as r^-12 lose more.
TOLERANCE = {torch.float32: 1e-3, torch.float64: 1e-11}


def bodies(n, d, batch, dtype, seed=0):
    """Features, and positions apart from each other."""
    generator = torch.Generator().manual_seed(seed)
    feature = {name: 0.5 + torch.rand(batch, n, generator=generator) for name in ("mass", "stiffness")}
    length = torch.rand(batch, n, n, generator=generator)
    feature["rest_length"] = length + length.mT
    q = torch.randn(batch, n, d, generator=generator) + 3 * torch.arange(n)[:, None] / n
    return {name: x.to(dtype) for name, x in feature.items()}, q.to(dtype)


def a_spline(dtype=torch.float64):
    inner = knots(torch.linspace(0, 4, 1001), 6)
    return Spline("spline", (*inner, *torch.linspace(0, 1, 10).square().tolist()), (False,) * 16, (Factor("mass"),))


def a_polynomial(*bodies):
    """Of the third degree, of features of the centre and of the arms."""
    one, *_ = some = basis(1.5, 3, bodies)
    return one.at((*one.parameters[:2], *torch.linspace(-1, 1, len(some)).tolist()))


def terms_of(group):
    symmetry = group_of(group)
    library = TermLibrary(symmetry, ("mass", "stiffness"), ("rest_length",), powers=(0.5,))
    kinds = (library.plain(), library.shaped(), library.triples())
    some = [term for terms in kinds for term in terms[:: len(terms) // 12 + 1]]
    one_of_each_kind = {type(term): term for term in library.plain()}
    mass, stiffness = Factor("mass"), Factor("stiffness")
    polynomials = a_polynomial(mass, mass), a_polynomial(stiffness, mass)
    return [*some, *one_of_each_kind.values(), a_spline(), *polynomials]


def model_of(group, terms):
    model = PairExpansion(group, dimension=group_of(group).dimension, **FEATURES).double()
    model.estimates = [Estimate(term, (-1) ** k * 0.3, 1e-3) for k, term in enumerate(terms)]
    return model


@pytest.mark.parametrize("name", SHAPES)
def test_tangents_are_derivatives(name):
    r, parameters = sympy.Symbol("r", positive=True), sympy.symbols("a b", positive=True)
    own = parameters[: len(SHAPES[name].parameters)]
    value, tangent = (f(sympy, r, *own) for f in SHAPES[name][:2])
    assert sympy.simplify(sympy.diff(value, r) / r - tangent) == 0


@pytest.mark.parametrize("group", GROUPS)
def test_forces_are_gradients(group, dtype):
    terms = [term for term in terms_of(group) if not term.singular]
    features, q = bodies(4, group_of(group).dimension, 5, dtype)
    potential = model_of(group, terms).condition(features)
    expected = -torch.func.grad(lambda x: potential.potential(x).sum())(q)
    scale = expected.abs().max()
    torch.testing.assert_close(potential.force(q), expected, rtol=0, atol=float(TOLERANCE[dtype] * scale))
    assert (potential.potential(q) != 0).all()


@pytest.mark.parametrize("group", GROUPS)
def test_every_charge_of_the_group_is_kept_to_round_off(group):
    symmetry = group_of(group)
    terms = [term for term in terms_of(group) if not (term.singular and term.parameters[:1] < (-2.0,))]
    features, q = bodies(4, symmetry.dimension, 5, torch.float64)
    hamiltonian = model_of(group, terms).condition(features)
    states = PhaseSpace(q, torch.randn(q.shape, dtype=q.dtype, generator=torch.Generator().manual_seed(1)))
    assert certificate(hamiltonian, group, states, times=torch.linspace(0, 1e-3, 5, dtype=q.dtype)).exact


def test_what_a_group_does_not_promise_is_broken():
    features, q = bodies(4, 2, 5, torch.float64)
    for group, larger in (("Trivial", "T2"), ("Tx", "Ty"), ("SO2", "T2"), ("T2", "SE2")):
        hamiltonian = model_of(group, terms_of(group)).condition(features)
        states = PhaseSpace(q, q.flip(-1))
        assert not certificate(hamiltonian, larger, states, times=torch.linspace(0, 1e-3, 5, dtype=q.dtype)).exact


@pytest.mark.parametrize("group", GROUPS)
def test_the_order_of_the_bodies_does_not_matter(group, dtype):
    features, q = bodies(4, group_of(group).dimension, 5, dtype)
    model, order = model_of(group, [t for t in terms_of(group) if not t.singular]), [2, 0, 3, 1]
    shuffled = {name: x[:, order][..., order] if x.ndim == 3 else x[:, order] for name, x in features.items()}
    found, expected = model.condition(shuffled).force(q[:, order]), model.condition(features).force(q)
    scale = float(expected.abs().max())
    torch.testing.assert_close(found, expected[:, order], rtol=0, atol=TOLERANCE[dtype] * scale)
    assert not torch.allclose(expected, expected[:, order])


@pytest.mark.parametrize("group", GROUPS)
def test_what_is_masked_has_no_influence(group, dtype):
    features, q = bodies(5, group_of(group).dimension, 4, dtype)
    model = model_of(group, terms_of(group))
    mask = torch.tensor([True, True, False, True, False]).expand(4, 5)
    junk = {name: x.clone() for name, x in features.items()}
    for x in junk.values():
        x[:, [2, 4]] = torch.nan
        if x.ndim == 3:
            x[:, :, [2, 4]] = torch.nan
    padded = torch.where(mask[..., None], q, torch.nan)
    field = model.condition(junk, mask)
    real = [0, 1, 3]
    alone = model.condition(
        {name: x[:, real][..., real] if x.ndim == 3 else x[:, real] for name, x in features.items()}
    )
    expected = alone.force(q[:, real])
    scale = float(expected.abs().max())
    torch.testing.assert_close(field.force(padded)[:, real], expected, rtol=0, atol=TOLERANCE[dtype] * scale)
    assert not field.force(padded)[:, [2, 4]].any()
    energy = alone.potential(q[:, real])
    torch.testing.assert_close(field.potential(padded), energy, rtol=TOLERANCE[dtype], atol=0)


def test_bodies_at_one_point_stay_finite(dtype):
    terms = [term for group in ("SE2", "SO2") for term in terms_of(group)]
    features, q = bodies(3, 2, 2, dtype)
    q[:, 1] = q[:, 0] = 0
    field = model_of("SO2", terms).condition(features)
    for found in (field.force(q), field.potential(q), torch.func.grad(lambda x: field.potential(x).sum())(q)):
        assert found.isfinite().all()


@pytest.mark.parametrize("group", GROUPS)
def test_the_degree_says_how_values_grow(group):
    features, q = bodies(4, group_of(group).dimension, 5, torch.float64)
    told = Bodies(features, None)
    for term in terms_of(group):
        model = model_of(group, [term])
        small, large = model.condition(features), model_of(group, [term.in_units(1 / 2.0)]).condition(features)
        torch.testing.assert_close(large.force(2 * q), 2 ** (term.degree - 1) * small.force(q), rtol=1e-9, atol=1e-12)
        assert term.weight(told).isfinite().all()


def test_a_law_in_a_file_is_the_same_law():
    model = model_of("Trivial", terms_of("Trivial"))
    copy = PairExpansion(**json.loads(json.dumps(model.config))).float()
    copy.load_state_dict(model.state_dict())
    assert copy.estimates == model.estimates
    for estimate in model.estimates:
        assert from_json(json.loads(json.dumps(to_json(estimate.term))), KINDS) == estimate.term


def test_the_sympy_expression_is_the_law():
    features, q = bodies(2, 3, 1, torch.float64)
    for term in TermLibrary(group_of("SE3"), ("mass", "stiffness"), ("rest_length",), powers=(0.5,)).plain()[::5]:
        written = expression(term)
        r = float((q[0, 0] - q[0, 1]).norm())
        values = {"r_ij": r, "l_ij": float(features["rest_length"][0, 0, 1])}
        for index, body in (("i", 0), ("j", 1)):
            values |= {
                f"m_{index}": float(features["mass"][0, body]),
                f"k_{index}": float(features["stiffness"][0, body]),
            }
        number = float(written.subs({symbol: values[symbol.name] for symbol in written.free_symbols}))
        found = float(model_of("SE3", [term]).condition(features).potential(q)) / 0.3
        assert found == pytest.approx(number, rel=1e-12)


def test_a_law_reads_well():
    k = Factor("stiffness")
    model = PairExpansion("SE2", **FEATURES)
    model.estimates = [
        Estimate(Pair("power", (2.0,), (False,), (k, k)), 1.0, 1e-4),
        Estimate(Pair("power", (1.0,), (False,), (k, k), (Factor("rest_length"),)), -2.0, 1e-3),
    ]
    assert model.law() == "V = 1.0000(1) k_i k_j r_ij^2 - 2.000(1) k_i k_j l_ij r_ij"
    assert model.latex() == r"V = \sum_{i<j} \left( 1\, k_{i} k_{j} r_{ij}^{2} - 2\, k_{i} k_{j} l_{ij} r_{ij} \right)"
    assert [*model.terms.coefficient.values] == [1.0, -2.0]
    assert [*model.sympy()] == ["i < j"]


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"group": "SE3", "dimension": 2}, "group: expected one that acts on 2 dimensions"),
        ({"group": "RxSO2"}, "group: expected Trivial, T, SO or SE"),
        ({"body_features": ("stiffness",)}, "body_features: expected mass among them, got stiffness"),
    ],
)
def test_wrong_options_are_named(options, message):
    with pytest.raises(ValueError, match=message):
        PairExpansion(**options)


def test_what_was_known_and_found_is_one_term():
    """Bodies in the other order are the same; another power, and another spline, are not."""
    k, m, free = Factor("stiffness"), Factor("mass"), (False,)
    model = PairExpansion("SE2")
    model.known = [Estimate(Pair("power", (2.0,), free, (k, m)), 1.0), Estimate(Pair("power", (1.0,), free), 3.0)]
    model.estimates = [Estimate(Pair("power", (2.0,), (True,), (m, k)), 0.02, 0.001)]
    assert model.law() == "V = 1.020(1) r_ij^2 (k_i m_j/2 + k_j m_i/2) + 3 r_ij"
    assert model.latex().count("r_{ij}^{2}") == 1
    assert model.terms.coefficient.values.tolist() == [0.02]
    bodies = {"stiffness": torch.tensor([1.0, 2.0]), "mass": torch.tensor([3.0, 4.0])}
    q = torch.tensor([[0.0, 0.0], [0.0, 1.0]])
    assert float(model.condition(bodies).potential(q)) == pytest.approx(1.02 * 5 + 3)


def test_coefficients_have_units():
    """What they are multiplied with, and they themselves, are an energy together."""
    model = PairExpansion("SE2", body_features=("mass", "stiffness"))
    m, k = Factor("mass"), Factor("stiffness")
    newton = Pair("softened", (0.1, -1.0), (True, False), (m, m))
    model.estimates = [Estimate(newton, -39.0), Estimate(Pair("power", (2.0,), (False,), (k, k)), 0.5)]
    units = {"q": "AU", "p": "Msun AU / yr", "mass": "Msun", "stiffness": "Msun^0.5 / yr"}
    dataset = xr.Dataset({name: ((), 1.0, {"units": text}) for name, text in units.items()})
    written = model.latex(dataset)
    assert r"-39\, \frac{\mathrm{au}^{3}}{\left(\mathrm{Msun} \cdot \mathrm{a}^{2}\right)}\, " in written
    assert r"0.5\, k_{i} k_{j}" in written  # kilograms and seconds are in k
    assert model.latex() == model.latex(dataset.map(lambda x: x.assign_attrs(units="1"), keep_attrs=False))
    au, sun, year = (sympy.Symbol(name, positive=True) for name in ("au", "Msun", "a"))
    with_units, without = (part["i < j"].as_ordered_terms() for part in (model.sympy(dataset), model.sympy()))
    ratios = {sympy.nsimplify(sympy.simplify(a / b)) for a in with_units for b in without}
    assert au**3 / sun / year**2 in ratios


@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
def test_a_law_of_pairs_is_a_field_of_pairs(dtype):
    """The same numbers as term by term, with bodies missing and bodies at one point."""
    features, q = bodies(4, 2, 3, dtype)
    mask = torch.ones(3, 4, dtype=torch.bool)
    mask[0, 2] = False
    k, m = Factor("stiffness"), Factor("mass")
    model = PairExpansion("SE2", body_features=("mass", "stiffness"), pair_features=("rest_length",)).to(dtype)
    spring = Estimate(Pair("power", (2.0,), (False,), (k, k)), 1.5)
    model.estimates = [spring, Estimate(Pair("softened", (0.3, -1.0), (True, False), (m,)), -2.0)]
    field = model.condition(features, mask)
    plain = ExpansionPotential(model, model.checked(features, mask), mask)
    assert isinstance(field, AbstractPairs)
    assert field.regular
    q[1, 0] = q[1, 1]
    for name in ("potential", "force"):
        torch.testing.assert_close(getattr(field, name)(q), getattr(plain, name)(q))
    x = q.clone().requires_grad_()
    (gradient,) = torch.autograd.grad(field.potential(x).sum(), x)
    torch.testing.assert_close(-gradient, field.force(q))
    model.estimates = [spring, Estimate(Pair("power", (1.0,), (False,), (k, k), (Factor("rest_length"),)), -2.0)]
    field = model.condition(features, mask)
    assert not field.regular
    assert field.singular(q).tolist() == [False, True, False]
    plain = ExpansionPotential(model, model.checked(features, mask), mask)
    torch.testing.assert_close(field.force(q), plain.force(q))
    assert isinstance(PairExpansion("SE2").condition(features), ExpansionPotential)


@pytest.mark.skipif(not any(map(shutil.which, ("cc", "gcc", "clang"))), reason="needs a C compiler")
def test_a_law_of_pairs_moves_in_machine_code():
    """Each trajectory by its own weights, one operation after the other and in loops over pairs."""
    k, m = Factor("stiffness"), Factor("mass")
    model = model_of(
        "SE2", [Pair("power", (2.0,), (False,), (k, k)), Pair("softened", (0.3, -1.0), (True, False), (m,))]
    )
    times = torch.linspace(0, 0.2, 3, dtype=torch.float64)
    for n in (3, WRITTEN_OUT + 1):
        features, q = bodies(n, 2, 4, torch.float64)
        field, state = model.condition(features), PhaseSpace(q, torch.zeros_like(q))
        fast, slow = (simulate(field, state, times, Leapfrog(step=0.05), compile=one) for one in ("on", "off"))
        assert (fast.attrs["backend"], slow.attrs["backend"]) == ("native", "eager")
        xr.testing.assert_allclose(fast.q, slow.q, rtol=1e-13, atol=1e-13)
