"""Forces from outside that depend on time."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from jaxtyping import Float
from torch import Tensor

from systems.external import AbstractForce
from systems.vector_field import Variable


class Drive(AbstractForce):
    """Any force f(t, q) from outside, as a function.

    A file that `simulate` writes knows the function by its values at a few times. What is to be stored, fitted or
    loaded again is a class with variables, as `SinusoidalDrive` is.

    Args:
        function: of the time, ``(1, 1)`` or ``(*batch, 1, 1)``, and the positions ``(*batch, n, d)``: the force, of the
            shape of q or one that broadcasts to it.
        **options: mask, see `AbstractVectorField`.

    Raises:
        ValueError: where the function returns another shape, before any step is taken.

    Example:
        >>> import math, torch
        >>> from systems import Drive, HarmonicTrap, PhaseSpace, simulate
        >>> driven = HarmonicTrap(1.0, mass=[1.0]) + Drive(lambda t, q: torch.cos(2 * t))
        >>> data = simulate(driven, PhaseSpace.of([[[0.0]]], [[[0.0]]]), torch.linspace(0, 1, 5))
        >>> exact = (math.cos(1) - math.cos(2)) / 3
        >>> bool(abs(data.q[0, -1, 0, 0] - exact) < 1e-7)
        True
    """

    name = "drive"

    def __init__(self, function: Callable[[Tensor, Tensor], Tensor], **options: Any) -> None:
        if not callable(function):
            raise ValueError(f"function: expected a function of t and q, got {type(function).__name__}")
        super().__init__(**options)
        self.function = function

    def force(
        self, t: Float[Tensor, "*times"], q: Float[Tensor, "*batch n d"], velocity: Float[Tensor, "*batch n d"]
    ) -> Any:
        return self.function(t, q)


class SinusoidalDrive(AbstractForce):
    """The force a cos(w t + phase) on every body.

    Args:
        amplitude: a, ``(*batch, d)``.
        frequency: w, ``(*batch)``, in radians in unit time.
        phase: ``(*batch)``; 0 if it is not given.
        **options: mask, trainable and units, see `AbstractVectorField`.

    Raises:
        ValueError: as `AbstractVectorField`.

    Example:
        >>> import torch
        >>> from systems import SinusoidalDrive
        >>> drive = SinusoidalDrive(amplitude=[3.0, 0.0], frequency=2.0)
        >>> drive.force(torch.zeros(1, 1).double(), torch.zeros(1, 2).double(), torch.zeros(1, 2).double())
        tensor([[3., 0.]], dtype=torch.float64)
    """

    name = "sinusoidal_drive"
    variables = (
        Variable("amplitude", ("space",), "1", "amplitude of the driving force", si="kg m / s^2"),
        Variable("frequency", (), "1", "angular frequency of the driving force", si="1 / s"),
        Variable("phase", (), "1", "phase of the driving force", optional=True, si="1"),
    )
    amplitude: Tensor
    frequency: Tensor
    phase: Tensor | None

    def __init__(self, amplitude: Any, frequency: Any, *, phase: Any = None, **options: Any) -> None:
        super().__init__(amplitude=amplitude, frequency=frequency, phase=phase, **options)

    def force(
        self, t: Float[Tensor, "*times"], q: Float[Tensor, "*batch n d"], velocity: Float[Tensor, "*batch n d"]
    ) -> Float[Tensor, "*batch n d"]:
        phase = 0 if self.phase is None else self.phase[..., None, None]
        turn = (self.frequency[..., None, None] * t + phase).cos()
        return (self.amplitude[..., None, :] * turn).expand_as(q)
