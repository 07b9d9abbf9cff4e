"""algebra(...): the Lie algebra that charges form under the Poisson bracket, and its name."""

import itertools
from collections.abc import Sequence
from dataclasses import dataclass

import torch
from jaxtyping import Bool, Float
from torch import Tensor

from hlieconv.noether.brackets import Observable, poisson_bracket, table
from hlieconv.noether.independence import independent
from systems.checks import check
from systems.phase_space import PhaseSpace

#: A bracket that is a combination of charges, or zero, leaves this part of its terms in any units.
CLOSED = 1e-6

#: Of terms that are themselves rounding of coefficients: terms count as at least this part of what gradients allow.
LEAST = 1e-4

#: Singular values of charges at the states, below this part of the largest, are those of a charge that others make up.
DEPENDENT = 1e-9

#: Eigenvalues of the Killing form, and singular values, below this part of the largest are zero.
ZERO = 1e-3

#: Algebras by dimension, by the numbers of negative and positive eigenvalues of the Killing form, and by the dimensions
#: of the derived algebra, of the derived algebra of that, and of the centre. su(2) is so(3), and su(2) + su(2) so(4).
NAMES = {
    (3, 3, 0, 3, 3, 0): "so(3)",
    (3, 1, 2, 3, 3, 0): "so(2,1)",
    (3, 1, 0, 2, 0, 0): "e(2)",
    (3, 0, 0, 1, 0, 1): "Heisenberg",
    (5, 0, 0, 1, 0, 1): "Heisenberg in 2 dimensions",
    (7, 0, 0, 1, 0, 1): "Heisenberg in 3 dimensions",
    (6, 6, 0, 6, 6, 0): "so(4)",
    (6, 3, 3, 6, 6, 0): "so(3,1)",
    (6, 3, 0, 6, 6, 0): "e(3)",
    (8, 8, 0, 8, 8, 0): "su(3)",
    (7, 1, 0, 5, 1, 1): "Galilei in 2 dimensions",
    (11, 3, 0, 10, 10, 1): "Galilei in 3 dimensions",
}


@dataclass(frozen=True, repr=False, eq=False)
class Algebra:
    """{J_a, J_b} = sum_c constants[a, b, c] J_c."""

    elements: tuple[str, ...]
    """The names of the charges; "1" among them where brackets hold a constant, as {K, P} = M does."""
    constants: Float[Tensor, "a b c"]
    errors: Float[Tensor, "a b c"]
    """Standard errors of the constants, of the fit to the states."""
    residual: float
    """The largest part of a bracket, relative to the sum of its |terms|, that no combination of the charges is."""
    commuting: tuple[str, ...]
    """As many independent charges in involution as there are in the list."""
    integrable: bool
    """Whether these are as many as there are degrees of freedom (Liouville)."""

    @property
    def closed(self) -> bool:
        """Whether all brackets are combinations of the charges: else they are no algebra."""
        return self.residual < CLOSED

    @property
    def killing(self) -> Float[Tensor, "a b"]:
        """The Killing form tr(ad_a ad_b): its signs tell algebras apart."""
        return torch.einsum("acd,bdc->ab", self.constants, self.constants)

    @property
    def name(self) -> str | None:
        """Such as "so(4)", "e(3)" or "su(3) + R" (a centre that commutes with all); None if it is none that we know."""
        return _name(self.constants) if self.closed else None

    def __repr__(self) -> str:
        known = self.name or ("unknown" if self.closed else f"not closed, residual {self.residual:.1e}")
        rows = []
        for a, b in itertools.combinations(range(len(self.elements)), 2):
            terms = [
                f"{float(c):+.3g} {self.elements[k]}"
                for k, c in enumerate(self.constants[a, b])
                if abs(float(c)) > ZERO
            ]
            rows.append([f"{{{self.elements[a]}, {self.elements[b]}}}", " ".join(terms) or "0"])
        head = f"algebra: {known}; in involution: {', '.join(self.commuting)}"
        return "\n".join([head + (" (integrable)" if self.integrable else ""), table(["bracket", "="], rows)])


