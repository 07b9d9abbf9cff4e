"""Symmetric compositions of kicks and drifts, for any H = T(p) + V(q)."""

from dataclasses import dataclass
from itertools import pairwise

from systems.integrators.kick_drift import AbstractKickDrift, even_palindrome, odd_palindrome


def _leapfrogs(*steps: float) -> tuple[float, ...]:
    """The kicks of one leapfrog step after another: two that meet are one."""
    return (steps[0] / 2, *((a + b) / 2 for a, b in pairwise(steps)), steps[-1] / 2)


@dataclass(frozen=True, eq=False)
class Yoshida4(AbstractKickDrift):
    """Order 4, three forces a step: three leapfrog steps of which the middle one runs backward (the triple jump).

    Advantages: symplectic and reversible; preserves linear and bilinear charges (total and angular momentum)
    to round-off.
    Drawbacks: large error constant; `BlanesMoanS6` is more accurate for the same work.

    Source: Yoshida (1990), Physics Letters A 150, 262.

    Args:
        step, compensated, compile: see `AbstractStepping`.

    Example:
        >>> from systems.integrators import Yoshida4
        >>> sum(Yoshida4.drifts)
        1.0
    """

    order = 4
    symmetric = True
    drifts = odd_palindrome(1 / (2 - 2 ** (1 / 3)))
    kicks = _leapfrogs(*drifts)


@dataclass(frozen=True, eq=False)
class Yoshida6(AbstractKickDrift):
    """Order 6, seven forces a step: seven leapfrog steps (solution A).

    Advantages: symplectic and reversible; preserves linear and bilinear charges (total and angular momentum)
    to round-off.
    Drawbacks: steps backward in time on the way; `BlanesMoanSRKN11` is more accurate where T is quadratic in p.

    Source: Yoshida (1990), Physics Letters A 150, 262; digits beyond his from the order conditions.

    Args:
        step, compensated, compile: see `AbstractStepping`.

    Example:
        >>> from systems.integrators import Yoshida6
        >>> len(Yoshida6.drifts)
        7
    """

    order = 6
    symmetric = True
    drifts = odd_palindrome(0.7845136104775572638, 0.2355732133593581337, -1.177679984178871007)
    kicks = _leapfrogs(*drifts)


@dataclass(frozen=True, eq=False)
class Yoshida8(AbstractKickDrift):
    """Order 8, fifteen forces a step: fifteen leapfrog steps (solution D).

    Advantages: symplectic and reversible; preserves linear and bilinear charges (total and angular momentum)
    to round-off; reaches round-off at moderate steps.
    Drawbacks: needs small steps before the order shows.

    Source: Yoshida (1990), Physics Letters A 150, 262; digits beyond his from the order conditions.

    Args:
        step, compensated, compile: see `AbstractStepping`.

    Example:
        >>> from systems.integrators import Yoshida8
        >>> len(Yoshida8.drifts)
        15
    """

    order = 8
    symmetric = True
    drifts = odd_palindrome(
        0.9148442462297915667,
        0.2536933365662113541,
        -1.444852236860605158,
        -0.1582406353680501752,
        1.938139137622525987,
        -1.960610232975310808,
        0.1027998493917964407,
    )
    kicks = _leapfrogs(*drifts)


@dataclass(frozen=True, eq=False)
class BlanesMoanS6(AbstractKickDrift):
    """Order 4, six forces a step, with a small error constant.

    Advantages: symplectic and reversible; preserves linear and bilinear charges (total and angular momentum)
    to round-off; for the same work hundreds of times more accurate than `Yoshida4`.
    Drawbacks: six forces before the first output.

    Source: Blanes & Moan (2002), Journal of Computational and Applied Mathematics 142, 313 (S6, of order 4).

    Args:
        step, compensated, compile: see `AbstractStepping`.

    Example:
        >>> from systems.integrators import BlanesMoanS6
        >>> len(BlanesMoanS6.drifts)
        6
    """

    order = 4
    symmetric = True
    drifts = even_palindrome(0.2095151066133620213, -0.1438517731798180083)
    kicks = odd_palindrome(0.07920369643119566943, 0.3531729060497739885, -0.04206508035771953537)
