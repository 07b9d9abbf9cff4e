"""What `fit` trains: something that gives the vector fields of the trajectories of a Dataset."""

import copy
from abc import ABC, abstractmethod
from typing import Any, ClassVar

import torch
from jaxtyping import Bool, Float, Int
from torch import Tensor, nn

from hlieconv.dynamics.chunks import Chunks
from hlieconv.dynamics.settings import Settings
from hlieconv.dynamics.trajectories import Trajectories, TrajectoryParameters
from hlieconv.models import MODELS, AbstractModel
from hlieconv.models.abstract import Trained
from hlieconv.models.frame import Frame
from hlieconv.training.loading import describe
from systems import AbstractVectorField, PhaseSpace

#: One row of the history of a training.
Record = dict[str, float | int]


class AbstractBodies(nn.Module, ABC):
    """From the numbers of trajectories to the vector field that moves them; its parameters are what is trained."""

    mass: Float[Tensor, "trajectory n"] | None
    """The masses in float64, in the data's units; None where they are unknown."""
    mask: Bool[Tensor, "trajectory n"] | None
    """True where a body exists; None if all do."""
    known: dict[str, Tensor]
    """Tensors that decide the result beside the trajectories and the settings."""
    frame: Frame
    """The origin and the units in which it is trained."""
    normalised: bool = True
    """Whether errors of q and of p are measured in units of their own, and do not weigh as the data's units say."""
    canonical: bool = False
    """Whether p may be another thing than mass dq/dt: both are then differentiated by themselves."""
    solved: ClassVar[bool] = False
    """Whether `solve` finds what is trained, instead of descent."""

    @abstractmethod
    def forward(self, trajectory: Int[Tensor, " batch"]) -> AbstractVectorField:
        """What moves these trajectories, in the frame."""

    @abstractmethod
    def describe(self) -> dict[str, Any]:
        """How to build again what is trained (see `training.loading`)."""

    def check(self, settings: Settings) -> None:
        """A ValueError for settings that do not apply."""

    def solve(self, data: Trajectories, settings: Settings) -> list[Record]:
        """Find what is trained in one go from trajectories, if it is `solved`; the records of that."""
        raise NotImplementedError(f"{type(self).__name__} is trained by descent")

    def mask_of(self, trajectory: Int[Tensor, " batch"]) -> Bool[Tensor, "batch n"] | None:
        """Which bodies of these trajectories exist."""
        return None if self.mask is None else self.mask[trajectory]

    def framed(self, chunks: Chunks) -> Chunks:
        """Chunks in the frame, still in float64."""
        frame = copy.deepcopy(self.frame).to(chunks.q.device)
        times, origin = (chunks.times - chunks.times[0]) / frame.time, chunks.times[0] / frame.time
        q, p = frame.positions(chunks.q), frame.momenta(chunks.p)
        errors = chunks.errors and PhaseSpace(chunks.errors.q / frame.length, chunks.errors.p / frame.momentum)
        rates = chunks.rates and PhaseSpace(chunks.rates.q / frame.velocity, chunks.rates.p / frame.force)
        return chunks._replace(times=times, q=q, p=p, origin=origin, errors=errors, rates=rates)

    def measure(self, chunks: Chunks, *, recalibrate: bool, kept: dict[str, Tensor]) -> None:
        """Find the frame of the data, of which nothing is kept before `calibrate`.

        Args:
            chunks: of the data.
            recalibrate: whether a model that has been fitted before is measured anew.
            kept: the state of these bodies in a run that goes on: its frame stays as it is.
        """

    def calibrate(self, chunks: Chunks) -> None:
        """Keep the frame, and measure the scales of the chunks in it, before training."""

    def write_back(self) -> None:
        """Give the values that were found to their owner, after training."""

    def trained(self, trained: Trained) -> None:
        """Keep what a rollout has to know of the training."""


class LearnedBodies(AbstractBodies):
    """A model, conditioned on the features of the bodies of every trajectory.

    Raises:
        ValueError: if the Dataset lacks a feature of the model.
    """

    def __init__(self, model: AbstractModel, data: TrajectoryParameters) -> None:
        super().__init__()
        self.model, self.given, self.normalised = model, data.features, model.normalised
        model.checked(data.features, data.mask)
        self.mask = None if data.mask is None else data.mask.to(model.like.device)
        self.mass, self.known = data.mass, {}
        self.canonical = model.takes_generalised and data.generalised
        self.frame, self.fitted = copy.deepcopy(model.frame), False
        self.features = self._in_frame()

    def forward(self, trajectory: Int[Tensor, " batch"]) -> AbstractVectorField:
        return self.model.framed(*self._context(trajectory))

    def describe(self) -> dict[str, Any]:
        return describe(self.model, self.model.config, MODELS)

    def measure(self, chunks: Chunks, *, recalibrate: bool, kept: dict[str, Tensor]) -> None:
        self.fitted = bool(self.model.frame.measured) and not recalibrate
        if not self.fitted:
            mask = None if self.mask is None else self.mask.cpu()[chunks.trajectory]
            self.frame = copy.deepcopy(self.model.frame).cpu()
            frame = {name.removeprefix("frame."): x for name, x in kept.items() if name.startswith("frame.")}
            if frame:
                self.frame.load_state_dict(frame)
            else:
                self.frame.measure(chunks.times, chunks.q, chunks.p, self.given, mask)
            self.frame.to(self.model.like.device)
        self.features = self._in_frame()
        self.known |= {f"frame.{name}": value for name, value in self.frame.named_buffers()}

    def calibrate(self, chunks: Chunks) -> None:
        """Let the model measure the scales of its data, on a few thousand chunks, unless it has been fitted."""
        if self.fitted:
            return
        self.model.frame.load_state_dict(self.frame.state_dict())
        some = chunks.take(torch.arange(min(len(chunks.trajectory), 4096), device=chunks.trajectory.device))
        self.model.calibrate(some.q, some.p, *self._context(some.trajectory))

    def trained(self, trained: Trained) -> None:
        self.model.trained = trained

    def _context(self, trajectory: Tensor) -> tuple[dict[str, Tensor], Tensor | None]:
        features = {name: value[trajectory] for name, value in self.features.items()}
        return features, self.mask_of(trajectory)

    def _in_frame(self) -> dict[str, Tensor]:
        """The model's own features, scaled in float64 and then rounded."""
        like = self.model.like
        scaled = self.frame.features(
            {name: self.given[name].to(self.frame.origin.device) for name in self.model.features}
        )
        return self.model.checked(
            {name: value.to(like.device, like.dtype) for name, value in scaled.items()}, self.mask
        )
