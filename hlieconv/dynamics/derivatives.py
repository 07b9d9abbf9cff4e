"""Samples of force matching."""

from typing import NamedTuple

import torch
from jaxtyping import Float, Int
from torch import Tensor


class Derivatives(NamedTuple):
    """States, and how they change there."""

    trajectory: Int[Tensor, " sample"]
    q: Float[Tensor, "sample n d"]
    p: Float[Tensor, "sample n d"]
    velocity: Float[Tensor, "sample n d"]
    force: Float[Tensor, "sample n d"]
    times: Float[Tensor, " sample"]
    weight: Float[Tensor, "sample n"]
    """1 for forces that are known well, less for others."""

    def take(self, index: Int[Tensor, " batch"]) -> "Derivatives":
        """Some of the samples."""
        return Derivatives(*(tensor[index] for tensor in self))

    def to(self, dtype: torch.dtype, device: torch.device) -> "Derivatives":
        """The same on a device."""
        return Derivatives(self.trajectory.to(device), *(tensor.to(device, dtype) for tensor in self[1:]))
