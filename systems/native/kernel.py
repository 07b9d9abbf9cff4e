"""A compiled method for a field: the call of its machine code."""

from __future__ import annotations

import threading
from typing import Any, TypeGuard

import torch
from torch import Tensor

from systems.integrators.abstract import AbstractIntegrator
from systems.integrators.attempt import Attempt
from systems.integrators.steps import wide as placed
from systems.native import build, emit, trace
from systems.native.abreast import abreast_program
from systems.native.call import call, shared
from systems.native.look import look
from systems.native.methods import Plan, Recipe, plan_of
from systems.native.pairs import VECTOR_BYTES, PairProgram, force_on, pair_program
from systems.native.program import AbstractProgram
from systems.native.reason import TooMany
from systems.pairs import AbstractPairs
from systems.phase_space import PhaseSpace
from systems.vector_field import AbstractVectorField

#: Bodies whose pairs are written out one by one.
WRITTEN_OUT = 16
#: Trajectories that fill no vectors: fewer than these.
_FEW = 4
#: More pairs than these are compared for some of the bodies only.
_FEW_PAIRS, _ROWS = 2**18, 16


def kernel_of(field: AbstractVectorField, state: PhaseSpace, recipe: Recipe, *, gradient: bool) -> Kernel:
    """The machine code of a method for a field, made once for all fields that look alike (see `look`).

    A training, which makes a field at each step, so traces it once.

    Args:
        field, state, recipe, gradient: see `Kernel`.

    Raises:
        NotNative: as `Kernel`.
    """
    alone = state.q.shape[:-2].numel() if state.q.shape[:-2].numel() < _FEW else _FEW
    with _one_at_a_time:
        try:
            key = (look(field, gradient=gradient), state.q.shape[-2:], state.q.dtype, alone, _frozen(recipe), gradient)
            hash(key)  # of nothing known yet nothing is asked for its hash
        except (TypeError, RuntimeError):  # something that may change without a trace
            return Kernel(field, state, recipe, gradient=gradient)
        kernel = _known.pop(key, None)
        if kernel is None:
            try:
                kernel = Kernel(field, state, recipe, gradient=gradient)
            except TooMany as reason:  # known after a second of tracing
                kernel = reason
        _known[key] = kernel  # the last one used is the last to go
        if len(_known) > _MOST_KNOWN:
            del _known[next(iter(_known))]
    if isinstance(kernel, TooMany):
        raise TooMany(*kernel.args)
    return kernel


_known: dict[Any, Kernel | TooMany] = {}
_one_at_a_time = threading.Lock()
_MOST_KNOWN = 64


def _frozen(recipe: Recipe) -> tuple[Any, ...]:
    return recipe._replace(macros=tuple(recipe.macros.items()))


