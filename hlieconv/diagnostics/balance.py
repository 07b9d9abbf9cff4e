"""Where the energy of an open system comes from and goes to."""

from typing import Any

import torch
import xarray as xr
from torch import Tensor

from hlieconv.diagnostics.conserved import ENERGY
from hlieconv.diagnostics.momentum_map import along, unit_in
from systems.dataset.reading import system_of, trajectory_of
from systems.phase_space import PhaseSpace
from systems.vector_field import AbstractVectorField

#: The dimension of a power.
POWER = "kg m^2 / s^3"


def energy_balance(dataset: xr.Dataset, system: AbstractVectorField | None = None) -> xr.Dataset:
    """dE/dt = the power of the forces, at every state and added up over time.

    Variables, ``(trajectory, time)``:

    - ``energy``: of the Hamiltonian part of the system;
    - ``power_in``, ``power_dissipated``: what the forces add in unit time where their power is positive, and take
      where it is negative; ``power`` ``(force, trajectory, time)`` is that of each of them;
    - ``rate``: dE/dt along the field, by the chain rule; ``rate_gap = rate - power_in + power_dissipated``, which is
      round-off;
    - ``work`` ``(force, trajectory, time)``: the integral of each power from the first time on;
    - ``gap = energy - energy(first) - total work``: of the order of the trapezium rule with its end correction
      (Euler and Maclaurin), the fourth power of the spacing, beside the error of the trajectory itself.

    From a state on at which a body was not seen, the work and the gap are not numbers.

    Args:
        dataset: trajectories.
        system: that moved them; by default the one that the Dataset names. A `Drive` by a function has to be given.

    Raises:
        ValueError: if the system is not a sum with forces, or cannot be built again.

    Example:
        >>> import torch, hlieconv.diagnostics
        >>> from systems import HarmonicTrap, LinearDamping, PhaseSpace, simulate
        >>> damped = HarmonicTrap(1.0, mass=[1.0]) + LinearDamping(0.1)
        >>> data = simulate(damped, PhaseSpace.of([[[1.0]]], [[[0.0]]]), torch.linspace(0, 10, 201))
        >>> account = energy_balance(data)
        >>> bool(abs(account.rate_gap).max() < 1e-15), bool(abs(account.gap).max() < 1e-8)
        (True, True)
    """
    field: Any = system_of(dataset) if system is None else system
    hamiltonian = field.hamiltonian
    if hamiltonian is None or not field.forces:
        raise ValueError(f"system: expected a Hamiltonian system + forces, got {field.name or type(field).__name__}")
    times, state = trajectory_of(dataset)
    elapsed = (times if times.ndim == 2 else times[:, None]).to(state.q)
    own = elapsed[..., None, None]

    def powers(t: Tensor, state: PhaseSpace) -> Tensor:
        return torch.stack(field.powers(t, state))

    with torch.no_grad():
        rates = field(own, state)
        along_field: Any = torch.func.jvp(hamiltonian.energy, (state,), (rates,))
        energy, rate = along_field
        later = own.expand(*state.q.shape[:2], 1, 1).clone()
        in_time: Any = torch.func.jvp(powers, (later, state), (torch.ones_like(later), rates))
        power, slope = in_time
    step = elapsed.diff(dim=0)
    pieces = step / 2 * (power[:, 1:] + power[:, :-1]) + step.square() / 12 * (slope[:, :-1] - slope[:, 1:])
    work = torch.cat([torch.zeros_like(power[:, :1]), pieces.cumsum(1)], 1)
    total, added = power.sum(0), power.clamp(min=0).sum(0)
    found = {
        "energy": (energy, "energy", ENERGY),
        "rate": (rate, "dE/dt", POWER),
        "power_in": (added, "power that forces add", POWER),
        "power_dissipated": (added - total, "power that forces take", POWER),
        "rate_gap": (rate - total, "dE/dt less all power", POWER),
        "gap": (energy - energy[0] - work.sum(0), "energy gained less all work", ENERGY),
    }
    account = {
        name: along(dataset, value, name, text, unit_in(dataset, dimension))
        for name, (value, text, dimension) in found.items()
    }
    names = xr.DataArray(list(field.forces), dims="force", name="force")
    for name, (value, dimension) in {"power": (power, POWER), "work": (work, ENERGY)}.items():
        parts = [along(dataset, x, name, f"{name} of each force", unit_in(dataset, dimension)) for x in value]
        account[name] = xr.concat(parts, names, combine_attrs="override")
    return xr.Dataset(account)
