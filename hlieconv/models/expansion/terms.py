"""Terms of a potential: features of the bodies times a function of their positions."""

from abc import ABC, abstractmethod
from collections.abc import Mapping
from dataclasses import asdict, dataclass, replace
from typing import Any, ClassVar, NamedTuple, TypeVar

import torch
from jaxtyping import Bool, Float
from torch import Tensor

from hlieconv.models.expansion.configuration import Configuration, sites
from hlieconv.models.expansion.shapes import SHAPES, singular

Own = TypeVar("Own", bound="Term")


class Factor(NamedTuple):
    """A power of a feature of a body, or of a pair."""

    feature: str
    exponent: float = 1.0


class Bodies:
    """What the weights of terms depend on: the features of bodies and pairs, and which of them exist.

    Args:
        features: ``(*batch, n)`` and ``(*batch, n, n)`` by name.
        mask: ``(*batch, n)``, True where a body exists; None if all do.
    """

    def __init__(self, features: Mapping[str, Tensor], mask: Bool[Tensor, "*batch n"] | None) -> None:
        self.features, self.mask = features, mask
        some = next(iter(features.values()))
        self.one, self.sites = torch.ones_like(some[..., :1]), sites(some.shape[-1], some.device)

    @property
    def count(self) -> int:
        """How many bodies there may be."""
        return next(iter(self.features.values())).shape[-1]

    def take(self, index: Tensor) -> "Bodies":
        """Those of some trajectories."""
        mask = None if self.mask is None else self.mask[index]
        return Bodies({name: value[index] for name, value in self.features.items()}, mask)

    def body(self, factor: Factor | None) -> Float[Tensor, "*batch n"]:
        """A factor of every body; 1 for none."""
        if factor is None:
            return self.one.expand(*self.one.shape[:-1], self.count)
        return self._power(self.features[factor.feature], factor)

    def pair(self, factor: Factor) -> Float[Tensor, "*batch pair"]:
        """A factor of every pair."""
        return self._power(self.features[factor.feature][..., self.sites.first, self.sites.second], factor)

    def existing(self, weight: Float[Tensor, "*batch site"], *of: Tensor) -> Float[Tensor, "*batch site"]:
        """Weights, zero where one of the bodies is missing."""
        if self.mask is not None:
            for index in of:
                weight = torch.where(self.mask[..., index], weight, 0)
        return weight

    @staticmethod
    def _power(value: Tensor, factor: Factor) -> Tensor:
        return value if factor.exponent == 1 else value**factor.exponent


@dataclass(frozen=True)
class Term(ABC):
    """A function of the positions of bodies, times features of these: V = sum over sites of weight times function."""

    shape: str = ""
    parameters: tuple[Any, ...] = ()
    """Numbers; tensors while derivatives in them are taken."""
    free: tuple[bool, ...] = ()
    """Which of the parameters are to be found from data."""
    bodies: tuple[Factor, ...] = ()
    """Of the bodies of a site, in any order: the sum over orders is symmetric."""
    pairs: tuple[Factor, ...] = ()
    """Of the pair of bodies."""

    over: ClassVar[str]
    """What is summed over: "i", "i < j" or "i, j < k"."""

    @abstractmethod
    def weight(self, bodies: Bodies) -> Float[Tensor, "*batch site"]:
        """The product of features at every site."""

    @abstractmethod
    def value(self, configuration: Configuration) -> Float[Tensor, "*batch site"]:
        """The function of the positions at every site."""

    @abstractmethod
    def force(self, configuration: Configuration, weight: Float[Tensor, "*some site"]) -> Float[Tensor, "*batch n d"]:
        """-dV/dq of the weighted sum."""

    @property
    def kinds(self) -> tuple[str, ...]:
        """What each parameter is: a "length" or an "exponent"."""
        return SHAPES[self.shape].parameters

    @property
    def singular(self) -> bool:
        """Whether it grows without bound somewhere."""
        return False

    @property
    def family(self) -> tuple:
        """The same for terms that differ only in the values of their free parameters."""
        fixed = tuple(x for x, free in zip(self.parameters, self.free, strict=True) if not free)
        return (type(self).__name__, self.shape, fixed, self.free, self.bodies, self.pairs)

    @property
    @abstractmethod
    def degree(self) -> float:
        """By which power its values grow where all lengths do, its own among them."""

    def in_units(self, length: float) -> "Term":
        """The same where lengths are measured in another unit: so many old ones."""
        pairs = zip(self.parameters, self.kinds, strict=True)
        return self.at(tuple(x / length if kind == "length" else x for x, kind in pairs))

    @property
    def function(self) -> "Term":
        """The same without features: equal for terms that could share their evaluation."""
        return replace(self, bodies=(), pairs=())

    def at(self: Own, parameters: tuple) -> Own:
        """The same with other values of all parameters."""
        return replace(self, parameters=parameters)


