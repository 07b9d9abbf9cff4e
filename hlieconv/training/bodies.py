"""From the numbers of trajectories to the vector field that moves them: a conditioned model, or a known system."""

import copy
from collections.abc import Iterator

import torch
from jaxtyping import Int
from torch import Tensor, nn

from hlieconv.models import AbstractModel
from hlieconv.training.chunks import Chunks, Trajectories
from systems import AbstractVectorField


class Conditioned(nn.Module):
    """A model, and what it is told of the bodies of every trajectory."""

    def __init__(self, model: AbstractModel, data: Trajectories, device: torch.device) -> None:
        super().__init__()
        self.model = model
        self.told = {name: data.features[name] for name in model.features if name in data.features}
        model.checked(self.told, data.mask)
        dtype = next(model.parameters()).dtype
        self.told = {name: value.to(device, dtype) for name, value in self.told.items()}
        self.mask = None if data.mask is None else data.mask.to(device)

    def calibrate(self, chunks: Chunks) -> None:
        """Let the model measure the scales of its data."""
        some = chunks.take(torch.arange(min(len(chunks.trajectory), 4096), device=chunks.trajectory.device))
        told = {name: value[some.trajectory] for name, value in self.told.items()}
        self.model.calibrate(some.q, some.p, told, None if self.mask is None else self.mask[some.trajectory])

    def forward(self, trajectory: Int[Tensor, " batch"]) -> AbstractVectorField:
        """What moves these trajectories."""
        mask = None if self.mask is None else self.mask[trajectory]
        return self.model.condition({name: value[trajectory] for name, value in self.told.items()}, mask)


class Unknowns(nn.Module):
    """A known system whose trainable parameters are unknown: what is positive stays so, what is symmetric too.

    Positive parameters are trained as their logarithms, pairs of bodies by the mean of the matrix and its transpose.

    Args:
        system: with ``trainable`` parameters, one value for all trajectories or one a trajectory.
        count: of trajectories.
    """

    def __init__(self, system: AbstractVectorField, count: int) -> None:
        super().__init__()
        self.system = [system]  # in a list: its parameters are not trained, the free ones are
        self.free = nn.ParameterDict()
        for variable in system.variables:
            value: Tensor | None = getattr(system, variable.name)
            if value is None:
                continue
            batch = value.shape[: value.ndim - len(variable.dims)]
            if batch and batch[0] not in (1, count):
                raise ValueError(f"{variable.name}: expected 1 or {count} trajectories, got {batch[0]}")
            if variable.name in dict(system.named_parameters()):
                start = value.detach().log() if variable.positive else value.detach()
                self.free[variable.name] = nn.Parameter(start.clone())

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
