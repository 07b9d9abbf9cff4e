"""Gauss-Legendre methods with fixed steps: symplectic for any Hamiltonian."""

from collections.abc import Iterator
from dataclasses import dataclass
from typing import ClassVar

import torch
from jaxtyping import Int8
from torch import Tensor

from systems.integrators import collocation
from systems.integrators.attempt import status_of
from systems.integrators.collocation import Tensors
from systems.integrators.stepping import AbstractFixedStep
from systems.integrators.steps import Carried, Interval, Step, wide
from systems.phase_space import PhaseSpace
from systems.status import Status
from systems.vector_field import AbstractVectorField

#: More are not needed where a step is short enough to converge at all.
SWEEPS = 100


@dataclass(frozen=True, eq=False)
class AbstractGauss(AbstractFixedStep):
    """Implicit steps, solved to round-off by fixed-point iteration for each trajectory by itself."""

    compensated: bool = True
    symplectic = True
    symmetric = True
    preserves = "quadratic"
    keeps_energy = False
    requires = AbstractVectorField
    stages: ClassVar[int]
    kept: ClassVar[int | None] = None
    """How many Legendre coefficients of the derivatives a step follows; None for all."""

    def _begin(self, field: AbstractVectorField, t: Tensor, state: PhaseSpace) -> Carried:
        derivatives, last = first_guess(field, t, state, self.stages)
        return Carried(*self._totals(state), (*derivatives, last))

    def _step(self, field: AbstractVectorField, t: Tensor, h: Tensor, carried: Carried) -> Carried:
        derivatives, converged = collocation.solve(field, t, h, carried.state, guess(h, carried), SWEEPS, self.kept)
        if not bool(converged.all()):  # where they were not found, there is no end of the step
            derivatives = tuple(torch.where(wide(converged), x, torch.nan) for x in derivatives)
        return advanced(field, t, h, carried, derivatives, self.kept)

    def _status(self, trajectory: PhaseSpace) -> Int8[Tensor, "*batch"]:
        return status_of(trajectory, Status.UNSOLVED)

    def _walk_back(
        self, field: AbstractVectorField, interval: Interval, start: PhaseSpace, end: PhaseSpace
    ) -> Iterator[Step]:
        return self._walk_undoing(field, interval, end, lambda field, t, h, after: self._step(field, t + h, -h, after))


def first_guess(field: AbstractVectorField, t: Tensor, state: PhaseSpace, stages: int) -> tuple[Tensors, Tensor]:
    """The same derivatives at all stages, as if the last step had been infinitely long."""
    k_q, k_p = (x.expand(stages, *x.shape) for x in field(wide(t), state))
    return (k_q, k_p), torch.full_like(k_q[0, ..., 0, 0], torch.inf)


def guess(h: Tensor, carried: Carried) -> Tensors:
    """The stages of the next step by extrapolation."""
    k_q, k_p, last, *_ = carried.reused
    coefficients = collocation.extrapolation(len(k_q), (h / last).detach())
    return tuple(collocation.weighted(coefficients, k.detach()) for k in (k_q, k_p))


def advanced(
    field: AbstractVectorField,
    t: Tensor,
    h: Tensor,
    carried: Carried,
    derivatives: Tensors,
    kept: int | None = None,
) -> Carried:
    """The end of a step with known stages; where its length is zero nothing changes."""
    q, p, (k_q, k_p, last, *more) = carried
    old = (k_q, k_p)
    if torch.is_grad_enabled() and any(x.requires_grad for x in (t, h, *carried.state, *old)):
        derivatives = collocation.differentiable(field, t, h, carried.state, derivatives, kept)
    weights = collocation.tableau(len(derivatives[0]), q.value.dtype, q.value.device).weights
    dq, dp = (wide(h) * collocation.weighted(weights, x)[0] for x in derivatives)
    moved = h != 0
    reused = [torch.where(wide(moved), new.detach(), x.detach()) for new, x in zip(derivatives, old, strict=True)]
    return Carried(q.plus(dq), p.plus(dp), (*reused, torch.where(moved, h.detach(), last), *more))


@dataclass(frozen=True, eq=False)
class ImplicitMidpoint(AbstractGauss):
    """Order 2, the Gauss method with one stage: z' = z + h f((z + z') / 2).

    Advantages: symplectic and reversible for any Hamiltonian; preserves all quadratic charges to round-off.
    Drawbacks: low order; several evaluations a step; the iteration needs h below about 2 / (the highest frequency).

    Source: Hairer, Lubich & Wanner, Geometric Numerical Integration (2006), section II.1.3.

    Args:
        step, compensated, compile: see `AbstractStepping`.

    Raises:
        ValueError: where the step is too long for the stages to converge.

    Example:
        >>> import torch
        >>> from systems import Pendulum
        >>> from systems.integrators import ImplicitMidpoint
        >>> system, state = Pendulum.sample(10, seed=0)
        >>> times = torch.linspace(0, 1, 5, dtype=torch.float64)
        >>> ImplicitMidpoint(step=0.01).integrate(system, state, times).q.shape
        torch.Size([5, 10, 2, 1])
    """

    order = 2
    stages = 1


@dataclass(frozen=True, eq=False)
class Gauss4(AbstractGauss):
    """Order 4, the Gauss method with two stages.

    Advantages: symplectic and reversible for any Hamiltonian, separable or not; preserves all quadratic charges to
    round-off; small error constant.
    Drawbacks: several sweeps of two evaluations a step; the iteration needs h below about 3 / (the highest
    frequency).

    Source: Hairer, Lubich & Wanner, Geometric Numerical Integration (2006), section II.1.3.

    Args:
        step, compensated, compile: see `AbstractStepping`.

    Raises:
        ValueError: where the step is too long for the stages to converge.

    Example:
        >>> from systems.integrators import Gauss4
        >>> Gauss4.order, Gauss4.preserves
        (4, 'quadratic')
    """

    order = 4
    stages = 2


@dataclass(frozen=True, eq=False)
class Gauss6(AbstractGauss):
    """Order 6, the Gauss method with three stages.

    Advantages: symplectic and reversible for any Hamiltonian, separable or not; preserves all quadratic charges to
    round-off; small error constant.
    Drawbacks: several sweeps of three evaluations a step; the iteration needs h below about 4 / (the highest
    frequency).

    Source: Hairer, Lubich & Wanner, Geometric Numerical Integration (2006), section II.1.3.

    Args:
        step, compensated, compile: see `AbstractStepping`.

    Raises:
        ValueError: where the step is too long for the stages to converge.

    Example:
        >>> from systems.integrators import Gauss6
        >>> Gauss6.order, Gauss6.preserves
        (6, 'quadratic')
    """

    order = 6
    stages = 3
