"""Forces that are cut off at a largest value, as generators of data do where bodies meet."""

from jaxtyping import Float
from torch import Tensor

from systems.checks import check, check_type
from systems.sums import SeparableSum
from systems.vector_field import AbstractSeparable


class Clipped(SeparableSum):
    """A system whose force is clipped: each component of the net force on each body lies within -largest to largest.

    It is there to match data that were made so. The clipped force has no potential, so nothing is conserved, and not
    even the symmetry under rotations is left, as each component is clipped by itself. ``energy`` is that of the system.

    Args:
        field: the system, with H = T(p) + V(q); a sum is clipped as a whole.
        largest: component of a force.

    Raises:
        ValueError: unless ``largest`` is positive.

    Example:
        >>> import torch
        >>> from systems import Charges, Clipped
        >>> charges = Charges(mass=1.0, charge=[1.0, -1.0], coulomb_constant=1.0, softening=0.0)
        >>> near = torch.tensor([[0.06, 0.08], [0.0, 0.0]], dtype=torch.float64)
        >>> Clipped(charges, 70.0).force(near)[1].round(decimals=9).tolist()
        [60.0, 70.0]
    """

    def __init__(self, field: AbstractSeparable, largest: float) -> None:
        check_type("field", field, isinstance(field, AbstractSeparable), "a system with H = T(p) + V(q)")
        check("largest", largest, largest > 0, "a positive number")
        super().__init__([field])
        self.largest = float(largest)
        self.name = f"{self.name}, forces clipped at {largest:g}"

    @property
    def conserved(self) -> tuple[str, ...]:
        return ()

    def force(self, q: Float[Tensor, "*batch n d"]) -> Float[Tensor, "*batch n d"]:
        return super().force(q).clamp(-self.largest, self.largest)
