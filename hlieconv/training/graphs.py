"""A training step on a GPU as CUDA graphs: thousands of small launches become a few."""

import warnings
from collections.abc import Callable
from typing import Any, Generic, TypeVar

import torch
from torch import Tensor, nn
from torch.utils import _pytree as pytree

#: Calls before a graph is recorded, in which kernels are chosen and compiled.
WARM = 3
#: Shapes of batches that get a graph of their own; each holds the memory of a step.
MOST = 32

Result = TypeVar("Result")


class Recorded(Generic[Result]):
    """Work on a GPU with tensors that stay where they are: after `WARM` calls, the replay of its kernels.

    Beside the values in these tensors nothing may change from call to call but torch's own random numbers. Work that
    looks at a value, as an integrator does that chooses its steps, cannot be recorded.

    Args:
        work: without arguments; what it gives is written over by the next call.
        pool: of memory, shared with other graphs that are never replayed at the same time.

    Raises:
        RuntimeError: at the call after the last warm one, if the work cannot be recorded.
    """

    def __init__(self, work: Callable[[], Result], pool: Any = None) -> None:
        self.work, self.pool, self.calls = work, pool, 0
        self.graph: torch.cuda.CUDAGraph | None = None

    def __call__(self) -> Result:
        self.calls += 1
        if self.calls <= WARM:
            stream = torch.cuda.Stream()  # what is recorded later must not have begun on the usual one
            stream.wait_stream(torch.cuda.current_stream())
            with torch.cuda.stream(stream):
                result = self.work()
            torch.cuda.current_stream().wait_stream(stream)
            return result
        if self.graph is None:
            graph = torch.cuda.CUDAGraph()
            with torch.cuda.graph(graph, pool=self.pool):
                self.result = self.work()
            self.graph = graph
        self.graph.replay()
        return self.result


class Gradients:
    """``loss(model, batch)``, its gradients put in place of those that the parameters have.

    Args:
        model: what is trained.
        loss: ``loss(model, batch)``, a scalar.
    """

    def __init__(self, model: nn.Module, loss: Callable[[Any, Any], Tensor]) -> None:
        self.model, self.loss = model, loss
        self.parameters = [parameter for parameter in model.parameters() if parameter.requires_grad]

    def __call__(self, batch: Any) -> Tensor:
        for parameter in self.parameters:
            parameter.grad = None
        value = self.loss(self.model, batch)
        value.backward()
        return value.detach()


class RecordedGradients(Gradients):
    """The same on a GPU, `Recorded` for each shape of batches, which are trees of tensors there.

    Warns:
        UserWarning: if the loss cannot be recorded: it goes on without.
    """

    def __init__(self, model: nn.Module, loss: Callable[[Any, Any], Tensor]) -> None:
        super().__init__(model, loss)
        self.pool = torch.cuda.graph_pool_handle()
        self.recorded: dict[Any, tuple[list[Tensor], Recorded[Tensor]]] = {}
        self.able = True

    def __call__(self, batch: Any) -> Tensor:
        given, tree = pytree.tree_flatten(batch)
        shapes = (tree, *((x.shape, x.dtype) for x in given))
        if not self.able or (shapes not in self.recorded and len(self.recorded) == MOST):
            return self.in_place(batch)
        if shapes not in self.recorded:
            own = [x.clone() for x in given]
            batch = pytree.tree_unflatten(own, tree)
            self.recorded[shapes] = own, Recorded(lambda: self.in_place(batch), self.pool)
        own, work = self.recorded[shapes]
        for mine, x in zip(own, given, strict=True):
            mine.copy_(x)
        try:
            return work().clone()
        except RuntimeError as error:
            reason = str(error).partition("\n")[0]
            warnings.warn(f"a step of this training is not recorded as a CUDA graph ({reason})", stacklevel=2)
            self.able = False
            self.recorded.clear()
            return self.in_place(batch)

    def in_place(self, batch: Any) -> Tensor:
        """The gradients stay in the same memory."""
        for parameter in self.parameters:
            if parameter.grad is None:
                parameter.grad = torch.zeros_like(parameter)
            parameter.grad.zero_()
        value = self.loss(self.model, batch)
        value.backward()
        return value.detach()
