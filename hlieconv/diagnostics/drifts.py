"""drift(dataset, quantity): how far a conserved quantity drifts, and the size by which that is divided."""

import warnings

import numpy as np
import torch
import xarray as xr
from jaxtyping import Float
from torch import Tensor

from hlieconv.diagnostics.conserved import angular_momentum, energy_values, momentum, rotations, translations
from hlieconv.diagnostics.momentum_map import Charge
from hlieconv.diagnostics.presence import presence
from systems.dataset.agreement import warn_of_disagreement
from systems.dataset.blocks import by_trajectory
from systems.dataset.reading import system_of, trajectory_of, variables_of
from systems.phase_space import PhaseSpace
from systems.registry import SYSTEMS
from systems.vector_field import AbstractHamiltonian


def drift(
    dataset: xr.Dataset, quantity: str = "energy", *, hamiltonian: AbstractHamiltonian | None = None
) -> xr.DataArray:
    """|J(t) - J(0)| / S, for each component of a conserved quantity, ``(trajectory, time[, space])``.

    S is the mean over time of the size that the quantity could have: sum |p_i| for the momentum, sum |q_i| |p_i| for
    the angular momentum, and T + |V| for the energy, with T = H(q, p) - H(q, 0). So the drift has a meaning from rest,
    from zero energy or momentum, forward and backward in time, and in any units.

    Where a computation has ended the drift is infinite: what is not there is not conserved. In a gap of measured data
    it is not a number, and where all bodies are not yet seen at the first time, J(0) is J at the first time at which
    they are.

    Args:
        dataset: trajectories.
        quantity: "energy", "momentum" or "angular_momentum".
        hamiltonian: whose energy, in place of the stored one.

    Warns:
        UserWarning: where forces that no Hamiltonian has, such as damping, change the quantity; and where the states do
            not have the energy that is stored.

    Raises:
        ValueError: for an unknown quantity, or one that the Dataset does not have.

    Example:
        >>> import torch, hlieconv.diagnostics
        >>> from systems import Springs, simulate
        >>> dataset = simulate(*Springs.sample(3, seed=0), torch.linspace(0, 5, 6))
        >>> bool(drift(dataset, "momentum").max() < 1e-12)
        True
    """
    if dataset.attrs.get("forces") and quantity not in dataset.attrs["conserved"]:
        warnings.warn(
            f"quantity: {dataset.attrs['forces']} change the {quantity}, so that its drift is no error "
            "(energy_balance has the account of the energy)",
            UserWarning,
            stacklevel=2,
        )
    if quantity == "energy" and hamiltonian is None:
        warn_of_disagreement(dataset)
    return drift_values(dataset, quantity, hamiltonian)


@by_trajectory
def drift_values(dataset: xr.Dataset, quantity: str, hamiltonian: AbstractHamiltonian | None = None) -> xr.DataArray:
    """The same without a warning."""
    if quantity == "energy":
        values, scale = energy_values(dataset, hamiltonian), _energy_scale(dataset, hamiltonian)
    elif quantity == "momentum":
        values, scale = momentum(dataset), _charge_scale(dataset, translations(dataset))
    elif quantity == "angular_momentum":
        values, scale = angular_momentum(dataset), _charge_scale(dataset, rotations(dataset))
    else:
        raise ValueError(f"quantity: expected energy, momentum or angular_momentum, got {quantity}")
    share = (abs(change_of(values)) / scale.where(scale > 0, 1)).where(~presence(dataset).ended, np.inf)
    attrs = {"units": "1", "long_name": f"drift of the {values.attrs.get('long_name', quantity)}"}
    return share.transpose(*values.dims).rename(f"{quantity}_drift").assign_attrs(attrs)


def change_of(values: xr.DataArray) -> xr.DataArray:
    """A quantity ``(trajectory, time, ...)`` less what it was at the first time at which all of it is known.

    Example:
        >>> values = xr.DataArray([[np.nan, 2.0, 5.0], [1.0, 2.0, np.nan]], dims=("trajectory", "time"))
        >>> change_of(values).values
        array([[nan,  0.,  3.],
               [ 0.,  1., nan]])
    """
    known: xr.DataArray = xr.apply_ufunc(np.isfinite, values, dask="allowed")
    whole = known.drop_vars(known.coords).all([dim for dim in values.dims if dim not in ("trajectory", "time")])
    first = whole.argmax("time").compute()
    return values - values.isel(time=first).reset_coords(drop=True)


def _charge_scale(dataset: xr.Dataset, parts: list[Charge]) -> xr.DataArray:
    """The mean over time of sum |p_i|, or of sum |p_i| |q_i|, for all components."""
    _, state = trajectory_of(dataset)
    length = state.q.norm(dim=-1) if parts[0].matrix.any() else torch.ones_like(state.q[..., 0])
    return _mean((state.p.norm(dim=-1) * length).sum(-1))


def _energy_scale(dataset: xr.Dataset, hamiltonian: AbstractHamiltonian | None) -> xr.DataArray:
    """The mean over time of T + |V|; of |E| where nobody knows T."""
    _, state = trajectory_of(dataset)
    total = torch.from_numpy(energy_values(dataset, hamiltonian).transpose("time", "trajectory").values.copy())
    kinetic = _kinetic(dataset, state, hamiltonian)
    return _mean(total.abs() if kinetic is None else kinetic.abs() + (total - kinetic).abs())


def _kinetic(dataset: xr.Dataset, state: PhaseSpace, hamiltonian: AbstractHamiltonian | None) -> Tensor | None:
    """T ``(time, trajectory)``: of the Hamiltonian, of bodies of known mass, or of the known system."""
    if hamiltonian is None and "mass" in dataset and dataset.attrs.get("coordinate_system") != "generalised":
        mass = variables_of(dataset, ["mass"], dtype=state.p.dtype)["mass"]
        mass = torch.where(mass > 0, mass, 1)  # 0 where masked, as the momentum is
        return (0.5 * state.p.square().sum(-1) / mass).sum(-1)
    if hamiltonian is None and dataset.attrs.get("system") not in SYSTEMS:
        return None
    field = system_of(dataset) if hamiltonian is None else hamiltonian
    if not isinstance(field, AbstractHamiltonian):
        return None
    with torch.no_grad():
        return field.energy(state) - field.energy(PhaseSpace(state.q, torch.zeros_like(state.p)))


def _mean(size: Float[Tensor, "time trajectory"]) -> xr.DataArray:
    """Over the times at which it is finite."""
    known = torch.isfinite(size)
    mean = torch.where(known, size, 0).sum(0) / known.sum(0).clamp(min=1)
    return xr.DataArray(mean.cpu().numpy(), dims="trajectory")
