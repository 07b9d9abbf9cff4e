"""The convolution: a kernel of pair features, factored so that no pair ever carries the channels."""

import math
from collections.abc import Sequence
from itertools import pairwise
from typing import Any, NamedTuple

import torch
from jaxtyping import Float, Int
from torch import Tensor, nn

from hlieconv.nn.recomputation import recomputed
from systems.tracing import autocast_dtype

#: Moving a value costs as much as so many multiplications.
MOVE = 8


class Pairs(NamedTuple):
    """The geometry that a convolution takes: computed once, shared by layers.

    m query points, each with k neighbours among n input points. Without batch dimensions they are the same for a whole
    batch of values, as for images of one size: then the kernel is evaluated once, not once an entry.
    """

    features: Float[Tensor, "*batch m k a"]
    """Of query i and its neighbour j: log(v_j^-1 u_i), orbit_i, orbit_j; or any invariants of the two."""
    weight: Float[Tensor, "*batch m k"] | None = None
    """0 where there is none (masked, or out of the ball), else 1 or the value of a smooth cutoff; None: all 1."""
    neighbour: Int[Tensor, "*batch m k"] | None = None
    """Which input point each neighbour is; None: k = n, and neighbour j is input point j."""


def gather(values: Float[Tensor, "*batch n c"], index: Int[Tensor, "..."]) -> Float[Tensor, "... c"]:
    """The rows of ``values`` that ``index (*batch, ...)`` names, within each entry of the batch.

    Example:
        >>> gather(torch.tensor([[1.0, 2.0], [3.0, 4.0]]), torch.tensor([1, 1, 0]))
        tensor([[3., 4.],
                [3., 4.],
                [1., 2.]])
    """
    *batch, n, c = values.shape
    first = n * torch.arange(math.prod(batch), device=index.device)
    rows = index + first.reshape(*batch, *(1 for _ in index.shape[len(batch) :]))
    return values.reshape(math.prod(batch) * n, c).index_select(0, rows.flatten()).reshape(*index.shape, c)


def rows_of(values: Float[Tensor, "*batch n c"], rows: Int[Tensor, "..."]) -> Float[Tensor, "... c"]:
    """The rows ``(*batch, m)`` of each entry of the batch, or ``(m,)`` of all of them.

    Example:
        >>> rows_of(torch.arange(6.0).reshape(3, 2, 1), torch.tensor([1])).flatten()
        tensor([1., 3., 5.])
    """
    return values.index_select(-2, rows) if rows.ndim == 1 else gather(values, rows)


def linear(narrow: int, wide: int) -> nn.Linear:
    """A linear layer that preserves the size of what passes through it and the Swish before it (He et al. 2015).

    With torch's own first weights the output of a fresh network hardly depends on where the points are.
    """
    layer = nn.Linear(narrow, wide)
    nn.init.kaiming_normal_(layer.weight, nonlinearity="relu")
    return layer


def perceptron(widths: Sequence[int]) -> nn.Sequential:
    """Linear layers of these widths with Swish between them: smooth, as a Hamiltonian must be."""
    layers: list[nn.Module] = []
    for narrow, wide in pairwise(widths):
        layers += [linear(narrow, wide), nn.SiLU()]
    return nn.Sequential(*layers[:-1])


