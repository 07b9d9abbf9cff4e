"""The contract of an integrator."""

from abc import ABC, abstractmethod
from typing import ClassVar

from jaxtyping import Float
from torch import Tensor

from systems.phase_space import PhaseSpace
from systems.vector_field import AbstractVectorField


class AbstractIntegrator(ABC):
    """A numerical flow: from a state and output times to a trajectory.

    Output times are hit exactly, by equal substeps no longer than the integrator's ``step``; nothing is interpolated.
    """

    order: ClassVar[int]
    symplectic: ClassVar[bool]
    requires: ClassVar[type[AbstractVectorField]]
    """The least structure of a vector field that the method works with."""

    @abstractmethod
    def integrate(
        self, field: AbstractVectorField, state: PhaseSpace, times: Float[Tensor, " time *batch"]
    ) -> PhaseSpace:
        """The trajectory at ``times``, time first: ``(time, *batch, n, d)``.

        Args:
            field: what moves the state.
            state: ``(*batch, n, d)``, the state at ``times[0]``.
            times: ``(time,)`` for all trajectories, or ``(time, *batch)``; increasing or decreasing.

        Raises:
            ValueError: if the field lacks the structure that the method needs, or shapes, times or dtypes do not fit.
        """
