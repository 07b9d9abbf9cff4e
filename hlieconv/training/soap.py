"""SOAP: Adam in the eigenbasis of Shampoo's preconditioner, the parameters of one shape in one product."""

import math
from collections.abc import Callable
from typing import Any

import torch
from torch import Tensor, nn
from torch.optim.optimizer import ParamsT
from torch.utils._pytree import tree_leaves, tree_map

from hlieconv.training.graphs import Recorded

#: Axes longer than this keep the basis they have.
LONGEST = 2048
#: Steps from one refinement of the bases to the next.
EVERY = 10
#: Of the mean eigenvalue, what is added to all of them for a refinement.
SHIFT = 1e-6


class SOAP(torch.optim.Optimizer):
    """Adam in the eigenbasis of Shampoo's preconditioner (Vyas et al. 2024, arXiv:2409.11321).

    Along each axis k of a weight with two axes or more, the decaying mean L_k of G_k G_k^T, G_k being its gradient as a
    matrix whose rows are that axis, has eigenvectors Q_k. Adam is done in a basis that begins as the weight's own, and
    which one orthogonal iteration, a QR decomposition of (L_k + s) Q_k in float64, brings nearer to Q_k every `EVERY`
    steps. The shift s leaves the basis as it is where no gradient has been: what rounding would decide there, as it
    does in the eigenvectors of one gradient, would grow until two trainings that differ in the last bit have nothing
    in common. Weights of one shape are stacked, so that a step takes as many products as there are shapes: on a GPU
    launches are what it costs.

    Args:
        parameters: what is trained, real and of one device; or groups of it, each perhaps with a rate of its own.
        lr: the learning rate, which may change from step to step in ``param_groups``.
        beta: decay a step of the means of gradients, of their squares and of the preconditioners.
        eps: added to the root of the mean square.

    Example:
        >>> weight = nn.Parameter(torch.ones(2, 3))
        >>> optimiser = SOAP([weight], lr=0.1)
        >>> for _ in range(100):
        ...     optimiser.zero_grad()
        ...     weight.square().sum().backward()
        ...     _ = optimiser.step()
        >>> bool(weight.detach().abs().max() < 0.5)
        True
    """

    def __init__(self, parameters: ParamsT, lr: float, beta: float = 0.95, eps: float = 1e-8) -> None:
        super().__init__(parameters, {"lr": lr})
        self.beta, self.eps, self.count = beta, eps, 0
        shapes: dict[Any, list[nn.Parameter]] = {}
        for number, group in enumerate(self.param_groups):
            for parameter in group["params"]:
                shapes.setdefault((number, parameter.shape, parameter.dtype), []).append(parameter)
        self.stacks = [_Stack(same, self.param_groups[number]) for (number, *_), same in shapes.items()]
        on_gpu = bool(self.stacks) and self.stacks[0].rate.is_cuda
        self.advance = Recorded(self._advance) if on_gpu else self._advance

    @torch.no_grad()
    def step(self, closure: Callable[[], Any] | None = None) -> Any:  # type: ignore[override]
        """One step; the loss that the closure gives, if there is one, which also has to give the gradients."""
        loss = None
        if closure is not None:
            with torch.enable_grad():
                loss = closure()
        self.count += 1
        for stack in self.stacks:
            stack.take_gradients()
            rest = 1 - self.beta**self.count
            stack.rate.fill_(stack.group["lr"] * math.sqrt(rest) / rest)
        self.advance()
        if self.count % EVERY == 0:
            for stack in self.stacks:
                stack.refine()
        return loss

    def _advance(self) -> None:
        """What all steps do, with no number that changes from one to the next."""
        for stack in self.stacks:
            stack.descend(self.beta, self.eps)
            stack.see(1 - self.beta)

    def state_dict(self) -> dict[str, Any]:
        """The steps so far, and the moments, preconditioners and bases of each stack."""
        return {"count": self.count, "stacks": [stack.state() for stack in self.stacks]}

    def load_state_dict(self, state_dict: dict[str, Any]) -> None:
        """Go on from there.

        Raises:
            ValueError: if it is of other parameters, or of another implementation.
        """
        kept = state_dict.get("stacks", [])
        if [_shapes(stack.state()) for stack in self.stacks] != [_shapes(values) for values in kept]:
            raise ValueError(
                "checkpoint: expected the state of this optimiser for these weights: the run was begun by another "
                "version; overwrite it to begin anew"
            )
        self.count = state_dict["count"]
        for stack, values in zip(self.stacks, kept, strict=True):
            for own, value in zip(tree_leaves(stack.state()), tree_leaves(values), strict=True):
                if own is not None:
                    own.copy_(value)


