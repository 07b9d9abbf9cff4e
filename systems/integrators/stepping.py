"""What methods that take steps share: the way from output time to output time.

A method adds what it carries from step to step (`_begin`) and one step (`_step`).
"""

from __future__ import annotations

from abc import abstractmethod
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from functools import partial
from itertools import pairwise
from pkgutil import resolve_name

import torch
from jaxtyping import Float, Int8
from torch import Tensor

from systems.checks import check_choice
from systems.integrators.abstract import AbstractIntegrator
from systems.integrators.attempt import Attempt, raise_unless_ok, status_of
from systems.integrators.steps import Carried, Interval, Step, substep_counts
from systems.integrators.sums import Total
from systems.phase_space import PhaseSpace
from systems.status import Status
from systems.tracing import readable
from systems.vector_field import AbstractVectorField

#: Whether steps are taken in machine code.
MODES = ("auto", "on", "off")

Undo = Callable[[AbstractVectorField, Tensor, Tensor, Carried], Carried]


@dataclass(frozen=True, eq=False)
class AbstractStepping(AbstractIntegrator):
    """A method that takes steps.

    Args:
        step: the longest step, a number or one a trajectory ``(*batch)``; None for as long as the method likes.
        compensated: whether sums remember what rounding took from them (compensated summation): the round-off of long
            runs falls by the ratio of an increment to the state, where the forces' own round-off is no larger.
        compile: whether steps are taken in machine code: "on"; "off"; or "auto", where the counts of bodies,
            trajectories and steps promise to save more than a compiler costs (see `systems.native.Compiled`).
    """

    step: float | Tensor | None = None
    compensated: bool = False
    compile: str = field(default="auto", kw_only=True, repr=False)

    def __post_init__(self) -> None:
        super().__post_init__()
        check_choice("compile", self.compile, MODES)

    def integrate(
        self, field: AbstractVectorField, state: PhaseSpace, times: Float[Tensor, " time *batch"]
    ) -> PhaseSpace:
        self.check(field, state, times)
        if (fast := in_machine_code(self, self.compile, field, state, times)) is not None:
            return fast.integrate(field, state, times)
        trajectory, status = self._trajectory(field, times, self._begin(field, times[0], state))
        if status is not None:
            raise_unless_ok(status)
        return trajectory

    def attempt(self, field: AbstractVectorField, state: PhaseSpace, times: Float[Tensor, " time *batch"]) -> Attempt:
        self.check(field, state, times)
        if (fast := in_machine_code(self, self.compile, field, state, times)) is not None:
            return fast.attempt(field, state, times)
        trajectory, status = self._trajectory(field, times, self._begin(field, times[0], state))
        return Attempt(trajectory, status_of(trajectory, Status.DIVERGED) if status is None else status)

    def stepped(self, field: AbstractVectorField, state: PhaseSpace, h: Float[Tensor, " trajectory"]) -> PhaseSpace:
        return self._step(field, torch.zeros_like(h), h, self._begin(field, torch.zeros_like(h), state)).state

    def _by_intervals(
        self, times: Tensor, carried: Carried, cross: Callable[[Interval, Carried], Carried]
    ) -> PhaseSpace:
        outputs = [carried.state]
        for interval in self._intervals(times):
            carried = cross(interval, carried)
            outputs.append(carried.state)
        return PhaseSpace(torch.stack([x.q for x in outputs]), torch.stack([x.p for x in outputs]))

    def _cross(self, field: AbstractVectorField, interval: Interval, carried: Carried) -> Carried:
        for step in self._walk(field, interval, carried):
            carried = step.after
        return carried

    def _status(self, trajectory: PhaseSpace) -> Int8[Tensor, "*batch"] | None:
        """How each trajectory ended, where the method has reasons of its own to end one."""
        return None

    def _totals(self, state: PhaseSpace) -> tuple[Total, Total]:
        if self.compensated:
            return Total(state.q, torch.zeros_like(state.q)), Total(state.p, torch.zeros_like(state.p))
        return Total(state.q), Total(state.p)

    @abstractmethod
    def _begin(self, field: AbstractVectorField, t: Tensor, state: PhaseSpace) -> Carried:
        """What the first step needs."""

    @abstractmethod
    def _step(self, field: AbstractVectorField, t: Tensor, h: Tensor, carried: Carried) -> Carried:
        """One step of length h from t, both of shape () or ``(*batch)``."""

    @abstractmethod
    def _intervals(self, times: Tensor) -> list[Interval]:
        """From each output time to the next."""

    @abstractmethod
    def _trajectory(
        self, field: AbstractVectorField, times: Tensor, carried: Carried
    ) -> tuple[PhaseSpace, Int8[Tensor, "*batch"] | None]:
        """The states at all the times, and how each trajectory ended; None where only its values tell."""

    @abstractmethod
    def _walk(self, field: AbstractVectorField, interval: Interval, carried: Carried) -> Iterator[Step]:
        """The steps through an interval."""

    @abstractmethod
    def _walk_back(
        self, field: AbstractVectorField, interval: Interval, start: PhaseSpace, end: PhaseSpace
    ) -> Iterator[Step]:
        """The same steps once more, the last one first, from the states at the ends of the interval."""

    def _walk_again(self, field: AbstractVectorField, interval: Interval, start: PhaseSpace) -> Iterator[Step]:
        """`_walk_back` for any method, with all the steps of the interval in memory."""
        return reversed(list(self._walk(field, interval, self._begin(field, interval.start, start))))


