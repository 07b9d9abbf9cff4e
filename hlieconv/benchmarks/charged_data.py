"""Five charged bodies, as EGNN's n-body experiment makes them (Satorras, Hoogeboom and Welling 2021)."""

import torch
import xarray as xr

from systems import Charges, Clipped, PhaseSpace
from systems.dataset.schema import to_dataset
from systems.integrators import AbstractIntegrator, SymplecticEuler
from systems.sampling import Draws

#: Training, validation and test systems of the published protocol.
SIZES = {"train": 3000, "validation": 2000, "test": 2000}

#: Of the generator: its step, and the largest component of a force, 0.1 / step.
STEP, LARGEST = 1e-3, 100.0

#: Steps before frame 30, and from there to frame 40: a frame is stored every 100 steps, the first after 100.
BEFORE, BETWEEN = 3100, 1000


def generator_steps(compile: str = "auto") -> AbstractIntegrator:
    """The steps of the generator."""
    return SymplecticEuler(step=STEP, compile=compile)


def charged(part: str, count: int | None = None, *, seed: int = 0) -> tuple[Charges, xr.Dataset]:
    """Frame 30 with positions and momenta, and frame 40 with positions alone, in float32 numbers.

    Positions N(0, 1) and velocities of length 0.5 in 3D, charges +-1, masses 1, Coulomb's constant 1, no softening, no
    walls; symplectic Euler in float64.

    Args:
        part: "train", "validation" or "test".
        count: of systems, if not that of the protocol.
        seed: of all parts.

    Returns:
        The system without the clip, and the two frames as a Dataset.
    """
    count = SIZES[part] if count is None else count
    draws = Draws(count, 1000 * seed + 1 + [*SIZES].index(part), bodies=5, dimension=3)
    charge = 2 * draws.uniform(0.0, 2.0, 5).floor() - 1
    q, p = draws.normal(5, 3), draws.normal(5, 3)
    p = 0.5 * p / p.norm(dim=-1, keepdim=True)
    system = Charges(mass=torch.ones_like(charge), charge=charge, coulomb_constant=1.0, softening=0.0)
    times = STEP * torch.tensor([0, BEFORE, BEFORE + BETWEEN], dtype=torch.float64)
    made = generator_steps().integrate(Clipped(system, LARGEST), PhaseSpace(q, p), times)
    rounded = PhaseSpace(*(x[1:].float().double() for x in made))
    rounded.p[1] = torch.nan
    dataset = to_dataset(rounded, times[1:] - times[1], field=system)
    return system, dataset.drop_vars(["coulomb_constant", "softening"])
