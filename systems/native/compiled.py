"""The wrapper that takes an integrator's steps in machine code."""

from __future__ import annotations

import warnings
from dataclasses import dataclass, replace
from itertools import chain
from typing import TYPE_CHECKING, Any, ClassVar

import torch
import torch.autograd.forward_ad as forward_ad
from jaxtyping import Float
from torch import Tensor
from torch._C._functorch import peek_interpreter_stack

from systems.checks import check_choice
from systems.integrators.abstract import AbstractIntegrator
from systems.integrators.attempt import Attempt, raise_unless_ok, status_of
from systems.integrators.recomputation import Recomputed
from systems.integrators.stepping import MODES, AbstractStepping
from systems.integrators.wrapper import AbstractWrapper
from systems.native import build
from systems.native.methods import Recipe, plan_of, recipe_of
from systems.native.reason import NotNative, TooMany
from systems.native.scalars import MOST_OPERATIONS
from systems.phase_space import PhaseSpace
from systems.status import Status
from systems.tracing import readable
from systems.vector_field import AbstractVectorField

if TYPE_CHECKING:
    from systems.native.kernel import Kernel


#: Pairs of bodies whose forces take torch as long as it takes to call a field at all.
_CALL = 10_000
#: Pairs of bodies whose forces take torch about as long as tracing and a C compiler take, some seconds.
_WORTH = 200_000_000
#: The same of networks: pairs of bodies of which they need as long as for a call, and as long as torch.compile takes.
_NETWORK_CALL, _NETWORK_WORTH = 1_000, 20_000_000


@dataclass(frozen=True, eq=False)
class Compiled(AbstractWrapper):
    """The same steps in machine code: the field is traced for one trajectory, written as C and compiled once.

    The trajectory is the integrator's own, to the last bit where its arithmetic is + - x / and square roots, else to
    round-off (the page docs/explanations/native.md has the details). Gradients go through kicks, drifts, RK4 and Gauss
    methods of fixed steps, with memory for the output times only. Where the state is on a GPU and where something stops
    the way to machine code, the integrator takes the steps itself: those of networks, and with "on" of all forces of
    too many operations, with the force through torch.compile.

    Advantages: 5 to 500 times as fast; needs nothing but a C compiler.
    Drawbacks: the first run of a field waits for the compiler, about a second; no interruption while a block of
    trajectories is computed.

    Args:
        integrator: kicks and drifts, Runge-Kutta or Gauss; others take their own steps.
        compile: "on"; "off"; or "auto": where the integrator says "on", or does not say "off" and the counts of bodies,
            trajectories and steps promise to save more than a compiler costs; never by a clock: so the same call gives
            the same bits.

    Raises:
        ValueError: for another mode, and as the integrator.

    Warns:
        UserWarning: with one line that says what stops machine code where it is wanted.

    Example:
        >>> from systems import Gravity
        >>> from systems.integrators import Leapfrog
        >>> system, state = Gravity.sample(10, seed=0)
        >>> times = torch.linspace(0, 10, 5, dtype=torch.float64)
        >>> fast = Compiled(Leapfrog(step=0.01)).integrate(system, state, times)
        >>> fast.q.equal(Leapfrog(step=0.01).integrate(system, state, times).q)
        True
    """

    compile: str = "auto"

    def __post_init__(self) -> None:
        super().__post_init__()
        check_choice("compile", self.compile, MODES)

    def integrate(
        self, field: AbstractVectorField, state: PhaseSpace, times: Float[Tensor, " time *batch"]
    ) -> PhaseSpace:
        self.check(field, state, times)
        return self.prepared(field, state, times).integrate(field, state, times)

    def attempt(self, field: AbstractVectorField, state: PhaseSpace, times: Float[Tensor, " time *batch"]) -> Attempt:
        self.check(field, state, times)
        return self.prepared(field, state, times).attempt(field, state, times)

    def prepared(
        self,
        field: AbstractVectorField,
        state: PhaseSpace,
        times: Float[Tensor, " time *batch"],
        block: int | None = None,
        count: int | None = None,
    ) -> AbstractIntegrator:
        """What takes the steps: machine code for this field and all that `select` makes of it, or the integrator.

        Args:
            field, state, times: as in `integrate`.
            block: trajectories that are computed at a time, if it is not all of them.
            count: of all trajectories, if these are some of them.
        """
        mode = self.compile if self.compile != "auto" else getattr(_stepping(self.integrator), "compile", "auto")
        return machine_code(self.integrator, mode, field, state, times, block, count) or eager(self.integrator)


