"""Where the numbers of a model begin, and what they are counted in: the data's own origin and units."""

import math
from collections.abc import Mapping, Sequence
from typing import Any

import torch
from jaxtyping import Bool, Float
from torch import Tensor, nn

from hlieconv.groups import AbstractGroup
from hlieconv.models.conditioned import Conditioned
from systems import AbstractHamiltonian, AbstractNewtonian, AbstractVectorField, PhaseSpace
from systems.tracing import readable


class Frame(nn.Module):
    """An origin and units: q = origin + length q', p = momentum p', t = time t', features in units of their own.

    Hamilton's equations keep their form, with the energy in units of length momentum / time and masses in units of
    momentum time / length. The origin moves along the translations of the model's symmetry only: elsewhere it is
    physics. It is a whole number of lengths and the units are powers of two, so that data at the origin stay as they
    are and units cost no digit. All of it is kept in float64 whatever the dtype of the model, so that what is large and
    nearly equal is subtracted before it is rounded.

    Args:
        dimension: of space.
        features: names of the features of bodies and of pairs.
        translations: an orthonormal basis of the directions in which the origin may move, ``(count, d)``.
        units: whether the units are measured too; otherwise they all stay 1.
    """

    origin: Tensor
    length: Tensor
    momentum: Tensor
    time: Tensor
    feature_units: Tensor
    measured: Tensor

    def __init__(
        self,
        dimension: int = 1,
        features: Sequence[str] = (),
        translations: Tensor | None = None,
        *,
        units: bool = False,
    ) -> None:
        super().__init__()
        self.names, self.units = tuple(features), units
        self.directions = torch.zeros(0, dimension, dtype=torch.float64) if translations is None else translations
        self.register_buffer("origin", torch.zeros(dimension, dtype=torch.float64))
        for unit in ("length", "momentum", "time"):
            self.register_buffer(unit, torch.ones((), dtype=torch.float64))
        self.register_buffer("feature_units", torch.ones(len(self.names), dtype=torch.float64))
        self.register_buffer("measured", torch.tensor(False))

    def _apply(self, fn: Any, recurse: bool = True) -> "Frame":
        """To another device, but never to another dtype."""
        exact = dict(self.named_buffers())
        super()._apply(fn, recurse)
        for name, buffer in exact.items():
            self.register_buffer(name, buffer.to(getattr(self, name).device))
        return self

    @property
    def is_trivial(self) -> bool:
        """Whether nothing is moved or scaled, for certain: of frames of an ensemble, under vmap, nobody knows."""
        if not readable(*self.buffers(), wait=True):
            return False
        units = torch.stack([self.length, self.momentum, self.time])
        return not self.origin.any() and bool((units == 1).all() and (self.feature_units == 1).all())

    @property
    def mass(self) -> Float[Tensor, ""]:
        """The unit of mass."""
        return self.momentum * self.time / self.length

    @property
    def velocity(self) -> Float[Tensor, ""]:
        """The unit of dq/dt."""
        return self.length / self.time

    @property
    def force(self) -> Float[Tensor, ""]:
        """The unit of dp/dt."""
        return self.momentum / self.time

    @property
    def energy(self) -> Float[Tensor, ""]:
        """The unit of the energy."""
        return self.length * self.momentum / self.time

    def positions(self, q: Float[Tensor, "*batch n d"]) -> Float[Tensor, "*batch n d"]:
        """Positions from the origin, in units of length."""
        return (q - self.origin.to(q)) / self.length

    def momenta(self, p: Float[Tensor, "*batch n d"]) -> Float[Tensor, "*batch n d"]:
        """Momenta in their unit."""
        return p / self.momentum

    def features(self, features: Mapping[str, Tensor]) -> dict[str, Tensor]:
        """Features in their units."""
        units = dict(zip(self.names, self.feature_units, strict=True))
        return {name: value / units[name] if name in units else value for name, value in features.items()}

    def inverse(self) -> "Frame":
        """The frame from which this one is left, but for the origin: for what translations leave as it is.

        Example:
            >>> from systems import Springs
            >>> frame, system = Frame(2, ["mass"]), Springs(mass=torch.ones(2), stiffness=torch.ones(2))
            >>> _ = frame.length.fill_(4.0)
            >>> q = torch.tensor([[0.0, 0.0], [1.0, 0.0]])
            >>> float(frame.inverse().outside(system, system.mass).potential(q)), float(system.potential(4 * q))
            (4.0, 16.0)
        """
        found = Frame(len(self.origin), self.names)
        for name in ("length", "momentum", "time", "feature_units"):
            found.register_buffer(name, 1 / getattr(self, name))
        return found

    @torch.no_grad()
    def measure(
        self,
        times: Float[Tensor, "point sample"],
        q: Float[Tensor, "point sample n d"],
        p: Float[Tensor, "point sample n d"],
        features: Mapping[str, Tensor],
        mask: Bool[Tensor, "sample n"] | None,
    ) -> None:
        """Measure the origin and the units on pieces of trajectories, in float64 on the CPU.

        The lengths are the root mean squares of q about the origin, of p, and of q' = dq/dt, so that they do not
        depend on the order of the trajectories, on padding, or on where an invariant system lies.

        Args:
            times: of the points.
            q: positions.
            p: momenta.
            features: of all trajectories, by name; 0 where there is no body.
            mask: True where a body exists.
        """
        real = torch.ones(q.shape[1:3], dtype=torch.bool) if mask is None else mask
        velocity = (q.diff(dim=0) / times.diff(dim=0)[..., None, None])[:, real]
        q, p = q[:, real], p[:, real]
        length = power_of_two(q)
        if len(self.directions):
            along = self.directions @ q.mean((0, 1))
            length = power_of_two(q - along @ self.directions)
            self.origin.copy_((along / length).round() @ self.directions * length)
        if self.units:
            self.length.fill_(length)
            self.momentum.fill_(power_of_two(p))
            self.time.fill_(length / power_of_two(velocity))
            own = [self.mass.item() if x == "mass" else power_of_two(features[x][features[x] != 0]) for x in self.names]
            self.feature_units.copy_(torch.tensor(own, dtype=torch.float64))
        self.measured.fill_(True)

    def outside(self, field: AbstractVectorField, mass: Tensor | None) -> AbstractVectorField:
        """The same vector field in the data's units and from the data's origin.

        Args:
            field: in this frame.
            mass: of the bodies, in the data's units.
        """
        if isinstance(field, Conditioned):
            field.follow()
        if self.is_trivial:
            return field
        if isinstance(field, AbstractNewtonian):
            return FramedNewtonian(self, field, mass)
        if isinstance(field, AbstractHamiltonian):
            return FramedHamiltonian(self, field)
        return FramedField(self, field, mass)


