"""attribution(...): whose fault is the drift of a charge, the model's, the integrator's or the rounding's?"""

import dataclasses
from collections.abc import Iterable
from dataclasses import dataclass
from itertools import pairwise
from typing import Any

import torch
import xarray as xr
from jaxtyping import Float
from torch import Tensor

from hlieconv.diagnostics import Charge
from hlieconv.groups.abstract import AbstractGroup
from hlieconv.noether.brackets import asked, charges_for, check_states, in_dtype, integral, on_states, poisson_bracket
from hlieconv.noether.growth import Growth, growth_law
from systems.integrators.stepping import AbstractFixedStep
from systems.numbers import to_tensor
from systems.phase_space import PhaseSpace
from systems.vector_field import AbstractHamiltonian

PARTS = ("asymmetry", "truncation", "round_off")

#: The round-off of float64 in units of that of float32.
RATIO = torch.finfo(torch.float64).eps / torch.finfo(torch.float32).eps

#: What an adiabatic invariant changes is less than this part of its scale, and so many times less than its traffic.
SMALL, RETURNED = 0.1, 10

#: A difference of two runs is truncation if it is so many times what rounding does to one of them.
RESOLVED = 10


@dataclass(frozen=True)
class Attribution:
    """One charge's drift and its parts, as root mean square over trajectories, relative to the charge's scale."""

    name: str
    times: Float[Tensor, " time"]
    """Seconds from the start."""
    drift: Float[Tensor, " time"]
    asymmetry: Float[Tensor, " time"]
    """What the Hamiltonian itself changes: the integral of {J, H} along the rollout."""
    traffic: Float[Tensor, " time"]
    """The integral of |{J, H}|: what the asymmetry would be if it never went back."""
    trend: float
    """What a line through the asymmetry gains over all the time, over the deviations from that line."""
    truncation: Float[Tensor, " time"]
    """What the steps are too long for."""
    round_off: Float[Tensor, " time"]
    growth: Growth
    """The law by which the drift grows."""

    @property
    def cause(self) -> str:
        """The largest part at the end, asymmetry, truncation or round_off; adiabatic for an asymmetry that goes back.

        An adiabatic invariant, such as the action of an oscillator whose spring is changed slowly, is changed by the
        Hamiltonian there and back again: by little, without a trend, and by less than a tenth of the traffic.
        """
        largest = max(reversed(PARTS), key=lambda part: float(getattr(self, part)[-1]))
        most = float(self.asymmetry.max())
        returns = most < SMALL and RETURNED * most < float(self.traffic[-1]) and self.trend < 1
        return "adiabatic" if largest == "asymmetry" and returns else largest

    def __repr__(self) -> str:
        parts = ", ".join(f"{part} {getattr(self, part)[-1]:.1e}" for part in PARTS)
        law = f"{self.growth.law} (exponent {self.growth.exponent:.2f})"
        return f"{self.name}: drift {self.drift[-1]:.1e} after {self.times[-1]:g} s, growing as {law}: {parts}"


