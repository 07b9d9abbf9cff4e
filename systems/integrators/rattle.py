"""RATTLE: symplectic steps of bodies that constraints hold."""

from collections.abc import Iterator
from dataclasses import dataclass
from typing import ClassVar

import torch
from jaxtyping import Int8
from torch import Tensor

from systems.constrained import AbstractConstrained
from systems.integrators.attempt import status_of
from systems.integrators.kick_drift import odd_palindrome
from systems.integrators.stepping import AbstractFixedStep
from systems.integrators.steps import Carried, Interval, Step, wide
from systems.phase_space import PhaseSpace
from systems.status import Status
from systems.vector_field import AbstractVectorField


@dataclass(frozen=True, eq=False)
class AbstractRattle(AbstractFixedStep):
    """Leapfrog with impulses along the constraints, such that positions and velocities fulfil them after each step."""

    symplectic = True
    symmetric = True
    preserves = "bilinear"
    keeps_energy = False
    requires = AbstractConstrained
    parts: ClassVar[tuple[float, ...]]
    """The parts of a step, their sum is 1."""

    def _begin(self, field: AbstractVectorField, t: Tensor, state: PhaseSpace) -> Carried:
        assert isinstance(field, AbstractConstrained)
        return Carried(*self._totals(state), (field.force(state.q), field.jacobian(state.q)))

    def _step(self, field: AbstractVectorField, t: Tensor, h: Tensor, carried: Carried) -> Carried:
        for part in self.parts:
            carried = _leapfrog(field, wide(part * h), carried)
        return carried

    def _status(self, trajectory: PhaseSpace) -> Int8[Tensor, "*batch"]:
        return status_of(trajectory, Status.UNSOLVED)

    def _walk_back(
        self, field: AbstractVectorField, interval: Interval, start: PhaseSpace, end: PhaseSpace
    ) -> Iterator[Step]:
        return self._walk_undoing(field, interval, end, lambda field, t, h, after: self._step(field, t + h, -h, after))


def _leapfrog(field: AbstractVectorField, h: Tensor, carried: Carried) -> Carried:
    assert isinstance(field, AbstractConstrained)
    q, p, (force, jacobian) = carried
    half = p.value + h / 2 * force
    target, size, found = field.placed(q.value + h * field.velocity(half), jacobian)
    target = torch.where(found[..., None, None], target, torch.nan)
    impulse = field.pull(jacobian, size) / torch.where(h == 0, 1, h)
    force, jacobian = field.force(target), field.jacobian(target)
    end = field.tangent(target, half - impulse + h / 2 * force)
    return Carried(q.plus(target - q.value), p.plus(end - p.value), (force, jacobian))


@dataclass(frozen=True, eq=False)
class Rattle(AbstractRattle):
    """Order 2, one force a step, and a small system of linear equations for each sweep of Newton's method.

    Advantages: symplectic and reversible on the manifold of the constraints; these hold to round-off at any step, in
    positions and velocities; linear and bilinear charges are preserved where the constraints allow them.
    Drawbacks: low order; the equations of c constraints cost c^3.

    Source: Andersen (1983), Journal of Computational Physics 52, 24; Hairer, Lubich & Wanner, Geometric Numerical
    Integration (2006), section VII.1.4.

    Args:
        step, compensated, compile: see `AbstractStepping`.

    Raises:
        ValueError: where the first state violates the constraints, or the step is too long for them to be solved.

    Example:
        >>> import torch
        >>> from systems import Rods
        >>> from systems.integrators import Rattle
        >>> system, state = Rods.sample(3, seed=0)
        >>> end = Rattle(step=0.01).integrate(system, state, torch.tensor([0.0, 1.0]).double())
        >>> bool(system.constraints(end.q).abs().max() < 1e-14)
        True
    """

    order = 2
    parts = (1.0,)


@dataclass(frozen=True, eq=False)
class Rattle4(AbstractRattle):
    """Order 4, three forces a step: three steps of `Rattle`, of which the middle one runs backward.

    Advantages and drawbacks: as `Rattle`, with a smaller error at three times the work.

    Source: Reich (1996), SIAM Journal on Numerical Analysis 33, 475.

    Args:
        step, compensated, compile: see `AbstractStepping`.

    Raises:
        ValueError: as `Rattle`.

    Example:
        >>> sum(Rattle4.parts)
        1.0
    """

    order = 4
    parts = odd_palindrome(1 / (2 - 2 ** (1 / 3)))
