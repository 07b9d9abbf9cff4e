"""A discrete gradient: implicit steps that keep the energy of any Hamiltonian."""

from dataclasses import dataclass

from systems.integrators.gauss import AbstractGauss


@dataclass(frozen=True, eq=False)
class AverageVectorField4(AbstractGauss):
    """Order 4: the average vector field method, along a parabola.

    The average vector field method steps by the mean of f on the straight line from z to z'. That mean is J times a
    discrete gradient of H: its product with z' - z is H(z') - H(z), and J is antisymmetric, so that H(z') = H(z). Here
    the path has two Legendre coefficients of f instead of one, which makes it a parabola and gives order 4. The means
    are taken by Gauss quadrature with six nodes: exact for polynomials H of degree 6, and with an error of order 13 in
    the step for others. This is HBVM(6, 2).

    Advantages: keeps the energy of any smooth Hamiltonian to round-off, at steps that are not too long; reversible;
    preserves linear charges (total momentum); small error constant.
    Drawbacks: not symplectic; charges that are bilinear (the angular momentum) are kept by the order only; some ten
    sweeps of six evaluations a step. The right energy does not make a right state.

    Sources: McLachlan, Quispel & Robidoux (1999), Phil. Trans. R. Soc. A 357, 1021 (discrete gradients); Hairer (2010),
    JNAIAM 5, 73, and Brugnano, Iavernaro & Trigiante (2010), JNAIAM 5, 17 (of any order).

    Args:
        step, compensated, compile: see `AbstractStepping`.

    Raises:
        ValueError: where the step is too long for the stages to converge.

    Example:
        >>> import torch
        >>> from systems import HenonHeiles
        >>> from systems.integrators import AverageVectorField4
        >>> system, state = HenonHeiles.sample(10, seed=0)
        >>> path = AverageVectorField4(step=0.25).integrate(system, state, torch.linspace(0, 5, 6, dtype=torch.float64))
        >>> energy = system.energy(path)
        >>> bool(((energy - energy[0]).abs() < 1e-14).all())
        True
    """

    order = 4
    symplectic = False
    preserves = "linear"
    keeps_energy = True
    stages = 6
    kept = 2
