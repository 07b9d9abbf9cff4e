"""An energy-momentum method: implicit steps that keep the energy and the momenta of bodies with pair forces."""

from dataclasses import dataclass

from jaxtyping import Float
from torch import Tensor

from systems.integrators.collocation import tableau
from systems.integrators.gauss import AbstractGauss
from systems.integrators.steps import Carried
from systems.pairs import AbstractPairs
from systems.phase_space import PhaseSpace
from systems.vector_field import AbstractSeparable, AbstractVectorField

#: Nodes of the mean over a step, where distances change by little (see `AbstractPairs.mean_force`).
NODES = 6


class _AlongStep(AbstractSeparable):
    """The field of one step: at its middle, the force is the mean one from its start to its end."""

    def __init__(self, field: AbstractPairs, start: Float[Tensor, "*batch n d"]) -> None:
        super().__init__()
        self.field, self.start = field, start

    def kinetic(self, p: Float[Tensor, "*batch n d"]) -> Float[Tensor, "*batch"]:
        return self.field.kinetic(p)

    def velocity(self, p: Float[Tensor, "*batch n d"]) -> Float[Tensor, "*batch n d"]:
        return self.field.velocity(p)

    def potential(self, q: Float[Tensor, "*batch n d"]) -> Float[Tensor, "*batch"]:
        return self.field.potential(q)

    def force(self, q: Float[Tensor, "*batch n d"]) -> Float[Tensor, "*batch n d"]:
        nodes, weights, *_ = tableau(NODES, q.dtype, q.device)
        return self.field.mean_force(self.start, 2 * q - self.start, nodes, weights[0])


@dataclass(frozen=True, eq=False)
class EnergyMomentum(AbstractGauss):
    """Order 2: a discrete gradient of the potential as a function of the distances of pairs.

    A step is q' = q + h v((p + p') / 2), p' = p + h F. The force of a pair is the mean of q_i - q_j at both ends times
    -2 (v(s') - v(s)) / (s' - s), with the squares s and s' of the distance at both ends. Then F . (q' - q) is
    V(q) - V(q'), and F is central about the middle of the step, as the momenta need it.

    Advantages: keeps energy, momentum and angular momentum to round-off, of any smooth law of pairs; reversible.
    Drawbacks: not symplectic; low order; only for sums over pairs of bodies, of which all are looked at, beyond a
    cutoff too; some fourteen sweeps of eight evaluations a step, and no step so long that these do not converge. Right
    charges do not make a right state.

    Sources: Simo, Tarnow & Wong (1992), Computer Methods in Applied Mechanics and Engineering 100, 63; Gonzalez (1996),
    Journal of Nonlinear Science 6, 449.

    Args:
        step, compensated, compile: see `AbstractStepping`.

    Raises:
        ValueError: where the step is too long for its end to be found.

    Example:
        >>> import torch
        >>> from systems import Springs
        >>> from systems.integrators import EnergyMomentum
        >>> system, state = Springs.sample(3, seed=0, bodies=3, rest_length=1.0)
        >>> path = EnergyMomentum(step=0.05).integrate(system, state, torch.linspace(0, 1, 3, dtype=torch.float64))
        >>> energy, spin = system.energy(path), torch.linalg.det(torch.stack(path, -1)).sum(-1)
        >>> [bool(((x - x[0]).abs() < 1e-13).all()) for x in (energy, spin)]
        [True, True]
    """

    order = 2
    symplectic = False
    preserves = "bilinear"
    keeps_energy = True
    requires = AbstractPairs
    stages = 1

    def check(self, field: AbstractVectorField, state: PhaseSpace, times: Tensor) -> None:
        super().check(field, state, times)
        if isinstance(field, AbstractPairs) and not field.reciprocal:
            raise ValueError("field: EnergyMomentum needs pairs that act on each other, got massless bodies")

    def _step(self, field: AbstractVectorField, t: Tensor, h: Tensor, carried: Carried) -> Carried:
        assert isinstance(field, AbstractPairs)
        return super()._step(_AlongStep(field, carried.q.value), t, h, carried)
