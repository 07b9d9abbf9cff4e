"""Steps by torch whose forces go through torch.compile: for fields of too many operations to be written out as C."""

from __future__ import annotations

import copy
import dataclasses
import threading
from collections.abc import Callable
from dataclasses import dataclass
from functools import cache
from typing import Any, ClassVar

import torch
from jaxtyping import Float
from torch import Tensor

from systems.integrators.abstract import AbstractIntegrator
from systems.integrators.attempt import Attempt
from systems.integrators.wrapper import AbstractWrapper
from systems.native.graph import first_line, graph_of
from systems.native.kernel import agree
from systems.native.look import structure
from systems.native.reason import NotNative
from systems.native.tensors import tensors_of, with_tensors
from systems.phase_space import PhaseSpace
from systems.vector_field import AbstractSeparable, AbstractVectorField

#: Threads of a compiled force: no sum is split over cores, so that no bit depends on their number.
_OPTIONS: dict[str, Any] = {"cpp.threads": 1}
#: The trial takes a step of this share of the first interval.
_SOON = 1 / 1024


def by_torch_compile(
    method: AbstractIntegrator, field: AbstractVectorField, state: PhaseSpace, times: Tensor
) -> Inductor:
    """The method with the compiled force of a field, and of all that `select` makes of it, after a trial.

    Args:
        method: what takes the steps, by torch.
        field, state, times: of what is to be computed.

    Raises:
        NotNative: if torch.compile fails (without a C++ compiler, or on Python control flow on values), or does not say
            of these states what the field says.
    """
    fast = Inductor(method)
    if len(times) > 1:
        soon = times[0] + _SOON * (times[1] - times[0])
        try:
            fast.attempt(field, state, torch.stack([times[0], torch.where(soon == times[0], times[1], soon)]))
        except Exception as error:  # whatever torch's compiler, or the one behind it, raises
            raise NotNative(first_line(error)) from error
    return fast


@dataclass(frozen=True, eq=False)
class Inductor(AbstractWrapper):
    """An integrator whose steps call compiled forces."""

    backend: ClassVar[str] = "inductor"
    _apart: object = dataclasses.field(default_factory=object, repr=False)
    """Of fields that may change without a trace: they share what is compiled with no other ones."""

    def integrate(
        self, field: AbstractVectorField, state: PhaseSpace, times: Float[Tensor, " time *batch"]
    ) -> PhaseSpace:
        with torch.no_grad():
            return self.integrator.integrate(self._compiled(field), state, times)

    def attempt(self, field: AbstractVectorField, state: PhaseSpace, times: Float[Tensor, " time *batch"]) -> Attempt:
        with torch.no_grad():
            return self.integrator.attempt(self._compiled(field), state, times)

    def _compiled(self, field: AbstractVectorField) -> AbstractVectorField:
        """The field with what is compiled in the place of its own."""
        field = field.steady()
        kind = structure(field)
        try:
            hash(kind)
        except TypeError:
            kind = self._apart
        chosen = copy.copy(field)
        chosen.__class__ = _through(type(field))
        vars(chosen).pop("force" if isinstance(field, AbstractSeparable) else "forward", None)
        vars(chosen).update({"_own": field, "_compiled": _Compiled(field, kind)})
        return chosen


class _Compiled:
    """The values of `_slow` for a field in one run, compiled for each shape of states; one that is there once is not.

    Args:
        field: all of whose tensors are inputs.
        kind: what fields have in common that share what is compiled.
    """

    def __init__(self, field: AbstractVectorField, kind: Any) -> None:
        self.field, self.tensors = field, tensors_of(field)
        self.key = (kind, *map(_shape, self.tensors))
        self.made: dict[Any, Callable[..., tuple[Tensor, ...]] | None] = {}

    def __call__(self, *arguments: Tensor) -> tuple[Tensor, ...]:
        shapes = (*map(_shape, arguments),)
        if (made := self.made.get(shapes)) is not None:
            return made(*arguments, *self.tensors)
        found = _slow(self.field, *arguments)
        if shapes in self.made:
            self.made[shapes] = made = self._function(shapes, arguments)
            if not all(map(agree, made(*arguments, *self.tensors), found)):
                words = f"expected the {type(self.field).__name__} that was compiled, got another"
                raise ValueError(f"field: {words}")
        else:
            self.made[shapes] = None
        return found

    def _function(self, shapes: Any, arguments: tuple[Tensor, ...]) -> Callable[..., tuple[Tensor, ...]]:
        key, count, given = (self.key, shapes), len(arguments), (*arguments, *self.tensors)

        def whole(*given: Tensor) -> tuple[Tensor, ...]:
            return _slow(with_tensors(self.field, given[count:]), *given[:count])

        with _one_at_a_time:
            if (made := _known.pop(key, None)) is None:
                made = torch.compile(graph_of(whole, given, {}), fullgraph=True, dynamic=False, options=_OPTIONS)
                made(*given)
            _known[key] = made  # the last one used is the last to go
            if len(_known) > _MOST_KNOWN:
                del _known[next(iter(_known))]
        return made


_known: dict[Any, Callable[..., tuple[Tensor, ...]]] = {}
_one_at_a_time = threading.Lock()
_MOST_KNOWN = 64


def _shape(x: Tensor) -> tuple[Any, ...]:
    return (x.shape, x.dtype, x.device)


def _slow(field: AbstractVectorField, *arguments: Tensor) -> tuple[Tensor, ...]:
    """What is worth compiling: the force, or the derivative of the whole state."""
    if isinstance(field, AbstractSeparable):
        return (field.force(*arguments),)
    t, q, p = arguments
    return tuple(field(t, PhaseSpace(q, p)))


@cache
def _through(kind: type[AbstractVectorField]) -> Any:
    """The class of fields of this kind that call what is compiled."""

    def force(self: Any, q: Tensor) -> Tensor:
        return self._compiled(q)[0]

    def forward(self: Any, t: Tensor, state: PhaseSpace) -> PhaseSpace:
        return PhaseSpace(*self._compiled(t, *state))

    def select(self: Any, index: slice | Tensor) -> AbstractVectorField:
        return self._own.select(index)

    own = {"force": force} if issubclass(kind, AbstractSeparable) else {"forward": forward}
    return type(kind.__name__, (kind,), own | {"select": select, "__module__": kind.__module__})
