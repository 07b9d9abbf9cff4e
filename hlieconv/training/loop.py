"""The training loop. It knows a loss and a stream of batches, and nothing of physics."""

import math
import sys
import time
import warnings
from collections.abc import Callable
from typing import Any

import torch
from torch import Tensor, nn
from tqdm import tqdm

from hlieconv.training.checkpoint import finite
from hlieconv.training.optimisers import OPTIMISERS, Average, cosine
from hlieconv.training.run import Run


class Shuffle:
    """Batches of indices of ``count`` samples, in a new random order every epoch.

    The batch of a step is a function of the seed and the step alone, so that a resumed training sees the same ones. The
    remainder that does not fill a batch is left out of its epoch. The order is drawn on the CPU, once an epoch.

    Example:
        >>> batches = Shuffle(count=4, batch=2, seed=0)
        >>> sorted(torch.cat([batches(0), batches(1)]).tolist())
        [0, 1, 2, 3]
    """

    def __init__(self, count: int, batch: int, *, seed: int, device: torch.device | str = "cpu") -> None:
        if count < 1 or batch < 1:
            raise ValueError(f"count and batch: expected positive numbers, got {count} and {batch}")
        self.count, self.batch, self.seed, self.device = count, min(batch, count), seed, device
        self.steps_per_epoch = count // self.batch
        self._epoch, self._order = -1, torch.empty(0)

    def __call__(self, step: int) -> Tensor:
        """The indices ``(batch,)`` of a step."""
        epoch, position = divmod(step, self.steps_per_epoch)
        if epoch != self._epoch:
            generator = torch.Generator().manual_seed(_mix(self.seed, epoch))
            self._epoch, self._order = epoch, torch.randperm(self.count, generator=generator).to(self.device)
        return self._order[position * self.batch : (position + 1) * self.batch]


