"""PairExpansion: a Hamiltonian whose potential is a short sum of known functions."""

import json
from collections.abc import Iterable, Mapping, Sequence
from typing import Any

import numpy as np
import torch
import xarray as xr
from jaxtyping import Bool, Float
from torch import Tensor

from hlieconv.groups import AbstractGroup
from hlieconv.groups.registry import resolved
from hlieconv.models.abstract import AbstractModel
from hlieconv.models.expansion import law
from hlieconv.models.expansion.configuration import Configuration
from hlieconv.models.expansion.law import Estimate
from hlieconv.models.expansion.library import TermLibrary
from hlieconv.models.expansion.polynomial import Polynomial
from hlieconv.models.expansion.shapes import SHAPES, regular
from hlieconv.models.expansion.spline import Spline
from hlieconv.models.expansion.terms import (
    Anisotropic,
    Bodies,
    Central,
    Monomial,
    Pair,
    Term,
    Triple,
    from_json,
    to_json,
)
from hlieconv.models.inputs import check_mass
from systems import AbstractNewtonian, AbstractPairs, Variable
from systems.pairs import Parameters, nearest

KINDS: dict[str, type[Term]] = {
    kind.__name__: kind for kind in (Pair, Anisotropic, Central, Monomial, Triple, Spline, Polynomial)
}