def machine_code(
    method: AbstractIntegrator,
    mode: str,
    field: AbstractVectorField,
    state: PhaseSpace,
    times: Tensor,
    block: int | None = None,
    count: int | None = None,
) -> AbstractIntegrator | None:
    """What takes a method's steps in machine code, or by torch.compile; None for neither: not wanted, or not to be had.

    Warns:
        UserWarning: with one line that says what stops machine code where it is wanted.
    """
    if mode == "off" or _is_transformed() or (mode == "auto" and state.q.device.type != "cpu"):
        return None
    gradient = _differentiates(method, field, state, times)
    method = _stepping(method)
    recipe = recipe_of(method, field, state.q.dtype)
    network = is_network(field)
    pays = _pays_of_network if network else _pays
    if mode == "auto" and not pays(method, recipe, field, state, times, gradient, count=count):
        return None
    try:
        if field.jumps(state) is not None:
            raise NotNative("a force that jumps, at which steps have to end")
        if recipe is None:
            raise NotNative(f"{type(method).__name__}, which has none")
        if network:
            raise TooMany(f"a network of {_weights(field)} weights")
        kernel = _kernel(method, recipe, field, state, times, gradient)
    except NotNative as reason:
        fast, how = None, f"without machine code, because of {reason}"
        able = not gradient and state.q.device.type == "cpu"
        if able and (network or (mode == "on" and (_weights(field) or isinstance(reason, TooMany)))):
            fast, how = _by_torch_compile(method, field, state, times, block, reason)
        if mode == "on" or fast is None:
            warnings.warn(f"compile: {how}", UserWarning, stacklevel=4)
        return fast
    return _MachineCode(method, kernel)


def _by_torch_compile(
    method: AbstractIntegrator,
    field: AbstractVectorField,
    state: PhaseSpace,
    times: Tensor,
    block: int | None,
    reason: NotNative,
) -> tuple[AbstractIntegrator | None, str]:
    """The method with a compiled force, None where there is none; and what is said of it."""
    from systems.native.inductor import by_torch_compile  # torch's tracer takes half a second to import

    method = some = eager(method)
    if block is not None:  # as it will be done: what `select` makes may look different
        rows = slice(0, block)
        some, field, state = method.select(rows), field.select(rows), PhaseSpace(*(x[rows] for x in state))
        times = times[:, rows] if times.ndim > 1 else times
    try:
        fast = by_torch_compile(some, field, state, times)
    except NotNative as other:
        return None, f"without machine code, because of {reason}; nor by torch.compile, because of {other}"
    return replace(fast, integrator=method), f"by torch.compile, because of {reason}"


def decided(
    method: Any, field: AbstractVectorField, state: PhaseSpace, times: Tensor, repeats: int
) -> AbstractIntegrator:
    """The method, "auto" of its `compile` being "on" or "off" by the counts of so many calls as this one together.

    Example:
        >>> from systems import Gravity
        >>> from systems.integrators import Leapfrog
        >>> system, state = Gravity.sample(64, seed=0)
        >>> times = torch.linspace(0, 1, 11, dtype=torch.float64)
        >>> [decided(Leapfrog(step=0.1), system, state, times, repeats).compile for repeats in (1, 10_000)]
        ['off', 'on']
    """
    if isinstance(method, Recomputed):
        return replace(method, integrator=decided(method.integrator, field, state, times, repeats))
    if getattr(method, "compile", "off") != "auto" or not readable(*state, times):
        return method
    gradient = _differentiates(method, field, state, times)
    pays = _pays(method, recipe_of(method, field, state.q.dtype), field, state, times, gradient, repeats)
    return replace(method, compile="on" if pays else "off")


def _pays(
    method: AbstractIntegrator,
    recipe: Recipe | None,
    field: AbstractVectorField,
    state: PhaseSpace,
    times: Tensor,
    gradient: bool,
    repeats: int = 1,
    count: int | None = None,
) -> bool:
    """Whether machine code can be had for all that is wanted, and saves more than it costs."""
    if recipe is None or field.jumps(state) is not None or (gradient and not recipe.way_back):
        return False
    return _is_worth(method, recipe, field, state, times, gradient, repeats, count)


def _stepping(method: AbstractIntegrator) -> AbstractIntegrator:
    """The method itself: machine code stores no more than `Recomputed` does."""
    return method.integrator if isinstance(method, Recomputed) else method


def eager(method: Any) -> AbstractIntegrator:
    """The same with steps by torch."""
    if isinstance(method, AbstractWrapper):
        return replace(method, integrator=eager(method.integrator))
    return replace(method, compile="off") if isinstance(method, AbstractStepping) else method


def _is_transformed() -> bool:
    """Whether torch.func or forward-mode derivatives look at what is computed."""
    return peek_interpreter_stack() is not None or forward_ad._current_level >= 0


def _kernel(
    method: AbstractIntegrator,
    recipe: Recipe,
    field: AbstractVectorField,
    state: PhaseSpace,
    times: Tensor,
    gradient: bool,
) -> Kernel:
    """The machine code, if it says of these states what the field says."""
    if state.q.device.type != "cpu":
        raise NotNative(f"a state on {state.q.device}")
    build.compiler()  # without one, nothing need be traced
    from systems.native.kernel import kernel_of  # torch's tracer takes half a second to import

    if gradient:
        _check_differentiable(method, recipe, field, state, times)
    kernel = kernel_of(field, state, recipe, gradient=gradient)
    if not kernel.fits(field, state, times[0]):
        raise NotNative(f"{type(field).__name__}, whose values are not what was traced")
    return kernel


