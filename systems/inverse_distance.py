"""What gravity and charges share: a softened 1/r potential between all pairs of bodies."""

from abc import abstractmethod

import torch
from jaxtyping import Bool, Float
from torch import Tensor

from systems.closed_forms.kepler import two_body_flow
from systems.phase_space import PhaseSpace
from systems.vector_field import AbstractNewtonian


class AbstractInverseDistance(AbstractNewtonian):
    """V(q) = sum over i<j of c_ij / sqrt(|q_i - q_j|^2 + softening^2), in any dimension.

    A subclass declares ``mass`` and ``softening`` among its variables and gives the ``coupling`` c_ij. Pair forces are
    antisymmetric to the last bit. Without softening, bodies at one point do not act on each other: all stays finite.
    """

    softening: Tensor

    @property
    @abstractmethod
    def coupling(self) -> Float[Tensor, "*batch n n"]:
        """c_ij = c_ji to the last bit: negative attracts. The diagonal is not used."""

    @property
    def conserved(self) -> tuple[str, ...]:
        return ("energy", "momentum", "angular_momentum")

    def potential(self, q: Float[Tensor, "*batch n d"]) -> Float[Tensor, "*batch"]:
        coupling, inverse, _ = self._pairs(q)
        return (coupling * inverse).triu(1).sum((-2, -1))

    def force(self, q: Float[Tensor, "*batch n d"]) -> Float[Tensor, "*batch n d"]:
        return torch.stack([component.sum(-1) for component in self._pair_forces(q)], -1)

    def singular(self, q: Float[Tensor, "*batch n d"]) -> Bool[Tensor, "*batch"] | None:
        """Where two bodies that act on each other are at one point, without softening."""
        coupling, inverse, _ = self._pairs(q)
        n = q.shape[-2]
        return ((coupling != 0) & (inverse == 0)).expand(*q.shape[:-2], n, n).triu(1).flatten(-2).any(-1)

    def _pair_forces(self, q: Tensor) -> list[Tensor]:
        """The force on i from j, ``(*batch, n, n)``, one dimension at a time; on itself it is zero, as q_i - q_i is."""
        coupling, inverse, apart = self._pairs(q)
        weight = coupling * (inverse * inverse * inverse)
        return [weight * component for component in apart]

    def _pairs(self, q: Tensor) -> tuple[Tensor, Tensor, list[Tensor]]:
        """For all pairs ``(*batch, n, n)``: couplings, inverse distances, and q_i - q_j one dimension at a time.

        Bodies so near that the second derivatives of the inverse distance overflow are at one point: it is zero.
        """
        apart = self.differences(q)
        square = self.softening.square()[..., None, None]
        for component in apart:
            # Not addcmul: whether that rounds once or twice depends on the processor and on the place in the batch.
            square = square + component.square()
        inverse = square.masked_fill(square <= torch.finfo(q.dtype).tiny ** (2 / 5), torch.inf).rsqrt()
        return self.existing_pairs(self.coupling), inverse, apart

    @property
    def has_closed_form(self) -> bool:
        """Two bodies without softening: Kepler's problem, of either sign."""
        if self.mass.shape[-1] != 2 or self.softening.requires_grad or bool(self.softening.any()):
            return False
        return self.mask is None or bool(self.mask.all())

    def closed_form(self, state: PhaseSpace, times: Float[Tensor, " time *batch"]) -> PhaseSpace:
        """The orbit of two bodies (see `systems.closed_forms.kepler.two_body_flow`).

        Args:
            state: ``(*batch, 2, d)`` at ``times[0]``.
            times: ``(time,)`` or ``(time, *batch)``, in any order.

        Raises:
            ValueError: unless there are exactly two bodies, no softening, and a distance between them.
        """
        if state.q.shape[-2] != 2 or not self.has_closed_form:
            return super().closed_form(state, times)
        return two_body_flow(self.mass, self.coupling[..., 0, 1], state, times)