class PairExpansion(AbstractModel):
    """H = sum_i |p_i|^2 / 2 m_i + V(q), where V is a short sum of terms that a person can read.

    Each term is a product of features of bodies, of pairs or of triples of them, and a function of their positions
    that the group leaves unchanged (see `expansion.library`). `hlieconv.dynamics.fit` does not train it by descent:
    it chooses the terms and solves for their coefficients by robust least squares. Before that V = 0.

    Args:
        group: the symmetry: Trivial, T2, Tx, SO2, SE2, T3, SO3, SE3, ..., or a group.
        dimension: of space; by default that of the group, and 2 where a name leaves it open.
        body_features: what it is told of every body, mass among them.
        pair_features: what it is told of every pair of bodies.
        triples: allow terms of three bodies.

    Raises:
        ValueError: for an unknown group, one whose invariants are not known, or features without mass.

    Example:
        >>> from hlieconv.models.expansion.terms import Factor, Pair
        >>> model = PairExpansion("SE2", body_features=("mass", "stiffness"))
        >>> k = Factor("stiffness")
        >>> model.estimates = [Estimate(Pair("power", (2.0,), (False,), (k, k)), 1.0, 1e-4)]
        >>> model.law()
        'V = 1.0000(1) k_i k_j r_ij^2'
        >>> hamiltonian = model.condition({"mass": torch.ones(2), "stiffness": torch.ones(2)})
        >>> hamiltonian.force(torch.tensor([[0.0, 0.0], [1.0, 0.0]]))
        tensor([[ 2.,  0.],
                [-2.,  0.]])
    """

    name = "expansion"
    estimates: list[Estimate]
    """The terms found, the largest first."""
    known: list[Estimate]
    """Terms that are known beforehand: set them before `fit`, which then finds what is left."""
    unit: Tensor

    def __init__(
        self,
        group: str | AbstractGroup = "SE2",
        *,
        dimension: int | None = None,
        body_features: Sequence[str] = ("mass", "stiffness"),
        pair_features: Sequence[str] = (),
        triples: bool = True,
    ) -> None:
        super().__init__()
        self.group, self.symmetry = resolved(group, dimension)
        self.dimension, self.triples = self.symmetry.dimension, triples
        self.body_features, self.pair_features = tuple(body_features), tuple(pair_features)
        check_mass(self.body_features)
        TermLibrary(self.symmetry, self.body_features)
        self.estimates, self.known = [], []
        self.register_buffer("unit", torch.ones((), dtype=torch.float64), persistent=False)  # a law knows its digits

    def condition(
        self, features: Mapping[str, Tensor], mask: Bool[Tensor, "*batch n"] | None = None
    ) -> "ExpansionPotential | ExpansionPairs":
        terms = [estimate.term for estimate in (*self.known, *self.estimates)]
        of_pairs = terms and all(type(term) is Pair for term in terms)
        return (ExpansionPairs if of_pairs else ExpansionPotential)(self, self.checked(features, mask), mask)

    def weighted(self, bodies: Bodies) -> list[tuple[Term, Tensor]]:
        """The functions of all terms and their weights at every site; terms of one function become one."""
        weights: dict[Term, Tensor] = {}
        for estimate in (*self.known, *self.estimates):
            function = estimate.term.function
            weights[function] = weights.get(function, 0) + estimate.coefficient * estimate.term.weight(bodies)
        return list(weights.items())

    def law(self) -> str:
        """The potential in one line, with the standard error of each coefficient in units of its last digit.

        Sums run over bodies i, over pairs i < j, and over triples of a centre i and j < k. Known terms count in: one
        that was known and found has the sum of both coefficients; `terms` and `estimates` say what was found beside.
        """
        return law.text(self._all)

    def sympy(self, dataset: xr.Dataset | None = None) -> dict[str, Any]:
        """What is summed over bodies "i", over pairs "i < j" and over triples "i, j < k": SymPy expressions.

        Args:
            dataset: if given, coefficients carry the units of its variables, as symbols.
        """
        return law.summands(self._all, self._units(dataset))

    def latex(self, dataset: xr.Dataset | None = None) -> str:
        """The potential as LaTeX.

        Args:
            dataset: if given, coefficients carry the units of its variables.
        """
        return law.latex(self._all, self._units(dataset))

    @property
    def _all(self) -> list[Estimate]:
        """What was known and what was found, each term once."""
        return law.gathered([*self.known, *self.estimates])

    def _units(self, dataset: xr.Dataset | None) -> dict[str, str] | None:
        if dataset is None:
            return None
        return {name: dataset[name].attrs.get("units", "1") for name in ("q", "p", *self.features)}

    @property
    def terms(self) -> xr.Dataset:
        """Coefficients and shapes of all terms with their standard errors."""
        most = max((len(estimate.term.parameters) for estimate in self.estimates), default=0)
        padded = [_padded(estimate.term.parameters, most) for estimate in self.estimates]
        errors = [_padded(estimate.parameter_errors, most) for estimate in self.estimates]
        columns = {
            "coefficient": ("term", [estimate.coefficient for estimate in self.estimates]),
            "error": ("term", [estimate.error for estimate in self.estimates]),
            "over": ("term", [estimate.term.over for estimate in self.estimates]),
            "shape": ("term", [estimate.term.shape for estimate in self.estimates]),
            "parameters": (("term", "parameter"), np.array(padded).reshape(len(self.estimates), most)),
            "parameter_errors": (("term", "parameter"), np.array(errors).reshape(len(self.estimates), most)),
        }
        names = [str(law.expression(estimate.term)) for estimate in self.estimates]
        return xr.Dataset(columns, coords={"term": names}, attrs={"law": self.law(), "group": self.group})

    def get_extra_state(self) -> Tensor:
        """The law as the bytes of a JSON text: numbers keep all their digits in it whatever the dtype of the model."""
        law = {"known": [*map(_to_json, self.known)], "found": [*map(_to_json, self.estimates)]}
        return torch.tensor(list(json.dumps(law).encode()), dtype=torch.uint8)

    def set_extra_state(self, state: Tensor) -> None:
        """The law that `get_extra_state` gave."""
        law = json.loads(bytes(state.tolist()))
        self.known, self.estimates = ([*map(_from_json, law[part])] for part in ("known", "found"))


