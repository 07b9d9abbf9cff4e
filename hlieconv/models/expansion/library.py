"""The terms that a symmetry allows."""

import itertools
from collections.abc import Iterator, Sequence
from dataclasses import dataclass

from hlieconv.groups import SE2, SE3, SO2, SO3, AbstractGroup, T, Trivial
from hlieconv.models.expansion.terms import Anisotropic, Central, Factor, Monomial, Pair, Term, Triple

#: Exponents of distances that need no search.
POWERS = (-12.0, -6.0, -4.0, -3.0, -2.0, -1.0, 1.0, 2.0, 3.0, 4.0, 6.0)

#: Where the search for a free exponent begins.
STARTS = (-0.6, 0.6, 1.4, 2.6)

#: Where the search for a length begins, in units of the typical distance.
SOFTENINGS, RANGES = (0.03, 0.1, 0.3, 1.0), (0.25, 0.5, 1.0, 2.0)

#: The highest degree of a polynomial in coordinates.
DEGREE = 4

NONE = Factor("")


@dataclass(frozen=True)
class TermLibrary:
    """All terms that a group leaves unchanged, of bodies with the given features.

    Args:
        group: of motions that no term changes.
        body_features, pair_features: those that differ from body to body, or from pair to pair.
        length: a typical distance of two bodies.
        powers: exponents of features besides 1, for features that are positive.

    Raises:
        ValueError: for a group other than Trivial, T, SO and SE.

    Example:
        >>> library = TermLibrary(SE2(), ("stiffness",), (), length=1.0)
        >>> len(library.plain()), len(library.shaped())
        (36, 78)
    """

    group: AbstractGroup
    body_features: Sequence[str]
    pair_features: Sequence[str] = ()
    length: float = 1.0
    powers: Sequence[float] = ()

    def __post_init__(self) -> None:
        if not isinstance(self.group, SE2 | SE3 | SO2 | SO3 | T | Trivial):
            raise ValueError(f"group: expected Trivial, T, SO or SE for an expansion, got {self.group.name}")

    def plain(self) -> list[Term]:
        """Terms without parameters to be found: powers of distances, polynomials of coordinates."""
        shapes = [("power", (p,)) for p in POWERS] + [("logarithm", ())]
        return [*self._of_pairs(shapes), *self._of_centre(shapes), *self._of_bodies()]

    def shaped(self) -> list[Term]:
        """Terms with a length or an exponent that data decide."""
        shapes = [("power", (p,), (True,)) for p in STARTS]
        for exponent in (-1.0, 1.0):
            shapes += [("softened", (self.length * e, exponent), (True, False)) for e in SOFTENINGS]
        shapes += [("softened", (0.3 * self.length, exponent), (True, True)) for exponent in (-2.0, 3.0)]
        for name in ("exponential", "gaussian", "yukawa"):
            shapes += [(name, (self.length * a,), (True,)) for a in RANGES]
        return [*self._of_pairs(shapes), *self._of_centre(shapes)]

    def triples(self) -> list[Term]:
        """Terms of three bodies."""
        shapes = [("cosine", float(m), e) for m in (1, 2, 3) for e in (0.1, 0.4, 1.0)]
        shapes += [("bell", float(m), a) for m in (0, 1, 2) for a in (0.7, 1.5)]
        return [
            Triple(shape, (m, self.length * size), (False, True), bodies=own)
            for shape, m, size in shapes
            for own in self.arms()
        ]

    def arms(self) -> list[tuple[Factor, Factor]]:
        """Features of the centre of three bodies, and of both arms."""
        singles = [NONE, *self._factors()]
        return [(centre, arm) for centre in singles for arm in singles]

    def products(self) -> list[tuple[tuple[Factor, ...], tuple[Factor, ...]]]:
        """Products of features of two bodies, and of their pair."""
        bodies = [(), *((a,) for a in self._factors())]
        bodies += itertools.combinations_with_replacement(self._factors(), 2)
        own = [Factor(name) for name in self.pair_features]
        pairs = [(), *((a,) for a in own), *itertools.combinations_with_replacement(own, 2)]
        return list(itertools.product(bodies, pairs))

    def _factors(self) -> list[Factor]:
        exponents = (1.0, *self.powers)
        return [Factor(name, exponent) for name in self.body_features for exponent in exponents]

    def _of_pairs(self, shapes: Sequence[tuple]) -> Iterator[Term]:
        for name, parameters, *rest in shapes:
            free = rest[0] if rest else (False,) * len(parameters)
            for bodies, pairs in self.products():
                yield Pair(name, parameters, free, bodies, pairs)

    def _of_centre(self, shapes: Sequence[tuple]) -> Iterator[Term]:
        """Terms of the distance of one body from the origin, where the group turns all bodies about it."""
        if isinstance(self.group, SO2 | SO3):
            for name, parameters, *rest in shapes:
                free = rest[0] if rest else (False,) * len(parameters)
                yield from (Central(name, parameters, free, single) for single in self._singles())

    def _singles(self) -> list[tuple[Factor, ...]]:
        return [(), *((a,) for a in self._factors())]

    def _of_bodies(self) -> Iterator[Term]:
        """Terms of one body, and of pairs in one direction, where the group tells directions apart."""
        group, d = self.group, self.group.dimension
        if isinstance(group, SE2 | SE3 | SO2 | SO3):
            return
        free = group.others if isinstance(group, T) else range(d)
        for exponents in itertools.product(*(range(DEGREE + 1) if axis in free else (0,) for axis in range(d))):
            if 0 < sum(exponents) <= DEGREE:
                powers = tuple(map(float, exponents))
                yield from (Monomial("monomial", powers, (False,) * d, single) for single in self._singles())
        # The sum of all squares is the squared distance, which is there already.
        for a, b in itertools.combinations_with_replacement(range(d), 2):
            if (a, b) != (d - 1, d - 1):
                axes = (float(a), float(b))
                for bodies, pairs in self.products():
                    yield Anisotropic("product", axes, (False, False), bodies, pairs)