class LieConv(nn.Module):
    """h_i = (1/n_i) sum_j k(a_ij) f_j, for pair features a_ij and a kernel k of out_channels x in_channels values.

    The kernel is factored (the PointConv trick): k(a) = sum_c s_c(a) W_c, with s a perceptron of a and W_c matrices, so
    that a pair carries ``mid_channels`` values and never the channels. Of the two orders of the products, sum over
    neighbours then W, or W then sum over neighbours, the cheaper one is taken; they agree to rounding.

    Whatever stands at an input point that is no pair's neighbour (weight 0) must be finite.

    Args:
        in_channels: channels of the input values.
        out_channels: channels of the output values.
        pair_channels: how many features a pair has.
        widths: the hidden layers of the kernel; None: the pair features are the functions s_c themselves, as
            `RadialFunctions` are, and there is no perceptron.
        mid_channels: how many matrices W_c there are; without a perceptron, as many as pair features.
        aggregation: "mean" divides by the sum of the weights, "sum" does not.
        tile: queries computed at a time, each tile computed again in the backward pass (and in the backward pass of
            that), so that memory no longer grows as m k times the widths; None: all at once, nothing twice.

    Raises:
        ValueError: for an unknown aggregation.

    Source: Finzi et al. 2020 (arXiv:2002.12880), eqs. 7 and 9; Wu et al. 2019 (arXiv:1811.07246).

    Example:
        >>> layer = LieConv(in_channels=8, out_channels=4, pair_channels=2)
        >>> points, values = torch.randn(10, 5, 2), torch.randn(10, 5, 8)
        >>> pairs = Pairs(points[:, :, None] - points[:, None])
        >>> layer(values, pairs).shape
        torch.Size([10, 5, 4])
    """

    def __init__(
        self,
        in_channels: int,
        out_channels: int,
        pair_channels: int,
        *,
        widths: Sequence[int] | None = (32, 32),
        mid_channels: int = 16,
        aggregation: str = "mean",
        tile: int | None = None,
    ) -> None:
        super().__init__()
        if aggregation not in ("mean", "sum"):
            raise ValueError(f"aggregation: expected mean or sum, got {aggregation!r}")
        self.aggregation = aggregation
        self.pair_channels = pair_channels
        self.tile = tile
        if widths is None:
            mid_channels = pair_channels
        self.kernel = nn.Sequential() if widths is None else perceptron((pair_channels, *widths, mid_channels))
        self.weight = nn.Parameter(
            torch.randn(mid_channels, in_channels, out_channels) / math.sqrt(mid_channels * in_channels)
        )
        self.bias = nn.Parameter(torch.zeros(out_channels))

    def forward(self, values: Float[Tensor, "*batch n c_in"], pairs: Pairs) -> Float[Tensor, "*batch m c_out"]:
        """The values at the query points.

        Raises:
            ValueError: if the values or the pairs have other channels or numbers of points.
        """
        self._check(values, pairs)
        if self.tile is not None and pairs.features.shape[-3] > self.tile:
            return self._tiled(values, pairs)
        kernel = self._kernel(pairs)
        m, k, _ = kernel.shape[-3:]
        if kernel.ndim == 3 < values.ndim + 1:
            total = _of_shared_pairs(kernel, values, pairs.neighbour, self.weight)
        elif pairs.neighbour is not None:
            total = _weight_last(kernel, gather(values, pairs.neighbour), self.weight)
        elif self._weight_last_is_cheaper(math.prod(values.shape[:-2]), m, k):
            total = _weight_last(kernel, values, self.weight)
        else:
            total = _sum_last(kernel, self.weighted(values))
        return self._finished(total, pairs)

    def weighted(self, values: Float[Tensor, "*batch n c_in"]) -> Float[Tensor, "*batch n c"]:
        """W_c f_j for all c: what does not depend on the geometry. `sum` does the rest of `forward`.

        Of values that stay while the points move, this part is computed once.
        """
        mid, c_in, c_out = self.weight.shape
        return values @ self.weight.transpose(0, 1).reshape(c_in, mid * c_out)

    def sum(self, weighted: Float[Tensor, "*some n c"], pairs: Pairs) -> Float[Tensor, "*batch m c_out"]:
        """The values at the query points, where all input points are neighbours (``pairs.neighbour`` is None)."""
        return self._finished(_sum_last(self._kernel(pairs), weighted), pairs)

    def _weight_last_is_cheaper(self, entries: int, m: int, k: int) -> bool:
        """Products k columns wide, as in its backward pass, count double; `weighted` moves the weights once."""
        c_in, c_out = self.weight.shape[1:]
        weight_last = entries * m * c_in * (2 * k + c_out)
        return weight_last <= entries * k * c_out * (m + c_in) + MOVE * c_in * c_out

    def _kernel(self, pairs: Pairs) -> Tensor:
        if autocast_dtype(pairs.features) is None:
            kernel = self.kernel(pairs.features)
        else:  # coordinates are not rounded
            with torch.autocast(pairs.features.device.type, enabled=False):
                kernel = self.kernel(pairs.features)
        return kernel if pairs.weight is None else kernel * pairs.weight[..., None]

    def _finished(self, total: Tensor, pairs: Pairs) -> Tensor:
        if self.aggregation == "sum":
            return total + self.bias
        if pairs.weight is None:
            return total / pairs.features.shape[-2] + self.bias
        count = pairs.weight.sum(-1, keepdim=True)
        return total / torch.where(count > 0, count, 1) + self.bias

    def _check(self, values: Tensor, pairs: Pairs) -> None:
        if values.shape[-1] != self.weight.shape[1]:
            raise ValueError(f"values: expected {self.weight.shape[1]} channels, got shape {tuple(values.shape)}")
        k, channels = pairs.features.shape[-2:]
        n = values.shape[-2] if pairs.neighbour is None else pairs.neighbour.shape[-1]
        if channels != self.pair_channels or k != n:
            raise ValueError(
                f"pairs: expected features of {self.pair_channels} channels and {n} neighbours, "
                f"got shape {tuple(pairs.features.shape)}"
            )

    def _tiled(self, values: Tensor, pairs: Pairs) -> Tensor:
        names, parameters = zip(*self.named_parameters(), strict=True)
        given = [part is not None for part in pairs]

        def convolve(values: Tensor, *tensors: Tensor) -> Tensor:
            parts = iter(tensors[len(names) :])
            tile = Pairs(*(next(parts) if there else None for there in given))  # type: ignore[arg-type]
            return torch.func.functional_call(self, dict(zip(names, tensors, strict=False)), (values, tile))

        queries = (-3, -2, -2)  # their axis in features, weight and neighbour
        blocks = [part.split(self.tile, axis) for part, axis in zip(pairs, queries, strict=True) if part is not None]
        tiles = [recomputed(convolve, values, *parameters, *tile) for tile in zip(*blocks, strict=True)]
        return torch.cat(tiles, -2)


