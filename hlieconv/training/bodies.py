"""From the numbers of trajectories to the vector field that moves them: a conditioned model, or a known system."""

import copy
from collections.abc import Iterator

import torch
import xarray as xr
from jaxtyping import Int
from torch import Tensor, nn

from hlieconv.models import AbstractModel
from hlieconv.training.chunks import Chunks
from systems import AbstractVectorField
from systems.schema import mask_of, variables_of


class Conditioned(nn.Module):
    """A model, and what it is told of the bodies of every trajectory.

    Raises:
        ValueError: if the Dataset lacks a feature of the model.
    """

    def __init__(self, model: AbstractModel, dataset: xr.Dataset) -> None:
        super().__init__()
        self.model = model
        parameter = next(model.parameters())
        kind = {"dtype": parameter.dtype, "device": parameter.device}
        self.features = model.checked(variables_of(dataset, model.features, **kind), mask_of(dataset))
        self.mask = mask_of(dataset, device=parameter.device)

    def calibrate(self, chunks: Chunks) -> None:
        """Let the model measure the scales of its data, on a few thousand chunks."""
        some = chunks.take(torch.arange(min(len(chunks.trajectory), 4096), device=chunks.trajectory.device))
        self.model.calibrate(some.q, some.p, *self._told(some.trajectory))

    def forward(self, trajectory: Int[Tensor, " batch"]) -> AbstractVectorField:
        """What moves these trajectories."""
        return self.model.condition(*self._told(trajectory))

    def _told(self, trajectory: Tensor) -> tuple[dict[str, Tensor], Tensor | None]:
        features = {name: value[trajectory] for name, value in self.features.items()}
        return features, None if self.mask is None else self.mask[trajectory]


class Unknowns(nn.Module):
    """A known system whose trainable parameters are unknown: what is positive stays so, what is symmetric too.

    Positive parameters are trained as their logarithms, pairs of bodies by the mean of the matrix and its transpose.

    Args:
        system: with ``trainable`` parameters: one value for all trajectories, or one a trajectory.
        dataset: its trajectories.

    Raises:
        ValueError: if the system has values for another number of trajectories, or nothing is trainable.
    """

    def __init__(self, system: AbstractVectorField, dataset: xr.Dataset) -> None:
        super().__init__()
        self.system = [system]  # in a list: its parameters are not trained, the free ones are
        self.free = nn.ParameterDict()
        count, trainable = dataset.sizes["trajectory"], dict(system.named_parameters())
        for variable in system.variables:
            value: Tensor | None = getattr(system, variable.name)
            if value is None:
                continue
            batch = value.shape[: value.ndim - len(variable.dims)]
            if batch and batch[0] not in (1, count):
                raise ValueError(f"{variable.name}: expected values of 1 or {count} trajectories, got {batch[0]}")
            if variable.name in trainable:
                start = value.detach().log() if variable.positive else value.detach()
                self.free[variable.name] = nn.Parameter(start.clone())
        if not self.free:
            raise ValueError(
                f"model: nothing to fit, give {type(system).__name__} the names of its trainable variables"
            )

    def values(self) -> Iterator[tuple[str, Tensor]]:
        """The physical values of the free parameters."""
        for variable in self.system[0].variables:
            if variable.name in self.free:
                value = self.free[variable.name]
                value = value.exp() if variable.positive else value
                yield variable.name, (value + value.mT) / 2 if len(variable.dims) == 2 else value

    def forward(self, trajectory: Int[Tensor, " batch"]) -> AbstractVectorField:
        """The system with the present values, for these trajectories."""
        system = copy.copy(self.system[0])
        vars(system)["_parameters"] = vars(system)["_parameters"] | dict(self.values())
        return system.select(trajectory)

    @torch.no_grad()
    def write_back(self) -> None:
        """Give the system the values that were found."""
        for name, value in self.values():
            getattr(self.system[0], name).copy_(value)
