"""Energy, momentum and angular momentum along trajectories, and how far they drift."""

import torch
import xarray as xr
from jaxtyping import Float
from torch import Tensor

from hlieconv.diagnostics.momentum_map import Charge, along, charges, require_cartesian, units_of
from hlieconv.groups import T
from systems.dataset.schema import system_of, trajectory_of, variables_of
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
    return _stack(dataset, charges(T(dataset.sizes["space"])), "momentum", "total momentum")


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
    rotations = _rotations(dataset, about)
    stacked = _stack(dataset, rotations, "angular_momentum", "angular momentum")
    return stacked.isel(space=0) if len(rotations) == 1 else stacked


def drift(
    dataset: xr.Dataset, quantity: str = "energy", *, hamiltonian: AbstractHamiltonian | None = None
) -> xr.DataArray:
    """|J(t) - J(0)| / S, for each component of a conserved quantity.

    S is sum |p_i(0)| for the momentum, sum |q_i(0)| |p_i(0)| for the angular momentum, and T(0) + |V(0)| for the
    energy (|E(0)| where the kinetic energy is not sum p^2 / 2m).

    Args:
        dataset: trajectories.
        quantity: "energy", "momentum" or "angular_momentum".
        hamiltonian: whose energy, in place of the stored one.

    Raises:
        ValueError: for an unknown quantity, or one that the Dataset does not have.

    Example:
        >>> import torch, hlieconv.diagnostics
        >>> from systems import Springs, simulate
        >>> dataset = simulate(*Springs.sample(3, seed=0), torch.linspace(0, 5, 6))
        >>> bool(drift(dataset, "momentum").max() < 1e-12)
        True
    """
    if quantity == "energy":
        values, scale = energy(dataset, hamiltonian), _energy_scale(dataset, hamiltonian)
    elif quantity == "momentum":
        values, scale = momentum(dataset), _charge_scale(dataset, charges(T(dataset.sizes["space"])))
    elif quantity == "angular_momentum":
        values, scale = angular_momentum(dataset), _charge_scale(dataset, _rotations(dataset))
    else:
        raise ValueError(f"quantity: expected energy, momentum or angular_momentum, got {quantity}")
    change = abs(values - values.isel(time=0, drop=True)) / scale
    attrs = {"units": "1", "long_name": f"drift of the {values.attrs.get('long_name', quantity)}"}
    return change.rename(f"{quantity}_drift").assign_attrs(attrs)


def _rotations(dataset: xr.Dataset, about: Tensor | None = None) -> list[Charge]:
    rotations = charges(f"SO{dataset.sizes['space']}")
    return rotations if about is None else [charge.about(about) for charge in rotations]


def _stack(dataset: xr.Dataset, parts: list[Charge], name: str, long_name: str) -> xr.DataArray:
    """Several charges as the components of one quantity."""
    _, state = trajectory_of(require_cartesian(dataset))
    values = torch.stack([charge(state) for charge in parts], -1)
    return along(dataset, values, name, long_name, units_of(dataset, parts[0]))


def _charge_scale(dataset: xr.Dataset, parts: list[Charge]) -> xr.DataArray:
    """sum |p_i(0)| |b|, or sum |p_i(0)| |q_i(0)|, for all components; from rest, the largest such sum in time."""
    _, state = trajectory_of(dataset)
    length = state.q.norm(dim=-1) if parts[0].matrix.any() else torch.ones_like(state.q[..., 0])
    size = (state.p.norm(dim=-1) * length).sum(-1)
    scale = torch.where(size[0] == 0, size.nan_to_num(0.0).amax(0), size[0])
    return xr.DataArray(scale.cpu().numpy(), dims="trajectory")


def _energy_scale(dataset: xr.Dataset, hamiltonian: AbstractHamiltonian | None) -> xr.DataArray:
    first = dataset.isel(time=[0])
    total = energy(first, hamiltonian).isel(time=0, drop=True)
    if "mass" not in dataset or dataset.attrs.get("coordinate_system", "cartesian") != "cartesian":
        return abs(total)
    _, state = trajectory_of(first)
    mass = variables_of(dataset, ["mass"], dtype=state.p.dtype)["mass"]
    mass = torch.where(mass > 0, mass, 1)  # 0 where masked, as the momentum is
    kinetic = xr.DataArray((0.5 * state.p.square().sum(-1) / mass).sum(-1)[0].cpu().numpy(), dims="trajectory")
    return kinetic + abs(total - kinetic)
