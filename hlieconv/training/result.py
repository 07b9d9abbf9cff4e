"""What a training gives back."""

from dataclasses import dataclass
from typing import Any, Generic, TypeVar

from torch import nn

Model = TypeVar("Model", bound=nn.Module)


@dataclass(frozen=True)
class Fit(Generic[Model]):
    """A trained model, and how it came about."""

    model: Model
    history: list[dict[str, float | int]]
    """One record a row: step, loss, validation (if anything is held out), learning_rate, seconds,
    cpu_seconds."""
    settings: Any
    """All choices that decided the weights."""
