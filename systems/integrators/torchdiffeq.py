"""The solvers of torchdiffeq, for those who want them."""

from __future__ import annotations

import math
from dataclasses import dataclass
from itertools import pairwise
from typing import Any

import torch
import torchdiffeq
from jaxtyping import Float
from torch import Tensor

from systems.checks import check, check_choice
from systems.integrators.abstract import AbstractIntegrator
from systems.integrators.attempt import Attempt
from systems.integrators.pieces import Pieces
from systems.integrators.steps import substep_counts, wide
from systems.phase_space import PhaseSpace
from systems.vector_field import AbstractVectorField

ADAPTIVE = ("dopri8", "dopri5", "bosh3", "fehlberg2", "adaptive_heun")
FIXED = ("euler", "midpoint", "heun2", "heun3", "rk4", "explicit_adams", "implicit_adams")


@dataclass(frozen=True, eq=False)
class Torchdiffeq(AbstractIntegrator):
    """A method of torchdiffeq; by default Dormand and Prince's of order 8.

    Every output time is the end of a step: left to itself torchdiffeq interpolates, which is far less accurate than its
    tolerance.

    Advantages: a familiar set of methods; any vector field. Preserves linear charges (total momentum).
    Drawbacks: one step size for the whole batch, set by the norm of all its states: trajectories disturb each other,
    and have the same output times. Not symplectic: energy and angular momentum drift.

    Source: Chen (2018), https://github.com/rtqichen/torchdiffeq.

    Args:
        method: the name that torchdiffeq gives it.
        step: the longest step. Methods of fixed step take equal ones; None for one step from time to time.
        rtol, atol: relative and absolute tolerance of adaptive methods, 1e-7 and 1e-9 if None. Methods of fixed step
            ignore tolerances, so that it is an error to give them one.

    Raises:
        ValueError: for an unknown method, a tolerance for a method of fixed step, or times of each trajectory.

    Example:
        >>> import torch
        >>> from systems import Springs
        >>> from systems.integrators import Torchdiffeq
        >>> system, state = Springs.sample(10, seed=0)
        >>> times = torch.linspace(0, 1, 5, dtype=torch.float64)
        >>> Torchdiffeq(rtol=1e-9).integrate(system, state, times).q.shape
        torch.Size([5, 10, 6, 2])
    """

    method: str = "dopri8"
    step: float | None = None
    rtol: float | None = None
    atol: float | None = None
    order = 8
    """Of the default method."""
    symplectic = False
    symmetric = False
    preserves = "linear"
    keeps_energy = False
    requires = AbstractVectorField

    def __post_init__(self) -> None:
        super().__post_init__()
        check_choice("method", self.method, ADAPTIVE + FIXED)
        for name, value in self._tolerances.items():
            check(name, value, value is None or 0 < value < math.inf, "a positive number")
            if value is not None and self.method in FIXED:
                raise ValueError(
                    f"{name}: {self.method} has fixed steps and ignores a tolerance, got {value}: give step"
                )

    @property
    def has_fixed_steps(self) -> bool:
        return self.method in FIXED

    def check(self, field: AbstractVectorField, state: PhaseSpace, times: Tensor) -> None:
        super().check(field, state, times)
        if times.ndim > 1:
            raise ValueError(
                f"times: torchdiffeq has one step size a batch, expected shape (time,), got {tuple(times.shape)}"
            )

    def integrate(
        self, field: AbstractVectorField, state: PhaseSpace, times: Float[Tensor, " time *batch"]
    ) -> PhaseSpace:
        self.check(field, state, times)
        options = self._options(times)
        if len(times) == 1:
            return PhaseSpace(*(x[None] for x in state))
        path: Any = torchdiffeq.odeint(
            lambda t, z: tuple(field(wide(t), PhaseSpace(*z))), tuple(state), times, **options
        )
        q, p = path
        fixed = getattr(field, "fixed", None)
        if fixed is not None:  # the last bits of an interpolation move what has no velocity
            q = torch.where(fixed[..., None], state.q, q)
        return PhaseSpace(q, p)

    def attempt_in_pieces(
        self, field: AbstractVectorField, state: PhaseSpace, times: Float[Tensor, " time *trajectory"]
    ) -> tuple[Attempt, Pieces]:
        seen = self.method in FIXED or self.step is not None
        check(
            "step", self.step, seen, f"a longest step, since what happens within the steps of {self.method} is not seen"
        )
        return super().attempt_in_pieces(field, state, times)

    def after(
        self, field: AbstractVectorField, state: PhaseSpace, duration: Float[Tensor, " trajectory"]
    ) -> PhaseSpace:
        """One after the other: the solver has one time for all."""
        each = []
        for k, end in enumerate(duration):
            one, first = slice(k, k + 1), PhaseSpace(state.q[k : k + 1], state.p[k : k + 1])
            each.append(self.integrate(field.select(one), first, torch.stack([torch.zeros_like(end), end])))
        return PhaseSpace(*(torch.cat([x[1] for x in parts]) for parts in zip(*each, strict=True)))

    @property
    def _tolerances(self) -> dict[str, float | None]:
        return {"rtol": self.rtol, "atol": self.atol}

    def _options(self, times: Tensor) -> dict[str, Any]:
        if self.method in ADAPTIVE:
            options = {"step_t": times[1:]} | ({} if self.step is None else {"max_step": self.step})
            defaults = {"rtol": 1e-7, "atol": 1e-9}
            return {"method": self.method, "options": options} | {
                name: defaults[name] if value is None else value for name, value in self._tolerances.items()
            }
        return {"method": self.method, "options": {"grid_constructor": self._grid}}

    def _grid(self, function: Any, state: Any, times: Tensor) -> Tensor:
        """Equal steps from each time to the next."""
        if self.step is None:
            return times
        counts = substep_counts(times, self.step).long().tolist()
        shares = [torch.arange(count, dtype=times.dtype, device=times.device) / count for count in counts]
        starts = [start + share * (end - start) for (start, end), share in zip(pairwise(times), shares, strict=True)]
        return torch.cat([*starts, times[-1:]])
