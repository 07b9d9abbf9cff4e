"""Where every default integrator is chosen."""

from systems.integrators.abstract import AbstractIntegrator
from systems.integrators.adaptive_gauss import AdaptiveGauss
from systems.integrators.compositions import BlanesMoanS6
from systems.integrators.gauss import Gauss4
from systems.integrators.nystroem import BlanesMoanSRKN6
from systems.integrators.runge_kutta import RK4
from systems.vector_field import AbstractHamiltonian, AbstractNewtonian, AbstractSplit, AbstractVectorField


def most_accurate() -> AbstractIntegrator:
    """The default of `simulate` where there is no closed form, and of rollouts of a law: exact to round-off."""
    return AdaptiveGauss()


def symplectic_for(field: AbstractVectorField, step: float) -> AbstractIntegrator:
    """The default of rollouts of networks, and of certificates: charges are preserved to round-off.

    With steps as long as the spacing of the data it is the method of order 4 with the smallest error that the structure
    of a Hamiltonian allows. There is none for a field that is no Hamiltonian: then it is RK4, with half the step; or
    Gauss4, where forces such as damping act on a Hamiltonian system.

    Example:
        >>> from systems.pendulum import Pendulum
        >>> symplectic_for(Pendulum.sample(1, seed=0)[0], 0.1).step
        0.1
    """
    if isinstance(field, AbstractNewtonian):
        return BlanesMoanSRKN6(step=step)
    if isinstance(field, AbstractSplit):
        return BlanesMoanS6(step=step)
    return Gauss4(step=step) if isinstance(field, AbstractHamiltonian) or field.forces else RK4(step=step / 2)
