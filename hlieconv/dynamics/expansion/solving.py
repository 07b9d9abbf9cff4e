"""solve(model, dataset): all of it, the simplest library first."""

import math
import warnings
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace

import torch
from torch import Tensor

from hlieconv.dynamics.chunks import DRAWN_BESIDE, Chunks, Places
from hlieconv.dynamics.expansion import search
from hlieconv.dynamics.expansion.equations import QUANTILE, Equations, Solution, normalised
from hlieconv.dynamics.expansion.features import positive, repeats, with_exponents, with_functions
from hlieconv.dynamics.expansion.forces import force_of
from hlieconv.dynamics.expansion.leftover import THREE, kind_of
from hlieconv.dynamics.expansion.noise import FEWEST, noise_in
from hlieconv.dynamics.expansion.polynomials import with_polynomial
from hlieconv.dynamics.expansion.refinement import free_of, with_tangents
from hlieconv.dynamics.expansion.shooting import Shot, shoot
from hlieconv.dynamics.expansion.splines import collapsed, with_splines
from hlieconv.dynamics.expansion.targets import POINTS, Targets, targets_of
from hlieconv.dynamics.expansion.windows import window_targets
from hlieconv.dynamics.trajectories import Trajectories
from hlieconv.groups import SE2, SE3, T
from hlieconv.models.expansion.law import Estimate
from hlieconv.models.expansion.library import TermLibrary
from hlieconv.models.expansion.model import PairExpansion
from hlieconv.models.expansion.polynomial import Polynomial
from hlieconv.models.expansion.terms import Bodies, Term, Triple
from systems.checks import check
from systems.dataset.blocks import is_beyond_memory
from systems.dataset.smoothing import noise_of as noise_of_series

#: Pieces of trajectories, and states in them, at which forces are compared, at most.
PIECES, STATES, NOISY_STATES = 500, 1000, 3000

#: Forces of which this part is left, relative, are explained by nothing that was tried.
FAR = 1e-3

#: Terms of a law, at most; and of one that needs no other beside it.
MOST, SHORT = 12, 3

#: A term is needed whose coefficient is so many standard errors.
NEEDED = 20

#: How often, at most, laws are tried that are much like the best one.
RELATIVES = 3


@dataclass
class Search:
    """The best law so far, and what was tried."""

    equations: Equations
    best: Solution
    trial: Callable[[Solution], Shot] | None = None
    """Fits a law to noisy trajectories, which then decide; else the forces do."""
    history: list[dict] = field(default_factory=list)
    shot: Shot | None = None
    """The best law after its trial."""
    tried: set[tuple[str, ...]] = field(default_factory=set)
    """The families of terms of the laws that had a trial: none has two."""

    def offer(self, name: str, found: Solution) -> None:
        """Take a law if it is better beyond doubt, or as good and shorter."""
        if self.trial is None:
            gain, error = self.equations.better(found.score, self.best.score)
            sure = gain < -search.ERRORS * error and gain < -0.05
            taken = sure or (gain < 0.1 and 0 < len(found.terms) < len(self.best.terms))
        else:
            shot = self.trial(found) if self._is_new(found) else None
            taken = shot is not None and (self.shot is None or shot.better(self.shot))
            self.shot = shot if taken else self.shot
        if taken:
            self.best = found
        relative = found.typical / self.equations.scale
        self.history.append({"lane": name, "terms": len(found.terms), "unexplained": relative, "taken": taken})

    def _is_new(self, found: Solution) -> bool:
        key = tuple(sorted(repr(term.family) for term in found.terms))
        is_new = key not in self.tried
        self.tried.add(key)
        return is_new

    @property
    def needed(self) -> set[tuple]:
        """Families of terms of the best law that it cannot miss, and with the index of a parameter that it cannot.

        Their numbers are so many standard errors.
        """
        found = set[tuple]()
        for x in () if self.shot is None else self.shot.estimates:
            numbers = [((), x.coefficient, x.error)]
            errors = x.parameter_errors or (0.0,) * len(x.term.parameters)
            numbers += [((k,), *pair) for k, pair in enumerate(zip(x.term.parameters, errors, strict=True))]
            found |= {(x.term.family, *place) for place, value, error in numbers if abs(value) > NEEDED * error > 0}
        return found

    @property
    def explained(self) -> bool:
        """Whether the best law explains the trajectories."""
        return self.best.explained if self.shot is None else self.shot.holds

    @property
    def far(self) -> bool:
        """Whether the best law leaves much of the forces."""
        return not self.explained and self.best.typical > FAR * self.equations.scale

    def has(self, kind: type[Term]) -> bool:
        """Whether the best law has terms of a kind."""
        return any(isinstance(term, kind) for term in self.best.terms)

    @property
    def readable(self) -> bool:
        """Whether the best law explains them, by so few functions, of any features, that none needs far fewer."""
        return self.explained and len({term.function for term in self.best.terms}) <= SHORT


