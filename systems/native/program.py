"""What a field is to be written as C."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Mapping
from dataclasses import dataclass

import torch
from torch import Tensor

from systems.vector_field import AbstractVectorField


@dataclass(frozen=True)
class AbstractProgram(ABC):
    """The functions of a field, for one trajectory of ``bodies`` in ``dimension``."""

    bodies: int
    dimension: int
    dtype: torch.dtype

    @property
    @abstractmethod
    def separable(self) -> bool:
        """Whether it has ``velocity`` and ``force``, for H = T(p) + V(q), or the ``derivative`` of the whole state."""

    @property
    def lanes(self) -> int | None:
        """How many lanes there have to be; None for any number."""
        return None

    @abstractmethod
    def macros(self, lanes: int) -> Mapping[str, int | str]:
        """Sizes and places (see methods/common.c)."""

    @abstractmethod
    def text(self, lanes: int) -> str:
        """C: ``prepare``, which computes what depends on the values alone, and the functions of the field."""

    @abstractmethod
    def table(self, field: AbstractVectorField, batch: torch.Size) -> Tensor:
        """The values ``(trajectory, given)`` of a field for the trajectories of a batch."""

    def edges(self, field: AbstractVectorField) -> Tensor | None:
        """The bodies at both ends of the field's edges, where it is written by edges."""
        return None
