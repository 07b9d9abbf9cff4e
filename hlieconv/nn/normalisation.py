"""Normalisation of the values of ragged batches: by the batch, or of each point by itself."""

from collections.abc import Callable

import torch
import torch.nn.functional as F
from jaxtyping import Bool, Float
from torch import Tensor, nn

from systems.tracing import autocast_dtype


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
        flat = values.flatten(0, -2)
        if mask is None or not self.training:
            flat = F.batch_norm(
                flat, self.mean, self.variance, self.weight, self.bias, self.training, self.momentum, self.epsilon
            )
        else:
            mask = mask.expand(values.shape[:-1]).flatten()
            if autocast_dtype(flat) is None:
                flat = self._of_batch(flat, mask)
            else:  # statistics are not rounded
                with torch.autocast(flat.device.type, enabled=False):
                    flat = self._of_batch(flat.to(self.mean), mask)
        return flat.reshape(values.shape)

    def _of_batch(self, flat: Float[Tensor, "points c"], mask: Bool[Tensor, " points"]) -> Float[Tensor, "points c"]:
        """By the statistics of the points that exist; the running ones take a step towards them.

        Written for few passes over the values, forward and backward: sums are products with a vector.
        """
        here = mask.to(flat)
        count = here.sum().clamp(min=1)
        mean = (here / count) @ flat
        centred = flat + -mean  # not flat - mean, whose derivative negates all of the gradient
        variance = (here / count) @ (centred * centred)
        with torch.no_grad():
            self.mean.lerp_(mean, self.momentum)
            self.variance.lerp_(variance * count / (count - 1).clamp(min=1), self.momentum)
        return torch.addcmul(self.bias, centred, self.weight * (variance + self.epsilon).rsqrt())


class Unnormalised(nn.Module):
    """Stands where a norm would: values unchanged."""

    def forward(self, values: Tensor, mask: Tensor | None = None) -> Tensor:
        return values


class PointNorm(nn.LayerNorm):
    """Layer normalisation over the channels of each point: it sees no other point, and needs no mask.

    Source: Ba et al. 2016 (arXiv:1607.06450).
    """

    def forward(  # type: ignore[override]
        self, values: Float[Tensor, "*batch n c"], mask: Bool[Tensor, "*batch n"] | None = None
    ) -> Float[Tensor, "*batch n c"]:
        return super().forward(values)


#: What normalises, by its name; True and False are those of earlier versions.
NORMS: dict[bool | str, Callable[[int], nn.Module]] = {
    "none": lambda channels: Unnormalised(),
    "batch": MaskedBatchNorm,
    "layer": PointNorm,
}
NORMS |= {False: NORMS["none"], True: NORMS["batch"]}


def normalisation(channels: int, normalise: bool | str) -> nn.Module:
    """A `MaskedBatchNorm` ("batch" or True), a `PointNorm` ("layer"), or `Unnormalised` ("none" or False).

    Raises:
        ValueError: for another word.

    Example:
        >>> type(normalisation(8, "layer")).__name__
        'PointNorm'
    """
    if normalise not in NORMS:
        raise ValueError(f"normalise: expected none, batch, layer, or whether to (batch), got {normalise!r}")
    return NORMS[normalise](channels)