class _Stack:
    """Parameters of one group and one shape, ``(count, *shape)``."""

    def __init__(self, parameters: list[nn.Parameter], group: dict[str, Any]) -> None:
        self.parameters, self.group = parameters, group
        like = torch.stack([parameter.detach() for parameter in parameters])
        self.gradient, self.mean, self.square = (torch.zeros_like(like) for _ in range(3))
        self.rate = like.new_zeros(())
        sizes = like.shape[1:] if like.ndim > 2 else ()
        # None: an axis that keeps its basis.
        self.outer = [like.new_zeros(len(like), n, n) if 1 < n <= LONGEST else None for n in sizes]
        self.basis = [None if x is None else torch.eye(x.shape[-1]).to(x).repeat(len(like), 1, 1) for x in self.outer]

    def take_gradients(self) -> None:
        """Copy those of the parameters."""
        given = [torch.zeros_like(x) if x.grad is None else x.grad for x in self.parameters]
        torch.stack(given, out=self.gradient)

    def descend(self, beta: float, eps: float) -> None:
        """Adam's step in the basis."""
        self.mean.lerp_(self.gradient, 1 - beta)
        self.square.lerp_(self._turned(self.gradient).square(), 1 - beta)
        update = self._turned(self._turned(self.mean) / self.square.sqrt().add_(eps), back=True)
        for parameter, change in zip(self.parameters, update.mul_(self.rate), strict=True):
            parameter.sub_(change)

    def _turned(self, x: Tensor, *, back: bool = False) -> Tensor:
        """Into the basis, or back; each axis goes last as it is done, so that all end in order."""
        for basis in self.basis:
            if basis is None:
                x = x.movedim(1, -1)
            else:
                rest = x.shape[2:]
                x = (x.flatten(2).mT @ (basis.mT if back else basis)).unflatten(1, rest)
        return x

    def see(self, weight: float) -> None:
        """The means of the outer products take in the gradients."""
        for axis, outer in enumerate(self.outer):
            if outer is not None:
                rows = self.gradient.movedim(1 + axis, 1).flatten(2)
                outer.lerp_(rows @ rows.mT, weight)

    def refine(self) -> None:
        """Bases nearer to the eigenvectors, by falling eigenvalue, each with the sign that it had."""
        for axis, (outer, basis) in enumerate(zip(self.outer, self.basis, strict=True)):
            if outer is None or basis is None:
                continue
            exact = outer.double().nan_to_num(0.0, 0.0, 0.0)  # whoever trains sees what is not finite, and says so
            diagonal = exact.diagonal(dim1=-2, dim2=-1)
            mean = diagonal.mean(-1, keepdim=True)
            diagonal.add_(torch.where(mean > 0, SHIFT * mean, 1))
            product = exact @ basis.double()
            order = (basis * product).sum(-2).argsort(descending=True)
            index = order.view(len(order), *(order.shape[-1] if k == axis else 1 for k in range(self.square.ndim - 1)))
            self.square.copy_(self.square.take_along_dim(index, 1 + axis))
            nearer, sizes = torch.linalg.qr(product.take_along_dim(order[:, None], -1))
            basis.copy_(nearer * sizes.diagonal(dim1=-2, dim2=-1)[:, None].sign())

    def state(self) -> dict[str, Any]:
        """All that the next steps depend on, as it is in memory."""
        return {"mean": self.mean, "square": self.square, "outer": list(self.outer), "basis": list(self.basis)}


def _shapes(state: dict[str, Any]) -> Any:
    """Of the tensors in it, by their names."""
    return tree_map(lambda x: None if x is None else tuple(x.shape), state)
