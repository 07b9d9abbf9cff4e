"""Steps by torch whose forces go through torch.compile: for fields of too many operations to be written out as C."""

from __future__ import annotations

import copy
import threading
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from functools import cache
from itertools import chain
from typing import Any, ClassVar

import torch
from jaxtyping import Float
from torch import Tensor
from torch.func import functional_call

from systems.integrators.abstract import AbstractIntegrator
from systems.integrators.attempt import Attempt
from systems.integrators.steps import wide
from systems.integrators.wrapper import AbstractWrapper
from systems.native.graph import first_line, graph_of
from systems.native.kernel import agree
from systems.native.look import look
from systems.native.reason import NotNative
from systems.native.trace import Caller
from systems.phase_space import PhaseSpace
from systems.vector_field import AbstractSeparable, AbstractVectorField

#: Threads of a compiled force: no sum is split over cores, so that no bit depends on their number.
_OPTIONS: dict[str, Any] = {"cpp.threads": 1}
_MOST_KNOWN = 16


def by_torch_compile(method: AbstractIntegrator, field: AbstractVectorField, state: PhaseSpace, t: Tensor) -> Inductor:
    """The method with the compiled force of a field, and of all that `select` makes of it.

    Args:
        method: what takes the steps, by torch.
        field, state, t: of the first step.

    Raises:
        NotNative: if torch.compile fails (without a C++ compiler, or on Python control flow on values), or does not say
            of these states, or of one of them alone, what the field says.
    """
    code = _code_of(field)
    one = PhaseSpace(state.q[:1], state.p[:1])
    if state.q.ndim == 3 and not code.fits_alone(field.select(slice(0, 1)), one, t.reshape(-1)[:1]):
        raise NotNative(f"{type(field).__name__}, of which one trajectory alone has other values")
    if not code.fits(field, state, t):
        raise NotNative(f"{type(field).__name__}, whose values are not what was traced")
    return Inductor(method, code)


@dataclass(frozen=True, eq=False)
class Inductor(AbstractWrapper):
    """An integrator whose steps call compiled forces."""

    backend: ClassVar[str] = "inductor"
    code: Code

    def integrate(
        self, field: AbstractVectorField, state: PhaseSpace, times: Float[Tensor, " time *batch"]
    ) -> PhaseSpace:
        with torch.no_grad():
            return self.integrator.integrate(self._compiled(field, state, times), state, times)

    def attempt(self, field: AbstractVectorField, state: PhaseSpace, times: Float[Tensor, " time *batch"]) -> Attempt:
        with torch.no_grad():
            return self.integrator.attempt(self._compiled(field, state, times), state, times)

    def _compiled(self, field: AbstractVectorField, state: PhaseSpace, times: Tensor) -> AbstractVectorField:
        self.check(field, state, times)
        if not self.code.fits(field, state, times[0]):
            raise ValueError(f"field: expected the {type(field).__name__} whose force was compiled, got another")
        return self.code.applied(field)


class Code:
    """The compiled force of a field, or its derivative of the whole state, for each shape of states: of nothing else.

    All parameters and buffers are inputs; what else a field computes with is constant.

    Args:
        field: that is traced.
    """

    def __init__(self, field: AbstractVectorField) -> None:
        self.field, self.names = field, [name for name, _ in _tensors(field)]
        self._made: dict[Any, Callable[..., tuple[Tensor, ...]]] = {}
        self._one_at_a_time = threading.Lock()

    def applied(self, field: AbstractVectorField) -> AbstractVectorField:
        """The field with what is compiled in the place of its own."""
        chosen = copy.copy(field)
        chosen.__class__ = _through(type(field))
        if not isinstance(field, AbstractSeparable):
            vars(chosen).pop("forward", None)  # that of a field which has started: among what is compiled
        vars(chosen)["_code"] = self
        return chosen

    def call(self, field: AbstractVectorField, *arguments: Tensor) -> tuple[Tensor, ...]:
        """The compiled values of `_slow`."""
        given = (*arguments, *(x for _, x in _tensors(field)))
        key = tuple((x.shape, x.dtype, x.device) for x in given)
        if key not in self._made:
            with self._one_at_a_time:
                if key not in self._made:
                    made = torch.compile(self._graph(given), fullgraph=True, dynamic=False, options=_OPTIONS)
                    made(*given)
                    self._made[key] = made
        return self._made[key](*given)

    def fits(self, field: AbstractVectorField, state: PhaseSpace, t: Tensor) -> bool:
        """Whether what is compiled says of these states what the field says."""
        arguments = _arguments(field, state, t)
        with torch.no_grad():
            try:
                found = self.call(field, *arguments)
            except Exception as error:  # whatever torch's compiler, or the one behind it, raises
                raise NotNative(first_line(error)) from error
            return all(map(agree, found, _slow(field, *arguments)))

    def fits_alone(self, field: AbstractVectorField, state: PhaseSpace, t: Tensor) -> bool:
        """`fits` for a field that `select` made, by what was traced: without a compiler."""
        arguments = _arguments(field, state, t)
        given = (*arguments, *(x for _, x in _tensors(field)))
        with torch.no_grad():
            return all(map(agree, self._graph(given)(*given), _slow(field, *arguments)))

    def _graph(self, given: tuple[Tensor, ...]) -> torch.fx.GraphModule:
        caller, count = Caller(self.field, _slow), len(given) - len(self.names)

        def whole(*tensors: Tensor) -> tuple[Tensor, ...]:
            named = zip(self.names, tensors[count:], strict=True)
            values = {f"field.{name}": x for name, x in named}
            return functional_call(caller, values, tensors[:count], tie_weights=False)

        return graph_of(whole, given, {})


def _tensors(field: AbstractVectorField) -> Iterator[tuple[str, Tensor]]:
    return chain(field.named_parameters(remove_duplicate=False), field.named_buffers(remove_duplicate=False))


def _slow(field: Any, *arguments: Tensor) -> tuple[Tensor, ...]:
    """What is worth compiling: the force, or the derivative of the whole state."""
    if isinstance(field, AbstractSeparable):
        return (field.force(*arguments),)
    t, q, p = arguments
    return tuple(field(t, PhaseSpace(q, p)))


def _arguments(field: AbstractVectorField, state: PhaseSpace, t: Tensor) -> tuple[Tensor, ...]:
    return (state.q,) if isinstance(field, AbstractSeparable) else (wide(t), *state)


@cache
def _through(kind: type[AbstractVectorField]) -> Any:
    """The class of fields of this kind that call what is compiled."""

    def force(self: Any, q: Tensor) -> Tensor:
        return self._code.call(self, q)[0]

    def forward(self: Any, t: Tensor, state: PhaseSpace) -> PhaseSpace:
        return PhaseSpace(*self._code.call(self, t, *state))

    own = {"force": force} if issubclass(kind, AbstractSeparable) else {"forward": forward}
    return type(kind.__name__, (kind,), own | {"__module__": kind.__module__})


_known: dict[Any, Code] = {}
_one_at_a_time = threading.Lock()


def _code_of(field: AbstractVectorField) -> Code:
    """One for all fields that look alike (see `look`)."""
    try:
        key = look(field, gradient=False)
        hash(key)
    except (TypeError, RuntimeError):  # something that may change without a trace
        return Code(field)
    with _one_at_a_time:
        code = _known.pop(key, None) or Code(field)
        _known[key] = code  # the last one used is the last to go
        if len(_known) > _MOST_KNOWN:
            del _known[next(iter(_known))]
    return code
