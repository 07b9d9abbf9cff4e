"""Optimisers, the learning rate's schedule, and the average of the weights."""

import math
from collections.abc import Iterable

import torch
from torch import Tensor, nn

from hlieconv.training.soap import SOAP


def adam(parameters: Iterable[nn.Parameter], learning_rate: float) -> torch.optim.Optimizer:
    """Adam (Kingma and Ba 2015)."""
    return torch.optim.Adam(parameters, lr=learning_rate)


def soap(parameters: Iterable[nn.Parameter], learning_rate: float) -> torch.optim.Optimizer:
    """Adam in the eigenbasis of Shampoo's preconditioner (see `SOAP`).

    On smooth regressions such as forces it ends a hundred times below Adam for the same number of steps.
    """
    return SOAP(parameters, learning_rate)


def lbfgs(parameters: Iterable[nn.Parameter], learning_rate: float) -> torch.optim.Optimizer:
    """L-BFGS with a line search (Nocedal and Wright 2006, chapter 7), up to 20 evaluations a step.

    For few free parameters and batches that hold all data: those of a known system, to round-off.
    """
    return torch.optim.LBFGS(
        parameters, lr=learning_rate, line_search_fn="strong_wolfe", tolerance_grad=0.0, tolerance_change=0.0
    )


#: Every optimiser by its name on the command line (settings.py lists the names).
OPTIMISERS = {"adam": adam, "soap": soap, "lbfgs": lbfgs}


def cosine(step: int, steps: int, warmup: float = 0.0) -> float:
    """The factor of the learning rate at ``step``: up linearly over ``warmup * steps``, then by a cosine to zero.

    Example:
        >>> [round(cosine(step, 4), 3) for step in range(5)]
        [1.0, 0.854, 0.5, 0.146, 0.0]
    """
    rise = warmup * steps
    if step < rise:
        return (step + 1) / (rise + 1)
    return 0.5 * (1 + math.cos(math.pi * (step - rise) / (steps - rise)))


class Average:
    """The exponential average of a model's parameters: smoother than the last ones, for free.

    The early weights count for little: after t steps the decay is at most (1 + t) / (10 + t).

    Args:
        model: the model whose parameters are averaged.
        decay: of the average, a step; 0 means the last weights.
    """

    def __init__(self, model: nn.Module, decay: float) -> None:
        self.parameters = list(model.parameters())
        self.decay = decay
        self.weights = [parameter.detach().clone() for parameter in self.parameters]

    @torch.no_grad()
    def update(self, step: int) -> None:
        """Take in the parameters after step number ``step``, counted from 0."""
        decay = min(self.decay, (1 + step) / (10 + step))
        average = torch.optim.swa_utils.get_ema_multi_avg_fn(decay)
        average(self.weights, [parameter.detach() for parameter in self.parameters], None)

    @torch.no_grad()
    def swap(self) -> None:
        """Exchange the model's parameters and the average; twice is nothing at all."""
        for weight, parameter in zip(self.weights, self.parameters, strict=True):
            held = parameter.detach().clone()
            parameter.copy_(weight)
            weight.copy_(held)

    @torch.no_grad()
    def restore(self, weights: list[Tensor]) -> None:
        """Go on from the weights of a checkpoint."""
        for weight, kept in zip(self.weights, weights, strict=True):
            weight.copy_(kept)