def solve(model: PairExpansion, data: Trajectories, *, chunks: int = 1, seed: int = 0, thorough: bool = True) -> Search:
    """Find the law that moves the bodies of some trajectories: its terms, their coefficients and shapes.

    Args:
        model: the group and the features; its estimates are replaced by what is found.
        data: trajectories.
        chunks: pieces of 5 points taken at random from each trajectory; 0 takes all, end to end.
        seed: of the pieces and the folds.
        thorough: whether to go on where a few terms of pairs do not explain the forces.

    Raises:
        ValueError: if there are too few trajectories, or nothing moves.

    Warns:
        UserWarning: if the law does not explain the forces, and for features that do not vary.
    """
    equations, length = equations_of(model, data, chunks=chunks, seed=seed)
    if constant := constant_features(model, equations.features, equations.mask):
        warnings.warn(
            f"{', '.join(constant)}: the same everywhere in these data: the law cannot be read for other values",
            UserWarning,
            stacklevel=2,
        )
    found = searched(model, equations, thorough=thorough, trial=trial_of(model, data, length, seed=seed))
    shot = found.shot
    model.estimates = shot.estimates if shot is not None and shot.finite else estimates_of(found.best, length)
    if not found.explained:
        part = float(found.best.residual.abs().quantile(QUANTILE)) / equations.scale
        how = f"nine of ten forces differ from those of the law by up to {part:.1e} of a typical one"
        if not model.estimates:
            how = f"no term was found that explains the forces{' that known ones leave' if model.known else ''}"
        why = "the library does not hold the law"
        if shot is not None:
            how = f"chi^2 of the trajectories is {shot.chi_square:.3g} where 1 is expected"
        elif len(data.times) < FEWEST:
            why += f", or the data are noisy, which fewer than {FEWEST} points do not show"
        left = kind_left(model, found)
        warnings.warn(f"expansion: {how}: {why}{f'; {left}' if left else ''}", UserWarning, stacklevel=2)
    return found


def kind_left(model: PairExpansion, found: Search) -> str:
    """What kind of force the best law lacks, as far as the forces tell."""
    equations = found.best.equations
    targets, bodies = equations.targets, Bodies(equations.features, equations.mask)
    best = force_of(estimates_of(found.best), equations.bodies)
    return kind_of(targets._replace(force=targets.force - best(targets.q)), bodies, library_for(model, bodies))


def trial_of(
    model: PairExpansion, data: Trajectories, length: float, *, seed: int
) -> Callable[[Solution], Shot] | None:
    """What fits a law to noisy trajectories; None if there is no noise.

    Args:
        model: whose known terms stay as they are.
        data: the trajectories.
        length: the unit of length of the laws.
        seed: of the choice of segments.
    """
    if (whole := noise_in(data, seed=seed)) is None:
        return None
    bodies = bodies_in(model, data).take(whole.trajectory)
    return lambda found: shoot(estimates_of(found, length), whole, bodies, known=model.known, seed=seed)


def bodies_in(model: PairExpansion, data: Trajectories) -> Bodies:
    """The bodies of all trajectories."""
    return Bodies(model.checked(data.features, data.mask), data.mask)


def equations_of(model: PairExpansion, data: Trajectories, *, chunks: int, seed: int) -> tuple[Equations, float]:
    """The equations for the forces of trajectories, in units of a typical length, and this length."""
    pieces = pieces_of(data, chunks, seed=seed)
    _check(model, pieces, data.mask)
    targets, bodies = forces_of(data, pieces, seed=seed), bodies_in(model, data)
    if model.known:
        known = force_of(model.known, bodies.take(targets.trajectory))
        targets = targets._replace(force=targets.force - known(targets.q))
    length = Equations(targets, bodies.features, bodies.mask).length
    targets = targets._replace(q=targets.q / length, force=targets.force * length, error=targets.error * length)
    return Equations(targets, bodies.features, bodies.mask, seed=seed), length


def forces_of(data: Trajectories, pieces: Chunks, *, seed: int) -> Targets:
    """Force targets: of short pieces, dp/dt where they are data; or where the states are noisy of long windows."""
    mass, generator = data.features["mass"], torch.Generator().manual_seed(seed)
    if whole := noise_in(data, seed=seed):
        targets, most = window_targets(whole, mass), NOISY_STATES
    else:
        targets, most = targets_of(pieces, mass, precision=data.eps), STATES
        targets = targets._replace(error=targets.error.clamp(min=noise_in_forces(data)))
    return targets.take(_some(len(targets.trajectory), most, generator))