def _check_differentiable(
    method: AbstractIntegrator, recipe: Recipe, field: AbstractVectorField, state: PhaseSpace, times: Tensor
) -> None:
    from systems.native.gradient import check_known

    if not recipe.way_back:
        raise NotNative(f"a gradient through {type(method).__name__}")
    if any(isinstance(x, Tensor) and x.requires_grad for x in (times, getattr(method, "step", None))):
        raise NotNative("a gradient with respect to times or steps")
    check_known(field, state, times[0])


@dataclass(frozen=True, eq=False)
class _MachineCode(AbstractWrapper):
    """An integrator whose code is there."""

    backend: ClassVar[str] = "native"
    kernel: Kernel

    def integrate(
        self, field: AbstractVectorField, state: PhaseSpace, times: Float[Tensor, " time *batch"]
    ) -> PhaseSpace:
        trajectory, status = self._run(field, state, times)
        raise_unless_ok(status)
        return trajectory

    def attempt(self, field: AbstractVectorField, state: PhaseSpace, times: Float[Tensor, " time *batch"]) -> Attempt:
        trajectory, status = self._run(field, state, times)
        return Attempt(trajectory, torch.where(status == 0, status_of(trajectory, Status.DIVERGED), status))

    def _run(self, field: AbstractVectorField, state: PhaseSpace, times: Tensor) -> Attempt:
        self.check(field, state, times)
        if not self.kernel.fits(field, state, times[0]):
            raise ValueError(f"field: expected the {type(field).__name__} whose machine code this is, got another")
        return self.kernel.run(self.integrator, field, state, times)


def backend_of(integrator: AbstractIntegrator | None) -> str:
    """What takes the steps of an integrator that `Compiled.prepared` returned: native, inductor or eager."""
    return getattr(integrator, "backend", "eager")


def _differentiates(method: Any, field: AbstractVectorField, state: PhaseSpace, times: Tensor) -> bool:
    """Whether a gradient is wanted of anything that the trajectory depends on."""
    if not torch.is_grad_enabled():
        return False
    tensors = chain(state, (times, getattr(method, "step", None)), field.parameters(), field.buffers())
    return any(isinstance(x, Tensor) and x.requires_grad for x in tensors)


def is_network(field: AbstractVectorField) -> bool:
    """Whether a field has learned more numbers than can be written out."""
    return _weights(field) > MOST_OPERATIONS


def _weights(field: AbstractVectorField) -> int:
    """How many numbers a field has learned, or is to learn, beside the values that it declares."""
    return sum(x.numel() for name, x in field.named_parameters() if name not in field.values)


def _pays_of_network(
    method: AbstractIntegrator,
    recipe: Recipe | None,
    field: AbstractVectorField,
    state: PhaseSpace,
    times: Tensor,
    gradient: bool,
    count: int | None = None,
) -> bool:
    """By counts alone: whether torch would need longer for the network than torch.compile for its force."""
    if gradient or field.jumps(state) is not None or not isinstance(method, AbstractStepping):
        return False
    *batch, bodies, _ = state.q.shape
    states = (count or torch.Size(batch).numel()) * (1 if recipe is None else recipe.lanes or 1)
    calls = _steps(method, times, torch.Size(batch)) * (1 if recipe is None else recipe.calls)
    return calls * (_NETWORK_CALL + states * field.pair_count(bodies)) >= _NETWORK_WORTH


def _is_worth(
    method: AbstractIntegrator,
    recipe: Recipe,
    field: AbstractVectorField,
    state: PhaseSpace,
    times: Tensor,
    gradient: bool,
    repeats: int,
    count: int | None,
) -> bool:
    """By counts alone: whether torch would need longer than a compiler, and whether there is little to write out."""
    declared = field.values
    known = {*declared, *field.marks, "edges"}
    others = [x for name, x in chain(field.named_parameters(), field.named_buffers()) if name not in known]
    if sum(x.numel() for x in others) > MOST_OPERATIONS:
        return False  # a network
    *batch, bodies, _ = state.q.shape
    states = (count or torch.Size(batch).numel()) * (recipe.lanes or 1)
    calls = repeats * _steps(method, times, torch.Size(batch)) * recipe.calls * (1 + 2 * gradient)
    return calls * (_CALL + states * field.pair_count(bodies)) >= _WORTH


def _steps(method: AbstractIntegrator, times: Tensor, batch: torch.Size) -> float:
    """At least these are taken."""
    plan = plan_of(method, times, batch)
    steps = (plan.times.diff(dim=0) / plan.lengths[: len(plan.counts)]).abs().clamp(min=1)
    return steps.amax(1).sum().item()
