"""Events: what happens to a trajectory between its output times, as the zeros of functions of its state.

`simulate(field, state, times, events=[...])` finds them, for each trajectory by itself (see `systems.watching`). An
event of one's own is a `Crossing` with any function of the state, or a subclass of `AbstractEvent`.
"""

from __future__ import annotations

import math
from abc import ABC, abstractmethod
from collections.abc import Callable, Sequence
from dataclasses import KW_ONLY, dataclass, fields
from typing import Any, ClassVar

import torch
from jaxtyping import Bool, Float, Int
from torch import Tensor

from systems.checks import check
from systems.door import in_steps
from systems.numbers import to_tensor
from systems.phase_space import PhaseSpace
from systems.tracing import pushed_forward
from systems.vector_field import AbstractSeparable, AbstractVectorField


@in_steps
@dataclass(frozen=True, eq=False)
class AbstractEvent(ABC):
    """The zeros of functions of the state, one function for each part: a body, say, or a pair of bodies.

    Args:
        direction: 1 for zeros at which the function grows with time, -1 where it falls, 0 for both. Time is time
            itself: the same events are found forward and backward.
        terminal: whether a trajectory ends at the event.
        name: of the event in a Dataset; by default that of its class.
    """

    bounds: ClassVar[bool] = False
    """Whether no trajectory is meant to be beyond the zero."""
    _: KW_ONLY
    direction: int = 0
    terminal: bool = False
    name: str = ""

    def __post_init__(self) -> None:
        check("direction", self.direction, self.direction in (-1, 0, 1), "-1, 0 or 1")
        check("terminal", self.terminal, isinstance(self.terminal, bool), "True or False")
        check("name", self.name, isinstance(self.name, str) and " " not in self.name, "a word")
        object.__setattr__(self, "name", self.name or type(self).__name__.lower())

    @abstractmethod
    def values(self, field: AbstractVectorField, state: PhaseSpace) -> Float[Tensor, "*batch part"]:
        """The functions whose zeros are the event, of a state ``(*batch, n, d)``."""

    def counts(self, field: AbstractVectorField, state: PhaseSpace, part: Tensor) -> Bool[Tensor, " event"] | None:
        """Which zeros count, by the states ``(event, n, d)`` at them and their parts ``(event,)``; None for all."""
        return None

    def bodies(self, part: Int[Tensor, " event"], n: int) -> tuple[Int[Tensor, " event"], Int[Tensor, " event"]]:
        """The body, of n, that each event happens to, by its part, and the other one of a pair; -1 for none."""
        none = torch.full_like(part, -1)
        return none, none

    def check(self, field: AbstractVectorField, state: PhaseSpace) -> None:
        """A ValueError that names what does not fit the field and the state, before any work starts."""
        try:
            found, _ = pushed_forward(lambda q, p: self.values(field, PhaseSpace(q, p)), tuple(state), tuple(state))
        except (AttributeError, RuntimeError, TypeError) as error:
            words = f"events: expected {self.name} to be made of torch's operations on a state, which gives numbers"
            raise ValueError(f"{words}, got the error: {error}") from error
        if found.dtype != state.q.dtype:
            raise ValueError(f"events: expected {self.name} to have values of {state.q.dtype}, got {found.dtype}")
        shape, batch = tuple(found.shape), tuple(state.q.shape[:-2])
        if shape[:-1] != batch or len(shape) != len(batch) + 1:
            raise ValueError(f"events: expected {self.name} to have values of shape {(*batch, 'part')}, got {shape}")

    def __repr__(self) -> str:
        """What tells two events apart, the same in every process."""
        values = {f.name: getattr(self, f.name) for f in fields(self)}
        texts = [f"{name}={getattr(value, '__qualname__', value)!r}" for name, value in values.items()]
        return f"{type(self).__name__}({', '.join(texts)})"


@dataclass(frozen=True, eq=False, repr=False)
class Crossing(AbstractEvent):
    """A function of the state is zero.

    Args:
        function: of a state ``(*batch, n, d)`` to a value for each of the batch, by torch's operations.
        direction, terminal, name: see `AbstractEvent`.

    Example: the turning points of a pendulum.
        >>> import torch
        >>> from systems import Pendulum, simulate
        >>> system, state = Pendulum.sample(2, seed=0)
        >>> turning = Crossing(lambda state: state.p[..., 0, 0], name="turning")
        >>> dataset = simulate(system, state, torch.linspace(0, 5, 6), events=[turning])
        >>> bool(abs(dataset.event_p.isel(body=0)).max() < 1e-12)
        True
    """

    function: Callable[[PhaseSpace], Tensor]

    def __post_init__(self) -> None:
        super().__post_init__()
        check("function", self.function, callable(self.function), "a function of a state")

    def values(self, field: AbstractVectorField, state: PhaseSpace) -> Float[Tensor, "*batch part"]:
        return self.function(state)[..., None]