def attribution(
    hamiltonian: Any,
    group: AbstractGroup | str | Iterable[Any] | None,
    states: PhaseSpace | xr.Dataset,
    times: Any,
    integrator: AbstractFixedStep,
) -> "dict[str, Attribution]":
    """Split the drift of charges in a rollout into the model's asymmetry, the integrator's truncation and round-off.

    Whatever the Hamiltonian does to a charge is the integral A of {J, H} along the rollout; the rest R = drift - A is
    the integrator's. Three further rollouts separate its parts, in float32 and float64 and with half the step:

    - Rounding. The difference of R in float32 and in float64 is what rounding does in float32. In float64 it is
      smaller by the ratio of their eps, 2^-29: the same steps with as random an error.
    - Truncation. Half the step leaves 2^-order of it, so that R(h) - R(h/2) is 1 - 2^-order of the truncation. Below
      ten times the rounding it cannot be distinguished from it: then it counts as zero, and all of R as round-off.

    Both differences are of one charge in two rollouts that stay close: where trajectories are chaotic, choose times
    for which they do. Memory holds the states after all steps.

    A charge that the Hamiltonian changes there and back again is told from one that it breaks, over times of many
    periods: its cause is adiabatic (Arnold 1989, section 52).

    Args:
        hamiltonian: known, or learned and conditioned; with a Dataset any model.
        group: a group, its name, or any charges: a `Charge`, an `Energy`, or what has a ``name``, is a function of a
            state and has a ``scale`` as these do; None for the model's own group, or that of all motions of space.
        states: ``(*batch, n, d)``, the start, or a Dataset, for its first ones; their precision is that of the rollout.
        times: ``(time,)`` of the output, in seconds from the start.
        integrator: of fixed steps.

    Returns:
        An `Attribution` for each charge by its name.

    Raises:
        ValueError: for what is no Hamiltonian or has generalised coordinates, states that are not finite or all at
            rest, and for an integrator of other steps.

    Example: RK4 does not preserve the angular momentum, which the springs conserve.
        >>> from systems import Springs
        >>> from systems.integrators import RK4
        >>> system, states = Springs.sample(10, seed=0)
        >>> found = attribution(system, "SE2", states, torch.linspace(0, 5, 26), RK4(step=0.01))
        >>> found["P_x"].cause, found["L_z"].cause
        ('round_off', 'truncation')
    """
    group, states = asked(hamiltonian, group, states)
    hamiltonian, states = on_states(hamiltonian, states)
    check_states(hamiltonian, states)
    charges = isinstance(group, AbstractGroup | str)
    found: list[Any] = charges_for(hamiltonian, group) if charges else [*group]
    if any(isinstance(charge, Charge) for charge in found):
        charges_for(hamiltonian, found)
    step = getattr(integrator, "step", None)
    if not isinstance(integrator, AbstractFixedStep) or not isinstance(step, float):
        raise ValueError(f"integrator: expected one of fixed steps with a step of one number, got {integrator}")
    times = to_tensor("times", times).double().to(states.q.device)
    fine, outputs = _every_step(times, step)
    runs = {
        (dtype, shorter): _Run(hamiltonian, states, fine, dataclasses.replace(integrator, step=step / shorter), dtype)
        for dtype, shorter in ((torch.float32, 1), (torch.float64, 1), (torch.float64, 2))
    }
    result = {}
    for charge in found:
        scale = charge.scale(states).double()
        scale = torch.where(scale > 0, scale, 1)
        changes = {key: [x[outputs] / scale for x in run.changes(charge)] for key, run in runs.items()}
        drift, asymmetry, traffic = changes[states.q.dtype, 1]
        float32, whole, half = (changed - by_itself for changed, by_itself, _ in changes.values())
        in_float64 = _size(float32 - whole) * RATIO
        halving = _size(whole - half)
        resolved = halving > RESOLVED * in_float64
        rounding = in_float64 if states.q.dtype == torch.float64 else in_float64 / RATIO
        truncation = torch.where(resolved, halving / (1 - 2.0**-integrator.order), 0)
        result[charge.name] = Attribution(
            charge.name,
            times - times[0],
            _size(drift),
            _size(asymmetry),
            _size(traffic),
            _trend(times - times[0], asymmetry),
            truncation,
            torch.where(resolved, rounding, _size(drift - asymmetry)),
            growth_law(times - times[0], drift),
        )
    return result


class _Run:
    """A rollout in one precision with one step, seen in float64."""

    def __init__(
        self,
        hamiltonian: AbstractHamiltonian,
        states: PhaseSpace,
        times: Tensor,
        integrator: AbstractFixedStep,
        dtype: torch.dtype,
    ) -> None:
        with torch.no_grad():
            start = PhaseSpace(states.q.to(dtype), states.p.to(dtype))
            run = integrator.integrate(in_dtype(hamiltonian, dtype), start, times.to(dtype))
        self.hamiltonian, self.times = in_dtype(hamiltonian, torch.float64), times
        self.trajectory = PhaseSpace(run.q.double(), run.p.double())

    @torch.no_grad()
    def changes(self, charge: Any) -> tuple[Tensor, Tensor, Tensor]:
        """J(t) - J(0), what of it the Hamiltonian did, and the integral of |{J, H}|, each ``(time, *batch)``."""
        values = charge(self.trajectory)
        rate = poisson_bracket(charge, self.hamiltonian.energy, self.trajectory).value.detach()
        traffic = torch.cumulative_trapezoid(rate.abs(), (self.times - self.times[0]).abs(), dim=0)
        traffic = torch.cat([torch.zeros_like(rate[:1]), traffic])
        return values - values[0], integral(rate, self.times), traffic


def _every_step(times: Tensor, step: float) -> tuple[Tensor, Tensor]:
    """All times at which a step ends, and which of them are output times."""
    pieces, outputs = [times[:1]], [0]
    for start, end in pairwise(times):
        count = max(1, int(((end - start).abs() / step - 1e-9).ceil()))
        pieces.append(
            start + (end - start) * torch.arange(1, count + 1, dtype=times.dtype, device=times.device) / count
        )
        outputs.append(outputs[-1] + count)
    return torch.cat(pieces), torch.tensor(outputs, device=times.device)


def _trend(times: Float[Tensor, " time"], x: Float[Tensor, "time *batch"]) -> float:
    """The gain of a line through x over all the time, over the deviations from it."""
    centred, x = (times - times.mean())[:, None], (x - x.mean(0)).reshape(len(x), -1)
    slope = (centred * x).sum(0) / centred.square().sum()
    gain, left = slope * (times[-1] - times[0]), x - slope * centred
    return float(gain.square().mean().sqrt() / left.square().mean().sqrt().clamp(min=torch.finfo(x.dtype).tiny))


def _size(x: Float[Tensor, "time *batch"]) -> Float[Tensor, " time"]:
    """Root mean square over trajectories."""
    return x.reshape(len(x), -1).square().mean(1).sqrt()
