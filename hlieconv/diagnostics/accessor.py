"""``dataset.dynamics``: the diagnostics as methods of any Dataset that follows the schema."""

from typing import Any

import xarray as xr
from jaxtyping import Float
from torch import Tensor

from hlieconv.diagnostics import balance, conserved, drifts, errors, momentum_map, summaries
from hlieconv.groups.abstract import AbstractGroup
from systems import dense
from systems.integrators.abstract import AbstractIntegrator
from systems.vector_field import AbstractHamiltonian, AbstractVectorField


class Dynamics:
    """The diagnostics of the trajectories in a Dataset; each method is the function of its name.

    Example:
        >>> import torch, hlieconv
        >>> from systems import Springs, simulate
        >>> dataset = simulate(*Springs.sample(3, seed=0), torch.linspace(0, 5, 6))
        >>> dataset.dynamics.momentum().dims
        ('trajectory', 'time', 'space')
    """

    def __init__(self, dataset: xr.Dataset) -> None:
        self._dataset = dataset

    def energy(self, hamiltonian: AbstractHamiltonian | None = None) -> xr.DataArray:
        """See `hlieconv.diagnostics.energy`."""
        return conserved.energy(self._dataset, hamiltonian)

    def energy_balance(self, system: AbstractVectorField | None = None) -> xr.Dataset:
        """See `hlieconv.diagnostics.energy_balance`."""
        return balance.energy_balance(self._dataset, system)

    def momentum(self) -> xr.DataArray:
        """See `hlieconv.diagnostics.momentum`."""
        return conserved.momentum(self._dataset)

    def angular_momentum(self, about: Float[Tensor, " d"] | None = None) -> xr.DataArray:
        """See `hlieconv.diagnostics.angular_momentum`."""
        return conserved.angular_momentum(self._dataset, about)

    def charges(self, group: AbstractGroup | str) -> xr.Dataset:
        """See `hlieconv.diagnostics.charges_of`."""
        return momentum_map.charges_of(self._dataset, group)

    def boost(self) -> xr.DataArray:
        """See `hlieconv.diagnostics.boost`."""
        return momentum_map.boost(self._dataset)

    def drift(self, quantity: str = "energy", *, hamiltonian: AbstractHamiltonian | None = None) -> xr.DataArray:
        """See `hlieconv.diagnostics.drift`."""
        return drifts.drift(self._dataset, quantity, hamiltonian=hamiltonian)

    def error(self, reference: xr.Dataset) -> xr.DataArray:
        """See `hlieconv.diagnostics.state_error`."""
        return errors.state_error(self._dataset, reference)

    def valid_time(self, reference: xr.Dataset, threshold: float = 0.1) -> xr.DataArray:
        """See `hlieconv.diagnostics.valid_time`."""
        return errors.valid_time(self._dataset, reference, threshold)

    def at(
        self,
        times: Any,
        *,
        field: AbstractVectorField | None = None,
        integrator: AbstractIntegrator | str | None = None,
    ) -> xr.Dataset:
        """See `systems.at`."""
        return dense.at(self._dataset, times, field=field, integrator=integrator)

    def summary(self, reference: xr.Dataset | None = None) -> dict[str, float]:
        """See `hlieconv.diagnostics.summary`."""
        return summaries.summary(self._dataset, reference)