@dataclass(frozen=True, eq=False, repr=False)
class Plane(AbstractEvent):
    """A body goes through a plane, normal . q = offset: a surface of section (Poincare 1892).

    Its parts are the bodies, or the one that is named.

    Args:
        normal: of the plane, a vector with a number for each dimension of space.
        offset: of the plane.
        body: the only one that is watched; None for all.
        direction, terminal, name: see `AbstractEvent`.

    Example:
        >>> import torch
        >>> from systems import HenonHeiles, simulate
        >>> system, state = HenonHeiles.sample(2, seed=0)
        >>> dataset = simulate(system, state, torch.linspace(0, 50, 2), events=[Plane([1.0, 0.0], direction=1)])
        >>> bool(abs(dataset.event_q.isel(space=0)).max() < 1e-12)
        True
    """

    normal: Sequence[float] | Tensor
    offset: float = 0.0
    body: int | None = None

    def __post_init__(self) -> None:
        super().__post_init__()
        normal = to_tensor("normal", self.normal)
        good = normal.ndim == 1 and bool(torch.isfinite(normal).all() and normal.any())
        check("normal", self.normal, good, "finite numbers, one for each dimension of space, not all of them 0")
        check("offset", self.offset, _is_number(self.offset) and math.isfinite(self.offset), "a finite number")
        check("body", self.body, self.body is None or isinstance(self.body, int), "an index, or None for all bodies")

    def check(self, field: AbstractVectorField, state: PhaseSpace) -> None:
        n, d = state.q.shape[-2:]
        check("normal", self.normal, len(self.normal) == d, f"{d} numbers, one for each dimension of space")
        check("body", self.body, self.body is None or -n <= self.body < n, f"an index below {n}")

    def values(self, field: AbstractVectorField, state: PhaseSpace) -> Float[Tensor, "*batch part"]:
        normal = to_tensor("normal", self.normal).to(state.q)
        values = (state.q * normal).sum(-1) - self.offset
        values = values if field.mask is None else torch.where(field.mask, values, 1)
        return values if self.body is None else values[..., self.body, None]

    def bodies(self, part: Int[Tensor, " event"], n: int) -> tuple[Int[Tensor, " event"], Int[Tensor, " event"]]:
        return (part if self.body is None else torch.full_like(part, self.body % n)), torch.full_like(part, -1)


@dataclass(frozen=True, eq=False, repr=False)
class AbstractOfPairs(AbstractEvent):
    """Something between two bodies. Its parts are the pairs i < j, as `torch.triu_indices` orders them."""

    def existing(self, field: AbstractVectorField, values: Float[Tensor, "*batch pair"]) -> Tensor:
        """The values, and 1, which is no event, where a body of the pair does not exist."""
        if field.mask is None:
            return values
        i, j = torch.triu_indices(field.mask.shape[-1], field.mask.shape[-1], 1, device=values.device)
        return torch.where(field.mask[..., i] & field.mask[..., j], values, 1)

    def check(self, field: AbstractVectorField, state: PhaseSpace) -> None:
        check("state", tuple(state.q.shape), state.q.shape[-2] >= 2, f"two bodies or more for {self.name}")
        super().check(field, state)

    def bodies(self, part: Int[Tensor, " event"], n: int) -> tuple[Int[Tensor, " event"], Int[Tensor, " event"]]:
        i, j = torch.triu_indices(n, n, 1, device=part.device)[:, part.long()]
        return i.to(part), j.to(part)


@dataclass(frozen=True, eq=False, repr=False)
class Collision(AbstractOfPairs):
    """Two bodies come as close as the sum of their radii.

    Args:
        radius: of all bodies, or ``(n,)`` or ``(trajectory, n)``.
        terminal: by default the trajectory ends.
        direction, name: see `AbstractEvent`; by default only coming closer counts.

    Example:
        >>> import torch
        >>> from systems import Gravity, PhaseSpace, simulate
        >>> system = Gravity(mass=[1.0, 1.0], gravitational_constant=1.0)
        >>> state = PhaseSpace.of([[0, 0, 0], [1, 0, 0]], v=torch.zeros(2, 3).double(), mass=[1.0, 1.0])
        >>> dataset = simulate(system, state, torch.linspace(0, 2, 21), events=[Collision(0.1)])
        >>> dataset.status.values, dataset.event_time.values.round(6), dataset.event_q[0, 0, :, 0].values
        (array([5], dtype=int8), array([[0.753574]]), array([0.4, 0.6]))
    """

    bounds: ClassVar[bool] = True
    radius: float | Sequence[float] | Tensor
    _: KW_ONLY
    direction: int = -1
    terminal: bool = True

    def __post_init__(self) -> None:
        super().__post_init__()
        radius = to_tensor("radius", self.radius)
        good = bool((torch.isfinite(radius) & (radius > 0)).all())
        check("radius", self.radius, good, "a positive number, or one for each body")

    def check(self, field: AbstractVectorField, state: PhaseSpace) -> None:
        shape = to_tensor("radius", self.radius).shape
        good = shape in [(), state.q.shape[-2:-1], state.q.shape[:-1]]
        check("radius", tuple(shape), good, f"a number, or shape {tuple(state.q.shape[:-1])}")
        super().check(field, state)

    def values(self, field: AbstractVectorField, state: PhaseSpace) -> Float[Tensor, "*batch part"]:
        radius = to_tensor("radius", self.radius).to(state.q)
        reach = radius[..., :, None] + radius[..., None, :] if radius.ndim else 2 * radius
        apart = _apart(state.q).square().sum(-1)
        i, j = _pairs(state.q)
        return self.existing(field, apart - (reach[..., i, j] if radius.ndim else reach).square())


