"""Laws in powers of features that no list holds, and in unknown functions of them."""

import pytest
import torch

from hlieconv.benchmarks.laws_data import Case, PairLaw
from hlieconv.dynamics import evidence
from hlieconv.dynamics.expansion.features import with_exponents
from hlieconv.dynamics.expansion.solving import equations_of, solve
from hlieconv.dynamics.trajectories import trajectories_of
from hlieconv.models.expansion.model import PairExpansion
from hlieconv.models.expansion.terms import Factor, Pair


class Weighted(PairLaw):
    """The sum over i < j of w(k_i) w(k_j) r^2."""

    def potential(self, q):
        square = sum(x.square() for x in self.differences(q))
        weight = self.weight(self.stiffness)
        return (weight[..., :, None] * weight[..., None, :] * square).triu(1).sum((-2, -1))


class Power(Weighted):
    def weight(self, k):
        return k**0.7


class Wave(Weighted):
    def weight(self, k):
        return 1.5 + torch.sin(k)


def data_of(kind, **options):
    return Case(kind, None).trajectories(20, 0, bodies=4, **({"points": 5} | options))


def powers(*exponents):
    factors = [Factor("stiffness", exponent) for exponent in exponents]
    return [Pair("power", (2.0,), (False,), (x, x)) for x in factors] + [Pair("power", (2.0,), (False,), (factors[0],))]


def test_an_exponent_is_found_from_terms_with_others():
    dataset = data_of(Power)
    equations, length = equations_of(PairExpansion.of(dataset), trajectories_of(dataset), chunks=1, seed=0)
    found = with_exponents(equations.solve(powers(0.5, 1.0)), ["mass", "stiffness"])
    (term,) = found.terms
    assert [factor.exponent for factor in term.bodies] == [0.7, 0.7]
    assert float(found.coefficients[0]) == pytest.approx(length**2, rel=1e-8)  # its unit of length


def test_a_law_in_another_power_of_a_feature():
    dataset = data_of(Power)
    model = PairExpansion.of(dataset)
    assert solve(model, trajectories_of(dataset)).explained
    assert model.law() == "V = 1 k_i^0.7 k_j^0.7 r_ij^2"
    assert evidence(model, Case(Power, None).trajectories(20, 1, bodies=4, points=5)).holds


def test_a_law_in_an_unknown_function_of_a_feature():
    dataset = data_of(Wave)
    model = PairExpansion.of(dataset)
    assert solve(model, trajectories_of(dataset)).explained
    assert model.law() == "V = w(k_i, k_j) r_ij^2"
    assert len(model.terms.term) > 12  # what w is
    assert evidence(model, Case(Wave, None).trajectories(20, 1, bodies=4, points=5)).unexplained < 1e-6
