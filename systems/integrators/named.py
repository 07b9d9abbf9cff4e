"""An integrator by its name."""

from pkgutil import resolve_name

from systems.checks import check, check_choice
from systems.integrators.abstract import AbstractIntegrator
from systems.integrators.registry import INTEGRATORS


def integrator_of(integrator: AbstractIntegrator | str) -> AbstractIntegrator:
    """The integrator itself, or the one of this name with its own defaults.

    Raises:
        ValueError: for a name that none has, or something else.

    Example:
        >>> integrator_of("rk4").order
        4
    """
    if isinstance(integrator, str):
        check_choice("integrator", integrator, INTEGRATORS)
        return resolve_name(INTEGRATORS[integrator])()
    check("integrator", integrator, isinstance(integrator, AbstractIntegrator), "an integrator or its name")
    return integrator
