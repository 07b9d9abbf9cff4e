"""A vector field, seen as the scalar arithmetic that it does for one trajectory."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn
from torch._decomp import core_aten_decompositions
from torch.func import functional_call, functionalize
from torch.fx import GraphModule, Node
from torch.fx.experimental.proxy_tensor import make_fx

from systems.native.operations import Operations
from systems.native.reason import NotNative
from systems.native.scalars import MOST_OPERATIONS, Arithmetic, Scalar, needed
from systems.phase_space import PhaseSpace
from systems.vector_field import AbstractSeparable, AbstractVectorField

#: Of the operations that are seen, a part is not needed in the end; if there are as many times more, they are too many.
_HOPELESS = 8


@dataclass(frozen=True)
class Program:
    """The functions of a field, for one trajectory of ``bodies`` in ``dimension``.

    Their inputs are the arrays ``q``, ``p``, ``t`` and ``values``, the field's parameters one after the other.
    """

    bodies: int
    dimension: int
    dtype: torch.dtype
    parameters: dict[str, tuple[int, ...]]
    """Shapes of the field's variables (and of its mask) for one trajectory, in the order of ``values``."""
    functions: dict[str, list[Scalar]]
    """``velocity`` and ``force`` where H = T(p) + V(q) is asked for, else ``derivative``: dq/dt, then dp/dt."""

    @property
    def values(self) -> int:
        return sum(math.prod(shape) for shape in self.parameters.values())

    def table(self, field: AbstractVectorField, batch: Sequence[int]) -> Tensor:
        """The values ``(trajectory, values)`` of a field for the trajectories of a batch."""
        rows = [
            getattr(field, name).detach().to(self.dtype).expand((*batch, *shape)).reshape(math.prod(batch), -1)
            for name, shape in self.parameters.items()
        ]
        return torch.cat(rows, 1).contiguous() if rows else torch.zeros(math.prod(batch), 0, dtype=self.dtype)


def traced(field: AbstractVectorField, bodies: int, dimension: int, dtype: torch.dtype, *, separable: bool) -> Program:
    """The arithmetic of a field.

    Args:
        field: whose declared variables become inputs; all its other tensors are constants.
        bodies, dimension: of a state.
        dtype: float32 or float64.
        separable: whether velocity and force are wanted, or the derivative of the whole state.

    Raises:
        NotNative: for Python control flow on values, an operation that is not known here, or too many of them.

    Example:
        >>> from systems import HenonHeiles
        >>> program = traced(HenonHeiles(mass=torch.ones(1)), 1, 2, torch.float64, separable=True)
        >>> program.parameters, [len(x) for x in program.functions.values()]
        ({'mass': (1,)}, [2, 2])
    """
    if dtype not in (torch.float32, torch.float64):
        raise NotNative(f"states in {dtype}")
    parameters = {name: _own_shape(field, name) for name in _parameters(field)}
    arithmetic = Arithmetic(np.float64 if dtype == torch.float64 else np.float32)
    tracer = _Tracer(field, parameters, arithmetic, (bodies, dimension), dtype)
    functions: dict[str, list[Scalar]] = {}
    if separable:
        assert isinstance(field, AbstractSeparable)
        functions["velocity"] = tracer.run(lambda field, p: (field.velocity(p),), "p")
        functions["force"] = tracer.run(lambda field, q: (field.force(q),), "q")
    else:
        functions["derivative"] = tracer.run(lambda field, t, q, p: tuple(field(t, PhaseSpace(q, p))), "t", "q", "p")
    count = len(needed(x for function in functions.values() for x in function))
    if count > MOST_OPERATIONS:
        raise NotNative(f"{count} operations of a field for {bodies} bodies, more than {MOST_OPERATIONS}")
    return Program(bodies, dimension, dtype, parameters, functions)


def _parameters(field: AbstractVectorField) -> list[str]:
    return [*(variable.name for variable in field.variables), *(["mask"] if field.mask is not None else [])]


