"""Whether the states of a Dataset have the energy that it stores: where a body was left out they do not.

Noise of the size that ``q_error`` and ``p_error`` say is no reason to ask: it was added on purpose, or measured.
"""

import warnings

import numpy as np
import torch
import xarray as xr
from torch import Tensor

from systems.checks import check
from systems.dataset.blocks import is_beyond_memory
from systems.dataset.reading import companions_of, system_of, trajectory_of
from systems.dataset.schema import shaped
from systems.phase_space import PhaseSpace
from systems.vector_field import AbstractHamiltonian, AbstractVectorField

#: The part of T + |V| by which energies of the same states differ at most: half the digits of float32.
SAME_ENERGY = 3e-4
#: The same, where noise may have been added to the states.
NOISY_ENERGY = 0.1
#: Standard errors by which a coordinate may be off.
ERRORS = 5
#: Trajectories that are looked at, and pairs of bodies in them, about.
LOOKED_AT, PAIRS = 1024, 2**22


def disagreement(
    dataset: xr.Dataset,
    field: AbstractVectorField | None = None,
    tolerance: float = SAME_ENERGY,
    *,
    noise: bool = True,
) -> str:
    """In how many trajectories the first or last state has another energy than the one stored; "" if in none.

    Nothing is asked where no energy is stored, where the system cannot be made of the Dataset, and of states that are
    behind dask, or larger than memory. Of many trajectories some are looked at, evenly spread.

    Args:
        dataset: trajectories.
        field: what moved them; by default the known system that the Dataset names.
        tolerance: the part of T + |V| by which they may differ.
        noise: whether they may differ by what the standard errors of the states make of them, too.

    Example:
        >>> from systems import Gravity, simulate
        >>> orbits = simulate(*Gravity.sample(2, seed=0, bodies=3), [0.0, 0.1])
        >>> disagreement(orbits), disagreement(orbits.isel(body=[0, 1]))
        ('', '2 of 2 trajectories')
    """
    if not {"q", "energy"} <= {*dataset.variables}:
        return ""
    if shaped(dataset)["q"].chunks is not None or is_beyond_memory(dataset):
        return ""
    count, n = dataset.sizes["trajectory"], dataset.sizes["body"]
    most = max(1, min(count, LOOKED_AT, PAIRS // n**2))
    rows = np.linspace(0, count - 1, most).round().astype(int)
    some = dataset.isel(trajectory=rows, time=[0, -1][: dataset.sizes["time"]])
    try:
        moved = (system_of(some) if field is None else field.select(torch.from_numpy(rows))).hamiltonian
    except ValueError:  # of no known system: who needs it says so
        return ""
    if moved is None:
        return ""
    stored = torch.from_numpy(some["energy"].transpose("time", "trajectory").values.copy())
    _, state = trajectory_of(some)
    with torch.no_grad():
        energy = moved.energy(state)
        kinetic = energy - moved.energy(PhaseSpace(state.q, torch.zeros_like(state.p)))
    allowed = tolerance * (kinetic.abs() + (energy - kinetic).abs())
    if noise and (errors := companions_of(some).get("errors")) is not None:
        allowed = allowed + _by_noise(moved, state, errors)
    others = int(((energy - stored).abs() > allowed).any(0).sum())
    return f"{others} of {most} trajectories" if others else ""


def _by_noise(hamiltonian: AbstractHamiltonian, state: PhaseSpace, errors: PhaseSpace) -> Tensor:
    """By how much states may miss their energy that are off by `ERRORS` standard errors, to second order.

    Of the second derivatives, those along the errors count, all of one sign.
    """
    slope = torch.func.grad(lambda s: hamiltonian.energy(s).sum())(state)
    first = sum((g * e).square().sum((-2, -1)) for g, e in zip(slope, errors, strict=True)) ** 0.5
    with torch.no_grad():
        off = [hamiltonian.energy(PhaseSpace(state.q + k * errors.q, state.p + k * errors.p)) for k in (-1, 0, 1)]
    return ERRORS * first + ERRORS**2 * (off[0] - 2 * off[1] + off[2]).abs() / 2


def check_agreement(dataset: xr.Dataset, field: AbstractVectorField | None = None, *, noise: bool = True) -> None:
    """A ValueError unless the states have the energy that is stored, with or without their noise."""
    others = disagreement(dataset, field, noise=noise)
    words = "states of the energy that it stores; was a body left out, or were numbers changed? What moves may be given"
    check("dataset", f"others in {others}", not others, words)


def warn_of_disagreement(dataset: xr.Dataset, stacklevel: int = 3, tolerance: float = SAME_ENERGY) -> None:
    """The same as a warning, where the numbers asked for are right for what they are of."""
    if others := disagreement(dataset, tolerance=tolerance):
        warnings.warn(
            f"dataset: in {others} the states do not have the energy that is stored, which is that of other numbers: "
            "was a body left out, or changed, or were units, or was noise added (of which q_error and p_error may "
            "tell)? drop_vars('energy') computes it from the states",
            UserWarning,
            stacklevel=stacklevel,
        )
