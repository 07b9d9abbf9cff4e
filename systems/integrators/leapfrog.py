"""Leapfrog, also known as Stoermer-Verlet."""

from dataclasses import dataclass

from systems.integrators.kick_drift import AbstractKickDrift


@dataclass(frozen=True, eq=False)
class Leapfrog(AbstractKickDrift):
    """Order 2, one force a step: half a kick, a drift, half a kick.

    Advantages: symplectic and reversible, so that the energy error stays bounded; linear and bilinear charges (total
    and angular momentum) are preserved to round-off at any step. The least work a step.
    Drawbacks: low order. Needs H = T(p) + V(q).

    Source: Hairer, Lubich & Wanner (2003), Acta Numerica 12, 399.

    Args:
        step, compensated, compile: see `AbstractStepping`.

    Example:
        >>> import torch
        >>> from systems import PhaseSpace, Springs
        >>> from systems.integrators import Leapfrog
        >>> system, state = Springs.sample(10, seed=0, rest_length=1.0)
        >>> times = torch.linspace(0, 1, 5, dtype=torch.float64)
        >>> trajectory = Leapfrog(step=0.01).integrate(system, state, times)
        >>> trajectory.q.shape
        torch.Size([5, 10, 6, 2])
    """

    order = 2
    symmetric = True
    drifts = (1.0,)
    kicks = (0.5, 0.5)