@dataclass(frozen=True, eq=False, repr=False)
class CloseApproach(AbstractOfPairs):
    """Two bodies are closer than before and after.

    Args:
        within: the largest distance that counts.
        terminal, name: see `AbstractEvent`.
        direction: 1; -1 for the largest distance.

    Example: a planet's perihelion.
        >>> import torch
        >>> from systems import Gravity, PhaseSpace, simulate
        >>> system = Gravity(mass=[1.0, 0.0], gravitational_constant=1.0)
        >>> state = PhaseSpace.of([[0, 0], [1.5, 0]], v=[[0, 0], [0, (1 / 3) ** 0.5]], mass=[1.0, 0.0])
        >>> dataset = simulate(system, state, torch.linspace(0, 14, 15), events=[CloseApproach()])
        >>> (dataset.event_time.values / torch.pi).round(12)
        array([[1., 3.]])
    """

    within: float = math.inf
    _: KW_ONLY
    direction: int = 1

    def __post_init__(self) -> None:
        super().__post_init__()
        check("within", self.within, _is_number(self.within) and self.within > 0, "a positive number")

    def values(self, field: AbstractVectorField, state: PhaseSpace) -> Float[Tensor, "*batch part"]:
        separable = isinstance(field, AbstractSeparable)
        velocity = field.velocity(state.p) if separable else field(state.q.new_zeros(()), state).q
        return self.existing(field, (_apart(state.q) * _apart(velocity)).sum(-1))

    def counts(self, field: AbstractVectorField, state: PhaseSpace, part: Tensor) -> Bool[Tensor, " event"] | None:
        distance = _apart(state.q).norm(dim=-1)
        return distance.gather(-1, part[:, None])[:, 0] <= self.within


@dataclass(frozen=True, eq=False, repr=False)
class Escape(AbstractEvent):
    """A body leaves a ball about the centre of mass of all; about their mean position where they have no masses.

    Its parts are the bodies.

    Args:
        distance: the radius of the ball.
        terminal: by default the trajectory ends.
        direction, name: see `AbstractEvent`; by default only going out counts.

    Example:
        >>> import torch
        >>> from systems import Gravity, PhaseSpace, simulate
        >>> system = Gravity(mass=[1.0, 0.0], gravitational_constant=1.0)
        >>> state = PhaseSpace.of([[0, 0], [1, 0]], v=[[0, 0], [0, 2]], mass=[1.0, 0.0])
        >>> dataset = simulate(system, state, torch.linspace(0, 10, 11), events=[Escape(5.0)])
        >>> float(dataset.last_time[0]) < float(dataset.event_time[0, 0]) < float(dataset.last_time[0]) + 1
        True
    """

    bounds: ClassVar[bool] = True
    distance: float
    _: KW_ONLY
    direction: int = 1
    terminal: bool = True

    def __post_init__(self) -> None:
        super().__post_init__()
        good = _is_number(self.distance) and 0 < self.distance < math.inf
        check("distance", self.distance, good, "a positive number")

    def values(self, field: AbstractVectorField, state: PhaseSpace) -> Float[Tensor, "*batch part"]:
        weight: Any = getattr(field, "mass", None)
        weight = torch.ones_like(state.q[..., 0]) if weight is None else weight.expand(state.q.shape[:-1])
        if field.mask is not None:
            weight = torch.where(field.mask, weight, 0)
        centre = (weight[..., None] * state.q).sum(-2, keepdim=True) / weight.sum(-1)[..., None, None]
        values = (state.q - centre).square().sum(-1) - self.distance**2
        return values if field.mask is None else torch.where(field.mask, values, -1)

    def bodies(self, part: Int[Tensor, " event"], n: int) -> tuple[Int[Tensor, " event"], Int[Tensor, " event"]]:
        return part, torch.full_like(part, -1)


def _is_number(value: Any) -> bool:
    return isinstance(value, int | float) and not isinstance(value, bool)


def _pairs(q: Tensor) -> tuple[Tensor, Tensor]:
    i, j = torch.triu_indices(q.shape[-2], q.shape[-2], 1, device=q.device)
    return i, j


def _apart(x: Float[Tensor, "*batch n d"]) -> Float[Tensor, "*batch pair d"]:
    """x_i - x_j of all pairs i < j."""
    i, j = _pairs(x)
    return x[..., i, :] - x[..., j, :]
