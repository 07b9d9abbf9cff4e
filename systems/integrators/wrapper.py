"""Integrators around another integrator."""

from dataclasses import dataclass, replace
from typing import Any, TypeVar

from jaxtyping import Float
from torch import Tensor

from systems.integrators.abstract import AbstractIntegrator
from systems.integrators.attempt import Attempt
from systems.integrators.named import integrator_of
from systems.integrators.pieces import Pieces
from systems.phase_space import PhaseSpace
from systems.vector_field import AbstractVectorField

Wrapper = TypeVar("Wrapper", bound="AbstractWrapper")

#: What a wrapper has from the integrator that it wraps, if it does not state its own.
TAKEN_OVER = ("order", "symplectic", "requires", "preserves", "symmetric", "keeps_energy", "step")


@dataclass(frozen=True, eq=False)
class AbstractWrapper(AbstractIntegrator):
    """An integrator that does more than the one it wraps, or the same in another way.

    Class facts and ``step`` are those of the wrapped one, unless the wrapper states its own.

    Args:
        integrator: what takes the steps, or its name.
    """

    integrator: AbstractIntegrator

    def __post_init__(self) -> None:
        object.__setattr__(self, "integrator", integrator_of(self.integrator))

    def __getattr__(self, name: str) -> Any:
        if name not in TAKEN_OVER:
            raise AttributeError(f"{type(self).__name__} has no attribute {name!r}")
        return getattr(self.integrator, name)

    @property
    def has_fixed_steps(self) -> bool:
        return self.integrator.has_fixed_steps

    def attempt_in_pieces(
        self, field: AbstractVectorField, state: PhaseSpace, times: Float[Tensor, " time *trajectory"]
    ) -> tuple[Attempt, Pieces]:
        """By the wrapped one, where only that knows its steps."""
        if self.has_fixed_steps:
            return super().attempt_in_pieces(field, state, times)
        return self.integrator.attempt_in_pieces(field, state, times)

    def select(self: Wrapper, index: slice | Tensor) -> Wrapper:
        return replace(self, integrator=self.integrator.select(index))

    def check(self, field: AbstractVectorField, state: PhaseSpace, times: Tensor) -> None:
        self.integrator.check(field, state, times)