def train(
    model: nn.Module,
    loss: Callable[[Any, Any], Tensor],
    batches: Callable[[int], Any],
    *,
    steps: int,
    optimiser: str = "adam",
    learning_rate: float = 1e-3,
    warmup: float = 0.0,
    weight_average: float = 0.0,
    seed: int = 0,
    validate: Callable[[Any], Tensor] | None = None,
    run: Run | None = None,
    records: int = 100,
    checkpoint_seconds: float = 120.0,
    checkpoint_steps: int | None = None,
    progress: bool = True,
) -> list[dict[str, float | int]]:
    """Minimise ``loss(model, batches(step))`` over the model's parameters, in place.

    The learning rate falls to zero by a cosine; the model ends with the average of its weights. Any randomness in the
    loss is drawn from torch's own generators, seeded by ``(seed, step)``. With a `run`, everything that the training
    needs is kept on disk, and the same call goes on where it was killed: with the same bits on a CPU.

    Args:
        model: what is trained, on its device.
        loss: ``loss(model, batch)``, a scalar on the model's device.
        batches: ``batches(step)``, the batch of a step; a function of the step alone (see `Shuffle`).
        steps: updates in all.
        optimiser: a name in `OPTIMISERS`.
        learning_rate: the largest one.
        warmup: the fraction of the steps during which the learning rate rises.
        weight_average: decay of the average, a step; 0 ends with the last weights.
        seed: of the randomness in the loss.
        validate: ``validate(model)``, a scalar, evaluated with the averaged weights at every record.
        run: the folder that keeps checkpoints and metrics.
        records: how many times the losses are read, recorded and validated.
        checkpoint_seconds: time between checkpoints.
        checkpoint_steps: steps between checkpoints, if that comes first.
        progress: show a bar, on a terminal.

    Returns:
        One record a row of metrics.jsonl: step, loss (its mean since the last record), validation, learning_rate,
        seconds (of training).

    Warns:
        RuntimeWarning: if the loss stops being finite: the training ends, with the last good weights.
    """
    parameters = [parameter for parameter in model.parameters() if parameter.requires_grad]
    if not parameters:
        raise ValueError("model: nothing to train, no parameter requires a gradient")
    update = OPTIMISERS[optimiser](parameters, learning_rate)
    average = Average(model, weight_average)
    total = torch.zeros((), dtype=torch.float64, device=parameters[0].device)  # of the losses since the last record
    state = _State(model, update, average, total)
    if run is not None and (kept := run.checkpoint()) is not None:
        state.restore(kept)
    good = state.tree()
    history = [] if run is None else run.history(until=state.step)
    every = max(1, steps // records)
    started, saved = time.monotonic() - state.seconds, time.monotonic()
    bar = tqdm(total=steps, initial=state.step, disable=not (progress and sys.stderr.isatty()), leave=False)
    cuda = [parameters[0].device] if parameters[0].is_cuda else []
    with bar, torch.random.fork_rng(devices=cuda):
        while state.step < steps:
            step = state.step
            torch.manual_seed(_mix(seed, step))
            rate = learning_rate * cosine(step, steps, warmup)
            for group in update.param_groups:
                group["lr"] = rate
            update.zero_grad(set_to_none=True)
            value = loss(model, batches(step))
            value.backward()
            update.step()
            average.update(step)
            total += value.detach()
            state.step += 1
            recorded = state.step % every == 0 or state.step == steps
            if recorded:
                record = {"step": state.step, "loss": total.item() / (state.step - state.recorded)}
                if not math.isfinite(record["loss"]) or not finite(parameters):
                    break
                if validate is not None:
                    record["validation"] = _validation(model, average, validate)
                record |= {"learning_rate": rate, "seconds": time.monotonic() - started}
                history.append(record)
                if run is not None:
                    run.record(record)
                total.zero_()
                state.recorded = state.step
                bar.set_postfix(loss=f"{record['loss']:.3g}")
            bar.update()
            due = time.monotonic() - saved > checkpoint_seconds
            if due or (checkpoint_steps and state.step % checkpoint_steps == 0):
                state.seconds = time.monotonic() - started
                tree = state.tree()
                if not finite(tree["model"]) or not finite(tree["total"]):
                    break
                good, saved = tree, time.monotonic()
                if run is not None:
                    run.save_checkpoint(tree)
    if state.step < steps or not finite(parameters):
        diverged = state.step
        state.restore(good)
        history = [record for record in history if record["step"] <= state.step]
        warnings.warn(
            f"the loss is not finite at step {diverged}: training ends with the weights of step {state.step}; "
            "a smaller learning_rate may help",
            RuntimeWarning,
            stacklevel=2,
        )
    average.swap()
    return history


class _State:
    """All that a training is: what a checkpoint holds."""

    def __init__(self, model: nn.Module, update: torch.optim.Optimizer, average: Average, total: Tensor) -> None:
        self.model, self.update, self.average, self.total = model, update, average, total
        self.step, self.recorded, self.seconds = 0, 0, 0.0

    def tree(self) -> dict[str, Any]:
        """A copy, on the CPU."""
        tree = {
            "step": self.step,
            "recorded": self.recorded,
            "seconds": self.seconds,
            "total": self.total,
            "model": dict(self.model.state_dict()),
            "average": self.average.weights,
            "optimiser": self.update.state_dict(),
        }
        return _copy(tree)

    def restore(self, tree: dict[str, Any]) -> None:
        self.step, self.recorded, self.seconds = tree["step"], tree["recorded"], tree["seconds"]
        self.total.copy_(tree["total"])
        self.model.load_state_dict(tree["model"])
        self.average.restore(tree["average"])
        self.update.load_state_dict(_copy(tree["optimiser"]))


def _copy(tree: Any) -> Any:
    if isinstance(tree, Tensor):
        return tree.detach().cpu().clone()
    if isinstance(tree, dict):
        return {key: _copy(value) for key, value in tree.items()}
    return [_copy(value) for value in tree] if isinstance(tree, list | tuple) else tree


def _validation(model: nn.Module, average: Average, validate: Callable[[Any], Tensor]) -> float:
    """With the averaged weights, and the model in its evaluation mode."""
    training = model.training
    average.swap()
    model.eval()
    with torch.no_grad():
        value = validate(model).item()
    model.train(training)
    average.swap()
    return value


def _mix(seed: int, step: int) -> int:
    """One seed out of two numbers, the same everywhere (splitmix64's finaliser)."""
    value = (seed * 0x9E3779B97F4A7C15 + step + 1) % 2**64
    value = (value ^ (value >> 30)) * 0xBF58476D1CE4E5B9 % 2**64
    value = (value ^ (value >> 27)) * 0x94D049BB133111EB % 2**64
    return (value ^ (value >> 31)) % 2**63