def in_machine_code(
    method: AbstractIntegrator, mode: str, field: AbstractVectorField, state: PhaseSpace, times: Tensor
) -> AbstractIntegrator | None:
    """What takes these steps in the method's place, where that is wanted and can be done."""
    if mode == "off" or not readable(*state, times):
        return None
    # By its name: machine code knows these methods and lies above them.
    return resolve_name("systems.native.compiled:machine_code")(method, mode, field, state, times)


@dataclass(frozen=True, eq=False)
class AbstractFixedStep(AbstractStepping):
    """Equal steps no longer than ``step`` from each output time to the next; with None, one step.

    The number of steps is found once, before the first: nothing on the way waits for the device.
    """

    @property
    def has_fixed_steps(self) -> bool:
        return True

    def _intervals(self, times: Tensor) -> list[Interval]:
        ends = list(pairwise(times))
        if self.step is None:
            return [Interval(start, end) for start, end in ends]
        counts = substep_counts(times, self.step)
        whole = counts.flatten(1) if counts.ndim > 1 else counts[:, None]
        least, most = torch.stack([whole.amin(1), whole.amax(1)]).long().tolist()
        return [
            Interval(start, end, low, high, high if low == high else count)
            for (start, end), low, high, count in zip(ends, least, most, counts, strict=True)
        ]

    def _trajectory(
        self, field: AbstractVectorField, times: Tensor, carried: Carried
    ) -> tuple[PhaseSpace, Int8[Tensor, "*batch"] | None]:
        trajectory = self._by_intervals(times, carried, partial(self._cross, field))
        return trajectory, self._status(trajectory)

    def _walk(self, field: AbstractVectorField, interval: Interval, carried: Carried) -> Iterator[Step]:
        length = interval.length
        for k in range(interval.most):
            t, h = interval.substep(k, length)
            after = self._step(field, t, h, carried)
            yield Step(t, h, carried, after)
            carried = after

    def _walk_undoing(
        self, field: AbstractVectorField, interval: Interval, end: PhaseSpace, undo: Undo
    ) -> Iterator[Step]:
        """`_walk_back` where a step can be undone, with one step in memory."""
        after = self._begin(field, interval.end, end)
        length = interval.length
        for k in reversed(range(interval.most)):
            t, h = interval.substep(k, length)
            before = undo(field, t, h, after)
            yield Step(t, h, before, after)
            after = before