def _own_shape(field: AbstractVectorField, name: str) -> tuple[int, ...]:
    """Of a parameter, without the dimensions of the batch."""
    own = {variable.name: len(variable.dims) for variable in field.variables} | {"mask": 1}
    shape = getattr(field, name).shape
    return tuple(shape[len(shape) - own[name] :])


class _Tracer:
    def __init__(
        self,
        field: AbstractVectorField,
        parameters: dict[str, tuple[int, ...]],
        arithmetic: Arithmetic,
        shape: tuple[int, int],
        dtype: torch.dtype,
    ) -> None:
        self.field, self.arithmetic, self.operations = field, arithmetic, Operations(arithmetic)
        self.names = list(parameters)
        self.examples = {
            "t": torch.zeros(1, 1, dtype=dtype),
            # No two alike and none special: a traced function has no place where its values could be looked at anyway.
            "q": torch.linspace(0.1, 1.3, shape[0] * shape[1], dtype=dtype).sin().reshape(shape),
            "p": torch.linspace(0.2, 1.1, shape[0] * shape[1], dtype=dtype).cos().reshape(shape),
        }
        self.values: list[np.ndarray] = []
        start = 0
        for own in parameters.values():
            self.values.append(self._inputs("values", own, start))
            start += math.prod(own)
        own_dims = [len(own) for own in parameters.values()]
        tensors = [getattr(field, name).detach() for name in self.names]
        self.first = [x[(0,) * (x.ndim - own)] for x, own in zip(tensors, own_dims, strict=True)]

    def run(self, function: Callable[..., tuple[Tensor, ...]], *arguments: str) -> list[Scalar]:
        """The scalars that a function of the field returns."""
        try:
            module = self._graph_of(function, arguments, {})
            _check_known(module, self.operations)
        except NotNative:  # once more, with unknown operations taken apart into simpler ones
            rules = core_aten_decompositions().items()
            unknown = {operation: rule for operation, rule in rules if _name(operation) not in self.operations}
            module = self._graph_of(function, arguments, unknown)
            _check_known(module, self.operations)
        given = [self._inputs(name, tuple(self.examples[name].shape)) for name in arguments]
        outputs = self._evaluated(module, [*given, *self.values])
        shape = self.examples["q"].shape
        for x in outputs:
            if x.shape != shape:
                raise NotNative(f"a field whose values have shape {tuple(x.shape)} where a state has {tuple(shape)}")
        return [scalar for x in outputs for scalar in x.reshape(-1)]

    def _inputs(self, array: str, shape: tuple[int, ...], start: int = 0) -> np.ndarray:
        out = np.empty(shape, object)
        for k, place in enumerate(np.ndindex(shape)):
            out[place] = self.arithmetic.input(array, start + k)
        return out

    def _graph_of(
        self, function: Callable[..., tuple[Tensor, ...]], arguments: Sequence[str], rules: dict[Any, Any]
    ) -> GraphModule:
        caller = _Caller(self.field, function)

        def whole(*tensors: Tensor) -> tuple[Tensor, ...]:
            given, values = tensors[: len(arguments)], tensors[len(arguments) :]
            named = {f"field.{name}": value for name, value in zip(self.names, values, strict=True)}
            return functional_call(caller, named, given)

        examples = [*(self.examples[name] for name in arguments), *self.first]
        try:
            with torch.no_grad():
                module = make_fx(functionalize(whole, remove="mutations"), decomposition_table=rules)(*examples)
        except Exception as error:  # whatever the user's own code or torch's tracer raises
            raise NotNative(_first_line(error)) from error
        module.graph.eliminate_dead_code()
        return module

    def _evaluated(self, module: GraphModule, inputs: list[np.ndarray]) -> list[np.ndarray]:
        known: dict[Node, Any] = {}
        queue = iter(inputs)
        fixed = _fixed(module)
        for node in module.graph.nodes:
            if node.op == "placeholder":
                known[node] = next(queue)
            elif node.op == "get_attr":
                known[node] = getattr(module, str(node.target))
            elif node.op == "output":
                return [self.operations.array(known[x]) for x in node.args[0]]
            elif node in fixed:  # by torch itself
                known[node] = node.target(*_filled(node.args, known), **_filled(node.kwargs, known))
            else:
                given = {x: self._scalars(known[x]) for x in node.all_input_nodes}
                known[node] = self._applied(node, _filled(node.args, given), dict(_filled(node.kwargs, given)))
        raise AssertionError("a graph without an output")

    def _scalars(self, x: Any) -> Any:
        """Constant tensors among the arrays: whole numbers are indices, others become scalars."""
        if not isinstance(x, Tensor):
            return x
        index = not x.is_floating_point() and x.dtype != torch.bool
        return x.numpy() if index else self.operations.array(x)

    def _applied(self, node: Node, arguments: Any, keywords: dict[str, Any]) -> Any:
        target: Any = node.target
        if target.__name__ == "getitem":
            return arguments[0][arguments[1]]
        name = _name(target)
        if name == "sum":
            dims = len(arguments[1]) if len(arguments) > 1 else 0
            keywords["contiguous"] = _contiguous(node.all_input_nodes[0], dims)
        if self.arithmetic.size > _HOPELESS * MOST_OPERATIONS:
            raise NotNative(f"more than {MOST_OPERATIONS} operations of a field of {len(self.examples['q'])} bodies")
        try:
            return self.operations[name](*arguments, **keywords)
        except (NotImplementedError, TypeError, IndexError) as error:
            raise NotNative(f"the operation {target}: {_first_line(error)}") from error