@dataclass(frozen=True)
class Radial(Term):
    """A term whose function is one of `SHAPES`, of one distance."""

    @property
    def degree(self) -> float:
        return SHAPES[self.shape].degree(*self.parameters)

    @property
    def singular(self) -> bool:
        return singular(self.shape, self.parameters)


@dataclass(frozen=True)
class Pair(Radial):
    """A function of the distance of two bodies: sum over i < j of w_ij phi(|q_i - q_j|).

    Example:
        >>> bodies = Bodies({"stiffness": torch.tensor([2.0, 3.0])}, None)
        >>> spring = Pair("power", (2.0,), (False,), bodies=(Factor("stiffness"), Factor("stiffness")))
        >>> configuration = Configuration(torch.tensor([[0.0], [2.0]]))
        >>> spring.weight(bodies) * spring.value(configuration)
        tensor([24.])
        >>> spring.force(configuration, spring.weight(bodies))
        tensor([[ 24.],
                [-24.]])
    """

    over = "i < j"

    def weight(self, bodies: Bodies) -> Float[Tensor, "*batch pair"]:
        first, second = bodies.sites.first, bodies.sites.second
        a, b = (bodies.body(x) for x in (*self.bodies, None, None)[:2])
        product = a[..., first] * b[..., second]
        if self.bodies[:1] != self.bodies[1:]:
            product = (product + b[..., first] * a[..., second]) / 2
        for factor in self.pairs:
            product = product * bodies.pair(factor)
        return bodies.existing(product, first, second)

    def value(self, configuration: Configuration) -> Float[Tensor, "*batch pair"]:
        return configuration.pairs.value(self.shape, self.parameters)

    def tangent(self, configuration: Configuration) -> Float[Tensor, "*batch pair"]:
        """phi'(r) / r."""
        return configuration.pairs.tangent(self.shape, self.parameters)

    def force(self, configuration: Configuration, weight: Float[Tensor, "*some pair"]) -> Float[Tensor, "*batch n d"]:
        return configuration.force_of_pairs(weight * self.tangent(configuration))


@dataclass(frozen=True)
class Anisotropic(Pair):
    """The product of two components of q_i - q_j, whose axes are the parameters."""

    @property
    def kinds(self) -> tuple[str, ...]:
        return ("axis", "axis")

    @property
    def singular(self) -> bool:
        return False

    @property
    def degree(self) -> float:
        return 2.0

    def value(self, configuration: Configuration) -> Float[Tensor, "*batch pair"]:
        a, b = (configuration.pairs.vector[..., int(axis), :] for axis in self.parameters)
        return a * b

    def force(self, configuration: Configuration, weight: Float[Tensor, "*some pair"]) -> Float[Tensor, "*batch n d"]:
        a, b = (int(axis) for axis in self.parameters)
        vector = configuration.pairs.vector
        tangent = [torch.zeros_like(vector[..., 0, :])] * vector.shape[-2]
        tangent[a] = tangent[a] + weight * vector[..., b, :]
        tangent[b] = tangent[b] + weight * vector[..., a, :]
        pull = torch.stack(tangent, -2)
        return configuration.spread(pull, configuration.sites.second) - configuration.spread(
            pull, configuration.sites.first
        )


@dataclass(frozen=True)
class Central(Radial):
    """A function of the distance of one body from the origin."""

    over = "i"

    def weight(self, bodies: Bodies) -> Float[Tensor, "*batch n"]:
        product = bodies.body(self.bodies[0] if self.bodies else None)
        return bodies.existing(product, torch.arange(product.shape[-1], device=product.device))

    def value(self, configuration: Configuration) -> Float[Tensor, "*batch n"]:
        return configuration.bodies.value(self.shape, self.parameters)

    def force(self, configuration: Configuration, weight: Float[Tensor, "*some n"]) -> Float[Tensor, "*batch n d"]:
        tangent = weight * configuration.bodies.tangent(self.shape, self.parameters)
        return -(tangent[..., None] * configuration.q)


