"""certificate(hamiltonian, group, states): is this Hamiltonian symmetric, exactly, nearly or not at all?"""

import math
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Any, Literal

import torch
import xarray as xr
from jaxtyping import Float
from torch import Tensor

from hlieconv.diagnostics import Charge
from hlieconv.groups.abstract import AbstractGroup
from hlieconv.noether.brackets import accumulated, asked, charges_for, check_states, on_states, poisson_bracket, table
from systems.integrators import AbstractIntegrator
from systems.integrators.default import symplectic_for
from systems.integrators.named import integrator_of
from systems.phase_space import PhaseSpace
from systems.tracing import pushed_forward
from systems.vector_field import AbstractHamiltonian

Verdict = Literal["exact", "approximate", "broken"]

#: An exact symmetry leaves a bracket of round-off: so many eps of its terms. Sums of up to 1000 terms stay below.
EXACT = 1e3

#: What is larger than this is no symmetry.
BROKEN = 1e-3


@dataclass(frozen=True)
class Row:
    """What is known of one generator."""

    name: str
    verdict: Verdict
    size: float
    """The largest |{H, J}| over the states, relative to the sum of its |terms|."""
    typical: float
    """The median of the same."""
    predicted: float
    """Rate of drift that the brackets along the rollout add up to, 1/s, relative to the charge's scale."""
    seen: float
    """Rate of drift of the charge itself in the rollout, from its first to its last time."""


@dataclass(frozen=True, repr=False)
class Certificate:
    """One row a generator; its text is a table.

    ``certificate["L_z"]`` is a row by name.
    """

    symmetry: str
    rows: tuple[Row, ...]
    states: int
    dtype: torch.dtype

    def __getitem__(self, name: str) -> Row:
        found = {row.name: row for row in self.rows}
        if name not in found:
            raise KeyError(f"name: expected one of {', '.join(found)}, got {name}")
        return found[name]

    @property
    def exact(self) -> bool:
        """Whether every generator is a symmetry to round-off."""
        return all(row.verdict == "exact" for row in self.rows)

    def __repr__(self) -> str:
        kind = str(self.dtype).removeprefix("torch.")
        header = ["charge", "verdict", "{H, J} largest", "typical", "predicted drift/s", "seen drift/s"]
        rows = [
            [row.name, row.verdict, *(f"{x:.1e}" for x in (row.size, row.typical, row.predicted, row.seen))]
            for row in self.rows
        ]
        return f"{self.symmetry} on {self.states} states, {kind}\n{table(header, rows)}"


def certificate(
    hamiltonian: Any,
    group: AbstractGroup | str | Iterable[Charge] | PhaseSpace | xr.Dataset | None = None,
    states: PhaseSpace | xr.Dataset | None = None,
    *,
    times: Float[Tensor, " time"] | None = None,
    integrator: AbstractIntegrator | str | None = None,
) -> Certificate:
    """Whether a Hamiltonian, known or learned, has the symmetries of a group: before any training, or after.

    For each generator X the Poisson bracket {H, J_X}, which is the rate at which the flow changes the charge J_X, up
    to its sign, and the rate at which the group changes H (Noether's theorem reads it both ways). Its size is relative
    to the sum of |terms|, the largest over the states:

        exact         below 1000 eps: what rounding leaves of a sum that is zero
        approximate   in between: the size says how nearly
        broken        above 1e-3

    Beside it stands the drift of the charge in a rollout from the states: the rate that brackets along it predict, and
    the one that is seen, both relative to `Charge.scale` and as root mean square over the states.

    Args:
        hamiltonian: known, or learned and conditioned; with a Dataset any model.
        group: a group, its name, or any charges; left out, as in ``certificate(model, dataset)``, it is the group that
            the model was made for, or that of all motions of space.
        states: ``(*batch, n, d)``; as many and as far apart as the rollouts to be judged; or a Dataset, for its
            first states.
        times: of the rollout, in seconds from the states; by default 33 over the time in which typical states change
            by as much as they are large.
        integrator: of the rollout, or its name; by default a symplectic one, which preserves the charges that H
            conserves, at any step.

    Raises:
        ValueError: for what is no Hamiltonian, or if its coordinates are generalised.

    Example:
        >>> from systems import HenonHeiles, Springs
        >>> system, states = Springs.sample(20, seed=0, rest_length=0.5)
        >>> [row.verdict for row in certificate(system, "RxSO2", states).rows]
        ['exact', 'broken']
        >>> system, states = HenonHeiles.sample(20, seed=0)
        >>> certificate(system, "SO2", states)["L_z"].verdict
        'broken'
    """
    group, states = asked(hamiltonian, group, states)
    hamiltonian, states = on_states(hamiltonian, states)
    found = charges_for(hamiltonian, group)
    check_states(hamiltonian, states)
    times = _dynamical_times(hamiltonian, states) if times is None else torch.as_tensor(times).to(states.q)
    steps = integrator_of(integrator or symplectic_for(hamiltonian, float(times.diff().abs().max())))
    with torch.no_grad():
        trajectory = steps.integrate(hamiltonian, states, times)
        rows = tuple(_row(hamiltonian, charge, states, times, trajectory) for charge in found)
    name = group if isinstance(group, str) else getattr(group, "name", "charges")
    return Certificate(str(name), rows, states.q[..., 0, 0].numel(), states.q.dtype)


def _row(
    hamiltonian: AbstractHamiltonian,
    charge: Charge,
    states: PhaseSpace,
    times: Tensor,
    trajectory: PhaseSpace,
) -> Row:
    bracket = poisson_bracket(hamiltonian.energy, charge, states)
    sizes = torch.where(bracket.terms > 0, bracket.value.abs() / torch.where(bracket.terms > 0, bracket.terms, 1), 0)
    scale, span = charge.scale(states), (times[-1] - times[0]).abs()
    scale = torch.where(scale > 0, scale, 1)
    predicted = accumulated(hamiltonian, charge, times, trajectory)[-1]
    change = charge(PhaseSpace(trajectory.q[-1], trajectory.p[-1])) - charge(states)
    rates = [float((x / scale / span).square().mean().sqrt()) for x in (predicted, change)]
    size = float(sizes.max())
    return Row(charge.name, verdict_of(size, sizes.dtype), size, float(sizes.median()), *rates)


def verdict_of(size: float, dtype: torch.dtype) -> Verdict:
    """exact, approximate or broken, for sizes computed in a precision."""
    if size < EXACT * torch.finfo(dtype).eps:
        return "exact"
    return "broken" if size > BROKEN else "approximate"


def _dynamical_times(hamiltonian: AbstractHamiltonian, states: PhaseSpace) -> Tensor:
    """33 times over the time in which typical states change by as much as they are large.

    By their rates; or, as of bodies that are let go from rest or start at the origin, by the rates of these.
    """

    def flow(q: Tensor, p: Tensor) -> tuple[Tensor, Tensor]:
        rates = hamiltonian(q.new_zeros(()), PhaseSpace(q, p))
        return rates.q, rates.p

    def shortest(rates: Sequence[Tensor], order: int) -> float:
        ages = [float(x.norm() / y.norm()) ** (1 / order) for x, y in zip(states, rates, strict=True)]
        return min((age for age in ages if 0 < age < math.inf), default=0.0)

    with torch.no_grad():
        rates = flow(*states)
        span = shortest(rates, 1) or shortest(pushed_forward(flow, states, rates)[1], 2) or 1.0
    return torch.linspace(0, 1, 33, dtype=states.q.dtype, device=states.q.device) * span
