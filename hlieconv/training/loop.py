"""The training loop. It knows a loss and a stream of batches, and nothing of physics."""

import time
import warnings
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

import torch
from torch import Tensor, nn

from hlieconv.training.best import Best, check_patience
from hlieconv.training.checkpoint import finite
from hlieconv.training.graphs import Gradients, RecordedGradients
from hlieconv.training.interruption import between_steps
from hlieconv.training.optimisers import OPTIMISERS, Average, cosine
from hlieconv.training.parallel import Parallel
from hlieconv.training.run import Run
from systems.progress import progress as progress_bar
from systems.ranks import Ranks, ranks


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
    weight: Callable[[Any], Tensor | float] | None = None,
    validate: Callable[[Any], Tensor] | None = None,
    settle: Callable[[Any], None] | None = None,
    run: Run | None = None,
    records: int = 100,
    patience: int = 0,
    checkpoint_seconds: float | int = 120.0,
    checkpoint_steps: int | None = None,
    progress: bool = True,
    graphs: bool = False,
    on_record: Callable[[dict[str, float | int]], None] | None = None,
) -> list[dict[str, float | int]]:
    """Minimise ``loss(model, batches(step))`` over the model's parameters, in place.

    The learning rate falls to zero by a cosine; the model ends in evaluation mode, with the average of its weights, as
    it does where Ctrl-C or an error of ``on_record`` ends the training. Any randomness in the loss is drawn from
    torch's own generators, seeded by ``(seed, step)``. With a `run`, all that the training needs is kept on disk, and
    the same call goes on where it was killed: with the same bits on a CPU.

    Under torchrun all processes make the same call. Each takes a share of every batch, all take the same step by the
    mean of their gradients, and the first one keeps the run: as one process would do it, to rounding, where the loss is
    a mean over samples. What is drawn at random in the loss, and the statistics of batch norms, are of each share.

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
        weight: ``weight(batch)``, of how many equal parts the loss is the mean; by default the samples. So much counts
            the share of a process.
        validate: ``validate(model)``, a scalar, evaluated with the averaged weights at every record.
        settle: ``settle(model)``, called when the averaged weights are in place, before they are validated and at the
            end: to measure again what depends on them, as the statistics of batch norms do.
        run: the folder that keeps checkpoints and metrics.
        records: how many times the losses are read, recorded and validated.
        patience: end after so many records without a better validation, and in any case with the averaged weights of
            the record that was validated best; 0: never, and the weights are the last ones.
        checkpoint_seconds: time between checkpoints.
        checkpoint_steps: steps between checkpoints, if that comes first.
        progress: show how far it is (see `systems.progress`).
        graphs: record a step's loss and gradients as a CUDA graph (see `RecordedGradients`).
        on_record: called with every record; what it raises ends the training.

    Returns:
        One record a row of metrics.jsonl: step, loss (its mean since the last record), validation, learning_rate,
        seconds (of training, validations included), cpu_seconds (the same, of the processor: all threads together).

    Raises:
        ValueError: if nothing can be trained, there is patience and no validation, or one of several processes ends.
        KeyboardInterrupt: after Ctrl-C, SIGTERM or SIGHUP, between two steps and with a checkpoint.

    Warns:
        RuntimeWarning: if the loss stops being finite: the training ends, with the last good weights.
    """
    parameters = [parameter for parameter in model.parameters() if parameter.requires_grad]
    if not parameters:
        raise ValueError("model: nothing to train, no parameter requires a gradient")
    check_patience(patience, held_out=validate is not None)
    best, all_ranks = Best(patience), ranks()
    parallel = Parallel(model, all_ranks, weight)
    average = Average(model, weight_average)
    state = _State(model, OPTIMISERS[optimiser](parameters, learning_rate), average, best, steps, parallel)
    history: list[dict[str, float | int]] = []
    kept = all_ranks.from_first(None if run is None else run.checkpoint())
    if kept is not None:
        state.restore(kept)
        history = kept.get("history", [])  # of version 0.1 they were in their file only
    if run is not None:
        run.begin(history)
    every = max(1, steps // records)
    started, saved = time.monotonic() - state.seconds, time.monotonic()
    cpu_started = time.process_time() - state.cpu_seconds
    good, diverged = state.weights(), False
    gradients = (RecordedGradients if graphs else Gradients)(model, loss)
    end = state.step if best.over else steps
    model.train()
    bar = progress_bar(steps, unit="steps", initial=state.step, shown=progress and all_ranks.is_first)
    with state.usable(), bar, between_steps() as asked, torch.random.fork_rng(devices=_devices(parameters)):
        while state.step < end:
            rate = learning_rate * cosine(state.step, steps, warmup)
            torch.manual_seed(_mix(seed, state.step))
            share = parallel.share(batches(state.step))
            parallel.draw_apart()
            state.update(gradients, share, rate)
            bar.update()
            record_due = state.step % every == 0 or state.step == steps
            stopping, late = parallel.agree(asked(), time.monotonic() - saved > checkpoint_seconds)
            in_turn = checkpoint_steps is not None and state.step % checkpoint_steps == 0
            checkpoint_due = stopping or late or in_turn
            if not (record_due or checkpoint_due):
                continue
            # Only here does the host wait for the device.
            diverged = not finite([state.loss, parameters])
            if diverged:
                break
            good = state.weights()
            state.seconds, state.cpu_seconds = time.monotonic() - started, time.process_time() - cpu_started
            if record_due:
                record = {"step": state.step, "loss": state.mean_loss()}
                if validate is not None:
                    record["validation"] = state.validation(validate, settle, all_ranks)
                record |= {"learning_rate": rate, "seconds": round(state.seconds, 3)}
                record["cpu_seconds"] = round(state.cpu_seconds, 3)
                history.append(record)
                bar.set_postfix(loss=f"{record['loss']:.3g}", refresh=False)
                if on_record is not None and all_ranks.is_first:
                    on_record(record)
                if run is not None:
                    run.record(record)
                if best.over:
                    end = state.step
            if checkpoint_due or state.step == end:
                if run is not None:
                    run.save_checkpoint(state.tree() | {"history": history})
                saved = time.monotonic()
            if stopping:
                raise KeyboardInterrupt
    if diverged:
        warnings.warn(
            f"the loss is not finite at step {state.step}: the training ends with the weights of step "
            f"{best.step if best.weights else good['step']}; try a smaller learning_rate",
            RuntimeWarning,
            stacklevel=2,
        )
        state.restore_weights(good)
    state.average.swap()
    if best.weights is not None:
        model.load_state_dict(best.weights)
    elif settle is not None:
        settle(model)
    model.eval()
    return history


class _State:
    """All that a training is at one moment: what a checkpoint holds."""

    def __init__(
        self,
        model: nn.Module,
        optimiser: torch.optim.Optimizer,
        average: Average,
        best: Best,
        steps: int,
        parallel: Parallel,
    ) -> None:
        self.model, self.optimiser, self.average, self.best, self.steps = model, optimiser, average, best, steps
        self.parallel = parallel
        self.step, self.recorded, self.seconds, self.cpu_seconds = 0, 0, 0.0, 0.0
        # The sum since the last record; on the device, so that no step waits for it.
        self.loss = torch.zeros((), dtype=torch.float64, device=average.weights[0].device)

    @contextmanager
    def usable(self) -> Iterator[None]:
        """Whatever ends this block by an error, the model is one that can be used."""
        try:
            yield
        except BaseException:
            self.average.swap()
            self.model.eval()
            raise

    def update(self, gradients: Callable[[Any], Any], batch: Any, rate: float) -> None:
        """One step of the optimiser."""
        for group in self.optimiser.param_groups:
            group["lr"] = rate

        def evaluate() -> Any:  # a tensor, where torch declares a float
            with self.parallel.sharing():
                loss = gradients(batch)
            return self.parallel.mean(loss, batch)

        self.loss += self.optimiser.step(evaluate)
        self.average.update(self.step)
        self.step += 1

    def mean_loss(self) -> float:
        """The mean since the last time this was asked."""
        mean = self.loss.item() / (self.step - self.recorded)
        self.loss.zero_()
        self.recorded = self.step
        return mean

    def validation(
        self, validate: Callable[[Any], Tensor], settle: Callable[[Any], None] | None, all_ranks: Ranks
    ) -> float:
        """With the averaged weights, and the model in its evaluation mode."""
        self.average.swap()
        try:
            if settle is not None:
                settle(self.model)
            self.model.eval()
            with torch.no_grad():
                value = all_ranks.from_first(validate(self.model).item())
            self.best.see(self.step, value, self.model)
        finally:
            self.model.train()
            self.average.swap()
        return value

    def weights(self) -> dict[str, Any]:
        """A copy of what the model knows."""
        return _copy({"step": self.step, "model": self.model.state_dict(), "average": self.average.weights})

    def restore_weights(self, tree: dict[str, Any]) -> None:
        self.step = tree["step"]
        self.model.load_state_dict(tree["model"])
        self.average.restore(tree["average"])

    def tree(self) -> dict[str, Any]:
        """A copy of everything."""
        rest = {"recorded": self.recorded, "seconds": self.seconds, "loss": self.loss, "steps": self.steps}
        rest["cpu_seconds"] = self.cpu_seconds
        rest["best"] = self.best.tree()
        return self.weights() | _copy(rest | {"optimiser": self.optimiser.state_dict()})

    def restore(self, tree: dict[str, Any]) -> None:
        self.restore_weights(tree)
        self.recorded, self.seconds = tree["recorded"], tree["seconds"]
        self.cpu_seconds = tree.get("cpu_seconds", 0.0)  # earlier versions kept none
        self.loss.copy_(tree["loss"])
        self.optimiser.load_state_dict(tree["optimiser"])
        self.best.restore(tree.get("best", {}))  # version 0.1 kept neither
        if tree.get("steps") != self.steps:  # the learning rate has changed: patience begins again
            self.best.waited = 0


def _devices(parameters: list[nn.Parameter]) -> list[torch.device]:
    """Those whose random generators the training uses, besides the CPU's."""
    return [parameters[0].device] if parameters[0].is_cuda else []


def _copy(tree: Any) -> Any:
    if isinstance(tree, Tensor):
        return tree.detach().cpu().clone()
    if isinstance(tree, dict):
        return {key: _copy(value) for key, value in tree.items()}
    return [_copy(value) for value in tree] if isinstance(tree, list | tuple) else tree


def _mix(seed: int, step: int) -> int:
    """One seed out of two numbers, the same everywhere (splitmix64's finaliser)."""
    value = (seed * 0x9E3779B97F4A7C15 + step + 1) % 2**64
    value = (value ^ (value >> 30)) * 0xBF58476D1CE4E5B9 % 2**64
    value = (value ^ (value >> 27)) * 0x94D049BB133111EB % 2**64
    return (value ^ (value >> 31)) % 2**63
