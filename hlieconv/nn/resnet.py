"""The bottleneck residual network of convolutions."""

from collections.abc import Callable, Sequence

import torch.nn.functional as F
from jaxtyping import Bool, Float, Int
from torch import Tensor, nn

from hlieconv.nn.convolution import LieConv, Pairs, gather
from hlieconv.nn.normalisation import MaskedBatchNorm


class BottleneckBlock(nn.Module):
    """norm, Swish, Linear to a quarter, norm, Swish, LieConv, norm, Swish, Linear back; plus the input.

    Where the block has fewer queries than input points, the residual is the input at the queries; where it has more
    channels, the residual leaves the new ones alone.

    Args:
        in_channels: channels of the input values.
        out_channels: channels of the output values, at least as many.
        pair_channels: how many features a pair has.
        bottleneck: by how much the channels shrink for the convolution.
        normalise: masked batch norm at the three places; off for dynamics.
        widths, mid_channels, aggregation, activation: of the `LieConv`.

    Example:
        >>> import torch
        >>> block = BottleneckBlock(in_channels=8, out_channels=8, pair_channels=2)
        >>> points, values = torch.randn(10, 5, 2), torch.randn(10, 5, 8)
        >>> block(values, Pairs(points[:, :, None] - points[:, None])).shape
        torch.Size([10, 5, 8])
    """

    def __init__(
        self,
        in_channels: int,
        out_channels: int,
        pair_channels: int,
        *,
        bottleneck: int = 4,
        normalise: bool = False,
        widths: Sequence[int] = (32, 32),
        mid_channels: int = 16,
        aggregation: str = "mean",
        activation: Callable[[], nn.Module] = nn.SiLU,
    ) -> None:
        super().__init__()
        if out_channels < in_channels:
            raise ValueError(f"out_channels: expected at least in_channels = {in_channels}, got {out_channels}")
        narrow_in, narrow_out = max(1, in_channels // bottleneck), max(1, out_channels // bottleneck)
        self.widening = out_channels - in_channels
        self.norms = nn.ModuleList(
            MaskedBatchNorm(channels) if normalise else Unnormalised()
            for channels in (in_channels, narrow_in, narrow_out)
        )
        self.activation = activation()
        self.narrow = nn.Linear(in_channels, narrow_in)
        self.convolution = LieConv(
            narrow_in,
            narrow_out,
            pair_channels,
            widths=widths,
            mid_channels=mid_channels,
            aggregation=aggregation,
            activation=activation,
        )
        self.widen = nn.Linear(narrow_out, out_channels)

    def forward(
        self,
        values: Float[Tensor, "*batch n c_in"],
        pairs: Pairs,
        mask: Bool[Tensor, "*batch n"] | None = None,
        queries: Int[Tensor, "*batch m"] | None = None,
    ) -> Float[Tensor, "*batch m c_out"]:
        """The values at the query points.

        Args:
            values: at the input points, finite everywhere.
            pairs: queries and their neighbours.
            mask: which input points exist; None if all do.
            queries: which input points the queries are; None if they are all of them, in order.
        """
        query_mask, residual = mask, values
        if queries is not None:
            residual = gather(values, queries)
            query_mask = None if mask is None else mask.gather(-1, queries)
        hidden = self.narrow(self.activation(self.norms[0](values, mask)))
        hidden = self.convolution(self.activation(self.norms[1](hidden, mask)), pairs)
        hidden = self.widen(self.activation(self.norms[2](hidden, query_mask)))
        return F.pad(residual, (0, self.widening)) + hidden


class Unnormalised(nn.Module):
    """Stands where a norm would: values unchanged."""

    def forward(self, values: Tensor, mask: Tensor | None = None) -> Tensor:
        return values
