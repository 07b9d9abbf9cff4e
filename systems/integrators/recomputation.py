"""A wrapper that stores only the states at the output times, and recomputes the steps between them."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from itertools import chain
from typing import Any

import torch
from jaxtyping import Float
from torch import Tensor, nn

from systems.checks import check
from systems.integrators.attempt import Attempt, raise_unless_ok
from systems.integrators.once import once_differentiable
from systems.integrators.stepping import AbstractStepping, in_machine_code
from systems.integrators.steps import Carried, Interval
from systems.integrators.sums import Total
from systems.integrators.wrapper import AbstractWrapper
from systems.phase_space import PhaseSpace
from systems.vector_field import AbstractVectorField


@dataclass(frozen=True, eq=False)
class Recomputed(AbstractWrapper):
    """The same trajectory, with a gradient whose memory does not grow with the number of steps.

    Backpropagation stores the states at the output times only and takes the steps between them again, the last one
    first: kicks and drifts and symmetric methods are undone one step at a time, others hold one interval's states.
    Only the graph of one step exists at a time. A gradient goes to the state, the times, and the parameters and buffers
    of the field that require one. It agrees with that through all the steps to 1e-9 (relative, in float64).

    Advantages: O(outputs) memory, for any number of steps between them.
    Drawbacks: about one more evaluation for each; no second derivatives; every tensor that requires a gradient must be
    a parameter or a buffer of the field.

    Args:
        integrator: what takes the steps.

    Raises:
        ValueError: if the integrator is none that takes steps; from ``integrate`` also if the field uses a tensor that
            requires a gradient and is neither its parameter nor its buffer.

    Example:
        >>> from systems.integrators import Leapfrog, Recomputed
        >>> from systems.springs import Springs
        >>> system, state = Springs.sample(10, seed=0, rest_length=1.0)
        >>> q = state.q.requires_grad_()
        >>> times = torch.linspace(0, 1, 5, dtype=torch.float64)
        >>> trajectory = Recomputed(Leapfrog(step=0.01)).integrate(system, state, times)
        >>> trajectory.q[-1].sum().backward()
        >>> q.grad.shape
        torch.Size([10, 6, 2])
    """

    def __post_init__(self) -> None:
        super().__post_init__()
        stepping = isinstance(self.integrator, AbstractStepping)
        check("integrator", self.integrator, stepping, "an AbstractStepping, whose steps can be taken again")

    def integrate(
        self, field: AbstractVectorField, state: PhaseSpace, times: Float[Tensor, " time *batch"]
    ) -> PhaseSpace:
        method = self.integrator
        assert isinstance(method, AbstractStepping)
        if not torch.is_grad_enabled():
            return method.integrate(field, state, times)
        method.check(field, state, times)
        if (fast := in_machine_code(method, method.compile, field, state, times)) is not None:
            return fast.integrate(field, state, times)
        carried = method._begin(field, times[0], state)
        trajectory = method._by_intervals(times, carried, _Recomputation(method, field, times[0], carried).cross)
        if (status := method._status(trajectory)) is not None:
            raise_unless_ok(status)
        return trajectory

    def attempt(self, field: AbstractVectorField, state: PhaseSpace, times: Float[Tensor, " time *batch"]) -> Attempt:
        if torch.is_grad_enabled():
            return super().attempt(field, state, times)
        return self.integrator.attempt(field, state, times)


class _Recomputation:
    """Crosses intervals without a graph; backpropagation takes the steps again, the last one first."""

    def __init__(self, method: AbstractStepping, field: AbstractVectorField, t: Tensor, carried: Carried) -> None:
        self.method = method
        named = chain(field.named_parameters(), field.named_buffers())
        learned = {f"field.{name}": x for name, x in named if x.requires_grad}
        self.names, self.learned = list(learned), list(learned.values())
        self.stepper = _Stepper(method, field)
        with torch.enable_grad():
            carried = _filled(carried, [x.detach() for x in _tensors(carried)])
            result, leaves = self.step(t.detach(), torch.zeros_like(t), carried)
            hidden = unknown_leaf(_tensors(result), leaves)
        if hidden is not None:
            raise ValueError(
                "field: recomputation gives gradients to parameters and buffers of the field, but the field uses "
                f"another tensor that requires one, of shape {tuple(hidden.shape)}: register it, or take the "
                "integrator without Recomputed"
            )

    def cross(self, interval: Interval, carried: Carried) -> Carried:
        tensors = _Crossing.apply(
            self, interval, carried, interval.start, interval.end, *_tensors(carried), *self.learned
        )
        return _filled(carried, tensors)

    def step(self, t: Tensor, h: Tensor, carried: Carried) -> tuple[Carried, list[Tensor]]:
        """A step with copies of the field's tensors, and these copies: gradients stop there."""
        leaves = [x.detach().requires_grad_() for x in self.learned]
        values = dict(zip(self.names, leaves, strict=True))
        return torch.func.functional_call(self.stepper, values, (t, h, carried)), leaves


