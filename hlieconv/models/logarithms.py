"""What the published network sees of a pair of bodies: log(v^-1 u) of their lifts, and their orbits."""

from jaxtyping import Bool, Float
from torch import Tensor, nn

from hlieconv.groups import AbstractGroup
from hlieconv.nn import LiftedPoints
from hlieconv.nn.lifting import lift
from hlieconv.nn.metric import Metric


class LogPairs(nn.Module):
    """log(v^-1 u) and both orbits, of all pairs of lifted bodies (Finzi et al. 2020, arXiv:2002.12880, eq. 9).

    Exactly invariant where a lift is unique: Trivial, T(d), SO(2), scalings. A body has many lifts under SE(2), SE(3)
    and SO(3). The published network draws some at random, so that it is another function at each call; here they are
    the nodes of a quadrature over the stabiliser, so that it is one, invariant up to the error of the quadrature. The
    logarithm jumps where an angle passes pi.

    Args:
        group: any that can be lifted.
        samples: nodes a body; 0 takes 8 of a circle and 12 of SO(3).

    Example:
        >>> import torch
        >>> from hlieconv.groups import T
        >>> features, _ = LogPairs(T(2))(torch.randn(10, 5, 2))
        >>> features.shape
        torch.Size([10, 5, 5, 2])
    """

    growing_channels = 0

    def __init__(self, group: AbstractGroup, samples: int = 0) -> None:
        super().__init__()
        self.group = group
        self.samples = samples or {0: 1, 1: 8}.get(group.stabiliser_dimension, 12)
        self.metric = Metric(group, "log")
        self.channels = self.metric.channels

    def forward(
        self, q: Float[Tensor, "*batch n d"], mask: Bool[Tensor, "*some n"] | None = None
    ) -> tuple[Float[Tensor, "*batch m m channels"], Float[Tensor, "*batch m m 0"]]:
        lifted = lift(self.group, q, self.samples, mask=None if mask is None else mask.expand(q.shape[:-1]))
        u = LiftedPoints(lifted.elements[..., :, None, :, :], lifted.orbit[..., :, None, :])
        v = LiftedPoints(lifted.elements[..., None, :, :, :], lifted.orbit[..., None, :, :])
        features = self.metric.features(u, v)
        return features, features[..., :0]

    def calibrate(self, q: Float[Tensor, "*batch n d"], mask: Bool[Tensor, "*batch n"] | None) -> None:
        """The published network measures nothing."""
