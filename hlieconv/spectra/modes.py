"""Normal modes: the small oscillations about an equilibrium."""

from __future__ import annotations

from typing import NamedTuple

import torch
from jaxtyping import Float
from torch import Tensor

from hlieconv.spectra.equilibria import linearised
from systems.phase_space import PhaseSpace
from systems.vector_field import AbstractSeparable, AbstractVectorField


class NormalModes(NamedTuple):
    """The modes of H = T(p) + V(q) about an equilibrium, the slowest first."""

    squared: Float[Tensor, "*batch mode"]
    """Squares of the angular frequencies: negative for a mode that does not come back, 0 for one that nothing holds."""
    shapes: Float[Tensor, "*batch mode n d"]
    """How far each body moves; u^T T''^-1 u = 1, with T'' the inverse of the masses."""

    @property
    def angular_frequency(self) -> Float[Tensor, "*batch mode"]:
        """NaN for modes that do not come back."""
        return torch.where(self.squared >= 0, self.squared.clamp(min=0).sqrt(), torch.nan)


def normal_modes(field: AbstractVectorField, q: Float[Tensor, "*batch n d"]) -> NormalModes:
    """V'' u = w^2 T''^-1 u at positions of equilibrium, by automatic differentiation of the force and the velocity.

    Args:
        field: H = T(p) + V(q), known or learned.
        q: an equilibrium (see `find_equilibrium`); elsewhere these are the modes of the quadratic part of V.

    Raises:
        ValueError: for a field that is not separable; its `Equilibrium.eigenvalues` are i times its frequencies.

    Example: two bodies and a spring: both directions of the plane are free, and so is a rotation without rest length.
        >>> from systems import Springs
        >>> system = Springs(mass=[1.0, 1.0], spring_constant=[[0.0, 2.0], [2.0, 0.0]])
        >>> normal_modes(system, torch.zeros(2, 2).double()).angular_frequency.round(decimals=6)
        tensor([0., 0., 2., 2.], dtype=torch.float64)
    """
    if not isinstance(field, AbstractSeparable):
        raise ValueError(f"field: expected H = T(p) + V(q), an AbstractSeparable, got {type(field).__name__}")
    matrix = linearised(field, PhaseSpace(q, torch.zeros_like(q)))
    half = matrix.shape[-1] // 2
    inverse_mass, stiffness = matrix[..., :half, half:], -matrix[..., half:, :half]
    inverse_mass, stiffness = ((x + x.mT) / 2 for x in (inverse_mass, stiffness))
    size, turn = torch.linalg.eigh(inverse_mass)
    root = turn * size.clamp(min=0).sqrt()[..., None, :] @ turn.mT
    squared, vectors = torch.linalg.eigh(root @ stiffness @ root)
    # Rounding leaves a little of what is zero.
    floor = 64 * half * torch.finfo(q.dtype).eps * squared.abs().amax(-1, keepdim=True)
    squared = torch.where(squared.abs() <= floor, 0, squared)
    return NormalModes(squared, (root @ vectors).mT.unflatten(-1, q.shape[-2:]))