class _Caller(nn.Module):
    """A function of a field as a module, whose tensors can be replaced."""

    def __init__(self, field: AbstractVectorField, function: Callable[..., tuple[Tensor, ...]]) -> None:
        super().__init__()
        self.field, self.function = field, function

    def forward(self, *arguments: Tensor) -> tuple[Tensor, ...]:
        return self.function(self.field, *arguments)


def _fixed(module: GraphModule) -> set[Node]:
    """Nodes that no input has a part in."""
    found: set[Node] = set()
    for node in module.graph.nodes:
        chance = torch.Tag.nondeterministic_seeded in getattr(node.target, "tags", ())
        if node.op in ("get_attr", "call_function") and not chance and found.issuperset(node.all_input_nodes):
            found.add(node)
    return found


def _filled(x: Any, known: Mapping[Node, Any]) -> Any:
    """The arguments of a node with values in place of nodes."""
    if isinstance(x, Node):
        return known[x]
    if isinstance(x, Mapping):
        return {name: _filled(y, known) for name, y in x.items()}
    return [_filled(y, known) for y in x] if isinstance(x, list | tuple) else x


def _check_known(module: GraphModule, operations: Operations) -> None:
    """A NotNative that names the first operation that is not known, or that writes into its inputs."""
    fixed = _fixed(module)
    for node in module.graph.nodes:
        target: Any = node.target
        if node.op != "call_function" or target.__name__ == "getitem" or node in fixed:
            continue
        if _name(target) not in operations or target._schema.is_mutable:
            raise NotNative(f"the operation {target}")


def _name(operation: Any) -> str:
    return operation._schema.name.rpartition("::")[2] if hasattr(operation, "_schema") else ""


def _contiguous(node: Node, count: int) -> bool:
    """Whether the entries of the last ``count`` dimensions (0: of all) are neighbours in memory."""
    found = node.meta.get("val", node.meta.get("tensor_meta"))
    if not isinstance(found, Tensor):
        return False
    strides, size = found.stride()[-count:], 1
    for length, stride in zip(found.shape[: -len(strides) - 1 : -1], strides[::-1], strict=True):
        if length != 1 and stride != size:
            return False
        size *= length
    return True


def _first_line(error: Exception) -> str:
    return str(error).strip().partition("\n")[0] or type(error).__name__
