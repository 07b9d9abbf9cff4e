"""Whether fixed steps are short enough, and phases known: an estimate before the work, and the energy after it."""

import dataclasses
import warnings
from typing import Any

import torch
from torch import Tensor

from systems.clock import elapsed_of, started
from systems.integrators.abstract import AbstractIntegrator
from systems.integrators.wrapper import AbstractWrapper
from systems.phase_space import PhaseSpace
from systems.vector_field import AbstractSeparable, AbstractVectorField

#: A share of the kinetic and potential energy that no exact solution loses.
ENERGY_LOST = 0.01
#: Relative errors of the first interval that are not passed over: of the caller's own step, and of none.
OWN_STEP_ERROR, NO_STEP_ERROR = 1e-2, 1e-6
#: Trajectories by which fixed steps and closed forms are judged.
JUDGED = 16
#: Bodies of which a closed form costs so little that it is computed once more to be judged.
FEW = 64
#: Radians of the fastest swing in a step of the default integrator, and steps that are not passed over in silence.
RADIANS, MANY_STEPS = 2.5, 20_000
#: Roundings of a time by which a closed form is judged.
ROUNDINGS = 64


def warn_of_long_steps(
    field: AbstractVectorField, state: PhaseSpace, times: Tensor, integrator: AbstractIntegrator
) -> None:
    """Compare the first interval's steps with steps of half their length, and say so if they are too long."""
    rows = slice(0, JUDGED)
    state = PhaseSpace(state.q[rows], state.p[rows])
    elapsed = elapsed_of(times if times.ndim == 1 else times[:, rows]).to(state.q)[:2]
    middle = elapsed[:1] + (elapsed[1:] - elapsed[:1]) / 2
    some, step = integrator.select(rows), getattr(integrator, "step", None)
    moved = started(field.select(rows).steady(), times[0] if times.ndim == 1 else times[0, rows])
    with torch.no_grad():
        if step is None:
            fine = some.attempt(moved, state, torch.cat([elapsed[:1], middle, elapsed[1:]])).trajectory
        else:
            fine = _with_half_steps(some).attempt(moved, state, elapsed).trajectory
        coarse = some.attempt(moved, state, elapsed).trajectory
    errors = []
    for a, b, first in zip(coarse, fine, state, strict=True):
        size = torch.maximum(b[-1].abs().amax((-2, -1)), first.abs().amax((-2, -1)))
        errors.append((a[-1] - b[-1]).abs().amax((-2, -1)) / torch.where(size > 0, size, 1))
    error = torch.stack(errors).nan_to_num(torch.inf).amax() / (1 - 2.0**-integrator.order)
    if error > (NO_STEP_ERROR if step is None else OWN_STEP_ERROR):
        given = "no step is given, so that each interval of time is one step" if step is None else "the step is long"
        warnings.warn(
            f"integrator: {given}: the first interval has a relative error of about {float(error):.1g}; a smaller step "
            "makes it smaller, and without an integrator simulate is exact to about 1e-9",
            UserWarning,
            stacklevel=4,
        )


def warn_of_many_steps(field: AbstractVectorField, state: PhaseSpace, times: Tensor) -> None:
    """Say so where the default integrator has very many swings to follow, before it does.

    Near its first state z a field swings with the rates w of -w^2 = the eigenvalues of the square of dF/dz: the largest
    is found by power iteration, with quotients of differences in place of derivatives.
    """
    rows = slice(0, JUDGED)
    state = PhaseSpace(state.q[rows], state.p[rows])
    elapsed = elapsed_of(times if times.ndim == 1 else times[:, rows]).double()
    moved, t = started(field.select(rows).steady(), times[0] if times.ndim == 1 else times[0, rows]), elapsed.new_zeros
    span = (elapsed[-1] - elapsed[0]).nan_to_num(0).abs()
    swings = _largest_rate(moved, state, t(1, 1).to(state.q)).double() * span
    steps = float((swings / RADIANS).nan_to_num(0).max())
    if steps > MANY_STEPS:
        warnings.warn(
            f"times: the fastest motion swings about {float(swings.nan_to_num(0).max()) / 6.283:.1g} times in them, "
            f"which takes the default integrator about {steps:.1g} steps: compile='on' takes them in machine code; a "
            "stiff spring may be a rod (systems.Rods)",
            UserWarning,
            stacklevel=4,
        )


