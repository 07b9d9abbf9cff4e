"""Whether float32 holds the numbers of a system: its range ends at 1e38 and at 1e-38."""

import copy
import math

import torch

from systems.phase_space import PhaseSpace
from systems.vector_field import AbstractHamiltonian, AbstractNewtonian, AbstractVectorField

#: Trajectories that are looked at.
JUDGED = 16
#: A part of the distances between bodies that a force may move them by unseen.
UNSEEN = 1e-6


def check_range(field: AbstractVectorField, state: PhaseSpace, duration: float) -> None:
    """Compare velocities, forces and energy of the first states with those in float64, where the state is in float32.

    Args:
        field: a system with variables of its own; networks are not looked at.
        state: ``(trajectory, n, d)``.
        duration: how long it is to be followed, by which forces that vanish are judged.

    Raises:
        ValueError: where they overflow or vanish in float32 alone, naming the variable that is furthest from 1.

    Example:
        >>> from systems import Gravity
        >>> stars = Gravity(units="SI", mass=torch.tensor([2e30, 2e30]))
        >>> state = PhaseSpace(torch.tensor([[[0.0], [1e9]]]), torch.zeros(1, 2, 1))
        >>> check_range(stars, state, 1.0)
        Traceback (most recent call last):
        ...
        ValueError: mass: expected values whose energy float32 holds, got up to 2e+30: give the system and the state in
        float64, or in units in which they are nearer to 1 (such as units='AU, yr, Msun')
    """
    learned = any(True for child in field.children() for _ in child.parameters())
    if state.q.dtype != torch.float32 or not field.variables or learned:
        return
    rows = slice(0, JUDGED)
    narrow, first = field.select(rows), PhaseSpace(state.q[rows], state.p[rows])
    wide, doubled = copy.deepcopy(narrow).double(), PhaseSpace(*(x.double() for x in first))
    with torch.no_grad():
        t = torch.zeros(1, 1, device=state.q.device)
        rates, exact = narrow(t, first), wide(t.double(), doubled)
        pairs = {"velocities": (rates.q, exact.q), "forces": (rates.p, exact.p)}
        if isinstance(narrow, AbstractHamiltonian) and isinstance(wide, AbstractHamiltonian):
            pairs["energy"] = (narrow.energy(first), wide.energy(doubled))
        lost = [name for name, (a, b) in pairs.items() if bool((torch.isfinite(b) & ~torch.isfinite(a)).any())]
        if not lost and isinstance(wide, AbstractNewtonian):
            moves = 0.5 * duration**2 * wide.velocity(exact.p).abs()
            size = (doubled.q - doubled.q.mean(-2, keepdim=True)).abs().amax((-2, -1), keepdim=True)
            gone = (rates.p == 0) & (moves > UNSEEN * size) & (size > 0)
            lost = ["forces"] if bool(gone.any()) else []
    if lost:
        name, value = _furthest_from_one(field, state)
        raise ValueError(
            f"{name}: expected values whose {' and '.join(lost)} float32 holds, got up to {value:g}: give the system "
            "and the state in float64, or in units in which they are nearer to 1 (such as units='AU, yr, Msun')"
        )


def _furthest_from_one(field: AbstractVectorField, state: PhaseSpace) -> tuple[str, float]:
    sizes = {name: float(x.detach().abs().max()) for name, x in (field.values | state._asdict()).items()}
    return max(((n, v) for n, v in sizes.items() if v > 0), key=lambda item: abs(math.log10(item[1])))
