"""Where rollouts start: a model's vector fields, and first states, of some trajectories of a Dataset."""

import functools
from dataclasses import dataclass

import torch
import xarray as xr

from hlieconv.models import AbstractModel
from systems import AbstractHamiltonian, AbstractVectorField, PhaseSpace
from systems.dataset.reading import mask_of, state_of, system_of, variables_of


@dataclass(frozen=True)
class Starts:
    """Fields and first states by the numbers of trajectories; of a file no more is read than that.

    Args:
        model: a model, in the dtype and on the device in which it is to compute.
        dataset: trajectories.
        dtype: of the states.

    Example:
        >>> from hlieconv.models import HLieConv
        >>> from systems import Springs, simulate
        >>> data = simulate(*Springs.sample(5, seed=0), torch.linspace(0, 1, 11, dtype=torch.float64))
        >>> field, state = Starts(HLieConv.of(data).double(), data, torch.float64)(range(2, 5))
        >>> state.q.shape, field.mass.shape
        (torch.Size([3, 6, 2]), torch.Size([3, 6]))
    """

    model: AbstractModel
    dataset: xr.Dataset
    dtype: torch.dtype

    def __call__(self, numbers: range) -> tuple[AbstractVectorField, PhaseSpace]:
        """The model, conditioned on the bodies of these trajectories, and where they start.

        Raises:
            ValueError: if the Dataset lacks a feature of the model, or a body was not seen at first.
        """
        some, device = self._some(numbers), self.model.like.device
        mask = None
        if self._is_masked:  # also where all bodies of these exist: computed alike, to the last bit
            mask = torch.tensor(some["mask"].transpose("trajectory", "body").values.astype(bool), device=device)
        features = variables_of(some, self.model.features, dtype=self.dtype, device=device)
        field = self.model.condition(self.model.checked(features, mask), mask)
        field.coordinates = self.dataset.attrs.get("coordinate_system", "cartesian")
        field.units = self.dataset.attrs.get("unit_system", "")
        return field, state_of(some, dtype=self.dtype, device=device)

    def true(self, numbers: range) -> AbstractHamiltonian | None:
        """That of the known system that the Dataset names, if it has all of its parameters."""
        try:
            known = system_of(self._some(numbers), dtype=self.dtype, device=self.model.like.device)
        except ValueError:
            return None
        return known.hamiltonian

    @functools.cached_property
    def _is_masked(self) -> bool:
        """Whether any trajectory lacks a body."""
        return mask_of(self.dataset) is not None

    def _some(self, numbers: range) -> xr.Dataset:
        return self.dataset.isel(trajectory=slice(numbers.start, numbers.stop))
