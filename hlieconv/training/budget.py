"""How many epochs a training of so many hours has: its steps are timed before it begins."""

import copy
import time
from collections.abc import Callable
from typing import Any, NamedTuple

import torch
from torch import Tensor, nn

from hlieconv.training.loop import train
from systems.checks import check

#: Steps that are timed, after a few that are not: the first ones set up the optimiser.
WARM, TIMED = 2, 20
#: There batches of every shape are recorded first, which is most of the work of the first steps.
WARM_ON_GPU, TIMED_ON_GPU = 200, 100


class Cost(NamedTuple):
    """What a training spends, in seconds: of the processor, summed over its threads, or on a GPU of the clock."""

    step: float
    record: float
    """A validation."""

    def epochs(self, hours: float, *, steps_per_epoch: int, records: int) -> float:
        """How many epochs so many hours pay for.

        Raises:
            ValueError: if they do not pay for a step.

        Example:
            >>> Cost(step=0.1, record=6.0).epochs(1.0, steps_per_epoch=1000, records=100)
            30.0
        """
        steps = (3600 * hours - records * self.record) / self.step
        words = f"more hours: a step takes {self.step:.3g} s, {records} validations {records * self.record:.3g} s"
        check("hours", hours, steps >= 1, words)
        return round(steps / steps_per_epoch, 3)


def cost(
    model: nn.Module,
    loss: Callable[[Any, Any], Tensor],
    batches: Callable[[int], Any],
    *,
    optimiser: str,
    learning_rate: float,
    validate: Callable[[Any], Tensor] | None = None,
) -> Cost:
    """The seconds that a step and a validation take, measured on a copy of the model."""
    model = copy.deepcopy(model)
    gpu = next(model.parameters()).is_cuda
    clock = time.perf_counter if gpu else time.process_time

    def seconds(work: Callable[[], Any]) -> float:
        if gpu:
            torch.cuda.synchronize()
        start = clock()
        work()
        if gpu:
            torch.cuda.synchronize()
        return clock() - start

    def steps(count: int) -> None:
        options = {"optimiser": optimiser, "learning_rate": learning_rate, "records": 1, "progress": False}
        train(model, loss, batches, steps=count, graphs=gpu, **options)  # type: ignore[arg-type]

    warm, timed = (WARM_ON_GPU, TIMED_ON_GPU) if gpu else (WARM, TIMED)
    if gpu:
        steps(warm)  # its first kernels are loaded once
    first, more = seconds(lambda: steps(warm)), seconds(lambda: steps(warm + timed))
    record = 0.0
    if validate is not None:
        with torch.no_grad():
            record = seconds(lambda: validate(model))
    return Cost(max(more - first, 1e-9) / timed, record)
