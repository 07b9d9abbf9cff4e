"""From a null space to charges with names."""

from dataclasses import dataclass

import torch
from jaxtyping import Float
from torch import Tensor

from hlieconv.diagnostics.momentum_map import charges
from hlieconv.groups import GROUPS
from hlieconv.groups.registry import group
from hlieconv.noether.library import Library
from hlieconv.noether.null_space import Changes
from systems.phase_space import PhaseSpace

#: What is named lies in the space found up to this part of its length. Noise and near misses turn what is found.
SAME, SAME_IN_NOISE = 1e-6, 0.03

#: A combination with a name that adds less than this part of itself to others is made up of them.
LEAST = 1e-7

#: Terms smaller than this, relative to the largest, are not written; nor more than so many.
WRITTEN, WRITTEN_IN_NOISE = 1e-8, 0.03
LONGEST = 4

#: What changes less than this, by a factor of GAP less than the next, is nearly conserved.
NEARLY = 0.1
GAP = 10


@dataclass(frozen=True, eq=False)
class Found:
    """A charge that was found: a function of a state."""

    name: str
    size: float
    """How much it changes, relative to how much a function of its size could (see `discover`)."""
    coefficients: Float[Tensor, " candidate"]
    library: Library

    def __call__(self, state: PhaseSpace, t: float = 0.0) -> Float[Tensor, "*batch"]:
        """Its value; t matters for boosts only."""
        values = self.library.values(state.q.new_full(state.q.shape[:-2], t), state)
        return values @ self.coefficients.to(values)


class Reader:
    """Takes charges out of the space of all conserved combinations, the simplest first, and leaves out products.

    Args:
        library: the candidates.
        changes: of their combinations.
        values: of the candidates ``(state, candidate)``, by which products are recognised.
        noisy: whether the space is as inexact as data.
    """

    def __init__(self, library: Library, changes: Changes, values: Tensor, *, noisy: bool) -> None:
        self.library, self.changes, self.noisy = library, changes, noisy
        self.combinations = Combinations(values)
        self.values = values
        self.taken = changes.directions[:, :0]
        self.found: list[Found] = []
        self.products: list[str] = []
        self.nearly: list[Found] = []

    def read(self) -> "Reader":
        """Fill `found`, `products` and `nearly`."""
        space = self.changes.directions[:, : self.changes.charges]
        for name, coefficients in self.library.known.items():
            if self.taken.shape[1] < space.shape[1] and self._is_named(coefficients, space):
                self._take(coefficients)
                self._take_products(self._add(self.found, name, coefficients), space)
        self._take_rest(space, self.noisy)
        if not self.noisy and (number := nearly_conserved(self.changes.sizes[self.changes.charges :])):
            space = self.changes.directions[:, : self.changes.charges + number]
            for name, coefficients in self.library.known.items():
                if self.taken.shape[1] < space.shape[1] and self._is_new(coefficients, space, True):
                    self._take(coefficients)
                    self._add(self.nearly, name, coefficients)
            for coefficients in echelon((self.changes.whitening @ space).mT):
                if self.taken.shape[1] < space.shape[1] and self._is_new(coefficients, space, True):
                    self._take(coefficients)
                    self._add(self.nearly, written(coefficients, self.library.names, WRITTEN_IN_NOISE), coefficients)
        return self

    def _take_rest(self, space: Tensor, noisy: bool) -> None:
        """All of the space: simple combinations, each the first that differs from those taken, or differs most."""
        rows = list(echelon((self.changes.whitening @ space).mT)) if space.shape[1] else []
        while self.taken.shape[1] < space.shape[1]:
            apart = [_outside(self.changes.metric @ row, self.taken) for row in rows]
            least = 10 * (SAME_IN_NOISE if noisy else SAME)
            k = next((k for k, x in enumerate(apart) if x > least), max(range(len(rows)), key=apart.__getitem__))
            row = rows.pop(k)
            self._take(row)
            name = written(row, self.library.names, WRITTEN_IN_NOISE if noisy else WRITTEN)
            self._take_products(self._add(self.found, name, row), space)

    def _is_named(self, coefficients: Tensor, space: Tensor) -> bool:
        """Whether a combination that has a name lies in the space and is none of those taken.

        With an origin far away an angular momentum is almost a momentum: then what it adds has to lie in the space.
        """
        x, same = self.changes.metric @ coefficients, SAME_IN_NOISE if self.noisy else SAME
        rest = x - self.taken @ (self.taken.mT @ x)
        adds = bool(rest.norm() > LEAST * x.norm()) and max(_outside(x, space), _outside(rest, space)) <= same
        return adds or self._is_new(coefficients, space, self.noisy)

    def _is_new(self, coefficients: Tensor, space: Tensor, noisy: bool) -> bool:
        """Whether a combination lies in the space and is none of those taken."""
        same = SAME_IN_NOISE if noisy else SAME
        x = self.changes.metric @ coefficients
        return bool(x.any()) and _outside(x, space) <= same and _outside(x, self.taken) >= 10 * same

    def _take(self, coefficients: Tensor) -> None:
        x = self.changes.metric @ coefficients
        self.taken = torch.linalg.qr(torch.cat([self.taken, x[:, None] / x.norm()], 1)).Q

    def _add(self, charges: list[Found], name: str, coefficients: Tensor) -> Found:
        size = self.changes.size(self.changes.metric @ coefficients)
        charges.append(Found(name, size, coefficients, self.library))
        return charges[-1]

    def _take_products(self, last: Found, space: Tensor) -> None:
        for other in self.found:
            product = self.combinations.of((self.values @ last.coefficients) * (self.values @ other.coefficients))
            if product is not None and self._is_new(product, space, self.noisy):
                self._take(product)
                self.products.append(f"{last.name}^2" if other is last else f"{other.name} {last.name}")


