"""Energy, momentum and angular momentum along trajectories."""

import torch
import xarray as xr
from jaxtyping import Float
from torch import Tensor

from hlieconv.diagnostics.momentum_map import Charge, along, charges, require_cartesian, units_of
from hlieconv.groups import T
from systems.dataset.schema import system_of, trajectory_of
from systems.vector_field import AbstractHamiltonian, AbstractVectorField


def energy(dataset: xr.Dataset, hamiltonian: AbstractHamiltonian | None = None) -> xr.DataArray:
    """The energy ``(trajectory, time)``: of a Hamiltonian, else as stored, else of the known system.

    Raises:
        ValueError: if there is none to be had.
    """
    if hamiltonian is None and "energy" in dataset:
        return dataset["energy"]
    field: AbstractVectorField = system_of(dataset) if hamiltonian is None else hamiltonian
    if not isinstance(field, AbstractHamiltonian):
        raise ValueError(f"hamiltonian: expected an AbstractHamiltonian, got {type(field).__name__}: it has no energy")
    _, state = trajectory_of(dataset)
    with torch.no_grad():
        return along(dataset, field.energy(state), "energy", "energy", "1")


def momentum(dataset: xr.Dataset) -> xr.DataArray:
    """P = sum_i p_i, ``(trajectory, time, space)``."""
    return _stack(dataset, translations(dataset), "momentum", "total momentum")


def angular_momentum(dataset: xr.Dataset, about: Float[Tensor, " d"] | None = None) -> xr.DataArray:
    """L = sum_i (q_i - about) x p_i: ``(trajectory, time)`` in 2D, ``(trajectory, time, space)`` in 3D.

    Args:
        dataset: trajectories in two or three dimensions.
        about: the point that the bodies turn about; the origin by default.

    Raises:
        ValueError: in other dimensions, or for generalised coordinates.
    """
    if require_cartesian(dataset).sizes["space"] not in (2, 3):
        raise ValueError(f"dataset: expected 2 or 3 dimensions of space, got {dataset.sizes['space']}")
    parts = rotations(dataset, about)
    stacked = _stack(dataset, parts, "angular_momentum", "angular momentum")
    return stacked.isel(space=0) if len(parts) == 1 else stacked


def translations(dataset: xr.Dataset) -> list[Charge]:
    """The components of the momentum, as charges."""
    return charges(T(dataset.sizes["space"]))


def rotations(dataset: xr.Dataset, about: Float[Tensor, " d"] | None = None) -> list[Charge]:
    """The components of the angular momentum about a point, as charges."""
    found = charges(f"SO{dataset.sizes['space']}")
    return found if about is None else [charge.about(about) for charge in found]


def _stack(dataset: xr.Dataset, parts: list[Charge], name: str, long_name: str) -> xr.DataArray:
    """Several charges as the components of one quantity."""
    _, state = trajectory_of(require_cartesian(dataset))
    values = torch.stack([charge(state) for charge in parts], -1)
    return along(dataset, values, name, long_name, units_of(dataset, parts[0]))
