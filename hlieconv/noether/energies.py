"""Why is the energy not conserved? The figures of a long run, and a sentence that names the cause."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import torch
import xarray as xr
from jaxtyping import Float
from torch import Tensor

from hlieconv.diagnostics.conserved import energy_values
from hlieconv.diagnostics.drifts import drift_values
from hlieconv.diagnostics.presence import presence
from hlieconv.noether.attributions import Attribution, attribution
from hlieconv.noether.brackets import in_dtype
from hlieconv.noether.growth import growth_law
from systems.checks import check
from systems.dataset.agreement import check_agreement
from systems.dataset.blocks import blocks_of
from systems.dataset.reading import state_of, system_of, times_of, trajectory_of
from systems.dataset.schema import shaped
from systems.dense import solver_of
from systems.flows import flow
from systems.integrators.abstract import AbstractIntegrator
from systems.integrators.stepping import AbstractFixedStep
from systems.phase_space import PhaseSpace
from systems.registry import SYSTEMS
from systems.vector_field import AbstractHamiltonian

#: Trajectories and steps by which a cause is found.
TRAJECTORIES, STEPS = 8, 500
#: Units in the last place below which nothing is lost but digits, times the root of the number of steps.
ROUNDING = 64
#: Bodies met where one interval between outputs has this part of the whole change, and so many times a usual one's.
SUDDEN, USUAL = 0.5, 30


class Energy:
    """The energy of a Hamiltonian as a charge, for `attribution`: in the motion of the same one, or of another.

    Args:
        hamiltonian: known or learned.
        name: of the charge.

    Example:
        >>> from systems import Springs
        >>> system, state = Springs.sample(2, seed=0)
        >>> bool(torch.allclose(Energy(system)(state), system.energy(state)))
        True
    """

    def __init__(self, hamiltonian: AbstractHamiltonian, name: str = "energy") -> None:
        self.hamiltonian, self.name = in_dtype(hamiltonian, torch.float64), name

    def __call__(self, state: PhaseSpace) -> Float[Tensor, "*batch"]:
        return self.hamiltonian.energy(PhaseSpace(state.q.double(), state.p.double()))

    def scale(self, state: PhaseSpace) -> Float[Tensor, "*batch"]:
        """T + |V|, with T = H(q, p) - H(q, 0)."""
        total, rest = self(state), self(PhaseSpace(state.q, torch.zeros_like(state.p)))
        return (total - rest).abs() + rest.abs()


@dataclass(frozen=True)
class EnergyConservation:
    """How well a run conserves its energy, and why not better."""

    drift_per_body: float
    """The slope of the energy for each body, in units of energy and time; root mean square over trajectories."""
    fluctuation: float
    """The standard deviation of the energy about that slope, over the mean kinetic energy; median over trajectories."""
    largest: float
    """The largest drift in time, relative; median over trajectories."""
    cause: str
    """round_off, truncation, not_symplectic, encounter, model, forces, ended, bodies, states, or unknown."""
    sentence: str
    """The cause in words, with what to do."""

    def __repr__(self) -> str:
        return (
            f"energy: {self.drift_per_body:.2e} for each body and unit of time, fluctuation {self.fluctuation:.2e} of "
            f"the kinetic energy. {self.sentence}"
        )


def energy_conservation(
    dataset: xr.Dataset,
    hamiltonian: AbstractHamiltonian | None = None,
    integrator: AbstractIntegrator | None = None,
) -> EnergyConservation:
    """The figures of a long run, and a sentence that says why its energy is not conserved better.

    The cause is found by an `attribution` of the energy: the beginning of some trajectories is computed again, in
    another precision and with half the step.

    Args:
        dataset: computed trajectories.
        hamiltonian: what moved them; by default the known system that the Dataset names.
        integrator: what took the steps; by default what the Dataset says.

    Raises:
        ValueError: where there is no energy to be had, or it is not that of the states, or no state is a number.

    Example:
        >>> from systems import HenonHeiles, simulate
        >>> from systems.integrators import Leapfrog, RK4
        >>> system, state = HenonHeiles.sample(4, seed=0)
        >>> times = torch.linspace(0, 20, 41)
        >>> for method in (Leapfrog(step=0.1), RK4(step=0.1), None):
        ...     energy_conservation(simulate(system, state, times, method)).cause
        'truncation'
        'not_symplectic'
        'round_off'
    """
    points = shaped(dataset).sizes["time"]
    check("dataset", f"{points} time", points > 1, "states at two times or more")
    if hamiltonian is None:
        check_agreement(dataset, noise=False)
        hamiltonian = _known(dataset)
    values = energy_values(dataset, None if "energy" in dataset else hamiltonian)
    whole = values.transpose("trajectory", "time").values.astype(float)
    since = times_of(dataset).double().numpy().reshape(dataset.sizes["time"], -1).T
    since = np.broadcast_to(since - since[:, :1], whole.shape)
    slopes, left = _lines(since, whole)
    bodies = dataset["mask"].sum("body").values
    kinetic = _kinetic(dataset, hamiltonian)
    relative = drift_values(dataset.assign(energy=values.variable), "energy").compute()
    if not np.isfinite(relative).any():
        raise ValueError(f"dataset: expected states, got NaN in all {len(whole)} trajectories")
    figures = {
        "drift_per_body": _root_mean_square(slopes / bodies),
        "fluctuation": _median(left / kinetic),
        "largest": float(relative.max("time").median()),
    }
    cause, sentence = _cause(dataset, hamiltonian, integrator, relative)
    return EnergyConservation(**figures, cause=cause, sentence=sentence)


def _known(dataset: xr.Dataset) -> AbstractHamiltonian | None:
    """The Hamiltonian that a Dataset names, or None; a ValueError if one system of ours cannot be made of it."""
    try:
        found = system_of(dataset)
    except ValueError:
        if dataset.attrs.get("system") in SYSTEMS:
            raise
        return None
    return found if isinstance(found, AbstractHamiltonian) else None


def _median(values: np.ndarray) -> float:
    """Of those that are known; not a number if none is."""
    known = values[np.isfinite(values)]
    return float(np.median(known)) if known.size else np.nan


def _root_mean_square(values: np.ndarray) -> float:
    """Of those that are known; not a number if none is."""
    known = values[np.isfinite(values)]
    return float(np.sqrt(np.mean(known**2))) if known.size else np.nan


def _lines(since: np.ndarray, values: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """The slope of each row, and the standard deviation about its line."""
    slopes, left = np.full(len(values), np.nan), np.full(len(values), np.nan)
    for k, (t, x) in enumerate(zip(since, values, strict=True)):
        good = np.isfinite(t) & np.isfinite(x)
        if good.sum() > 2:
            shift = x[good][0]  # the line is fitted to what changes
            line = np.polyfit(t[good], x[good] - shift, 1)
            slopes[k], left[k] = line[0], np.std(x[good] - shift - np.polyval(line, t[good]))
    return slopes, left


def _kinetic(dataset: xr.Dataset, hamiltonian: AbstractHamiltonian | None) -> np.ndarray:
    """The mean over time of T, ``(trajectory,)``; not a number where nobody knows it."""
    if hamiltonian is None:
        return np.full(dataset.sizes["trajectory"], np.nan)
    found = []
    for rows in blocks_of(dataset):
        _, state = trajectory_of(dataset.isel(trajectory=rows))
        own = hamiltonian.select(rows)
        with torch.no_grad():
            kinetic = own.energy(state) - own.energy(PhaseSpace(state.q, torch.zeros_like(state.p)))
        values = kinetic.abs().double().numpy()
        seen = np.isfinite(values)
        total, count = np.where(seen, values, 0).sum(0), seen.sum(0)
        found.append(np.where(count > 0, total / np.maximum(count, 1), np.nan))
    return np.concatenate(found)


def _cause(
    dataset: xr.Dataset,
    hamiltonian: AbstractHamiltonian | None,
    integrator: AbstractIntegrator | None,
    relative: xr.DataArray,
) -> tuple[str, str]:
    there, count = presence(dataset), dataset.sizes["trajectory"]
    seen = (dataset["q"].notnull().all("space") & dataset["mask"].astype(bool)).any("body")
    partly = int(((there.ended | there.gap) & seen.drop_vars(seen.coords)).any("time").sum())
    if partly:
        return "bodies", (
            f"In {partly} of {count} trajectories a body is missing at some times: the energy is that of all bodies, "
            "and is known where all are there (isel(time=...) takes these times, isel(body=...) leaves a body out)."
        )
    if ended := int(there.ended.any("time").sum()):
        many = f"{ended} of {count} trajectories end early"
        return "ended", f"{many}: what is not there is not conserved (see the variable status)."
    if forces := dataset.attrs.get("forces"):
        return "forces", f"Forces change the energy: {forces}. It is not conserved; energy_balance has the account."
    lost = float(relative.max("time").median())
    if "true_energy" in dataset:
        other = drift_values(dataset.assign(energy=dataset["true_energy"]), "energy").max("time").compute()
        true = float(other.median())
        if true > 10 * lost:
            return "model", (
                f"The learned Hamiltonian conserves its own energy to {lost:.1e}, and that of the true system to "
                f"{true:.1e}: it is another one. More data or another symmetry help, shorter steps do not."
            )
    eps = float(np.finfo(dataset["q"].dtype).eps)
    if integrator is None:
        try:
            integrator = solver_of(dataset)
        except ValueError:
            return "unknown", "The Dataset does not say what solved it: pass the integrator to find the cause."
    if lost > eps**0.5 and hamiltonian is not None and not _moves(hamiltonian, dataset, integrator, eps):
        return "states", (
            f"{hamiltonian.name or type(hamiltonian).__name__} has not moved these states: from one to the next their "
            "energy changes by more than it does in that motion. Was a body left out, or were numbers changed?"
        )
    if integrator is None:
        return "round_off", "The solution is a closed form: what is lost are the last digits."
    if hamiltonian is None:
        return "unknown", "The Dataset does not name a known Hamiltonian: pass the one that moved it to find the cause."
    name, step = dataset.attrs.get("integrator", type(integrator).__name__), getattr(integrator, "step", None)
    if not integrator.has_fixed_steps:
        limit = ROUNDING * eps * dataset.sizes["time"] ** 0.5
        if lost <= limit:
            return "round_off", f"{name} is exact to round-off: what is lost are the last digits."
        return "truncation", f"{name} is as accurate as its tolerance: a smaller one conserves the energy better."
    if not isinstance(integrator, AbstractFixedStep) or not isinstance(step, float):
        return "unknown", f"{name} takes steps that cannot be taken again with half their length: give it a step."
    found = _attributed(dataset, hamiltonian, integrator, step)
    if found.cause == "round_off":
        better = "float64 has nine digits more" if eps > 1e-10 else "compensated=True keeps some of them"
        return "round_off", f"The rounding of each step adds up (as {found.growth.law}): {better}."
    changes = np.abs(np.diff(relative.transpose("trajectory", "time").values, axis=1))
    change = float(np.median(changes.max(1)))
    if change > SUDDEN * lost and change > USUAL * np.median(changes):
        return "encounter", (
            f"The energy changes all at once, by {change:.1e} between two outputs: bodies meet, and steps "
            f"of {step:g} are too long there. adaptive_gauss takes as short ones as it needs."
        )
    gain = 2**integrator.order
    if integrator.symplectic:
        return "truncation", (
            f"Steps of {step:g} are long for this motion: {name} is symplectic, so that its error stays bounded, and "
            f"it is {gain} times smaller with half the step."
        )
    return "not_symplectic", (
        f"{name} is not symplectic: its error adds up (as {_law(dataset, relative)}); half the step makes it about "
        f"{gain} times smaller, and a symplectic method keeps it bounded."
    )


def _moves(
    hamiltonian: AbstractHamiltonian, dataset: xr.Dataset, integrator: AbstractIntegrator | None, eps: float
) -> bool:
    """Whether the largest change of the energy between two states of a trajectory is that of the motion itself."""
    some = dataset.isel(trajectory=slice(0, TRAJECTORIES))
    count = some.sizes["trajectory"]
    field, own = hamiltonian.select(slice(0, count)), torch.arange(count)
    times, states = trajectory_of(some)
    times = times.double().reshape(len(times), -1).expand(-1, count)
    energy = Energy(field)
    values, scale = energy(states), energy.scale(states)
    row = values.diff(dim=0).abs().nan_to_num(0).argmax(0)
    since, duration = times[row, own], times.diff(dim=0)[row, own]
    start = PhaseSpace(*(x[row, own] for x in states))
    with torch.no_grad():
        method = None if integrator is None else integrator.select(own)
        moved = flow(field, start, since, duration.to(start.q), method)
    change, real = (x - values[row, own] for x in (energy(moved), values[row + 1, own]))
    off = (real - change).abs() > 10 * change.abs() + eps**0.5 * scale[row, own]
    return not bool(off.any())


def _attributed(
    dataset: xr.Dataset, hamiltonian: AbstractHamiltonian, integrator: AbstractFixedStep, step: float
) -> Attribution:
    """Of the energy, from the first steps of a few trajectories."""
    rows = slice(0, TRAJECTORIES)
    some = dataset.isel(trajectory=rows)
    times = times_of(some).double()
    times = times - times[0]
    times = times if times.ndim == 1 else times[:, 0]
    times = times[torch.isfinite(times) & (times.abs() <= STEPS * step)]
    if len(times) < 5:
        sign = -1 if float(times_of(some).reshape(-1)[-1]) < float(times_of(some).reshape(-1)[0]) else 1
        times = sign * step * torch.arange(0, STEPS // 4, dtype=torch.float64)
    field = hamiltonian.select(rows)
    return attribution(field, [Energy(field)], state_of(some), times, integrator)["energy"]


def _law(dataset: xr.Dataset, relative: xr.DataArray) -> str:
    times = times_of(dataset).double()
    times = times if times.ndim == 1 else times[:, 0]
    values = torch.from_numpy(relative.transpose("time", "trajectory").values.astype(float))
    return growth_law(times - times[0], values).law if len(times) > 4 else "t"