def _weight_last(kernel: Tensor, values: Tensor, weight: Tensor) -> Tensor:
    """sum_c W_c (sum_j s_ijc f_j), for values of the input points or, gathered, of each query's neighbours."""
    m, k, mid = kernel.shape[-3:]
    if values.ndim == kernel.ndim:
        summed = kernel.mT @ values
    else:  # one product for all the queries: broadcasting would repeat the values for each
        summed = kernel.mT.reshape(*kernel.shape[:-3], m * mid, k) @ values
    return summed.reshape(*kernel.shape[:-2], mid * values.shape[-1]) @ weight.flatten(0, 1)


def _of_shared_pairs(kernel: Tensor, values: Tensor, neighbour: Tensor | None, weight: Tensor) -> Tensor:
    """sum_c W_c (sum_j s_ijc f_j) for one geometry: the entries of the batch are columns of one product."""
    m, k, mid = kernel.shape
    *batch, n, c_in = values.shape
    entries = math.prod(batch)  # there may be none
    columns = values.reshape(entries, n, c_in).transpose(0, 1).reshape(n, entries * c_in)
    if neighbour is None:
        summed = kernel.mT.reshape(m * mid, k) @ columns
    else:
        if (rounded := autocast_dtype(kernel)) is not None:  # for the backward pass too
            kernel, columns = kernel.to(rounded), columns.to(rounded)
        # Of a Function, compiled code loses the second derivatives.
        sums = _of_neighbours if torch.compiler.is_compiling() else _OfNeighbours.apply
        summed = sums(kernel, columns, neighbour)
    summed = summed.reshape(m, mid, entries, c_in).permute(2, 0, 1, 3)
    return (summed.reshape(entries, m, mid * c_in) @ weight.flatten(0, 1)).reshape(*batch, m, weight.shape[-1])


def _of_neighbours(kernel: Tensor, columns: Tensor, neighbour: Tensor) -> Tensor:
    """sum_j s_ijc f_j over the neighbours j of each query i."""
    return kernel.mT @ _gathered(columns, neighbour)


class _OfNeighbours(torch.autograd.Function):
    """The same, but the values of the pairs are gathered again for the derivatives, not kept."""

    generate_vmap_rule = True

    @staticmethod
    def forward(kernel: Tensor, columns: Tensor, neighbour: Tensor) -> Tensor:
        return _of_neighbours(kernel, columns, neighbour)

    @staticmethod
    def setup_context(ctx: Any, inputs: tuple, output: Tensor) -> None:
        ctx.save_for_backward(*inputs)
        ctx.save_for_forward(*inputs)

    @staticmethod
    def backward(ctx: Any, cotangent: Tensor) -> tuple[Tensor, Tensor, None]:  # type: ignore[override]
        kernel, columns, neighbour = ctx.saved_tensors
        of_pairs = (kernel @ cotangent).flatten(0, 1)
        of_columns = torch.zeros_like(columns).index_add(0, neighbour.flatten(), of_pairs)
        return _gathered(columns, neighbour) @ cotangent.mT, of_columns, None

    @staticmethod
    def jvp(ctx: Any, kernel_tangent: Tensor, columns_tangent: Tensor, _: None) -> Tensor:  # type: ignore[override]
        kernel, columns, neighbour = ctx.saved_tensors
        return kernel_tangent.mT @ _gathered(columns, neighbour) + kernel.mT @ _gathered(columns_tangent, neighbour)


def _gathered(columns: Tensor, neighbour: Tensor) -> Tensor:
    return columns.index_select(0, neighbour.flatten()).unflatten(0, neighbour.shape)


def _sum_last(kernel: Tensor, weighted: Tensor) -> Tensor:
    """sum_jc s_ijc (W_c f_j)."""
    m, k, mid = kernel.shape[-3:]
    weighted = weighted.reshape(*weighted.shape[:-2], k * mid, weighted.shape[-1] // mid)
    return kernel.reshape(*kernel.shape[:-3], m, k * mid) @ weighted
