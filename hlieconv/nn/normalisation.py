"""Batch normalisation of ragged batches."""

import torch
from jaxtyping import Bool, Float
from torch import Tensor, nn


class MaskedBatchNorm(nn.Module):
    """Batch normalisation whose statistics are those of the points that exist.

    Without a mask it is ``torch.nn.BatchNorm1d`` over batch and points. The variance is the mean square distance from
    the mean (two passes), never E[x^2] - E[x]^2. Training mode updates the running statistics at every call: switch it
    off (eval mode) inside an ODE solve, or leave it out.

    Args:
        channels: how many channels the values have.
        momentum: weight of the newest batch in the running statistics.
        epsilon: added to the variance.

    Source: Ioffe and Szegedy 2015 (arXiv:1502.03167).

    Example:
        >>> norm = MaskedBatchNorm(3)
        >>> values, mask = torch.randn(7, 5, 3), torch.rand(7, 5) < 0.8
        >>> bool(norm(values, mask)[mask].mean(0).abs().max() < 1e-6)
        True
    """

    mean: Tensor
    variance: Tensor

    def __init__(self, channels: int, *, momentum: float = 0.1, epsilon: float = 1e-5) -> None:
        super().__init__()
        self.momentum = momentum
        self.epsilon = epsilon
        self.weight = nn.Parameter(torch.ones(channels))
        self.bias = nn.Parameter(torch.zeros(channels))
        self.register_buffer("mean", torch.zeros(channels))
        self.register_buffer("variance", torch.ones(channels))

    def forward(
        self, values: Float[Tensor, "*batch n c"], mask: Bool[Tensor, "*batch n"] | None = None
    ) -> Float[Tensor, "*batch n c"]:
        """The normalised values; where the mask is False they are finite, and nobody's business."""
        mean, variance = self.mean, self.variance
        if self.training:
            mean, variance = self._measure(values, mask)
        scale = self.weight * (variance + self.epsilon).rsqrt()
        return (values - mean) * scale + self.bias

    def _measure(self, values: Tensor, mask: Tensor | None) -> tuple[Tensor, Tensor]:
        """Mean and variance of this batch; the running ones take a step towards them."""
        flat = values.flatten(0, -2)
        here = flat.new_ones(len(flat), 1) if mask is None else mask.expand(values.shape[:-1]).reshape(-1, 1).to(flat)
        count = here.sum().clamp(min=1)
        mean = (flat * here).sum(0) / count
        variance = ((flat - mean).square() * here).sum(0) / count
        with torch.no_grad():
            self.mean.lerp_(mean.detach(), self.momentum)
            self.variance.lerp_(variance.detach() * count / (count - 1).clamp(min=1), self.momentum)
        return mean, variance