def pieces_of(data: Trajectories, chunks: int = 0, *, seed: int) -> Chunks:
    """Short pieces of trajectories, as many as are looked at: no others are read."""
    places, generator = Places(data, POINTS, chunks, seed), torch.Generator().manual_seed(seed)
    return places.read_some(places.drawn(PIECES + DRAWN_BESIDE, generator), PIECES)


def noise_in_forces(data: Trajectories) -> float:
    """The noise of dp/dt, where it is data; 0 of a Dataset larger than memory."""
    if is_beyond_memory(data.dataset) or (rates := data.companions.get("rates")) is None:
        return 0.0
    return noise_of_series(rates.p.transpose(0, 1).numpy(), data.times.mT.numpy())


def _some(count: int, most: int, generator: torch.Generator) -> Tensor:
    """Numbers below a count, in order: all of them, or as many as wanted at random."""
    if count <= most:
        return torch.arange(count)
    return torch.randperm(count, generator=generator)[:most].sort().values


def _check(model: PairExpansion, pieces: Chunks, mask: Tensor | None) -> None:
    """A ValueError that says what would do, if the data cannot decide on a law."""
    n, d = pieces.q.shape[-2:]
    for factor in (factor for x in model.known for factor in (*x.term.bodies, *x.term.pairs) if factor.feature):
        expected = f"terms of features of the model: {', '.join(model.features)}"
        check("known", f"a term of {factor.feature}", factor.feature in model.features, expected)
    if n == 1 and isinstance(model.symmetry, SE2 | SE3 | T) and not getattr(model.symmetry, "others", ()):
        raise ValueError(
            f"group: under {model.group} one body alone has no potential: expected at least 2 bodies, or a group that "
            "keeps a point or an axis, such as SO2 or Trivial"
        )
    if not (pieces.q - pieces.q[0]).any():
        raise ValueError("dataset: expected bodies that move, got all at rest")
    real = n if mask is None else float(mask[pieces.trajectory].sum(-1).double().mean())
    needed = math.ceil(2 * MOST / (real * d))
    if len(pieces.trajectory) < max(3, needed):
        raise ValueError(
            f"dataset: a law of up to {MOST} terms needs {max(3, needed)} trajectories (or as many pieces of {POINTS} "
            f"points: chunks=0) of {real:g} bodies in {d} dimensions, got {len(pieces.trajectory)}"
        )


def searched(
    model: PairExpansion,
    equations: Equations,
    *,
    thorough: bool,
    trial: Callable[[Solution], Shot] | None = None,
) -> Search:
    """The best law of all libraries, the simplest first; later ones only where earlier ones do not suffice.

    In noise, one that is almost right looks right: then shapes with parameters are always tried.
    """
    found = Search(equations, equations.solve(()), trial)
    library = library_of(model, equations)
    plain = library.plain()
    lane = search.candidates(equations, plain)
    found.offer("plain, from the best pair", search.from_best_pair(lane, most=MOST))
    if trial is not None or not found.readable:
        lane = search.candidates(equations, plain + library.shaped())
        found.offer("shaped, from the best pair", search.from_best_pair(lane, most=MOST))
        if thorough and not found.readable:
            found.offer("shaped, from nothing", search.from_nothing(lane, most=MOST))
    if trial is not None:
        _offer_relatives(found)
    raisable = positive(equations, library.body_features)
    if found.explained or not thorough:
        if thorough and repeats(found.best.terms):
            _offer_exponents(found, raisable)
        return found
    if found.far and raisable:
        powers = library_of(model, equations, powers=(0.5, 2.0))
        lane = search.candidates(equations, powers.plain() + powers.shaped())
        found.offer("powers of features", search.from_best_pair(lane, most=8))
        _offer_exponents(found, raisable)
    if not found.explained:
        _offer_functions(found, library.body_features)
    if found.far and model.triples:
        lane = search.candidates(equations, plain + library.triples())
        found.offer("triples, from nothing", search.from_nothing(lane, most=8))
        if trial is None and not found.explained and (found.has(Triple) or THREE in kind_left(model, found)):
            pairs = search.candidates(equations, plain + library.shaped())
            found.offer("a polynomial of three sides", with_polynomial(pairs, found.best, library.arms()))
        if not found.explained:
            lane = search.candidates(equations, plain + library.shaped() + library.triples())
            start = [term for term in found.best.terms if not isinstance(term, Polynomial)]
            most = len(start) + SHORT if found.has(Polynomial) else MOST
            found.offer("triples, from the best law", search.from_terms(lane, start, most=most))
    if not found.explained and (found.far or not found.has(Polynomial)):
        for solution in with_splines(equations, found.best, library.products()):
            found.offer("splines", solution)
    return found


