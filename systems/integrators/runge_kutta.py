"""Explicit Runge-Kutta methods."""

from collections.abc import Iterator
from dataclasses import dataclass

from torch import Tensor

from systems.integrators.stepping import AbstractFixedStep
from systems.integrators.steps import Carried, Interval, Step, wide
from systems.phase_space import PhaseSpace
from systems.vector_field import AbstractVectorField


@dataclass(frozen=True, eq=False)
class RK4(AbstractFixedStep):
    """The classic Runge-Kutta method of order 4: four evaluations a step, for any vector field.

    Advantages: accurate over short times; works with any vector field, also one that depends on time. Preserves linear
    charges (total momentum).
    Drawbacks: not symplectic: energy and angular momentum drift in proportion to the time.

    Source: Kutta (1901), Zeitschrift fuer Mathematik und Physik 46, 435.

    Args:
        step, compensated, compile: see `AbstractStepping`.

    Example:
        >>> import torch
        >>> from systems import PhaseSpace, Springs
        >>> from systems.integrators import RK4
        >>> system, state = Springs.sample(10, seed=0)
        >>> times = torch.linspace(0, 1, 5, dtype=torch.float64)
        >>> RK4(step=0.01).integrate(system, state, times).p.shape
        torch.Size([5, 10, 6, 2])
    """

    order = 4
    symplectic = False
    symmetric = False
    preserves = "linear"
    keeps_energy = False
    requires = AbstractVectorField

    def _begin(self, field: AbstractVectorField, t: Tensor, state: PhaseSpace) -> Carried:
        return Carried(*self._totals(state))

    def _step(self, field: AbstractVectorField, t: Tensor, h: Tensor, carried: Carried) -> Carried:
        (q, p), length = carried.state, wide(h)
        middle, half = wide(t + h / 2), length / 2
        first = field(wide(t), carried.state)
        second = field(middle, PhaseSpace(q + half * first.q, p + half * first.p))
        third = field(middle, PhaseSpace(q + half * second.q, p + half * second.p))
        last = field(wide(t + h), PhaseSpace(q + length * third.q, p + length * third.p))
        sixth = length / 6
        return Carried(
            carried.q.plus(sixth * (first.q + 2 * (second.q + third.q) + last.q)),
            carried.p.plus(sixth * (first.p + 2 * (second.p + third.p) + last.p)),
        )

    def _walk_back(
        self, field: AbstractVectorField, interval: Interval, start: PhaseSpace, end: PhaseSpace
    ) -> Iterator[Step]:
        return self._walk_again(field, interval, start)
