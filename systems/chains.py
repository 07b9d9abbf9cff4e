"""Chains: bodies on a line, each bound to the next."""

from abc import abstractmethod
from typing import ClassVar

import torch
from jaxtyping import Float
from torch import Tensor

from systems.vector_field import AbstractNewtonian


class AbstractChain(AbstractNewtonian):
    """V(q) = sum over i of v(q_{i+1} - q_i) for bodies on a line: a subclass needs only v and its derivative.

    The ends are free; with ``fixed`` ends they are walls. There is a bond where both of its bodies exist. Conserves
    energy, and momentum unless bodies are fixed.

    Raises:
        ValueError: as `AbstractNewtonian`; where q is not one-dimensional.
    """

    ordered: ClassVar[bool] = True

    @abstractmethod
    def bond_potential(self, stretch: Float[Tensor, "*batch bond"]) -> Float[Tensor, "*batch bond"]:
        """v of the differences q_{i+1} - q_i."""

    @abstractmethod
    def bond_force(self, stretch: Float[Tensor, "*batch bond"]) -> Float[Tensor, "*batch bond"]:
        """dv/dstretch: by so much a bond pulls its bodies together."""

    @property
    def conserved(self) -> tuple[str, ...]:
        return ("energy",) if self.fixed is not None else ("energy", "momentum")

    def potential(self, q: Float[Tensor, "*batch n d"]) -> Float[Tensor, "*batch"]:
        return self._bonds(self.bond_potential(self._stretch(q))).sum(-1)

    def force(self, q: Float[Tensor, "*batch n d"]) -> Float[Tensor, "*batch n d"]:
        pull = self._bonds(self.bond_force(self._stretch(q)))
        return (torch.nn.functional.pad(pull, (0, 1)) - torch.nn.functional.pad(pull, (1, 0)))[..., None]

    def _stretch(self, q: Tensor) -> Tensor:
        if q.shape[-1] != 1:
            raise ValueError(
                f"q: {type(self).__name__} lives on a line, expected shape (*batch, n, 1), got {tuple(q.shape)}"
            )
        x = self.existing(q)[..., 0]
        return x[..., 1:] - x[..., :-1]

    def _bonds(self, x: Tensor) -> Tensor:
        """x with zeros where a body of the bond is missing."""
        return x if self.mask is None else torch.where(self.mask[..., 1:] & self.mask[..., :-1], x, 0)