def _offer_exponents(found: Search, features: Sequence[str]) -> None:
    """The best law with other powers of the features of its bodies; without noise only if that explains the forces."""
    solution = with_exponents(found.best, features)
    if solution is not None and (found.trial is not None or solution.explained):
        found.offer("exponents of features", solution)


def _offer_functions(found: Search, features: Sequence[str]) -> None:
    """The best law with an unknown function of a feature of its bodies, where that explains the forces.

    In noise forces do not say whether they are explained: where it halves what is left, the trajectories decide.
    """
    options, best = with_functions(found.best, features), None
    if found.trial is None:
        best = next((x for x in options if x.explained), None)
    elif tried := list(options):
        best = min(tried, key=lambda x: float(x.score.mean()))
        best = best if best.typical < found.best.typical / 2 else None
    if best is not None:
        found.offer("functions of features", best)


def _offer_relatives(found: Search) -> None:
    """Laws that are much like the best one, and then like those that are better."""
    for _ in range(RELATIVES):
        before = found.best
        for relative in search.relatives(before, needed=found.needed) if before.terms else ():
            found.offer("a relative", relative)
        if found.best is before:
            break


def library_of(model: PairExpansion, equations: Equations, powers: tuple[float, ...] = ()) -> TermLibrary:
    """The terms for these bodies, of features that vary."""
    bodies = Bodies(equations.features, equations.mask)
    return replace(library_for(model, bodies), length=equations.length, powers=powers)


def library_for(model: PairExpansion, bodies: Bodies) -> TermLibrary:
    """The same, in units of a typical length."""
    constant = constant_features(model, bodies.features, bodies.mask)
    return TermLibrary(
        model.symmetry,
        [name for name in model.body_features if name not in constant],
        [name for name in model.pair_features if name not in constant],
    )


def constant_features(model: PairExpansion, features: Mapping[str, Tensor], mask: Tensor | None) -> list[str]:
    """The features that tell no two bodies apart, and no two pairs."""
    real = torch.ones_like(features["mass"], dtype=torch.bool) if mask is None else mask
    pairs = real[..., :, None] & real[..., None, :] & ~torch.eye(real.shape[-1], dtype=torch.bool)
    found = {name: features[name][pairs if name in model.pair_features else real] for name in model.features}
    return [name for name, values in found.items() if not values.numel() or bool(values.max() == values.min())]


def estimates_of(solution: Solution, length: float = 1.0) -> list[Estimate]:
    """Terms with their standard errors, the largest first.

    Args:
        solution: in units of a typical length.
        length: this length.
    """
    equations, terms = solution.equations, solution.terms
    if not terms:
        return []
    errors = dict(zip(terms, standard_errors(solution), strict=True))
    rows = collapsed(terms, solution.coefficients)
    a = equations.columns([term for term, _ in rows])
    size = (a.square() * solution.weights[:, None]).sum(0).sqrt() * torch.tensor([abs(c) for _, c in rows])
    found = []
    for k in size.argsort(descending=True).tolist():
        term, coefficient = rows[k]
        error, of_parameters = errors.get(term, (0.0, (0.0,) * len(term.parameters)))
        own = length**-term.degree
        of_parameters = tuple(
            x * length if kind == "length" else x for x, kind in zip(of_parameters, term.kinds, strict=True)
        )
        found.append(Estimate(term.in_units(1 / length), coefficient * own, error * own, of_parameters))
    return found


def standard_errors(solution: Solution) -> list[tuple[float, tuple[float, ...]]]:
    """Of each coefficient, and of the parameters of its shape, from the residuals: all of them vary together."""
    equations, terms = solution.equations, solution.terms
    columns, places = list(equations.columns(terms).mT), free_of(terms)
    for i, k in places:
        _, (tangent,) = with_tangents(equations, terms[i], [(k, "exponent")])
        columns.append(solution.coefficients[i] * tangent)
    a = torch.stack(columns, 1) * solution.weights.sqrt()[:, None]
    a, scale = normalised(a)
    inverse = torch.linalg.pinv(a.mT @ a, rtol=1e-14)
    variance = (solution.weights * solution.residual.square()).sum() / max(1, len(equations.y) - len(columns))
    errors = ((inverse.diagonal().clamp(min=0) * variance).sqrt() / scale).tolist()
    of = dict(zip(places, errors[len(terms) :], strict=True))
    return [
        (errors[i], tuple(of.get((i, k), 0.0) for k in range(len(term.parameters)))) for i, term in enumerate(terms)
    ]