def algebra(charges: Sequence[Observable], states: PhaseSpace) -> Algebra:
    """The structure constants of charges: {J_a, J_b} at many states, as combinations of the charges.

    Brackets are computed by automatic differentiation and fitted by least squares; a constant, which commutes with
    everything, is among the elements if some bracket needs it (a central extension). The algebra of functions whose
    brackets have other functions for coefficients, as Kepler's {A_x, A_y} = -2 H L_z, is closed only where these are
    put in: A / sqrt(2 |H|) forms so(4) with L at negative energies, so(3,1) at positive ones (Pauli 1926).

    Args:
        charges: functions of a state, such as those that `discover` found, or `hlieconv.diagnostics.charges`.
        states: ``(state, n, d)``, more than twice as many as charges.

    Raises:
        ValueError: for fewer than two charges, charges that others make up or that vanish at all the states (as all do
            at rest), states that are not finite, or too few.

    Example:
        >>> from hlieconv.diagnostics import charges
        >>> states = PhaseSpace(*torch.randn(2, 50, 4, 3, dtype=torch.float64))
        >>> algebra(charges("SE3"), states).name, algebra(charges("SO3"), states).name
        ('e(3)', 'so(3)')
    """
    check("charges", len(charges), len(charges) >= 2, "at least two")
    count = states.q.shape[0]
    least = 2 * len(charges) + 2
    check("states", count, states.q.ndim == 3 and count > least, f"shape (state, n, d), more than {least} states")
    names = [getattr(charge, "name", getattr(charge, "__name__", f"J{k}")) for k, charge in enumerate(charges)]
    values = torch.stack([charge(states).double() for charge in charges], 1)
    gradients = [torch.func.grad(lambda s, charge=charge: charge(s).sum())(states) for charge in charges]
    if not all(bool(torch.isfinite(x).all()) for x in (values, *(z for gradient in gradients for z in gradient))):
        raise ValueError("states: expected ones at which charges and their derivatives are finite, got others")
    q, p = (x.double().square().mean().sqrt() for x in states)
    unit = torch.where((q > 0) & (p > 0), (q / p).sqrt(), 1)  # in units in which q and p are of one size
    flat = [torch.cat([g.q.flatten(1).double() * unit, g.p.flatten(1).double() / unit], 1) for g in gradients]
    slopes = [x.norm(dim=1) for x in flat]
    units = values.square().mean(0).sqrt()
    units = torch.where(units > 0, units, 1)
    sizes = torch.linalg.svdvals(values / units)
    rank = int((sizes > DEPENDENT * sizes[0]).sum())
    if rank < len(charges):
        raise ValueError(
            f"charges: expected {len(charges)} of which none is a combination of others at the states, got {rank}"
        )
    columns = torch.cat([values / units, torch.ones(count, 1, dtype=torch.float64)], 1)
    inverse, size = torch.linalg.pinv(columns, rtol=1e-10), len(charges) + 1
    constants, errors = torch.zeros(2, size, size, size, dtype=torch.float64)
    commute = torch.eye(len(charges), dtype=torch.bool)
    residual, extended, uncertain = 0.0, False, inverse.square().sum(1).sqrt()
    scale = torch.cat([units, torch.ones(1).double()])
    for a, b in itertools.combinations(range(len(charges)), 2):
        bracket, terms = (x.double() for x in poisson_bracket(charges[a], charges[b], states))
        allowed = (slopes[a] * slopes[b]).square().mean().sqrt()
        most = torch.maximum(terms.square().mean().sqrt(), LEAST * allowed)
        commute[a, b] = commute[b, a] = bool(bracket.square().mean().sqrt() <= CLOSED * most)
        if commute[a, b]:
            continue
        found = inverse @ bracket
        rest = (bracket - columns @ found).square().mean().sqrt()
        extended = extended or bool(found[-1].abs() > ZERO * most)
        residual = max(residual, float(rest / most))
        constants[a, b], errors[a, b] = found / scale, uncertain * rest * (count / (count - size)) ** 0.5 / scale
        constants[b, a], errors[b, a] = -constants[a, b], errors[a, b]
    kept = slice(None) if extended else slice(len(charges))
    chosen = _largest(commute, torch.stack(flat))
    return Algebra(
        (*names, "1")[kept],
        constants[kept, kept, kept],
        errors[kept, kept, kept],
        residual,
        tuple(names[k] for k in chosen),
        len(chosen) >= states.q[0].numel(),
    )


def _largest(commute: Bool[Tensor, "a a"], gradients: Float[Tensor, "a state coordinate"]) -> list[int]:
    """As many charges as possible that commute with each other and are functionally independent."""
    best: list[int] = []

    def grow(taken: list[int], left: list[int]) -> None:
        nonlocal best
        if len(taken) > len(best):
            chosen = [taken[k] for k in independent(gradients[taken], noisy=False)]
            best = chosen if len(chosen) > len(best) else best
        if len(taken) + len(left) > len(best):
            for place, k in enumerate(left):
                grow([*taken, k], [j for j in left[place + 1 :] if commute[k, j]])

    grow([], list(range(len(commute))))
    return best


def _name(constants: Tensor) -> str | None:
    """By invariants of the algebra; a centre outside of the derived algebra is split off."""
    constants = _normal(constants)
    size = len(constants)
    if not constants.any():
        return f"R^{size}" if size > 1 else "R"
    derived = _span(constants.flatten(0, 1))
    centre = _null(constants.permute(1, 2, 0).flatten(0, 1))
    apart = len(_span(torch.cat([derived, centre]))) - len(derived)
    if apart and len(derived) + apart == size:
        inner = _name(_within(constants, derived))
        return None if inner is None else f"{inner} + R" + (f"^{apart}" if apart > 1 else "")
    second = _span(torch.einsum("ia,jb,abc->ijc", derived, derived, constants).flatten(0, 1))
    killing = torch.linalg.eigvalsh(torch.einsum("acd,bdc->ab", constants, constants))
    least = ZERO * constants.abs().max()
    signs = int((killing < -least).sum()), int((killing > least).sum())
    return NAMES.get((size, *signs, len(derived), len(second), len(centre)))


def _normal(constants: Tensor) -> Tensor:
    """Elements of such lengths that the constants are of one size."""
    lengths = constants.flatten(1).norm(dim=1)
    least = lengths.max() * 1e-9
    lengths = torch.where(lengths > least, lengths, lengths.max() if lengths.max() > 0 else 1)
    scaled = torch.einsum("abc,a,b,c->abc", constants, 1 / lengths, 1 / lengths, lengths)
    return torch.where(scaled.abs() > ZERO * scaled.abs().max(), scaled, 0)


def _span(rows: Tensor) -> Tensor:
    """An orthonormal basis of the row space."""
    _, sizes, basis = torch.linalg.svd(rows, full_matrices=False)
    return basis[: int((sizes > ZERO * max(float(sizes[0]), ZERO)).sum())]


def _null(matrix: Tensor) -> Tensor:
    """An orthonormal basis of the vectors that a matrix takes to zero."""
    _, sizes, basis = torch.linalg.svd(matrix, full_matrices=True)
    return basis[int((sizes > ZERO * sizes[0]).sum()) :]


def _within(constants: Tensor, basis: Tensor) -> Tensor:
    """The structure constants of a subalgebra."""
    return torch.einsum("ia,jb,abc,kc->ijk", basis, basis, constants, basis)
