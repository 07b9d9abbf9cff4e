"""The bottleneck residual block: a convolution between two linear layers, beside the input."""

from collections.abc import Callable

import torch.nn.functional as F
from jaxtyping import Bool, Float, Int
from torch import Tensor, nn

from hlieconv.nn.convolution import LieConv, Pairs, linear, rows_of
from hlieconv.nn.normalisation import normalisation


class BottleneckBlock(nn.Module):
    """norm, Swish, Linear to a quarter, norm, Swish, LieConv, norm, Swish, Linear back; plus the input.

    Where the block has fewer queries than input points, the residual is the input at the queries; where it has more
    channels, the residual leaves the new ones alone.

    Args:
        in_channels: channels of the input values.
        out_channels: channels of the output values, at least as many.
        pair_channels: how many features a pair has.
        bottleneck: by how much the channels shrink for the convolution.
        normalise: what normalises at the three places (see `normalisation`); nothing for dynamics.
        convolution: makes the `LieConv` of its in_channels, out_channels and pair_channels. Its options are set once,
            as in ``partial(LieConv, mid_channels=8)``.

    Raises:
        ValueError: for fewer output than input channels.

    Source: Finzi et al. 2020 (arXiv:2002.12880), fig. 5; He et al. 2016 (arXiv:1603.05027).

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
        normalise: bool | str = False,
        convolution: Callable[..., LieConv] = LieConv,
    ) -> None:
        super().__init__()
        if out_channels < in_channels:
            raise ValueError(f"out_channels: expected at least in_channels = {in_channels}, got {out_channels}")
        narrow_in, narrow_out = max(1, in_channels // bottleneck), max(1, out_channels // bottleneck)
        self.widening = out_channels - in_channels
        self.norms = nn.ModuleList(
            normalisation(channels, normalise) for channels in (in_channels, narrow_in, narrow_out)
        )
        self.narrow = linear(in_channels, narrow_in)
        self.convolution = convolution(narrow_in, narrow_out, pair_channels)
        self.widen = linear(narrow_out, out_channels)

    def forward(
        self,
        values: Float[Tensor, "*batch n c_in"],
        pairs: Pairs,
        mask: Bool[Tensor, "*shared n"] | None = None,
        queries: Int[Tensor, "*shared m"] | None = None,
        weighted: Float[Tensor, "*some n c"] | None = None,
    ) -> Float[Tensor, "*batch m c_out"]:
        """The values at the query points.

        Args:
            values: the values at the input points, finite everywhere.
            pairs: queries and their neighbours.
            mask: which input points exist; None if all do.
            queries: which input points the queries are; None if they are all of them, in order.
            weighted: what the method of this name returned for these values, to spare it.
        """
        query_mask, residual = mask, values
        if queries is not None:
            residual = rows_of(values, queries)
            query_mask = None if mask is None else mask.gather(-1, queries)
        if weighted is None:
            hidden = self.convolution(self._narrowed(values, mask), pairs)
        else:
            hidden = self.convolution.sum(weighted, pairs)
        hidden = self.widen(F.silu(self.norms[2](hidden, query_mask)))
        return hidden + (F.pad(residual, (0, self.widening)) if self.widening else residual)

    def weighted(
        self, values: Float[Tensor, "*batch n c_in"], mask: Bool[Tensor, "*batch n"] | None = None
    ) -> Float[Tensor, "*batch n c"]:
        """All that the block computes before the geometry matters: once, for values that stay while the points move."""
        return self.convolution.weighted(self._narrowed(values, mask))

    def _narrowed(self, values: Tensor, mask: Tensor | None) -> Tensor:
        hidden = self.narrow(F.silu(self.norms[0](values, mask)))
        return F.silu(self.norms[1](hidden, mask))
