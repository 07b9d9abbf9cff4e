"""project(...): put states back onto the level set of their charges."""

import math
import time
from collections.abc import Sequence
from dataclasses import dataclass

import torch
from jaxtyping import Float
from torch import Tensor

from hlieconv.groups.registry import motions
from hlieconv.noether.brackets import Observable, charges_for, require_hamiltonian
from systems.checks import check, check_choice
from systems.integrators.attempt import Attempt
from systems.integrators.pieces import Pieces
from systems.integrators.wrapper import AbstractWrapper
from systems.phase_space import PhaseSpace
from systems.vector_field import AbstractVectorField

#: Newton's method doubles the digits of what is small to begin with.
ITERATIONS = 4


@dataclass(frozen=True, repr=False)
class Projection:
    """Corrected states, what the correction did, and what it cost."""

    states: PhaseSpace
    correction: Float[Tensor, "*batch"]
    """How far the states were moved, relative to |z|."""
    before: dict[str, float]
    """The largest |J - target| of each charge, relative to its own largest value."""
    after: dict[str, float]
    seconds: float

    def __repr__(self) -> str:
        lines = [f"{name}: {self.before[name]:.1e} before, {self.after[name]:.1e} after" for name in self.before]
        return "\n".join([f"moved by up to {float(self.correction.max()):.1e} of |z|, {self.seconds:.2g} s", *lines])


def project(
    states: PhaseSpace, charges: Sequence[Observable], targets: Float[Tensor, "charge *#batch"] | None = None
) -> Projection:
    """The nearest states with given values of some charges: an optional correction of a rollout, never done unasked.

    Newton's method on the level set J(z) = c, each step as short as possible (Hairer, Lubich & Wanner 2006, IV.4):
    z <- z - DJ^T (DJ DJ^T)^-1 (J(z) - c), in coordinates scaled by the sizes of q and p. Differentiable. A corrected
    state has the right charges, which does not make it the right state: a projected flow is not symplectic any more.

    Args:
        states: ``(*batch, n, d)``; of a rollout, time first.
        charges: functions of a state, such as `hlieconv.diagnostics.charges` or ``hamiltonian.energy``. Those that
            depend on others, and those that no small move changes (the energy of an equilibrium), move nothing.
        targets: their values; by default those of the first states, ``states[0]``.

    Raises:
        ValueError: for no charges, targets of another shape, and states, targets or charges that are not finite.

    Example:
        >>> from hlieconv.diagnostics import charges
        >>> from systems import Springs
        >>> from systems.integrators import RK4
        >>> system, state = Springs.sample(5, seed=0)
        >>> rollout = RK4(step=0.02).integrate(system, state, torch.linspace(0, 5, 11, dtype=torch.float64))
        >>> found = project(rollout, [*charges("SE2"), system.energy])
        >>> found.before["energy"] > 1e-5, found.after["energy"] < 1e-12, float(found.correction.max()) < 0.1
        (True, True, True)
    """
    for name, x in zip("qp", states, strict=True):
        if not bool(torch.isfinite(x).all()):
            raise ValueError(f"states: expected finite values, got NaN or infinity in {name}")
    if targets is None and states.q.ndim < 3:
        raise ValueError(f"states: expected shape (time, *batch, n, d) without targets, got {tuple(states.q.shape)}")
    found = _projected(states, charges, targets)
    for name, error in found.after.items():
        if not math.isfinite(error):
            raise ValueError(f"charges: expected ones that are finite at all states, with derivatives, got {name}")
    return found


def _projected(
    states: PhaseSpace, charges: Sequence[Observable], targets: Float[Tensor, "charge *#batch"] | None
) -> Projection:
    """The same of states that may have ended: these stay as they are, not a number."""
    started = time.process_time()
    if not charges:
        raise ValueError("charges: expected at least one function of a state, got none")
    names = [getattr(charge, "name", getattr(charge, "__name__", f"charge {k}")) for k, charge in enumerate(charges)]
    values = _values(charges, states)
    targets = values[:, :1] if targets is None else targets
    if targets.shape[0] != len(charges):
        raise ValueError(f"targets: expected {len(charges)} values, one a charge, got {tuple(targets.shape)}")
    corrected = states
    units = PhaseSpace(*(_size(x) for x in states))
    for _ in range(ITERATIONS):
        corrected = _newton(corrected, charges, targets, units)
    moves = [((a - b) / unit).flatten(-2) for a, b, unit in zip(corrected, states, units, strict=True)]
    sizes = [(a / unit).flatten(-2) for a, unit in zip(states, units, strict=True)]
    size = torch.cat(sizes, -1).norm(dim=-1)
    correction = torch.cat(moves, -1).norm(dim=-1) / torch.where(size > 0, size, 1)
    scale = values.detach().abs().reshape(len(charges), -1).amax(1)
    errors = [
        (x.detach() - targets).abs().reshape(len(charges), -1).amax(1) / scale
        for x in (values, _values(charges, corrected))
    ]
    before, after = (dict(zip(names, error.tolist(), strict=True)) for error in errors)
    return Projection(corrected, correction.detach(), before, after, time.process_time() - started)


