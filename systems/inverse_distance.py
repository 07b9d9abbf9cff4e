"""What gravity and charges share: a softened 1/r potential between all pairs of bodies."""

import math
from abc import abstractmethod
from typing import Any

import torch
from jaxtyping import Bool, Float
from torch import Tensor

from systems.closed_forms.kepler import two_body_flow
from systems.phase_space import PhaseSpace
from systems.vector_field import AbstractNewtonian


class AbstractInverseDistance(AbstractNewtonian):
    """V(q) = k sum over i<j of c_i c_j / sqrt(|q_i - q_j|^2 + softening^2), in any dimension.

    A subclass declares ``mass`` and ``softening`` among its variables and says what the charges c and the constant k
    are. Pair forces are antisymmetric to the last bit. Without softening, bodies at one point do not act on each
    other: all stays finite.

    Each charge is divided by the distance before it meets another one: c_i c_j of two stars in kg overflows in
    float32, and that of two atoms vanishes, while (c_i / r) (c_j / r) is a force.
    """

    softening: Tensor

    def __init__(self, **options: Any) -> None:
        super().__init__(**options)
        constant = float(self._charges[2].detach().abs().max())
        # Half of the constant goes to each charge, in float32: a power of two, so that no bit is lost.
        self._share = 2.0 ** round(math.log2(constant) / 2) if constant and self.mass.dtype == torch.float32 else 1.0

    @property
    @abstractmethod
    def _charges(self) -> tuple[Tensor, Tensor, Tensor]:
        """What a body feels with and what it acts with, ``(*batch, n)``, and k ``(*batch)``: positive repels."""

    @property
    def _shared_charges(self) -> tuple[Tensor, Tensor, Tensor]:
        """The same, with some of k in the charges."""
        feels, acts, constant = self._charges
        if self._share == 1:
            return feels, acts, constant
        return feels * self._share, acts * self._share, constant / self._share**2

    @property
    def conserved(self) -> tuple[str, ...]:
        lopsided = self.has_massless or self.fixed is not None
        return ("energy",) if lopsided else ("energy", "momentum", "angular_momentum")

    def potential(self, q: Float[Tensor, "*batch n d"]) -> Float[Tensor, "*batch"]:
        _, acts, constant = self._shared_charges
        inverse, _ = self._pairs(q)
        pairs = (acts[..., :, None] * self.existing_pairs(inverse)) * acts[..., None, :]
        return constant * pairs.triu(1).sum((-2, -1))

    def force(self, q: Float[Tensor, "*batch n d"]) -> Float[Tensor, "*batch n d"]:
        return torch.stack([component.sum(-1) for component in self._pair_forces(q)], -1)

    def singular(self, q: Float[Tensor, "*batch n d"]) -> Bool[Tensor, "*batch"] | None:
        """Where two bodies that act on each other are at one point, without softening."""
        feels, acts, constant = (x != 0 for x in self._charges)
        inverse, _ = self._pairs(q)
        n = q.shape[-2]
        joined = (feels[..., :, None] & acts[..., None, :]) & constant[..., None, None]
        met = self.existing_pairs((inverse == 0).to(q.dtype)) * (joined | joined.mT)
        return met.expand(*q.shape[:-2], n, n).triu(1).flatten(-2).any(-1)

    def _pair_forces(self, q: Tensor) -> list[Tensor]:
        """The force on i from j, ``(*batch, n, n)``, one dimension at a time; on itself it is zero, as q_i - q_i is."""
        feels, acts, constant = self._shared_charges
        inverse, apart = self._pairs(q)
        inverse = self.existing_pairs(inverse)
        # The same for (i, j) and (j, i) to the last bit.
        weight = ((feels[..., :, None] * inverse) * (acts[..., None, :] * inverse)) * (
            constant[..., None, None] * inverse
        )
        return [weight * component for component in apart]

    def _pairs(self, q: Tensor) -> tuple[Tensor, list[Tensor]]:
        """For all pairs ``(*batch, n, n)``: inverse distances, and q_i - q_j one dimension at a time.

        Bodies so near that the second derivatives of the inverse distance overflow (in float32, where that is no
        further than atoms are apart in metres: the inverse distance itself) are at one point: it is zero.
        """
        apart = self.differences(q)
        square = self.softening.square()[..., None, None]
        for component in apart:
            # Not addcmul: whether that rounds once or twice depends on the processor and on the place in the batch.
            square = square + component.square()
        nearest = torch.finfo(q.dtype).tiny ** (2 / 5 if q.dtype == torch.float64 else 1)
        return square.masked_fill(square <= nearest, torch.inf).rsqrt(), apart

    @property
    def has_closed_form(self) -> bool:
        """Two bodies without softening, free to move: Kepler's problem, of either sign."""
        if self.mass.shape[-1] != 2 or self.softening.requires_grad or bool(self.softening.any()):
            return False
        if self.fixed is not None or (self.has_massless and not bool(self.mass.any(-1).all())):
            return False
        return self.mask is None or bool(self.mask.all())

    def closed_form(self, state: PhaseSpace, times: Float[Tensor, " time *batch"]) -> PhaseSpace:
        """The orbit of two bodies (see `systems.closed_forms.kepler.two_body_flow`), computed in float64.

        Args:
            state: ``(*batch, 2, d)`` at ``times[0]``.
            times: ``(time,)`` or ``(time, *batch)``, in any order.

        Raises:
            ValueError: unless there are exactly two bodies, no softening, and a distance between them.
        """
        if state.q.shape[-2] != 2 or not self.has_closed_form:
            return super().closed_form(state, times)
        dtype = state.q.dtype
        feels, acts, constant = (x.double() for x in self._charges)
        mass, inertia = self.mass.double(), self.inertia.double()
        # The relative acceleration is -attraction / r^2: what each body feels of the other, by its inertia.
        (f1, f2), (a1, a2), (m1, m2) = feels.unbind(-1), acts.unbind(-1), inertia.unbind(-1)
        attraction = -constant * (f1 * a2 / m1 + f2 * a1 / m2)
        wide = PhaseSpace(*(x.double() for x in state))
        return PhaseSpace(*(x.to(dtype) for x in two_body_flow(mass, inertia, attraction, wide, times.double())))
