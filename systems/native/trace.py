"""A vector field, seen as the scalar arithmetic that it does for one trajectory."""

from __future__ import annotations

import math
import operator
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from itertools import chain

import numpy as np
import torch
from torch import Tensor, nn
from torch.func import functional_call

from systems.native import emit
from systems.native.graph import evaluated
from systems.native.program import AbstractProgram
from systems.native.reason import NotNative, TooMany
from systems.native.reverse import pulled_back
from systems.native.scalars import MOST_OPERATIONS, Arithmetic, Scalar, needed
from systems.phase_space import PhaseSpace
from systems.vector_field import AbstractSeparable, AbstractVectorField

Function = Callable[..., tuple[Tensor, ...]]


@dataclass(frozen=True)
class Program(AbstractProgram):
    """A field whose operations are written out one by one.

    Its inputs are the arrays ``q``, ``p``, ``t`` and ``values``, the field's parameters one after the other.
    """

    parameters: dict[str, tuple[int, ...]]
    """Shapes of the field's variables (and of its marks) for one trajectory, in the order of ``values``."""
    functions: dict[str, list[Scalar]]
    """``velocity`` and ``force`` where H = T(p) + V(q) is asked for, else ``derivative``: dq/dt, then dp/dt.

    With them what `backwards` adds.
    """

    @property
    def separable(self) -> bool:
        return "force" in self.functions

    def macros(self, lanes: int) -> dict[str, int | str]:
        values = sum(math.prod(shape) for shape in self.parameters.values())
        return {
            "SIZE": self.bodies * self.dimension,
            "PLACE(e)": "(e)",
            "AT(e, w)": "((e) * LANES + (w))",
            "VALUES": values,
            "GIVEN": values,
            "GIVEN_AT(k, w)": "((k) * LANES + (w))",
            "TOGETHER": "LANES",
            "KEPT": self._kept,
        }

    @property
    def _kept(self) -> int:
        """Numbers that are fixed and have a derivative, where there is a way back."""
        back = self.functions.get("force_back" if self.separable else "derivative_back", ())
        return len(back) - (1 if self.separable else 2) * self.bodies * self.dimension

    def text(self, lanes: int) -> str:
        return emit.functions(self.functions)

    def table(self, field: AbstractVectorField, batch: torch.Size) -> Tensor:
        rows = [
            _symmetric(field, name).to(self.dtype).expand((*batch, *shape)).reshape(math.prod(batch), -1)
            for name, shape in self.parameters.items()
        ]
        return torch.cat(rows, 1).contiguous() if rows else torch.zeros(math.prod(batch), 0, dtype=self.dtype)


