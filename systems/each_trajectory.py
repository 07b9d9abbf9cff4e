"""Potentials written for one trajectory: what each of its own values is a plain number in."""

import copy
import functools
from collections.abc import Callable
from typing import Any

import torch
from torch import Tensor
from torch.utils._pytree import tree_flatten, tree_unflatten


def each_trajectory(function: Callable[[Any, Any], Tensor]) -> Callable[[Any, Any], Tensor]:
    """A method of a system for one trajectory becomes one for any batch of them.

    Inside of it positions are ``(n, d)``, and the variables of the system have their declared dims alone: ``()`` for
    one a trajectory, ``(n,)``, ``(n, n)``. No ``[..., None]`` is needed, and none can be forgotten: a value a
    trajectory ``(trajectory,)`` would otherwise broadcast along space, where there are as many dimensions.

    Example:
        >>> import torch
        >>> from systems import AbstractNewtonian, Variable, each_trajectory
        >>> class Falling(AbstractNewtonian):
        ...     variables = (*AbstractNewtonian.variables, Variable("gravity", (), "1", "gravitational acceleration"))
        ...     @each_trajectory
        ...     def potential(self, q):
        ...         return (self.gravity * self.mass * q[:, 1]).sum()
        >>> system = Falling(mass=[1.0, 2.0], gravity=[10.0, 20.0])
        >>> system.potential(torch.ones(2, 2, 2, dtype=torch.float64))
        tensor([30., 60.], dtype=torch.float64)
    """

    @functools.wraps(function)
    def batched(self: Any, argument: Any) -> Tensor:
        leaves, form = tree_flatten(argument)
        own = {variable.name: len(variable.dims) for variable in self.variables} | dict.fromkeys(self.marks, 1)
        values = {name: x for name in own if isinstance(x := getattr(self, name), Tensor)}
        shapes = [x.shape[:-2] for x in leaves] + [x.shape[: x.ndim - own[name]] for name, x in values.items()]
        batch = torch.broadcast_shapes(*shapes)

        def one(*parts: Tensor) -> Tensor:
            system = copy.copy(self)
            found = dict(zip(values, parts[len(leaves) :], strict=True))
            for store in ("_buffers", "_parameters"):
                object.__setattr__(
                    system, store, {name: found.get(name, x) for name, x in getattr(self, store).items()}
                )
            return function(system, tree_unflatten(list(parts[: len(leaves)]), form))

        parts = [x.expand(*batch, *x.shape[-2:]).reshape(-1, *x.shape[-2:]) for x in leaves]
        for name, x in values.items():
            dims = x.shape[x.ndim - own[name] :]
            parts.append(x.expand(*batch, *dims).reshape(-1, *dims))
        return torch.func.vmap(one)(*parts).reshape(batch)

    return batched
