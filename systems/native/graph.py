"""A function of tensors, as the scalar arithmetic that it does."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any

import numpy as np
import torch
from torch import Tensor
from torch._decomp import core_aten_decompositions
from torch.func import functionalize
from torch.fx import GraphModule, Node
from torch.fx.experimental.proxy_tensor import make_fx

from systems.native.operations import Operations
from systems.native.reason import NotNative, TooMany
from systems.native.scalars import MOST_OPERATIONS, Arithmetic

#: Of the operations that are seen, a part is not needed in the end; if there are as many times more, they are too many.
_HOPELESS = 8


def evaluated(
    function: Callable[..., tuple[Tensor, ...]],
    examples: Sequence[Tensor],
    inputs: Sequence[np.ndarray],
    arithmetic: Arithmetic,
) -> list[np.ndarray]:
    """What a function returns for arrays of scalars.

    Args:
        function: of tensors; it must not look at their values.
        examples: tensors of the shapes and dtypes that it takes.
        inputs: arrays of scalars of these shapes.
        arithmetic: that they are scalars of.

    Raises:
        NotNative: for Python control flow on values, an operation that is not known here, or too many of them.

    Example:
        >>> arithmetic = Arithmetic(np.float64)
        >>> x = np.array([arithmetic.input("q", k) for k in range(2)])
        >>> [y] = evaluated(lambda q: (q.sin(),), [torch.zeros(2)], [x], arithmetic)
        >>> [scalar.operation for scalar in y]
        ['sin', 'sin']
    """
    operations = Operations(arithmetic)
    try:
        module = graph_of(function, examples, {})
        _check_known(module, operations)
    except NotNative:  # once more, with unknown operations taken apart into simpler ones
        rules = core_aten_decompositions().items()
        unknown = {operation: rule for operation, rule in rules if _name(operation) not in operations}
        module = graph_of(function, examples, unknown)
        _check_known(module, operations)
    return _outputs(module, inputs, operations)


def graph_of(
    function: Callable[..., tuple[Tensor, ...]], examples: Sequence[Tensor], rules: dict[Any, Any]
) -> GraphModule:
    try:
        with torch.no_grad():
            module = make_fx(functionalize(function, remove="mutations"), decomposition_table=rules)(*examples)
    except Exception as error:  # whatever the user's own code or torch's tracer raises
        raise NotNative(f"a field that torch cannot trace: {first_line(error)}") from error
    module.graph.eliminate_dead_code()
    module.recompile()  # torch.compile reads the code beside the graph
    return module


def _outputs(module: GraphModule, inputs: Sequence[np.ndarray], operations: Operations) -> list[np.ndarray]:
    known: dict[Node, Any] = {}
    queue = iter(inputs)
    fixed = _fixed(module)
    for node in module.graph.nodes:
        if node.op == "placeholder":
            known[node] = next(queue)
        elif node.op == "get_attr":
            known[node] = getattr(module, str(node.target))
        elif node.op == "output":
            return [operations.array(known[x]) for x in node.args[0]]
        elif node in fixed:  # by torch itself
            known[node] = node.target(*_filled(node.args, known), **_filled(node.kwargs, known))
        else:
            given = {x: _scalars(known[x], operations) for x in node.all_input_nodes}
            known[node] = _applied(node, _filled(node.args, given), dict(_filled(node.kwargs, given)), operations)
    raise AssertionError("a graph without an output")


def _scalars(x: Any, operations: Operations) -> Any:
    """Constant tensors among the arrays: whole numbers are indices, others become scalars."""
    if not isinstance(x, Tensor):
        return x
    index = not x.is_floating_point() and x.dtype != torch.bool
    return x.numpy() if index else operations.array(x)


def _applied(node: Node, arguments: Any, keywords: dict[str, Any], operations: Operations) -> Any:
    target: Any = node.target
    if target.__name__ == "getitem":
        return arguments[0][arguments[1]]
    name = _name(target)
    if name == "sum":
        dims = len(arguments[1]) if len(arguments) > 1 else 0
        keywords["contiguous"] = _contiguous(node.all_input_nodes[0], dims)
    if operations.arithmetic.size > _HOPELESS * MOST_OPERATIONS:
        raise TooMany(f"more than {MOST_OPERATIONS} operations")
    try:
        return operations[name](*arguments, **keywords)
    except (NotImplementedError, TypeError, IndexError) as error:
        raise NotNative(f"the operation {target}: {first_line(error)}") from error


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


def first_line(error: Exception) -> str:
    return str(error).strip().partition("\n")[0] or type(error).__name__