def _outside(x: Tensor, basis: Tensor) -> float:
    """The part of a vector that is not in the span of an orthonormal basis."""
    return float((x - basis @ (basis.mT @ x)).norm() / x.norm())


def nearly_conserved(sizes: Float[Tensor, " direction"]) -> int:
    """How many of the sizes, in ascending order, a gap separates from the rest."""
    if len(sizes) < 2:
        return int((sizes < NEARLY).sum())
    ratios = torch.where(sizes[:-1] < NEARLY, sizes[1:] / sizes[:-1], 0)
    return int(ratios.argmax()) + 1 if ratios.max() > GAP else 0


class Combinations:
    """Functions as combinations of candidates, by their values at the states."""

    def __init__(self, values: Tensor) -> None:
        scale = values.square().mean(0).sqrt()
        self.scale = torch.where(scale > 0, scale, 1)
        self.columns = torch.cat([values / self.scale, torch.ones_like(values[:, :1])], 1)
        self.inverse = torch.linalg.pinv(self.columns, rtol=1e-12)

    def of(self, target: Tensor) -> Tensor | None:
        """The combination that a function is, up to a constant; None if it is none."""
        solution = self.inverse @ target
        if (self.columns @ solution - target).norm() > 1e-8 * target.norm():
            return None
        return solution[:-1] / self.scale


def echelon(rows: Tensor) -> Tensor:
    """A basis of the row space with as many zeros as pivots: each pivot column is 1 in one row and 0 in the others."""
    work, pivots = rows.clone(), []
    for k in range(len(rows)):
        candidates = work[k:].norm(dim=0)
        candidates[pivots] = 0
        column = int(candidates.argmax())
        pivots.append(column)
        row = k + int(work[k:, column].abs().argmax())
        work[[k, row]] = work[[row, k]]
        work[k] = work[k] / work[k, column]
        others = [i for i in range(len(rows)) if i != k]
        work[others] = work[others] - work[others, column][:, None] * work[k]
    return work[torch.tensor(pivots).argsort()]


def written(row: Tensor, names: tuple[str, ...], smallest: float) -> str:
    """A combination as text, the largest terms first."""
    row = row / row[row.abs().argmax()]
    order = row.abs().argsort(descending=True, stable=True).tolist()
    terms = [k for k in order if abs(row[k]) > smallest]
    text = ""
    for k in terms[:LONGEST]:
        value = float(row[k])
        sign = (" + " if value > 0 else " - ") if text else ("" if value > 0 else "-")
        text += sign + ("" if abs(abs(value) - 1) < 1e-6 else f"{abs(value):.3g} ") + names[k]
    return text + (f" + ... ({len(terms)} terms)" if len(terms) > LONGEST else "")


def group_of(library: Library, changes: Changes, centre: Float[Tensor, " d"], *, noisy: bool) -> str | None:
    """The group whose charges span all conserved p . (A q + b), which are told apart about the mean position."""
    if library.generators is None:
        return None
    dimension, translations = len(centre), library.generators[: len(centre)]
    about = [translations, library.generators[dimension:] - torch.kron(translations, centre[:, None])]
    space, same = changes.directions[:, : changes.charges], SAME_IN_NOISE if noisy else SAME
    metric = changes.metric @ torch.cat(about).mT
    sizes = torch.linalg.svdvals((metric - space @ (space.mT @ metric)) / metric.norm(dim=0))
    number = int((sizes < same).sum()) + max(0, metric.shape[1] - len(sizes))
    for name in GROUPS:
        if group(name).dimension != dimension:
            continue
        own = [torch.cat([c.shift + c.matrix @ centre, c.matrix.flatten()]) for c in charges(name)]
        images = [metric @ entries for entries in own]
        if len(own) == number and all((x - space @ (space.mT @ x)).norm() <= same * x.norm() for x in images):
            return name
    return None