@torch.no_grad()
def _largest_rate(field: AbstractVectorField, state: PhaseSpace, t: Tensor) -> Tensor:
    """In radians a unit of time ``(trajectory)``, at least; not a number where it cannot be told."""

    def size(x: Tensor) -> Tensor:
        return x.square().sum((-2, -1), keepdim=True).sqrt()

    generator = torch.Generator().manual_seed(0)
    direction = torch.randn(state.q.shape, generator=generator, dtype=torch.float64).to(state.q)
    small = torch.finfo(state.q.dtype).eps ** 0.5
    here, rate = field(t, state), size(direction)
    for _ in range(3):
        direction = direction / size(direction)
        length = small * size(state.q).clamp(min=torch.finfo(state.q.dtype).tiny)
        kick = (field(t, PhaseSpace(state.q + length * direction, state.p)).p - here.p) / length
        length = small * torch.maximum(size(state.p), size(kick)) / size(kick)
        drift = (field(t, PhaseSpace(state.q, state.p + length * kick)).q - here.q) / length
        rate, direction = size(drift).sqrt(), drift
    return rate[..., 0, 0]


def warn_of_lost_phases(field: AbstractVectorField, state: PhaseSpace, elapsed: Tensor) -> None:
    """Compare a closed form at the last time with itself a few roundings of that time later: it cannot tell the two.

    A phase is a rate times a time, known to one part in 2^53 of itself: after 10^9 periods to a millionth of one. Where
    it is lost altogether two times may look the same, which shorter ones do not.
    """
    if state.q.shape[-2] > FEW:
        return
    rows = slice(0, JUDGED)
    state = PhaseSpace(state.q[rows], state.p[rows])
    end = (elapsed[-1] if elapsed.ndim == 1 else elapsed[-1, rows]).double()
    ends = torch.stack([end * 1e-4**k for k in range(9)])
    later = ends * (1 + ROUNDINGS * torch.finfo(end.dtype).eps)
    with torch.no_grad():
        found = field.select(rows).closed_form(state, torch.cat([torch.zeros_like(ends[:1]), ends, later]))
    errors = []
    for x, first in zip(found, state, strict=True):
        _, a, b = x.split([1, len(ends), len(ends)])
        size = torch.maximum(a.abs().amax((-2, -1)), first.abs().amax((-2, -1)))
        errors.append((b - a).abs().amax((-2, -1)) / torch.where(size > 0, size, 1) / ROUNDINGS)
    error = float(torch.stack(errors).nan_to_num(0).amax())
    if error > NO_STEP_ERROR:
        warnings.warn(
            f"times: so many periods pass that float64 no longer tells their phases: the last states have relative "
            f"errors of about {error:.1g} or more, whatever is conserved",
            UserWarning,
            stacklevel=4,
        )


def _with_half_steps(integrator: Any) -> AbstractIntegrator:
    if isinstance(integrator, AbstractWrapper):
        return dataclasses.replace(integrator, integrator=_with_half_steps(integrator.integrator))
    return dataclasses.replace(integrator, step=integrator.step / 2)


def energy_change(field: AbstractVectorField, trajectory: PhaseSpace, energy: Tensor) -> Tensor:
    """How much the energy of each trajectory changes, as a share of its kinetic and potential parts."""
    if not isinstance(field, AbstractSeparable):
        return energy.new_zeros(energy.shape[1])
    kinetic = field.kinetic(trajectory.p)
    size = (kinetic.abs() + (energy - kinetic).abs()).nan_to_num(0).amax(0)
    change = (energy - energy[0]).abs().nan_to_num(0).amax(0)
    return torch.where(change > 0, change / size.clamp(min=torch.finfo(size.dtype).tiny), 0).cpu()
