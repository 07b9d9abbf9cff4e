"""What gravity and charges share: a softened 1/r potential between all pairs of bodies."""

import math
from abc import abstractmethod
from typing import Any

import torch
from jaxtyping import Bool, Float
from torch import Tensor

from systems.closed_forms.kepler import two_body_flow
from systems.pairs import AbstractPairs, Parameters, nearest
from systems.phase_space import PhaseSpace


class AbstractInverseDistance(AbstractPairs):
    """V(q) = k sum over i<j of c_i c_j / sqrt(|q_i - q_j|^2 + softening^2), in any dimension.

    A subclass declares ``mass`` and ``softening`` among its variables and says what the charges c and the constant k
    are. Pair forces are antisymmetric to the last bit. Without softening, bodies at one point do not act on each
    other: all stays finite.

    In float32 each charge is divided by the distance before it meets another one: c_i c_j of two stars in kg overflows
    there, and that of two atoms vanishes, while (c_i / r) (c_j / r) is a force.
    """

    regular = True
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

    def pair_parameters(self) -> Parameters:
        feels, acts, constant = self._charges
        if self._share != 1:
            feels, acts, constant = feels * self._share, acts * self._share, constant / self._share**2
        return {
            "feels": (("body",), feels),
            "acts": (("body",), acts),
            "constant": ((), constant),
            "softening": ((), self.softening),
        }

    @property
    def reciprocal(self) -> bool:
        return not self.has_massless

    @property
    def conserved(self) -> tuple[str, ...]:
        return super().conserved if self.reciprocal else ("energy",)

    def pair_potential(self, square: Float[Tensor, "*pairs"], pair: Any) -> Float[Tensor, "*pairs"]:
        inverse = self._inverse(square, pair)
        if square.dtype == torch.float64:
            return pair.once(_product_of_sources) * inverse
        return pair.constant * ((pair.i.acts * inverse) * pair.j.acts)

    def pair_force(self, square: Float[Tensor, "*pairs"], pair: Any) -> Float[Tensor, "*pairs"]:
        inverse = self._inverse(square, pair)
        if square.dtype == torch.float64:
            return pair.once(_product) * (inverse * inverse * inverse)
        return ((pair.i.feels * inverse) * (pair.j.acts * inverse)) * (pair.constant * inverse)

    def _mirrored(self, weight: Tensor) -> Tensor:
        return weight  # the same for (i, j) and (j, i) to the last bit

    def _inverse(self, square: Tensor, pair: Any) -> Tensor:
        """The inverse softened distance, zero for bodies at one point."""
        square = square + pair.once(_square_of_softening)
        return square.masked_fill(square <= nearest(square.dtype), torch.inf).rsqrt()

    def singular(self, q: Float[Tensor, "*batch n d"]) -> Bool[Tensor, "*batch"] | None:
        """Where two bodies that act on each other are at one point, without softening."""
        _, square, pair = self._of_pairs(q)
        either = (pair.i.feels != 0) & (pair.j.acts != 0) | (pair.j.feels != 0) & (pair.i.acts != 0)
        return self._any_pair((self._inverse(square, pair) == 0) & either & (pair.constant != 0))

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


def _product(pair: Any) -> Tensor:
    """k c_i c_j of what i feels with and j acts with: the same for (i, j) and (j, i) to the last bit, if these are."""
    return (pair.i.feels * pair.j.acts) * pair.constant


def _product_of_sources(pair: Any) -> Tensor:
    """k c_i c_j of what both act with."""
    return (pair.i.acts * pair.j.acts) * pair.constant


def _square_of_softening(pair: Any) -> Tensor:
    return pair.softening.square()
