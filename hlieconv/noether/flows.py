"""The motion that a charge generates: the symmetry itself, also where it mixes positions and momenta."""

from collections.abc import Callable
from typing import Any

import torch
from jaxtyping import Float
from torch import Tensor

from systems.integrators import AdaptiveGauss
from systems.numbers import to_tensor
from systems.phase_space import PhaseSpace
from systems.vector_field import AbstractHamiltonian


class _Generator(AbstractHamiltonian):
    """A charge in the place of the Hamiltonian."""

    def __init__(self, charge: Callable[[PhaseSpace], Tensor]) -> None:
        super().__init__()
        self.charge = charge

    def energy(self, state: PhaseSpace) -> Float[Tensor, "*batch"]:
        return self.charge(state)


def transformed(charge: Callable[[PhaseSpace], Tensor], states: PhaseSpace, parameters: Any) -> PhaseSpace:
    """The symmetry that a charge J generates, acting on phase space: dz/ds = {z, J}, from s = parameters[0] = 0 on.

    P_x shifts, L_z turns; the Runge-Lenz vector, whose action is not affine in q, deforms an orbit into others of the
    same energy. The Hamiltonian is the same at all of these states if it conserves J (Noether).

    Args:
        charge: a function of a state, such as one that `discover` found.
        states: ``(*batch, n, d)``.
        parameters: ``(s,)``, increasing; the first is that of the states themselves.

    Returns:
        States ``(s, *batch, n, d)``.

    Example: the angular momentum turns by the angle s.
        >>> from hlieconv.diagnostics import charges
        >>> [_, _, spin] = charges("SE2")
        >>> start = PhaseSpace(torch.tensor([[1.0, 0.0]]).double(), torch.tensor([[0.0, 2.0]]).double())
        >>> turned = transformed(spin, start, [0.0, torch.pi / 2])
        >>> torch.allclose(turned.q[1], torch.tensor([[0.0, 1.0]]).double())
        True
    """
    with torch.no_grad():
        return AdaptiveGauss().integrate(_Generator(charge), states, to_tensor("parameters", parameters).to(states.q))