#: Charges that have a name for every field; of the last two, one for each axis or rotation.
NAMED = ("energy", "momentum", "angular_momentum")


@dataclass(frozen=True, eq=False)
class Projected(AbstractWrapper):
    """An integrator that projects its state onto the first charges at every output time, and goes on from there.

    Advantages: the charges are right at all output times, whatever takes the steps.
    Drawbacks: not symplectic any more, so that what is not projected may drift; the right charges do not make a right
    state; some gradients of each charge at each output time.

    Args:
        integrator: what takes the steps, or its name.
        charges: functions of a state, see `project`, or names: energy, momentum, angular_momentum, which are those of
            the field that is integrated. Momenta are put back whether the field conserves them or not (a trap does
            not): name what should be conserved.

    Raises:
        ValueError: for another name, or no charges; when it integrates, for names of what an open system (with
            damping, a drive) does not conserve.

    Example:
        >>> from systems import HenonHeiles, simulate
        >>> from systems.integrators import RK4
        >>> system, state = HenonHeiles.sample(5, seed=0)
        >>> run = simulate(system, state, torch.linspace(0, 5, 51).double(), Projected(RK4(), ["energy"]))
        >>> bool(run.dynamics.drift("energy").max() < 1e-12)
        True
    """

    charges: Sequence[Observable | str]
    symplectic = False
    symmetric = False
    preserves = "linear"
    keeps_energy = False

    def __post_init__(self) -> None:
        super().__post_init__()
        check("charges", self.charges, len(self.charges) > 0, "at least one function of a state, or a name")
        for charge in self.charges:
            if isinstance(charge, str):
                check_choice("charges", charge, NAMED)

    def integrate(
        self, field: AbstractVectorField, state: PhaseSpace, times: Float[Tensor, " time *batch"]
    ) -> PhaseSpace:
        charges = _found(self.charges, field, state.q.shape[-1])
        targets = _values(charges, state)
        outputs = [state]
        for k in range(len(times) - 1):
            taken = self.integrator.integrate(field, outputs[-1], times[k : k + 2])
            outputs.append(_projected(PhaseSpace(taken.q[-1], taken.p[-1]), charges, targets).states)
        return PhaseSpace(torch.stack([x.q for x in outputs]), torch.stack([x.p for x in outputs]))

    def attempt_in_pieces(
        self, field: AbstractVectorField, state: PhaseSpace, times: Float[Tensor, " time *trajectory"]
    ) -> tuple[Attempt, Pieces]:
        """Refused: at an output time the state is moved, and what it passes then did not happen.

        Raises:
            ValueError: always.
        """
        raise ValueError("integrator: expected one without projection to look for events, got Projected")


def _found(charges: Sequence[Observable | str], field: AbstractVectorField, dimension: int) -> list[Observable]:
    """Functions of a state in the place of names."""
    found: list[Observable] = []
    for charge in charges:
        if not isinstance(charge, str):
            found.append(charge)
            continue
        known = ", ".join(field.conserved) or "nothing"
        closed = {charge, "energy"} & {*field.conserved}
        check("charges", charge, bool(closed), f"what {field.name or type(field).__name__} conserves, which is {known}")
        if charge == "energy":
            found.append(require_hamiltonian(field.hamiltonian).energy)
        else:
            every = charges_for(require_hamiltonian(field.hamiltonian), motions(dimension))
            found += [x for x in every if bool(x.matrix.any()) == (charge == "angular_momentum")]
    return found


def _size(x: Float[Tensor, "*batch n d"]) -> Float[Tensor, "*batch 1 1"]:
    """The root mean square, 1 where all is zero."""
    square = x.square().mean((-2, -1), keepdim=True)
    return torch.where(square > 0, square, 1).sqrt()


def _values(charges: Sequence[Observable], states: PhaseSpace) -> Tensor:
    return torch.stack([charge(states) for charge in charges])


def _newton(states: PhaseSpace, charges: Sequence[Observable], targets: Tensor, units: PhaseSpace) -> PhaseSpace:
    gradients = []
    for charge in charges:
        gradient = torch.func.grad(lambda s, charge=charge: charge(s).sum())(states)
        gradients.append(torch.cat([(x * unit).flatten(-2) for x, unit in zip(gradient, units, strict=True)], -1))
    jacobian = torch.stack(gradients, -2)
    wrong = (_values(charges, states) - targets).movedim(0, -1)
    size = jacobian.norm(dim=-1)
    size = torch.where(size > 0, size, 1)
    rows = jacobian / size[..., None]
    step = (rows.mT @ torch.linalg.pinv(rows @ rows.mT, hermitian=True) @ (wrong / size)[..., None])[..., 0]
    n, d = states.q.shape[-2:]
    q, p = (x.unflatten(-1, (n, d)) * unit for x, unit in zip(step.split(n * d, -1), units, strict=True))
    return PhaseSpace(states.q - q, states.p - p)