class _Stepper(nn.Module):
    def __init__(self, method: AbstractStepping, field: AbstractVectorField) -> None:
        super().__init__()
        self.method, self.field = method, field

    def forward(self, t: Tensor, h: Tensor, carried: Carried) -> Carried:
        return self.method._step(self.field, t, h, carried)


class _Crossing(torch.autograd.Function):
    """An interval as a function of its ends, of what is carried into it and of the field's tensors."""

    @staticmethod
    def forward(ctx: Any, recomputation: _Recomputation, interval: Interval, carried: Carried, *tensors: Tensor) -> Any:
        count = len(_tensors(carried))
        ctx.set_materialize_grads(False)
        after = recomputation.method._cross(recomputation.stepper.field, interval, carried)
        ctx.recomputation, ctx.interval, ctx.count = recomputation, interval._replace(start=None, end=None), count
        ctx.save_for_backward(*interval[:2], *carried.state, *after.state)
        return tuple(_tensors(after))

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, *gradients: Tensor | None) -> tuple[Tensor | None, ...]:  # pyright: ignore[reportIncompatibleMethodOverride]
        recomputation: _Recomputation = ctx.recomputation
        start, end, q, p, last_q, last_p = ctx.saved_tensors
        interval = ctx.interval._replace(start=start, end=end)
        timed = any(ctx.needs_input_grad[3:5])
        span = end - start
        ends: list[Tensor | None] = [None, None]
        learned: list[Tensor | None] = [None] * len(recomputation.learned)
        method, field = recomputation.method, recomputation.stepper.field
        for step in method._walk_back(field, interval, PhaseSpace(q, p), PhaseSpace(last_q, last_p)):
            with torch.enable_grad():
                t, h, *inputs = (x.detach().requires_grad_() for x in (step.t, step.h, *_tensors(step.before)))
                if not timed:
                    t, h = step.t, step.h
                after, leaves = recomputation.step(t, h, _filled(step.before, inputs))
            outputs, given = _matched(_tensors(after), gradients)
            wanted = (*inputs, *leaves, t, h) if timed else (*inputs, *leaves)
            found = torch.autograd.grad(outputs, wanted, given, allow_unused=True)
            gradients = found[: ctx.count]
            learned = _summed(learned, found[ctx.count :])
            if timed:
                # t and h of a step are linear in the ends of the interval.
                by_t, by_h = (torch.zeros_like(step.h) if x is None else x for x in found[-2:])
                place, share = (step.t - start) / span, step.h / span
                by_end = place * by_t + share * by_h
                ends = _summed(ends, [(by_t - by_end).sum_to_size(start.shape), by_end.sum_to_size(end.shape)])
        return (None, None, None, *ends, *gradients, *learned)


def _tensors(carried: Carried) -> list[Tensor]:
    q, p, reused = carried
    return [x for x in (*q, *p, *reused) if x is not None]


def _filled(carried: Carried, tensors: Sequence[Tensor]) -> Carried:
    """The same structure with other tensors."""
    queue = iter(tensors)
    q, p = (Total(next(queue), None if total.lost is None else next(queue)) for total in (carried.q, carried.p))
    return Carried(q, p, tuple(queue))


def _matched(outputs: Sequence[Tensor], gradients: Sequence[Tensor | None]) -> tuple[list[Tensor], list[Tensor]]:
    """Those that have a graph and a gradient."""
    pairs = [(x, g) for x, g in zip(outputs, gradients, strict=True) if x.requires_grad and g is not None]
    return [x for x, _ in pairs], [g for _, g in pairs]


def _summed(totals: Sequence[Tensor | None], parts: Sequence[Tensor | None]) -> list[Tensor | None]:
    return [a if b is None else b if a is None else a + b for a, b in zip(totals, parts, strict=False)]


def unknown_leaf(results: Sequence[Tensor], leaves: Sequence[Tensor]) -> Tensor | None:
    """A tensor that requires a gradient, is none of these leaves, and has a part in the results."""
    known = {id(x) for x in leaves}
    queue = [x.grad_fn for x in results if x.grad_fn is not None]
    seen: set[Any] = set()
    while queue:
        node = queue.pop()
        leaf: Tensor | None = getattr(node, "variable", None)
        if leaf is not None and id(leaf) not in known:
            return leaf
        following = {n for n, _ in node.next_functions if n is not None} - seen
        seen |= following
        queue.extend(following)
    return None
