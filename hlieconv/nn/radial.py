"""Functions of a distance, of which a kernel is made that needs no perceptron."""

import math
from dataclasses import dataclass

import torch
from jaxtyping import Float
from torch import Tensor

#: The functions are even in exp(-r / length), with this many lengths up to the cutoff.
LENGTHS = 4

#: The first function is centred at this fraction of the cutoff: nearer to each other there are no atoms.
START = 1 / 15

#: Distances are softened by this fraction of the cutoff, so that they have derivatives where two points coincide.
SOFTENED = 1e-4

#: What is less than exp(-FARTHEST) of a function counts as this much: processors are slow on numbers near zero.
FARTHEST = 40.0


@dataclass(frozen=True)
class RadialFunctions:
    """Smooth functions of the distance r of two points, which vanish beyond a cutoff with two derivatives.

    s_k(r) = f(r / cutoff) exp(-b (exp(-r / l) - m_k)^2) with l = cutoff / 4, the m_k equally spaced between
    exp(-4) and exp(-START cutoff / l), b = (0.6 / spacing)^2 and f(x) = 1 - 10 x^3 + 15 x^4 - 6 x^5: they lie denser
    where points are near to each other.

    Args:
        count: how many there are.
        cutoff: the distance at which they vanish.

    Raises:
        ValueError: for values out of range.

    Source: Unke and Meuwly 2019 (PhysNet, arXiv:1902.08408), eqs. 7 and 8.

    Example:
        >>> functions = RadialFunctions(count=3, cutoff=2.0)
        >>> functions(torch.tensor([[1.0], [4.0]]))
        tensor([[0.4827, 0.4219, 0.1795],
                [0.0000, 0.0000, 0.0000]])
    """

    count: int = 20
    cutoff: float = 6.0

    def __post_init__(self) -> None:
        if self.count < 2:
            raise ValueError(f"count: expected at least 2, got {self.count}")
        if not (self.cutoff > 0 and math.isfinite(self.cutoff)):
            raise ValueError(f"cutoff: expected a positive number, got {self.cutoff}")

    def __call__(self, square: Float[Tensor, "*batch 1"]) -> Float[Tensor, "*batch k"]:
        """The functions of the squared distance."""
        first, last = math.exp(-LENGTHS), math.exp(-LENGTHS * START)
        centres = torch.linspace(first, last, self.count, dtype=square.dtype, device=square.device)
        sharpness = 0.6 * (self.count - 1) / (last - first)
        x = (square / self.cutoff**2 + SOFTENED**2).sqrt().clamp(max=1)
        inside = 1 - x**3 * (10 - 15 * x + 6 * x * x)
        away = (sharpness * ((-LENGTHS * x).exp() - centres)).square()
        return inside * (-away.clamp(max=FARTHEST)).exp()