def traced(
    field: AbstractVectorField,
    bodies: int,
    dimension: int,
    dtype: torch.dtype,
    *,
    separable: bool,
    gradient: bool = False,
) -> Program:
    """The arithmetic of a field.

    Args:
        field: whose declared variables become inputs; all its other tensors are constants.
        bodies, dimension: of a state.
        dtype: float32 or float64.
        separable: whether velocity and force are wanted, or the derivative of the whole state.
        gradient: whether their derivatives are wanted too; then all tensors that require one are inputs.

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
    if gradient:
        parameters |= {name: tuple(x.shape) for name, x in learned(field).items() if name not in parameters}
    arithmetic = Arithmetic(np.float64 if dtype == torch.float64 else np.float32)
    tracer = _Tracer(field, parameters, arithmetic, (bodies, dimension), dtype)
    functions: dict[str, list[Scalar]] = {}
    if separable:
        assert isinstance(field, AbstractSeparable)
        functions["velocity"] = tracer.run(lambda field, p: (field.velocity(p),), "p")
        functions["force"] = tracer.run(lambda field, q: (field.force(q),), "q")
    else:
        functions["derivative"] = tracer.run(lambda field, t, q, p: tuple(field(t, PhaseSpace(q, p))), "t", "q", "p")
    if gradient:
        functions |= backwards(functions, sum(map(math.prod, parameters.values())), arithmetic)
    count, most = len(needed(x for function in functions.values() for x in function)), (1 + gradient) * MOST_OPERATIONS
    if count > most:
        raise TooMany(f"{count} operations of a field for {bodies} bodies, more than {most}")
    return Program(bodies, dimension, dtype, parameters, functions)


def backwards(
    functions: Mapping[str, Sequence[Scalar]], values: int, arithmetic: Arithmetic
) -> dict[str, list[Scalar]]:
    """The derivatives of velocity and force, or of both together, and of what they are computed from that is fixed.

    ``force_back``, ``velocity_back`` and ``derivative_back`` are what an array ``bar`` of weights gives to the state,
    then to what is fixed; ``prepare_back`` passes the latter on to the values.
    """
    kept = emit.hoisted(x for function in functions.values() for x in function)
    found = {}
    for name, function in functions.items():
        arrays = {"velocity": "p", "force": "q", "derivative": "qp"}[name]
        size = len(function) // len(arrays)
        inputs = [arithmetic.input(array, k) for array in arrays for k in range(size)]
        weights = [arithmetic.input("bar", k) for k in range(len(function))]
        found[f"{name}_back"] = pulled_back(function, weights, [*inputs, *kept], arithmetic)
    given = [arithmetic.input("values", k) for k in range(values)]
    found["prepare_back"] = pulled_back(kept, [arithmetic.input("bar", k) for k in range(len(kept))], given, arithmetic)
    return found


def learned(field: AbstractVectorField) -> dict[str, Tensor]:
    """The tensors of a field that require a gradient, by name."""
    named = chain(field.named_parameters(), field.named_buffers())
    return {name: x for name, x in named if x.requires_grad}


def _symmetric(field: AbstractVectorField, name: str) -> Tensor:
    """The tensor of this name: what is declared of pairs has the same gradient from both sides."""
    x = _tensor(field, name)
    pairs = any(variable.name == name and "other_body" in variable.dims for variable in field.variables)
    return 0.5 * (x + x.mT) if pairs and x.requires_grad else x


def _tensor(field: AbstractVectorField, name: str) -> Tensor:
    return operator.attrgetter(name)(field)


def _parameters(field: AbstractVectorField) -> list[str]:
    marks = [name for name in field.marks if getattr(field, name) is not None]
    return [*(variable.name for variable in (*field.variables, *field.undeclared)), *marks]


def _own_shape(field: AbstractVectorField, name: str) -> tuple[int, ...]:
    """Of a parameter, without the dimensions of the batch."""
    own = {variable.name: len(variable.dims) for variable in (*field.variables, *field.undeclared)} | dict.fromkeys(
        field.marks, 1
    )
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
        self.field, self.arithmetic = field, arithmetic
        self.examples = {
            "t": torch.zeros(1, 1, dtype=dtype),
            # No two alike and none special: a traced function has no place where its values could be looked at anyway.
            "q": torch.linspace(0.1, 1.3, shape[0] * shape[1], dtype=dtype).sin().reshape(shape),
            "p": torch.linspace(0.2, 1.1, shape[0] * shape[1], dtype=dtype).cos().reshape(shape),
        }
        self.values: dict[str, tuple[Tensor, np.ndarray]] = {}
        start = 0
        for name, own in parameters.items():
            tensor = _tensor(field, name).detach()
            first = tensor[(0,) * (tensor.ndim - len(own))]
            self.values[name] = first, arithmetic.inputs("values", own, start)
            start += math.prod(own)

    def run(self, function: Function, *arguments: str) -> list[Scalar]:
        """The scalars that a function of the field returns."""
        examples = [self.examples[name] for name in arguments]
        given = [(x, self.arithmetic.inputs(name, tuple(x.shape))) for name, x in zip(arguments, examples, strict=True)]
        outputs = scalars_of(self.field, function, given, self.values, self.arithmetic)
        shape = self.examples["q"].shape
        for x in outputs:
            if x.shape != shape:
                raise NotNative(f"a field whose values have shape {tuple(x.shape)} where a state has {tuple(shape)}")
        return [scalar for x in outputs for scalar in x.reshape(-1)]


def scalars_of(
    field: AbstractVectorField,
    function: Function,
    given: Sequence[tuple[Tensor, np.ndarray]],
    values: Mapping[str, tuple[Tensor, np.ndarray]],
    arithmetic: Arithmetic,
) -> list[np.ndarray]:
    """What a function of a field and of tensors returns for scalars in the place of these, and of the field's own.

    Args:
        field: whose other tensors are constants.
        function: of the field and of what is given.
        given, values: examples of tensors, and the scalars in their places.
        arithmetic: that they are scalars of.

    Raises:
        NotNative: as `evaluated`.
    """
    caller = Caller(field, function)

    def whole(*tensors: Tensor) -> tuple[Tensor, ...]:
        named = {f"field.{name}": x for name, x in zip(values, tensors[len(given) :], strict=True)}
        return functional_call(caller, named, tensors[: len(given)])

    examples, inputs = zip(*given, *values.values(), strict=True)
    return evaluated(whole, examples, inputs, arithmetic)


class Caller(nn.Module):
    """A function of a field as a module, whose tensors can be replaced."""

    def __init__(self, field: AbstractVectorField, function: Callable[..., tuple[Tensor, ...]]) -> None:
        super().__init__()
        self.field, self.function = field, function

    def forward(self, *arguments: Tensor) -> tuple[Tensor, ...]:
        return self.function(self.field, *arguments)
