"""What `fit` trains: something that gives the vector fields of the trajectories of a Dataset."""

from abc import ABC, abstractmethod
from typing import Any, ClassVar

import torch
import xarray as xr
from jaxtyping import Float, Int
from torch import Tensor, nn

from hlieconv.dynamics.chunks import Chunks
from hlieconv.dynamics.settings import Settings
from hlieconv.models import MODELS, AbstractModel
from hlieconv.models.abstract import Trained
from hlieconv.training.loading import describe
from systems import AbstractVectorField
from systems.dataset.schema import mask_of, variables_of

#: One row of the history of a training.
Record = dict[str, float | int]


class AbstractBodies(nn.Module, ABC):
    """From the numbers of trajectories to the vector field that moves them; its parameters are what is trained."""

    mass: Float[Tensor, "trajectory n"] | None
    """The masses of the Dataset in float64; None where they are unknown."""
    known: dict[str, Tensor]
    """Tensors that decide the result beside the trajectories and the settings."""
    solved: ClassVar[bool] = False
    """Whether `solve` finds what is trained, instead of descent."""

    @abstractmethod
    def forward(self, trajectory: Int[Tensor, " batch"]) -> AbstractVectorField:
        """What moves these trajectories."""

    @abstractmethod
    def describe(self) -> dict[str, Any]:
        """How to build again what is trained (see `training.loading`)."""

    def check(self, settings: Settings) -> None:
        """A ValueError for settings that do not apply."""

    def solve(self, settings: Settings) -> list[Record]:
        """Find what is trained in one go, if it is `solved`; the records of that."""
        raise NotImplementedError(f"{type(self).__name__} is trained by descent")

    def calibrate(self, chunks: Chunks) -> None:
        """Measure the scales of the data, before training."""

    def write_back(self) -> None:
        """Give the values that were found to their owner, after training."""

    def trained(self, trained: Trained) -> None:
        """Keep what a rollout has to know of the training."""


class LearnedBodies(AbstractBodies):
    """A model, conditioned on the features of the bodies of every trajectory.

    Raises:
        ValueError: if the Dataset lacks a feature of the model.
    """

    def __init__(self, model: AbstractModel, dataset: xr.Dataset) -> None:
        super().__init__()
        self.model = model
        parameter = model.like
        kind = {"dtype": parameter.dtype, "device": parameter.device}
        self.features = model.checked(variables_of(dataset, model.features, **kind), mask_of(dataset))
        self.mask = mask_of(dataset, device=parameter.device)
        self.mass, self.known = masses_of(dataset), {}

    def forward(self, trajectory: Int[Tensor, " batch"]) -> AbstractVectorField:
        return self.model.condition(*self._context(trajectory))

    def describe(self) -> dict[str, Any]:
        return describe(self.model, self.model.config, MODELS)

    def calibrate(self, chunks: Chunks) -> None:
        """Let the model measure the scales of its data, on a few thousand chunks."""
        some = chunks.take(torch.arange(min(len(chunks.trajectory), 4096), device=chunks.trajectory.device))
        self.model.calibrate(some.q, some.p, *self._context(some.trajectory))

    def trained(self, trained: Trained) -> None:
        self.model.trained = trained

    def _context(self, trajectory: Tensor) -> tuple[dict[str, Tensor], Tensor | None]:
        features = {name: value[trajectory] for name, value in self.features.items()}
        return features, None if self.mask is None else self.mask[trajectory]


def masses_of(dataset: xr.Dataset) -> Float[Tensor, "trajectory n"] | None:
    """The variable mass in float64; None if there is none."""
    return variables_of(dataset, ["mass"], dtype=torch.float64)["mass"] if "mass" in dataset else None
