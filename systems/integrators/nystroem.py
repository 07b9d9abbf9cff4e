"""Symplectic Nystroem methods: kicks and drifts whose order rests on T being quadratic in p."""

from dataclasses import dataclass

from systems.integrators.kick_drift import AbstractKickDrift, even_palindrome, odd_palindrome
from systems.vector_field import AbstractNewtonian


@dataclass(frozen=True, eq=False)
class McLachlanAtela4(AbstractKickDrift):
    """Order 4, four forces a step.

    Advantages: symplectic; preserves linear and bilinear charges (total and angular momentum) to round-off; few forces.
    Drawbacks: not symmetric, hence not reversible; needs H = sum |p|^2 / 2m + V(q) (order 3 otherwise).

    Source: McLachlan & Atela (1992), Nonlinearity 5, 541.

    Args:
        step, compensated, compile: see `AbstractStepping`.

    Example:
        >>> from systems.integrators import McLachlanAtela4
        >>> len(McLachlanAtela4.drifts)
        4
    """

    order = 4
    symmetric = False
    requires = AbstractNewtonian
    drifts = (0.5153528374311229364, -0.08578201941297364607, 0.4415830236164665243, 0.1288461583653841854)
    kicks = (0.1344961992774310892, -0.2248198030794208058, 0.7563200005156682911, 0.3340036032863214255, 0.0)


@dataclass(frozen=True, eq=False)
class BlanesMoanSRKN6(AbstractKickDrift):
    """Order 4, six forces a step, with a very small error constant.

    Advantages: symplectic and reversible; preserves linear and bilinear charges (total and angular momentum)
    to round-off; the most accurate method of order 4 here for its work.
    Drawbacks: needs H = sum |p|^2 / 2m + V(q).

    Source: Blanes & Moan (2002), Journal of Computational and Applied Mathematics 142, 313 (SRKN_6^b).

    Args:
        step, compensated, compile: see `AbstractStepping`.

    Example:
        >>> from systems.integrators import BlanesMoanSRKN6
        >>> len(BlanesMoanSRKN6.drifts)
        6
    """

    order = 4
    symmetric = True
    requires = AbstractNewtonian
    drifts = even_palindrome(0.2452989571842711626, 0.6048726657110799750)
    kicks = odd_palindrome(0.08298440641740501884, 0.3963098014983680771, -0.03905630492234843517)


@dataclass(frozen=True, eq=False)
class BlanesMoanSRKN11(AbstractKickDrift):
    """Order 6, eleven forces a step, with a very small error constant.

    Advantages: symplectic and reversible; preserves linear and bilinear charges (total and angular momentum)
    to round-off; the method of choice for accurate long runs of Newtonian systems.
    Drawbacks: needs H = sum |p|^2 / 2m + V(q).

    Source: Blanes & Moan (2002), Journal of Computational and Applied Mathematics 142, 313 (SRKN_11^b).

    Args:
        step, compensated, compile: see `AbstractStepping`.

    Example:
        >>> from systems.integrators import BlanesMoanSRKN11
        >>> len(BlanesMoanSRKN11.drifts)
        11
    """

    order = 6
    symmetric = True
    requires = AbstractNewtonian
    drifts = odd_palindrome(
        0.1232297759462711516,
        0.2905537977995582704,
        -0.1270492126254169157,
        -0.2463317610620754042,
        0.3572088727959277526,
    )
    kicks = even_palindrome(
        0.04146499851826284331,
        0.1981286719180665411,
        -0.04000619210415268686,
        0.07525398430158034113,
        -0.01151138742068777006,
    )
