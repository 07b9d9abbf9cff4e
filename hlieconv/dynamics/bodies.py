"""From the numbers of trajectories to the vector field that moves them: a conditioned model, or a known system."""

import copy

import torch
import xarray as xr
from jaxtyping import Int
from torch import Tensor, nn

from hlieconv.dynamics.chunks import Chunks
from hlieconv.models import AbstractModel
from systems import AbstractVectorField, Variable
from systems.dataset.schema import mask_of, variables_of


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

    The unknowns are one column of independent numbers, logarithms where they are positive: SOAP then learns how all of
    them depend on each other, which the parameters of a system do much more than the weights of a network.

    Args:
        system: with ``trainable`` parameters: one value for all trajectories, or one a trajectory.
        dataset: its trajectories.

    Raises:
        ValueError: if the system has values for another number of trajectories, or nothing is trainable.
    """

    def __init__(self, system: AbstractVectorField, dataset: xr.Dataset) -> None:
        super().__init__()
        self.system = [system]  # in a list: its parameters are not trained, the column is
        count, trainable = dataset.sizes["trajectory"], dict(system.named_parameters())
        self.unknown = [variable for variable in system.variables if variable.name in trainable]
        if not self.unknown:
            raise ValueError(
                f"model: nothing to fit, give {type(system).__name__} the names of its trainable variables"
            )
        for variable in system.variables:
            value: Tensor | None = getattr(system, variable.name)
            batch = () if value is None else value.shape[: value.ndim - len(variable.dims)]
            if batch and batch[0] not in (1, count):
                raise ValueError(f"{variable.name}: expected values of 1 or {count} trajectories, got {batch[0]}")
        self.start = [trainable[variable.name].detach().clone() for variable in self.unknown]
        self.independent = [_independent(*pair) for pair in zip(self.unknown, self.start, strict=True)]
        free = [value[own] for value, own in zip(self.start, self.independent, strict=True)]
        free = [x.log() if variable.positive else x for variable, x in zip(self.unknown, free, strict=True)]
        self.column = nn.Parameter(torch.cat(free)[:, None])

    def values(self) -> dict[str, Tensor]:
        """The physical values of the unknowns."""
        found = {}
        pieces = self.column[:, 0].split([int(own.sum()) for own in self.independent])
        for variable, start, own, piece in zip(self.unknown, self.start, self.independent, pieces, strict=True):
            value = start.masked_scatter(own, piece.exp() if variable.positive else piece)
            found[variable.name] = torch.where(own, value, value.mT) if len(variable.dims) == 2 else value
        return found

    def forward(self, trajectory: Int[Tensor, " batch"]) -> AbstractVectorField:
        """The system with the present values, for these trajectories."""
        system = copy.copy(self.system[0])
        vars(system)["_parameters"] = vars(system)["_parameters"] | self.values()
        return system.select(trajectory)

    @torch.no_grad()
    def write_back(self) -> None:
        """Give the system the values that were found."""
        for name, value in self.values().items():
            getattr(self.system[0], name).copy_(value)


def _independent(variable: Variable, value: Tensor) -> Tensor:
    """True for the numbers that are free: of pairs, one triangle (or the one number that all pairs share)."""
    whole = torch.ones_like(value, dtype=torch.bool)
    return whole.triu(1) if len(variable.dims) == 2 and value.shape[-1] > 1 else whole
