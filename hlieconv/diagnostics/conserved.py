"""Energy, momentum and angular momentum along trajectories."""

import itertools

import torch
import xarray as xr
from jaxtyping import Float
from torch import Tensor

from hlieconv.diagnostics.momentum_map import Charge, along, charges, require_cartesian, unit_in, units_of
from hlieconv.groups import T
from hlieconv.groups.algebra import axis_name
from systems.dataset.agreement import warn_of_disagreement
from systems.dataset.blocks import by_trajectory
from systems.dataset.reading import system_of, trajectory_of
from systems.vector_field import AbstractHamiltonian, AbstractVectorField

#: The dimension of an energy.
ENERGY = "kg m^2 / s^2"


def energy(dataset: xr.Dataset, hamiltonian: AbstractHamiltonian | None = None) -> xr.DataArray:
    """The energy ``(trajectory, time)``: of a Hamiltonian, else as stored, else of the known system.

    Raises:
        ValueError: if there is none to be had.

    Warns:
        UserWarning: where the states do not have the energy that is stored, as where a body was left out.
    """
    if hamiltonian is None:
        warn_of_disagreement(dataset)
    return energy_values(dataset, hamiltonian)


def energy_values(dataset: xr.Dataset, hamiltonian: AbstractHamiltonian | None = None) -> xr.DataArray:
    """The same without a warning."""
    if hamiltonian is None and "energy" in dataset:
        own = {"trajectory_time": dataset["trajectory_time"]} if "trajectory_time" in dataset else {}
        return dataset["energy"].assign_coords(own)
    if hamiltonian is None and not dataset.attrs.get("system"):
        raise ValueError(
            "dataset: expected the variable energy, or the name of a known system, got neither: hamiltonian= says "
            "whose energy is meant"
        )
    field: AbstractVectorField = system_of(dataset) if hamiltonian is None else hamiltonian
    found = field.hamiltonian
    if found is None:
        raise ValueError(f"hamiltonian: expected an AbstractHamiltonian, got {type(field).__name__}: it has no energy")
    return _energy_of(dataset, found)


@by_trajectory
def _energy_of(dataset: xr.Dataset, hamiltonian: AbstractHamiltonian) -> xr.DataArray:
    _, state = trajectory_of(dataset)
    with torch.no_grad():
        return along(dataset, hamiltonian.energy(state), "energy", "energy", unit_in(dataset, ENERGY))


def momentum(dataset: xr.Dataset) -> xr.DataArray:
    """P = sum_i p_i, ``(trajectory, time, space)``."""
    return _stack(dataset, translations(dataset), "momentum", "total momentum")


def angular_momentum(dataset: xr.Dataset, about: Float[Tensor, " d"] | None = None) -> xr.DataArray:
    """L = sum_i (q_i - about) x p_i: ``(trajectory, time)`` in 2D, ``(trajectory, time, space)`` in 3D.

    Above, it is a 2-form, ``(trajectory, time, plane)``: L_ab = sum_i (q_a p_b - q_b p_a) for all axes a < b, in the
    order of `rotations`.

    Args:
        dataset: trajectories in two or more dimensions.
        about: the point that the bodies turn about; the origin by default.

    Raises:
        ValueError: in one dimension, or for generalised coordinates.
    """
    if require_cartesian(dataset).sizes["space"] < 2:
        raise ValueError("dataset: expected 2 or more dimensions of space, got 1: there is no rotation in it")
    parts = rotations(dataset, about)
    stacked = _stack(dataset, parts, "angular_momentum", "angular momentum")
    if len(parts) == 1:
        return stacked.isel(space=0)
    return stacked if dataset.sizes["space"] == 3 else stacked.rename(space="plane")


def translations(dataset: xr.Dataset) -> list[Charge]:
    """The components of the momentum, as charges."""
    return charges(T(dataset.sizes["space"]))


def rotations(dataset: xr.Dataset, about: Float[Tensor, " d"] | None = None) -> list[Charge]:
    """The components of the angular momentum about a point, as charges: none in one dimension."""
    dimension = dataset.sizes["space"]
    found = charges(f"SO{dimension}") if dimension in (2, 3) else _rotations_of_planes(dimension)
    return found if about is None else [charge.about(about) for charge in found]


def _rotations_of_planes(dimension: int) -> list[Charge]:
    """L_ab = q_a p_b - q_b p_a for a < b: the charge of the rotation of one plane."""
    shift, found = torch.zeros(dimension, dtype=torch.float64), []
    for a, b in itertools.combinations(range(dimension), 2):
        matrix = torch.zeros(dimension, dimension, dtype=torch.float64)
        matrix[b, a], matrix[a, b] = 1, -1
        found.append(Charge(f"L_{axis_name(a)}{axis_name(b)}", matrix, shift))
    return found


@by_trajectory
def _stack(dataset: xr.Dataset, parts: list[Charge], name: str, long_name: str) -> xr.DataArray:
    """Several charges as the components of one quantity."""
    _, state = trajectory_of(require_cartesian(dataset))
    values = torch.stack([charge(state) for charge in parts], -1)
    return along(dataset, values, name, long_name, units_of(dataset, parts[0]))
