"""Candidate charges: the functions of a state among which `discover` looks."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass

import torch
from jaxtyping import Float
from torch import Tensor

from hlieconv.diagnostics import Charge
from hlieconv.diagnostics.momentum_map import charges
from hlieconv.groups import GROUPS
from hlieconv.groups.algebra import axis_name
from hlieconv.groups.registry import group
from hlieconv.noether.brackets import Observable
from systems.phase_space import PhaseSpace

#: Of a time and states ``(*batch, n, d)``: the values of all candidates, ``(*batch, candidate)``.
Values = Callable[[Tensor, PhaseSpace], Tensor]


@dataclass(frozen=True)
class Library:
    """Candidate charges F_1 ... F_M, of which `discover` looks for combinations."""

    names: tuple[str, ...]
    values: Values
    known: dict[str, Float[Tensor, " candidate"]]
    """Combinations that have a name, the simplest first."""
    generators: Float[Tensor, "generator candidate"] | None = None
    """The charges of x -> A x + b for all entries of A and b, as combinations; None if they are not in the library."""

    def __len__(self) -> int:
        return len(self.names)

    def rates(
        self, t: Float[Tensor, " state"], states: PhaseSpace, flow: PhaseSpace
    ) -> Float[Tensor, "state candidate"]:
        """dF/dt along a flow."""
        arguments, tangents = (t, *states), (torch.ones_like(t), *flow)
        return torch.func.jvp(lambda t, q, p: self.values(t, PhaseSpace(q, p)), arguments, tangents)[1]

    def gradients(self, t: Float[Tensor, " state"], states: PhaseSpace) -> Float[Tensor, "state coordinate candidate"]:
        """dF/dz for z = (q, p)."""
        columns = []
        for unit in torch.eye(2 * states.q[0].numel(), dtype=t.dtype, device=t.device):
            q, p = unit.reshape(2, 1, *states.q.shape[1:]).expand(2, *states.q.shape)
            tangents = (torch.zeros_like(t), q, p)
            columns.append(torch.func.jvp(lambda t, q, p: self.values(t, PhaseSpace(q, p)), (t, *states), tangents)[1])
        return torch.stack(columns, 1)


def affine(dimension: int, mass: Float[Tensor, " n"] | None = None) -> Library:
    """sum_i p_i . (A q_i + b) for all A and b; with masses also boosts, K = sum_i (m_i q_i - p_i t).

    Example:
        >>> affine(2).names
        ('P_x', 'P_y', 'p_x x', 'p_x y', 'p_y x', 'p_y y')
    """
    axes = [axis_name(axis) for axis in range(dimension)]
    names = [f"P_{a}" for a in axes] + [f"p_{a} {b}" for a in axes for b in axes]
    count = len(names)
    if mass is not None:
        names += [f"K_{a}" for a in axes]

    def values(t: Tensor, state: PhaseSpace) -> Tensor:
        q, p = state
        found = [p.sum(-2), (p.mT @ q).flatten(-2)]
        if mass is not None:
            found.append((mass.to(q)[:, None] * q).sum(-2) - p.sum(-2) * t[..., None])
        return torch.cat(found, -1)

    generators = torch.eye(len(names), dtype=torch.float64)[:count]
    known = {charge.name: _entries(charge) @ generators for charge in named_charges(dimension)}
    known |= {name: torch.eye(len(names), dtype=torch.float64)[k] for k, name in enumerate(names) if k >= count}
    return Library(tuple(names), values, known, generators)


def own(functions: Sequence[Observable]) -> Library:
    """One candidate for each function of a state.

    Raises:
        ValueError: for no functions.
    """
    if not functions:
        raise ValueError("library: expected at least one function of a state, got none")
    names = tuple(getattr(f, "name", getattr(f, "__name__", "<lambda>")) for f in functions)
    names = tuple(f"F{k}" if name == "<lambda>" else name for k, name in enumerate(names))

    def values(t: Tensor, state: PhaseSpace) -> Tensor:
        return torch.stack([f(state) for f in functions], -1)

    unit = torch.eye(len(names), dtype=torch.float64)
    return Library(names, values, dict(zip(names, unit, strict=True)))


def named_charges(dimension: int) -> list[Charge]:
    """The charges of all our groups that act on R^d, translations first."""
    found = {charge.name: charge for name in GROUPS if group(name).dimension == dimension for charge in charges(name)}
    return sorted(found.values(), key=lambda charge: not charge.name.startswith("P_"))


def _entries(charge: Charge) -> Float[Tensor, " generator"]:
    """b, then the rows of A."""
    return torch.cat([charge.shift, charge.matrix.flatten()])
