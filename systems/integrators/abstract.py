"""The contract of an integrator, and the check at its door."""

import dataclasses
from abc import ABC, abstractmethod
from typing import Any, ClassVar, Literal, TypeVar

import torch
from jaxtyping import Float
from torch import Tensor

from systems.checks import check_type
from systems.door import in_steps
from systems.integrators.attempt import Attempt, status_of
from systems.integrators.pieces import Pieces, between, steps_between
from systems.phase_space import PhaseSpace
from systems.status import Status
from systems.tracing import readable
from systems.vector_field import AbstractVectorField

Integrator = TypeVar("Integrator", bound="AbstractIntegrator")


@in_steps
class AbstractIntegrator(ABC):
    """A numerical flow: from a state and output times to a trajectory.

    Output times are hit exactly, by equal substeps no longer than the integrator's ``step``; nothing is interpolated.
    """

    order: ClassVar[int]
    symplectic: ClassVar[bool]
    requires: ClassVar[type[AbstractVectorField]]
    """The least structure of a vector field that the method works with."""
    preserves: ClassVar[Literal["linear", "bilinear", "quadratic"]]
    """The charges that the method preserves to round-off at any step, where the exact flow preserves them:

    - linear: those linear in the state (total momentum);
    - bilinear: also p . A q with a constant matrix A (angular momentum);
    - quadratic: also all others that are quadratic in the state.
    """
    symmetric: ClassVar[bool]
    """Whether a step back undoes a step."""
    keeps_energy: ClassVar[bool]
    """Whether any smooth energy is kept to round-off, at steps that are not too long."""

    def __post_init__(self) -> None:
        """A ValueError unless ``step`` is None, a positive number or a tensor of them, one a trajectory."""
        step = getattr(self, "step", None)
        if step is None:
            return
        values = torch.as_tensor(step)
        if values.is_complex() or not values.numel():
            raise ValueError(f"step: expected positive numbers, got {step}")
        if readable(values) and not bool((torch.isfinite(values) & (values > 0)).all()):
            raise ValueError(f"step: expected a positive number, got {step}")

    @property
    def has_fixed_steps(self) -> bool:
        """Whether nobody but the caller judges how long the steps may be."""
        return False

    @abstractmethod
    def integrate(
        self, field: AbstractVectorField, state: PhaseSpace, times: Float[Tensor, " time *batch"]
    ) -> PhaseSpace:
        """The trajectory at ``times``, time first: ``(time, *batch, n, d)``.

        Args:
            field: what moves the state.
            state: ``(*batch, n, d)``, the state at ``times[0]``.
            times: ``(time,)`` for all trajectories, or ``(time, *batch)``; increasing or decreasing.

        Raises:
            ValueError: if the field lacks the structure that the method needs, or shapes, times or dtypes do not fit.
                Values (finite, times sorted) are checked on the CPU only: on a GPU the host would have to wait.
        """

    def attempt(self, field: AbstractVectorField, state: PhaseSpace, times: Float[Tensor, " time *batch"]) -> Attempt:
        """`integrate`, as far as each trajectory can be followed: NaN from there on, and why, instead of an error.

        Args:
            field, state, times: as in `integrate`.

        Raises:
            ValueError: for what does not fit, as `integrate`.
        """
        trajectory = self.integrate(field, state, times)
        return Attempt(trajectory, status_of(trajectory, Status.DIVERGED))

    def attempt_in_pieces(
        self, field: AbstractVectorField, state: PhaseSpace, times: Float[Tensor, " time *trajectory"]
    ) -> tuple[Attempt, Pieces]:
        """`attempt`, and all that lies between the times: the steps, or what the method has in their place.

        Args:
            field, times: as in `integrate`.
            state: ``(trajectory, n, d)``.
        """
        fine, outputs = steps_between(times, getattr(self, "step", None))
        trajectory, status = self.attempt(field, state, fine)
        return Attempt(PhaseSpace(*(x[outputs] for x in trajectory)), status), between(fine, trajectory)

    def after(
        self, field: AbstractVectorField, state: PhaseSpace, duration: Float[Tensor, " trajectory"]
    ) -> PhaseSpace:
        """The states ``(trajectory, n, d)`` after durations, positive or negative; NaN where one cannot be followed."""
        trajectory, _ = self.attempt(field, state, torch.stack([torch.zeros_like(duration), duration]))
        return PhaseSpace(trajectory.q[1], trajectory.p[1])

    def stepped(self, field: AbstractVectorField, state: PhaseSpace, h: Float[Tensor, " trajectory"]) -> PhaseSpace:
        """The states after a part of a piece of `attempt_in_pieces` that starts at them: one step, if there are any."""
        return self.after(field, state, h)

    def select(self: Integrator, index: slice | Tensor) -> Integrator:
        """The same integrator for some of the trajectories of a batch ``(trajectory, ...)``.

        Its ``step`` may be one for all trajectories, or a tensor ``(trajectory)``.
        """
        step = getattr(self, "step", None)
        if isinstance(step, Tensor) and step.ndim:
            return dataclasses.replace(self, step=step[index])  # pyright: ignore[reportArgumentType, reportCallIssue, reportType]
        return self

    def check(self, field: AbstractVectorField, state: PhaseSpace, times: Tensor) -> None:
        """A ValueError that names what does not fit, before any work starts."""
        if not isinstance(field, self.requires):
            lost = (
                f" with {', '.join(field.forces)}, which keeps neither energy nor volume: take gauss4, rk4 or none"
                if field.forces
                else ""
            )
            raise ValueError(
                f"field: {type(self).__name__} needs an {self.requires.__name__}, got {type(field).__name__}{lost}"
            )
        is_state = isinstance(state, tuple) and all(isinstance(x, Tensor) for x in state)
        check_type("state", state, is_state, "a PhaseSpace")
        check_type("times", times, isinstance(times, Tensor), "a tensor")
        q, p = state
        if q.ndim < 2 or q.shape != p.shape:
            raise ValueError(
                f"state: expected q and p of one shape (*batch, n, d), got {tuple(q.shape)} and {tuple(p.shape)}"
            )
        if not q.is_floating_point() or q.dtype != p.dtype:
            raise ValueError(f"state: expected q and p of one floating dtype, got {q.dtype} and {p.dtype}")
        if times.dtype != q.dtype or times.device != q.device or p.device != q.device:
            raise ValueError(
                f"times: expected {q.dtype} on {q.device} like the state, got {times.dtype} on {times.device}"
            )
        if times.shape[1:] not in {(), q.shape[:-2]} or times.ndim == 0 or times.shape[0] == 0:
            raise ValueError(
                f"times: expected shape (time,) or (time, *batch) with batch {tuple(q.shape[:-2])}, "
                f"got {tuple(times.shape)}"
            )
        if readable(times):
            _check_values(state, times)
            field.check_state(state)
        _check_step(getattr(self, "step", None), state)


def _check_values(state: PhaseSpace, times: Tensor) -> None:
    gaps = times.diff(dim=0)
    finite = {name: torch.isfinite(x).all() for name, x in (("q", state.q), ("p", state.p), ("times", times))}
    sorted_ = ((gaps > 0).all(0) | (gaps < 0).all(0)).all()
    if torch.stack([*finite.values(), sorted_]).all():
        return
    for name, is_finite in finite.items():
        if not is_finite:
            raise ValueError(f"{name}: expected finite values, got NaN or infinity")
    raise ValueError("times: expected strictly increasing or strictly decreasing times, got neither")


def _check_step(step: Any, state: PhaseSpace) -> None:
    """A ValueError unless a tensor of steps has one a trajectory."""
    if isinstance(step, Tensor):
        if step.dtype != state.q.dtype or step.device != state.q.device:
            raise ValueError(
                f"step: expected {state.q.dtype} on {state.q.device} like the state, got {step.dtype} on {step.device}"
            )
        if step.shape not in {(), state.q.shape[:-2]}:
            raise ValueError(
                f"step: expected a number or shape (*batch) = {tuple(state.q.shape[:-2])}, got {tuple(step.shape)}"
            )
