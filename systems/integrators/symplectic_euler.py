"""Symplectic Euler, also known as semi-implicit Euler."""

from dataclasses import dataclass

from systems.integrators.kick_drift import AbstractKickDrift


@dataclass(frozen=True, eq=False)
class SymplecticEuler(AbstractKickDrift):
    """Order 1, one force a step: a kick, then a drift with the new momenta.

    Advantages: symplectic; linear and bilinear charges (total and angular momentum) are preserved to round-off. It is
    what many generators of published data do, and their trajectories are met to round-off by the same steps.
    Drawbacks: `Leapfrog` costs the same and has order 2. Not reversible: backward in time it makes other errors. Needs
    H = T(p) + V(q).

    Source: Hairer, Lubich & Wanner (2003), Acta Numerica 12, 399.

    Args:
        step, compensated, compile: see `AbstractStepping`.

    Example:
        >>> import torch
        >>> from systems import HarmonicTrap, PhaseSpace
        >>> from systems.integrators import SymplecticEuler
        >>> start = PhaseSpace(torch.ones(1, 1, 1), torch.zeros(1, 1, 1))
        >>> trap, times = HarmonicTrap(1.0, mass=[1.0]).float(), torch.tensor([0.0, 0.5])
        >>> end = SymplecticEuler(step=0.5).integrate(trap, start, times)
        >>> end.p[-1].item(), end.q[-1].item()
        (-0.5, 0.75)
    """

    order = 1
    symmetric = False
    drifts = (1.0,)
    kicks = (1.0, 0.0)
