"""Polynomials in positions and momenta, also times functions of distances, as candidate charges."""

import dataclasses
import itertools
from collections.abc import Callable, Mapping

import torch
from jaxtyping import Float
from torch import Tensor

from hlieconv.groups.algebra import axis_name
from hlieconv.noether.library import Library, named_charges
from systems.checks import check, check_choice
from systems.phase_space import PhaseSpace

#: Of the differences q_j - q_i of pairs ``(*batch, pair, d)``: one value a pair.
FACTORS: dict[str, Callable[[Tensor], Tensor]] = {
    "r": lambda apart: apart.norm(dim=-1),
    "1/r": lambda apart: apart.square().sum(-1).rsqrt(),
    "1/r^2": lambda apart: 1 / apart.square().sum(-1),
    "exp": lambda apart: (-apart.sum(-1)).exp(),
}


def polynomials(
    bodies: int,
    dimension: int,
    degree: int = 4,
    times: Mapping[str, int] | None = None,
    *,
    of: str = "qp",
    mass: Float[Tensor, " n"] | None = None,
) -> Library:
    """All polynomials up to a degree, and polynomials times a function of the distance of each pair.

    Args:
        bodies: number of bodies.
        dimension: number of dimensions of space.
        degree: of the polynomials in the components of q and p.
        times: the degrees of the polynomials that stand before "r", "1/r", "1/r^2" of the distance r of each pair (of
            one body: from the origin), or before "exp", exp(q_i - q_j) for i < j on a line.
        of: "qp", or "p" for polynomials in the momenta only.
        mass: of the bodies; with it the charges of boosts, K = sum_i m_i q_i - P t, are candidates too.

    Raises:
        ValueError: for a degree below 1, or a function that there is not.

    Example:
        >>> polynomials(1, 1, 2).names
        ('q1x', 'p1x', 'q1x q1x', 'q1x p1x', 'p1x p1x')
        >>> len(polynomials(1, 3, 3, {"1/r": 1}))
        90
    """
    times = dict(times or {})
    check("degree", degree, degree >= 1, "at least 1")
    check_choice("of", of, ("qp", "p"))
    for name, own in times.items():
        check_choice("times", name, FACTORS)
        check("times", own, own >= 0, "degrees of at least 0")
    axes = [axis_name(axis) for axis in range(dimension)]
    letters = [f"{z}{i + 1}{a}" for z in of for i in range(bodies) for a in axes]
    highest = max(degree, *times.values(), 1)
    terms = [c for k in range(highest + 1) for c in itertools.combinations_with_replacement(range(len(letters)), k)]
    written = [" ".join(letters[k] for k in term) for term in terms]
    count = {k: sum(len(term) <= k for term in terms) for k in range(highest + 1)}
    factors = torch.tensor([[*term, *[len(letters)] * (highest - len(term))] for term in terms])  # filled up with ones
    first, second = torch.triu_indices(bodies, bodies, 1)
    pairs = [f"{i + 1}{j + 1}" for i, j in zip(first.tolist(), second.tolist(), strict=True)] or ["1"]
    names = written[1 : count[degree]]
    for name, own in times.items():
        label = "exp(q{0}-q{1})" if name == "exp" else f"{name}_{{0}}{{1}}"
        names += [f"{w} {label.format(*pair, '')}".strip() for pair in pairs for w in written[: count[own]]]
    if mass is not None:
        names += [f"K_{a}" for a in axes]

    def values(t: Tensor, state: PhaseSpace) -> Tensor:
        z = torch.cat(
            [*(x.flatten(-2) for x in (state if of == "qp" else (state.p,))), torch.ones_like(t[..., None])], -1
        )
        powers = z[..., factors[:, 0]]
        for k in range(1, highest):
            powers = powers * z[..., factors[:, k]]
        columns = [powers[..., 1 : count[degree]]]
        apart = state.q[..., second, :] - state.q[..., first, :] if bodies > 1 else state.q
        for name, own in times.items():
            columns.append((FACTORS[name](apart)[..., None] * powers[..., None, : count[own]]).flatten(-2))
        if mass is not None:
            columns.append((mass.to(z)[:, None] * state.q).sum(-2) - state.p.sum(-2) * t[..., None])
        return torch.cat(columns, -1)

    return Library(tuple(names), values, *_known(names, bodies, axes, mass))


def quadratic(bodies: int, dimension: int, mass: Float[Tensor, " n"] | None = None) -> Library:
    """All polynomials of degree 1 and 2 in the positions and momenta of the bodies.

    With masses the angular momentum of the centre of mass, q_cm x P, has a name among them, as L_z(cm).

    Example:
        >>> list(quadratic(2, 2, torch.ones(2)).known)
        ['P_x', 'P_y', 'L_z', 'dilation', 'squeeze', 'L_z(cm)']
    """
    library = polynomials(bodies, dimension, 2)
    if mass is None:
        return library
    axes = [axis_name(axis) for axis in range(dimension)]
    place = {name: k for k, name in enumerate(library.names)}
    share = (mass / mass.sum()).double().cpu()
    known = dict(library.known)
    for charge in named_charges(dimension):
        if charge.name.startswith("L_"):
            row = torch.zeros(len(library), dtype=torch.float64)
            for a, b in charge.matrix.nonzero().tolist():
                for i, j in itertools.product(range(bodies), range(bodies)):
                    row[place[f"q{j + 1}{axes[b]} p{i + 1}{axes[a]}"]] += charge.matrix[a, b] * share[j]
            known[f"{charge.name}(cm)"] = row
    return dataclasses.replace(library, known=known)


def _known(
    names: list[str], bodies: int, axes: list[str], mass: Tensor | None
) -> tuple[dict[str, Tensor], Tensor | None]:
    """Charges of our groups as combinations, and those of all generators, where all of them are candidates."""
    place = {" ".join(sorted(name.split(), reverse=True)): k for k, name in enumerate(names)}

    def row(terms: list[tuple[str, float]]) -> Tensor | None:
        found = torch.zeros(len(names), dtype=torch.float64)
        for name, value in terms:
            name = " ".join(sorted(name.split(), reverse=True))
            if name not in place:
                return None
            found[place[name]] += value
        return found

    each = range(1, bodies + 1)
    rows = [row([(f"p{i}{a}", 1.0) for i in each]) for a in axes]
    rows += [row([(f"q{i}{b} p{i}{a}", 1.0) for i in each]) for a in axes for b in axes]
    whole = [x for x in rows if x is not None]
    generators = torch.stack(whole) if len(whole) == len(rows) else None
    known = {}
    for charge in named_charges(len(axes)):
        entries = torch.cat([charge.shift, charge.matrix.flatten()]).tolist()
        parts = [(value, x) for value, x in zip(entries, rows, strict=True) if value]
        if all(x is not None for _, x in parts):
            known[charge.name] = sum(
                (value * x for value, x in parts if x is not None), torch.zeros(len(names)).double()
            )
    if mass is not None:
        known |= {f"K_{a}": torch.eye(len(names), dtype=torch.float64)[names.index(f"K_{a}")] for a in axes}
    return known, generators