class ExpansionPotential(AbstractNewtonian):
    """The Hamiltonian of given bodies."""

    checked_on_gpu = False

    def __init__(self, model: PairExpansion, features: dict[str, Tensor], mask: Tensor | None) -> None:
        super().__init__(mass=features["mass"], mask=mask)
        self.name = model.name  # type: ignore[misc]
        self.model, self.features = model, features
        self.weighted = model.weighted(Bodies(features, mask))

    def select(self, index: slice | Tensor) -> Any:
        return self.model.selected(self.features, self.mask, index)

    def potential(self, q: Float[Tensor, "*batch n d"]) -> Float[Tensor, "*batch"]:
        q = self.existing(q)
        configuration = Configuration(q)
        energy = 0 * q.sum((-2, -1))
        for term, weight in self.weighted:
            energy = energy + (weight * term.value(configuration)).sum(-1)
        return energy

    def force(self, q: Float[Tensor, "*batch n d"]) -> Float[Tensor, "*batch n d"]:
        q = self.existing(q)
        configuration, force = Configuration(q), torch.zeros_like(q)
        tangent = None
        for term, weight in self.weighted:
            if type(term) is Pair:
                own = weight * term.tangent(configuration)
                tangent = own if tangent is None else tangent + own
            else:
                force = force + term.force(configuration, weight)
        return force if tangent is None else force + configuration.force_of_pairs(tangent)


class ExpansionPairs(AbstractPairs):
    """The Hamiltonian of given bodies where all terms are functions of the distances of two."""

    checked_on_gpu = False

    def __init__(self, model: PairExpansion, features: dict[str, Tensor], mask: Tensor | None) -> None:
        super().__init__(mass=features["mass"], mask=mask)
        self.name = model.name  # type: ignore[misc]
        self.model, self.features = model, features
        bodies = Bodies(features, mask)
        n, (first, second, *_) = bodies.count, bodies.sites
        self.shapes: list[Term] = []
        for term, weight in model.weighted(bodies):
            matrix = weight.new_zeros(*weight.shape[:-1], n, n)
            matrix[..., first, second] = weight
            self.shapes.append(term)
            name = f"weight_{len(self.undeclared)}"
            self.register_buffer(name, matrix + matrix.mT, persistent=False)
            self.undeclared = (*self.undeclared, Variable(name, ("body", "other_body"), "1", "weight of a term"))
        self.regular = all(regular(term.shape, term.parameters) for term in self.shapes)  # type: ignore[misc]

    def select(self, index: slice | Tensor) -> Any:
        return self.model.selected(self.features, self.mask, index)

    def pair_parameters(self) -> Parameters:
        return {weight.name: (weight.dims, getattr(self, weight.name)) for weight in self.undeclared}

    def pair_potential(self, square: Float[Tensor, "*pairs"], pair: Any) -> Float[Tensor, "*pairs"]:
        return self._sum(square, pair, "value")

    def pair_force(self, square: Float[Tensor, "*pairs"], pair: Any) -> Float[Tensor, "*pairs"]:
        return -self._sum(square, pair, "tangent")

    def _sum(self, square: Tensor, pair: Any, of: str) -> Tensor:
        """phi(r), or phi'(r) / r, of all terms."""
        least = nearest(square.dtype)
        apart, total = square > least, torch.zeros_like(square)
        r = torch.where(apart, torch.where(apart, square, 1).sqrt(), least**0.5)  # its derivative is finite
        for k, term in enumerate(self.shapes):
            total = total + getattr(pair, f"weight_{k}") * getattr(SHAPES[term.shape], of)(torch, r, *term.parameters)
        return total


def _padded(values: Iterable[float], most: int) -> list[float]:
    values = list(values)
    return values + [np.nan] * (most - len(values))


def _to_json(estimate: Estimate) -> dict[str, Any]:
    return {**estimate._asdict(), "term": to_json(estimate.term)}


def _from_json(row: dict[str, Any]) -> Estimate:
    term = from_json(row["term"], KINDS)
    return Estimate(term, row["coefficient"], row["error"], tuple(row["parameter_errors"]))
