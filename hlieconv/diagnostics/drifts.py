"""drift(dataset, quantity): how far a conserved quantity drifts, and the size by which that is divided."""

import torch
import xarray as xr

from hlieconv.diagnostics.conserved import angular_momentum, energy, momentum, rotations, translations
from hlieconv.diagnostics.momentum_map import Charge
from systems.dataset.schema import trajectory_of, variables_of
from systems.vector_field import AbstractHamiltonian


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
        values, scale = momentum(dataset), _charge_scale(dataset, translations(dataset))
    elif quantity == "angular_momentum":
        values, scale = angular_momentum(dataset), _charge_scale(dataset, rotations(dataset))
    else:
        raise ValueError(f"quantity: expected energy, momentum or angular_momentum, got {quantity}")
    change = abs(values - values.isel(time=0, drop=True)) / scale
    attrs = {"units": "1", "long_name": f"drift of the {values.attrs.get('long_name', quantity)}"}
    return change.rename(f"{quantity}_drift").assign_attrs(attrs)


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