class AbstractFramed(AbstractVectorField):
    """A vector field of a frame, seen from outside of it."""

    def __init__(self, frame: Frame, inner: Any, **values: Any) -> None:
        super().__init__(mask=inner.mask, **values)
        self.name = inner.name  # type: ignore[misc]
        self.frame, self.inner = frame, inner

    def select(self, index: slice | Tensor) -> Any:
        chosen = super().select(index)
        chosen._modules = chosen._modules | {"inner": self.inner.select(index)}
        return chosen

    def check_state(self, state: PhaseSpace) -> None:
        self.inner.check_state(state)  # in which units does not matter

    def existing(self, x: Float[Tensor, "*batch n d"]) -> Float[Tensor, "*batch n d"]:
        if isinstance(self.inner, Conditioned):
            self.inner.check_points(x)
        return super().existing(x)

    def pair_count(self, bodies: int) -> int:
        return self.inner.pair_count(bodies)

    def inward(self, state: PhaseSpace) -> PhaseSpace:
        """The state in the frame."""
        self.check_state(state)
        return PhaseSpace(self.frame.positions(state.q), self.frame.momenta(state.p))


class FramedField(AbstractFramed):
    """A vector field of a frame that is no Hamiltonian, seen from outside of it."""

    def __init__(self, frame: Frame, inner: Any, mass: Tensor | None) -> None:
        super().__init__(frame, inner)
        self.forces, self.mass = inner.forces, mass

    @property
    def hamiltonian(self) -> AbstractHamiltonian | None:
        inner: Any = self.inner.hamiltonian
        return None if inner is None else self.frame.outside(inner, self.mass)  # pyright: ignore[reportReturnType]

    @property
    def conserved(self) -> tuple[str, ...]:
        return self.inner.conserved

    def select(self, index: slice | Tensor) -> Any:
        chosen = super().select(index)
        if self.mass is not None and self.mass.ndim > 1 and len(self.mass) > 1:
            chosen.mass = self.mass[index]
        return chosen

    def powers(self, t: Float[Tensor, "*times"], state: PhaseSpace) -> list[Float[Tensor, "*batch"]]:
        """What each of the forces adds to the energy in unit time, where there are some."""
        unit = self.frame.energy / self.frame.time
        return [unit * x for x in self.inner.powers(t / self.frame.time, self.inward(state))]

    def forward(self, t: Float[Tensor, "*times"], state: PhaseSpace) -> PhaseSpace:
        derivative = self.inner(t / self.frame.time, self.inward(state))
        return PhaseSpace(self.frame.velocity * derivative.q, self.frame.force * derivative.p)


class FramedHamiltonian(AbstractFramed, AbstractHamiltonian):
    """A Hamiltonian of a frame, seen from outside of it."""

    def energy(self, state: PhaseSpace) -> Float[Tensor, "*batch"]:
        return self.frame.energy * self.inner.energy(self.inward(state))


class FramedNewtonian(AbstractFramed, AbstractNewtonian):
    """A Hamiltonian T(p) + V(q) of a frame, seen from outside of it."""

    checked_on_gpu = False

    def __init__(self, frame: Frame, inner: Any, mass: Tensor | None) -> None:
        super().__init__(frame, inner, mass=mass)

    def potential(self, q: Float[Tensor, "*batch n d"]) -> Float[Tensor, "*batch"]:
        return self.frame.energy * self.inner.potential(self.frame.positions(self.existing(q)))

    def force(self, q: Float[Tensor, "*batch n d"]) -> Float[Tensor, "*batch n d"]:
        return self.frame.force * self.inner.force(self.frame.positions(self.existing(q)))


def translations_of(group: AbstractGroup) -> Float[Tensor, "count d"]:
    """An orthonormal basis of the translations that a group holds, whatever generators it was made from.

    Example:
        >>> from hlieconv.groups import SE2, SO2, T
        >>> [len(translations_of(group)) for group in (SE2(), T(2, axes=(0,)), SO2())]
        [2, 1, 0]
    """
    linear, shift = group.generators(torch.float64)
    if not len(linear):
        return shift
    # Combinations of generators x -> A x + b whose A vanishes.
    left, size, _ = torch.linalg.svd(linear.flatten(1))
    still = left[:, int((size > 1e-9 * size.max().clamp(min=1)).sum()) :].mT @ shift
    _, size, directions = torch.linalg.svd(still, full_matrices=False)
    return directions[size > 1e-9]


def power_of_two(x: Tensor) -> float:
    """The power of two next to the root mean square, 1 if that is 0; no square overflows."""
    largest = float(x.abs().max()) if x.numel() else 0.0
    if not largest:
        return 1.0
    return 2.0 ** round(math.log2(largest * float((x / largest).square().mean().sqrt())))
