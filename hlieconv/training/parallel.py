"""One training by many processes: each takes a share of every batch, and one sum over all of them a step is enough.

Beside the gradients it holds what has to be the same everywhere: the loss, statistics of norms, and whether to stop.
"""

from collections.abc import Callable
from contextlib import AbstractContextManager
from itertools import chain
from typing import Any

import torch
import torch.distributed as distributed
from torch import Tensor, nn
from torch.utils._pytree import tree_leaves, tree_map_only

from hlieconv.nn import MaskedBatchNorm, Neighbourhood
from hlieconv.training.sharing import sharing
from systems.checks import check
from systems.ranks import Ranks, in_one_line

#: Steps after which all processes look whether one of them was asked to stop: looking makes a host wait for its device.
LOOK = 10


class Parallel:
    """The processes that train a model together.

    Args:
        model: on the device of this process; all take the weights and buffers of the first one.
        ranks: the processes.
        weight: ``weight(batch)``, of how many equal parts the loss of a batch is the mean; by default the samples.
    """

    def __init__(self, model: nn.Module, ranks: Ranks, weight: Callable[[Any], Tensor | float] | None = None) -> None:
        self.ranks, self.weight = ranks, weight or _samples
        self.parameters = [parameter for parameter in model.parameters() if parameter.requires_grad]
        found = [x for module in model.modules() if _follows(module) for x in module._buffers.values()]
        self.statistics = [x for x in found if x is not None and x.is_floating_point()]
        self.asked = self.agreed = (False, False)
        self.sums = self.most = 0
        if ranks.size > 1:
            with torch.no_grad():
                for tensor in chain(model.parameters(), model.buffers()):
                    whole = tensor.detach().contiguous()
                    distributed.broadcast(whole, 0)
                    tensor.copy_(whole)

    def share(self, batch: Any) -> Any:
        """What this process takes of a batch: of each of its tensors, some neighbours along the first dim.

        Raises:
            ValueError: if there are fewer samples than processes.
        """
        if self.ranks.size == 1:
            return batch
        count = _samples(batch)
        check("batch", count, count >= self.ranks.size, f"at least a sample for each of {self.ranks.size} processes")
        self.most = -(-count // self.ranks.size)
        return tree_map_only(Tensor, lambda x: x.tensor_split(self.ranks.size)[self.ranks.rank], batch)

    def sharing(self) -> AbstractContextManager[None]:
        """In this block losses are of the last share (see `training.sharing`)."""
        return sharing(self.ranks, self.most)

    @torch.no_grad()
    def mean(self, loss: Tensor, share: Any) -> Tensor:
        """The loss of the whole batch, whose gradients and statistics take the place of this process's own.

        Raises:
            ValueError: if another process has ended.
        """
        if self.ranks.size == 1:
            return loss
        pieces = [torch.zeros_like(x) if x.grad is None else x.grad for x in self.parameters]
        pieces = [x.to(loss.dtype).flatten() for x in (*pieces, *self.statistics, loss)]
        weight = torch.as_tensor(self.weight(share), dtype=loss.dtype, device=loss.device).reshape(1)
        flags = torch.tensor(self.asked, dtype=loss.dtype, device=loss.device)
        whole = torch.cat([torch.cat(pieces) * weight, weight, flags])
        with in_one_line():
            distributed.all_reduce(whole)
        values, total, flags = whole.split([sum(map(len, pieces)), 1, len(flags)])
        *means, mean = (values / total).split([len(x) for x in pieces])
        self.sums += 1
        if self.sums % LOOK == 0:
            stop, due = flags.tolist()
            self.agreed = stop > 0, due > 0
        for parameter, piece in zip(self.parameters, means, strict=False):
            if parameter.grad is None:
                parameter.grad = torch.zeros_like(parameter)
            parameter.grad.copy_(piece.view_as(parameter))  # in its place: a graph writes there again
        for statistic, piece in zip(self.statistics, means[len(self.parameters) :], strict=True):
            statistic.copy_(piece.view_as(statistic))
        return mean.view_as(loss)

    def agree(self, stop: bool, due: bool) -> tuple[bool, bool]:
        """Whether all stop, and whether a checkpoint is due, for all at the same step: a few steps after one said so.

        Args:
            stop: whether this process was asked to.
            due: whether it is time, which the first process decides.
        """
        if self.ranks.size == 1:
            return stop, due
        self.asked = stop, due and self.ranks.is_first
        agreed, self.agreed = self.agreed, (False, False)
        return agreed

    def draw_apart(self) -> None:
        """From here on the random numbers of each process are its own: up to here all have drawn the same."""
        if self.ranks.size > 1:
            torch.manual_seed((torch.initial_seed() + 0x9E3779B97F4A7C15 * (1 + self.ranks.rank)) % 2**64)


def _follows(module: nn.Module) -> bool:
    """Whether the buffers of a module follow the batches."""
    norms = (MaskedBatchNorm, nn.BatchNorm1d, nn.BatchNorm2d, nn.BatchNorm3d)
    return isinstance(module, norms) or (isinstance(module, Neighbourhood) and module.fill is not None)


def _samples(batch: Any) -> int:
    """How many samples a batch has."""
    return min(len(x) for x in tree_leaves(batch) if isinstance(x, Tensor))
