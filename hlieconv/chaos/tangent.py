"""The variational equations, dw/dt = f'(z) w: how neighbours move with a trajectory, by automatic differentiation.

A trajectory and k small deviations w from it are moved together, as bodies of one larger field. For every method here
that is exactly the derivative of its step: so a symplectic method has a symplectic tangent map, at any step.
"""

from __future__ import annotations

from typing import Any, NamedTuple

import torch
from jaxtyping import Float
from torch import Tensor, nn

from systems.integrators.abstract import AbstractIntegrator
from systems.integrators.default import most_accurate
from systems.native.compiled import eager
from systems.phase_space import PhaseSpace
from systems.tracing import pushed_forward
from systems.vector_field import AbstractNewtonian, AbstractSeparable, AbstractVectorField


class TangentMap(NamedTuple):
    """A trajectory and the derivatives of its states in the first."""

    trajectory: PhaseSpace
    """``(time, *batch, n, d)``."""
    matrix: Float[Tensor, "time *batch z z"]
    """dz(t) / dz(0) for z = (q, p), both flat: z = 2 n d."""


def tangent_map(
    field: AbstractVectorField,
    state: PhaseSpace,
    times: Float[Tensor, " time"],
    integrator: AbstractIntegrator | None = None,
) -> TangentMap:
    """The derivative of the flow, M(t) = dz(t) / dz(0), along trajectories.

    For Hamiltonian fields M^T J M = J; with symplectic methods to round-off, at any step.

    Args:
        field: what moves the state.
        state: ``(*batch, n, d)``, at ``times[0]``.
        times: ``(time,)``.
        integrator: what takes the steps; the most accurate one by default.

    Raises:
        ValueError: as the integrator; for a force that jumps, across which there is no derivative.

    Example: an oscillator turns its phase space.
        >>> from systems import PhaseSpace, Springs
        >>> system = Springs(mass=[1.0, 1.0], spring_constant=[[0.0, 0.5], [0.5, 0.0]])
        >>> state = PhaseSpace(torch.zeros(2, 1).double(), torch.zeros(2, 1).double())
        >>> found = tangent_map(system, state, torch.tensor([0.0, torch.pi]).double())
        >>> bool(abs(found.matrix[-1, :2, :2] - torch.tensor([[0.0, 1.0], [1.0, 0.0]])).max() < 1e-12)
        True
    """
    count = 2 * state.q.shape[-2] * state.q.shape[-1]
    unit = torch.eye(count, dtype=state.q.dtype, device=state.q.device)
    size = scales(state)
    trajectory, matrix = moved_together(field, state, unit.expand(*size.shape[:-1], -1, -1), size, times, integrator)
    return TangentMap(trajectory, size[..., :, None] * matrix / size[..., None, :])


def moved_together(
    field: AbstractVectorField,
    state: PhaseSpace,
    vectors: Float[Tensor, "*batch z k"],
    size: Float[Tensor, "*batch z"],
    times: Float[Tensor, " time"],
    integrator: AbstractIntegrator | None = None,
) -> tuple[PhaseSpace, Float[Tensor, "time *batch z k"]]:
    """A trajectory and k deviations from it at ``times``; NaN from where on it cannot be followed.

    Args:
        field, state, times, integrator: as in `tangent_map`.
        vectors: deviations, in units of
        size: such as the `scales` of the first state, so that none is too small to be seen beside the state.
    """
    if field.jumps(state) is not None:
        raise ValueError(f"field: expected a smooth force, got {type(field).__name__}, whose force jumps")
    n = state.q.shape[-2]
    parts = (size[..., :, None] * vectors).unflatten(-2, (2, n, -1)).movedim(-1, -4)  # (*batch, k, 2, n, d)
    whole = [
        torch.cat([x[..., None, :, :], parts[..., part, :, :]], -3).flatten(-3, -2) for part, x in enumerate(state)
    ]
    method = eager(
        most_accurate() if integrator is None else integrator
    )  # the parameters are not variables of the field
    run = method.attempt(variational(field, n), PhaseSpace(*whole), times).trajectory
    q, p = (x.unflatten(-2, (-1, n)) for x in run)  # (time, *batch, 1 + k, n, d)
    moved = torch.stack([q[..., 1:, :, :], p[..., 1:, :, :]], -3).flatten(-3).mT / size[..., :, None]
    return PhaseSpace(q[..., 0, :, :], p[..., 0, :, :]), moved


def scales(state: PhaseSpace) -> Float[Tensor, "*batch z"]:
    """The size of each coordinate of (q, p): the root mean square of all positions, and of all momenta; 1 for none."""
    squares = [x.square().mean((-2, -1), keepdim=True).expand_as(x).flatten(-2) for x in state]
    size = torch.cat(squares, -1).sqrt()
    return torch.where(size > 0, size, 1)


def variational(field: AbstractVectorField, n: int) -> AbstractVectorField:
    """The field of a state and deviations from it: bodies 0 to n - 1 are the state, each further n a deviation."""
    kinds = {AbstractNewtonian: _VariationalNewtonian, AbstractSeparable: _VariationalSeparable}
    return next((made for kind, made in kinds.items() if isinstance(field, kind)), _Variational)(field, n)


class _Together(AbstractVectorField):
    """What the variational fields have in common. It has no variables of its own, and no energy."""

    def __init__(self, field: AbstractVectorField, n: int) -> None:
        nn.Module.__init__(self)
        self.field, self.n, self.mask, self.fixed = field, n, None, None

    def select(self, index: Any) -> Any:
        return type(self)(self.field.select(index), self.n)

    def pushed(self, function: Any, *parts: Tensor) -> tuple[Tensor, ...]:
        """The values of a function of tensors, and its derivatives along the deviations."""
        split = [x.unflatten(-2, (-1, self.n)).movedim(-3, 0) for x in parts]
        states = tuple(x[:1].expand_as(x[1:]) for x in split)
        values, changes = pushed_forward(function, states, tuple(x[1:] for x in split))
        found = []
        for value, change in zip(values, changes, strict=True):
            found.append(torch.cat([value[:1], change]).movedim(0, -3).flatten(-3, -2))
        return tuple(found)

    def forward(self, t: Tensor, state: PhaseSpace) -> PhaseSpace:
        return PhaseSpace(*self.pushed(lambda q, p: tuple(self.field(t, PhaseSpace(q, p))), *state))


class _Variational(_Together):
    pass


class _VariationalSeparable(_Together, AbstractSeparable):
    """For methods that kick and drift."""

    def velocity(self, p: Tensor) -> Tensor:
        assert isinstance(self.field, AbstractSeparable)
        velocity = self.field.velocity
        return self.pushed(lambda x: (velocity(x),), p)[0]

    def force(self, q: Tensor) -> Tensor:
        assert isinstance(self.field, AbstractSeparable)
        force = self.field.force
        return self.pushed(lambda x: (force(x),), q)[0]

    def kinetic(self, p: Tensor) -> Tensor:
        raise NotImplementedError("deviations have no energy")

    def potential(self, q: Tensor) -> Tensor:
        raise NotImplementedError("deviations have no energy")


class _VariationalNewtonian(_VariationalSeparable, AbstractNewtonian):
    """For methods that need H = |p|^2 / 2 m + V(q), too: there a velocity is linear in its momentum."""

    def velocity(self, p: Tensor) -> Tensor:
        assert isinstance(self.field, AbstractNewtonian)
        return self.field.velocity(p.unflatten(-2, (-1, self.n)).movedim(-3, 0)).movedim(0, -3).flatten(-3, -2)
