"""Kicks and drifts: the steps of explicit symplectic methods."""

from collections.abc import Iterator
from dataclasses import dataclass
from typing import ClassVar

from torch import Tensor

from systems.integrators.stepping import AbstractFixedStep
from systems.integrators.steps import Carried, Interval, Step, wide
from systems.phase_space import PhaseSpace
from systems.vector_field import AbstractSeparable, AbstractSplit, AbstractVectorField


@dataclass(frozen=True, eq=False)
class AbstractKickDrift(AbstractFixedStep):
    """Kicks p += b_i h F(q) and drifts q += a_i h v(p) by turns, a kick first and last, for H = T(p) + V(q).

    Where the kinetic part depends on q too and its flow is known (`AbstractSplit`), the drifts are that flow.

    The force of the last kick is that of the next step's first: with s drifts, a step costs s forces.
    """

    symplectic = True
    preserves = "bilinear"
    keeps_energy = False
    requires = AbstractSplit
    drifts: ClassVar[tuple[float, ...]]
    """a_1 ... a_s, their sum is 1."""
    kicks: ClassVar[tuple[float, ...]]
    """b_0 ... b_s, their sum is 1."""

    def _begin(self, field: AbstractVectorField, t: Tensor, state: PhaseSpace) -> Carried:
        assert isinstance(field, AbstractSplit)
        return Carried(*self._totals(state), (field.force(state.q),))

    def _step(self, field: AbstractVectorField, t: Tensor, h: Tensor, carried: Carried) -> Carried:
        return self._alternate(field, h, self.kicks, self.drifts, carried)

    def _walk_back(
        self, field: AbstractVectorField, interval: Interval, start: PhaseSpace, end: PhaseSpace
    ) -> Iterator[Step]:
        return self._walk_undoing(field, interval, end, self._undo)

    def _undo(self, field: AbstractVectorField, t: Tensor, h: Tensor, carried: Carried) -> Carried:
        """Kicks and drifts undo each other, in reverse; symmetric or not."""
        return self._alternate(field, -h, self.kicks[::-1], self.drifts[::-1], carried)

    def _alternate(
        self,
        field: AbstractVectorField,
        h: Tensor,
        kicks: tuple[float, ...],
        drifts: tuple[float, ...],
        carried: Carried,
    ) -> Carried:
        assert isinstance(field, AbstractSplit)
        q, p, (force,) = carried
        h = wide(h)
        p = p.plus(kicks[0] * h * force)
        for drift, kick in zip(drifts, kicks[1:], strict=True):
            if isinstance(field, AbstractSeparable):
                q = q.plus(drift * h * field.velocity(p.value))
            else:
                change = field.drift(drift * h, PhaseSpace(q.value, p.value))
                q, p = q.plus(change.q), p.plus(change.p)
            force = field.force(q.value)
            p = p.plus(kick * h * force)
        return Carried(q, p, (force,))


def odd_palindrome(*half: float) -> tuple[float, ...]:
    """The coefficients a_1 ... a_m, 1 - 2 (a_1 + ... + a_m), a_m ... a_1, with the sum 1."""
    return (*half, 1 - 2 * sum(half), *half[::-1])


def even_palindrome(*half: float) -> tuple[float, ...]:
    """The coefficients a_1 ... a_m, b, b, a_m ... a_1 with the sum 1."""
    half = (*half, 0.5 - sum(half))
    return (*half, *half[::-1])