@dataclass(frozen=True)
class Monomial(Central):
    """A product of powers of the coordinates of one body; the parameters are the exponents."""

    @property
    def singular(self) -> bool:
        return False

    @property
    def degree(self) -> float:
        return sum(self.parameters)

    @property
    def kinds(self) -> tuple[str, ...]:
        return ("exponent",) * len(self.parameters)

    def value(self, configuration: Configuration) -> Float[Tensor, "*batch n"]:
        value = torch.ones_like(configuration.q[..., 0])
        for x, power in zip(configuration.q.unbind(-1), self.parameters, strict=True):
            value = value * x ** int(power)
        return value

    def force(self, configuration: Configuration, weight: Float[Tensor, "*some n"]) -> Float[Tensor, "*batch n d"]:
        components = []
        for axis, power in enumerate(self.parameters):
            less = tuple(x - (k == axis) for k, x in enumerate(self.parameters))
            tangent = power * self.at(less).value(configuration) if power else torch.zeros_like(configuration.q[..., 0])
            components.append(-weight * tangent)
        return torch.stack(components, -1)


@dataclass(frozen=True)
class Triple(Term):
    """A function of two arms and the angle between them: (d_ij . d_ik)^m f(d_ij) f(d_ik), i the centre.

    ``shape`` is "cosine", f(d) = (d^2 + e^2)^(-m/2), so that it is cos^m of the angle far apart, or "bell",
    f(d) = exp(-d^2 / a^2); the parameters are m and the length. The features are those of the centre and of the arms.
    """

    over = "i, j < k"

    @property
    def kinds(self) -> tuple[str, ...]:
        return ("exponent", "length")

    @property
    def degree(self) -> float:
        return 2 * self.parameters[0] if self.shape == "bell" else 0.0

    def weight(self, bodies: Bodies) -> Float[Tensor, "*batch triple"]:
        _, _, centre, left, right = bodies.sites
        at_centre, at_arms = (None if x.feature == "" else x for x in self.bodies)
        arm = bodies.body(at_arms)
        return bodies.existing(
            bodies.body(at_centre)[..., centre] * arm[..., left] * arm[..., right], centre, left, right
        )

    def value(self, configuration: Configuration) -> Float[Tensor, "*batch triple"]:
        (a, _), (b, _), dot = self._arms(configuration)
        return dot ** int(self.parameters[0]) * a * b

    def force(self, configuration: Configuration, weight: Float[Tensor, "*some triple"]) -> Float[Tensor, "*batch n d"]:
        (a, tangent_a), (b, tangent_b), dot = self._arms(configuration)
        left, right = configuration.arms
        m = int(self.parameters[0])
        power = weight * dot**m
        along = weight * m * dot ** (m - 1) * a * b if m else torch.zeros_like(power)
        on_left = along[..., None, :] * right + (2 * power * tangent_a * b)[..., None, :] * left
        on_right = along[..., None, :] * left + (2 * power * a * tangent_b)[..., None, :] * right
        spread, of = configuration.spread, configuration.sites
        return spread(on_left, of.left) + spread(on_right, of.right) - spread(on_left + on_right, of.centre)

    def _arms(self, configuration: Configuration) -> tuple[tuple[Tensor, Tensor], tuple[Tensor, Tensor], Tensor]:
        """f and its derivative in d^2, of both arms, and the product of these."""
        left, right = configuration.arms
        m, length = self.parameters
        found = []
        for arm in (left, right):
            square = arm.square().sum(-2)
            if self.shape == "cosine":
                soft = square + length**2
                f = soft ** (-m / 2)
                found.append((f, -m / 2 * f / soft))
            else:
                f = torch.exp(-square / length**2)
                found.append((f, -f / length**2))
        return found[0], found[1], (left * right).sum(-2)


def to_json(term: Term) -> dict[str, Any]:
    """A term as JSON values."""
    return {"kind": type(term).__name__, **asdict(term)}


def from_json(values: Mapping[str, Any], kinds: Mapping[str, type[Term]]) -> Term:
    """The term that `to_json` described.

    Args:
        values: what it gave.
        kinds: the classes of terms by name.

    Example:
        >>> term = Pair("power", (2.0,), (False,), (Factor("stiffness"), Factor("stiffness")))
        >>> from_json(to_json(term), {"Pair": Pair}) == term
        True
    """
    given = dict(values)
    kind = kinds[given.pop("kind")]
    bodies, pairs = (tuple(Factor(*x) for x in given[name]) for name in ("bodies", "pairs"))
    return kind(given["shape"], tuple(given["parameters"]), tuple(given["free"]), bodies, pairs)