class Kernel:
    """The machine code of a method for fields of one kind and states of one shape.

    While it runs, other Python threads do too. A trajectory's bits do not depend on those beside it.

    Args:
        field: that is traced.
        state: of the shape ``(*batch, n, d)``; one trajectory alone gets code of its own.
        recipe: how the method is made.
        gradient: whether there is a way back too.

    Raises:
        NotNative: if the field cannot be traced, or nothing can be compiled.
    """

    def __init__(
        self, field: AbstractVectorField, state: PhaseSpace, recipe: Recipe, *, gradient: bool = False
    ) -> None:
        *batch, bodies, dimension = state.q.shape
        wide = VECTOR_BYTES // state.q.element_size()
        count = torch.Size(batch).numel()
        shape = (bodies, dimension, state.q.dtype)
        self.gradient, way_back = gradient, recipe.way_back if gradient else ()
        if gradient:
            self.program = trace.traced(field, *shape, separable=recipe.separable, gradient=True)
        else:
            self.program = _program(field, *shape, separable=recipe.separable, few=count < _FEW and not recipe.lanes)
        lanes = self.program.lanes or recipe.lanes or (1 if count == 1 else wide)
        text = emit.source(self.program, (*recipe.files, *way_back, "evaluate"), lanes, recipe.macros)
        self._library, self._calls = build.library(text), recipe.calls * (recipe.lanes or 1)
        self._coefficients = torch.tensor(recipe.coefficients, dtype=state.q.dtype)

    def fits(self, field: AbstractVectorField, state: PhaseSpace, t: Tensor) -> bool:
        """Whether it is the code of this field: both say the same of these states."""
        batch = state.q.shape[:-2]
        q, p, rates = (x.detach().contiguous() for x in (*state, torch.stack(list(state))))
        times = t.detach().expand(batch).contiguous()
        with torch.no_grad():
            values, edges = self.program.table(field, batch), self.program.edges(field)
        count = batch.numel()
        call(self._library, "evaluate", count, count, q, p, values, edges, times, rates[0], rates[1])
        with torch.no_grad():
            if self._all_pairs(field) and field.pair_count(q.shape[-2]) * count > _FEW_PAIRS:
                rows = torch.linspace(0, q.shape[-2] - 1, _ROWS).long()
                pairs = [(rates[0], field.velocity(p)), (rates[1][..., rows, :], force_on(field, q, rows))]
            else:
                pairs = zip(rates, field(placed(t), state), strict=True)
            return all(agree(found, expected) for found, expected in pairs)

    def _all_pairs(self, field: AbstractVectorField) -> TypeGuard[AbstractPairs]:
        return isinstance(self.program, PairProgram) and self.program.edge_count is None

    def run(self, method: AbstractIntegrator, field: AbstractVectorField, state: PhaseSpace, times: Tensor) -> Attempt:
        """The trajectory, NaN after what stopped it, and how each of the batch ended."""
        batch = state.q.shape[:-2]
        plan = plan_of(method, times, batch)
        if self.gradient:
            from systems.native.gradient import Trajectory

            q, p, status = Trajectory.apply(self, plan, state.q, state.p, self.program.table(field, batch))
            return Attempt(PhaseSpace(q, p), status)
        with torch.no_grad():
            values, edges = self.program.table(field, batch), self.program.edges(field)
        q, p, status = self.forwards(plan, state.q.detach(), state.p.detach(), values, edges)
        return Attempt(PhaseSpace(q, p), status)

    def forwards(
        self, plan: Plan, q: Tensor, p: Tensor, values: Tensor, edges: Tensor | None = None
    ) -> tuple[Tensor, Tensor, Tensor]:
        """q and p ``(time, *batch, n, d)``, and how each of the batch ended."""
        batch = q.shape[:-2]
        path = [x.new_empty(len(plan.times), *x.shape) for x in (q, p)]
        status = torch.zeros(batch, dtype=torch.int8)
        first = (q.contiguous(), p.contiguous(), values, edges)
        self._shared("run", plan, batch, *first, *plan, self._coefficients, *path, status)
        return path[0], path[1], status

    def backwards(
        self, plan: Plan, q: Tensor, p: Tensor, values: Tensor, of_q: Tensor, of_p: Tensor
    ) -> tuple[Tensor, Tensor, Tensor]:
        """The derivatives by the first state and by the values, from those by all states ``(time, *batch, n, d)``."""
        found = [torch.empty_like(x) for x in (q[0], p[0], values)]
        known = (q, p, values, *plan, self._coefficients, of_q, of_p)
        self._shared("back", plan, q.shape[1:-2], *known, *found)
        return found[0], found[1], found[2]

    def _shared(self, function: str, plan: Plan, batch: torch.Size, *arguments: Tensor | None) -> None:
        count, intervals, columns = batch.numel(), len(plan.times) - 1, plan.times.shape[1]
        work = int(plan.counts.sum()) * (count // columns) * self.program.bodies**2 * self._calls
        shared(self._library, function, count, work, count, intervals, columns, *arguments)


def agree(found: Tensor, expected: Tensor) -> bool:
    """Whether they differ by less than anybody would call another number."""
    size = expected.abs().amax((-2, -1), keepdim=True)
    close = (found - expected).abs() <= torch.finfo(found.dtype).eps ** 0.5 * size
    return bool((close | (found == expected)).all())


def _program(
    field: AbstractVectorField, bodies: int, dimension: int, dtype: torch.dtype, *, separable: bool, few: bool
) -> AbstractProgram:
    """Loops over pairs or edges of many bodies; else one operation after the other, for bodies or for trajectories."""
    if isinstance(field, AbstractPairs) and field.is_sum:
        if bodies > WRITTEN_OUT:
            return pair_program(field, bodies, dimension, dtype)
        if few and field.edges is None:
            return abreast_program(field, bodies, dimension, dtype, separable=separable)
    return trace.traced(field, bodies, dimension, dtype, separable=separable)
