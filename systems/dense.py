"""at(dataset, times): the solution between its output times, by the method that made it.

A Dataset knows its system, its parameters, its integrator and step: nothing more has to be kept in it. A state at any
time is what the same method makes of the stored state before it, with steps no longer than its own: as accurate as the
stored states, which no interpolation of numbers is (a cubic through them is of order 4, whatever the method), at the
cost of less than one interval of time.
"""

import json
from pkgutil import resolve_name
from typing import Any

import numpy as np
import torch
import xarray as xr
from jaxtyping import Float
from torch import Tensor

from systems.checks import check
from systems.dataset.agreement import check_agreement
from systems.dataset.reading import mask_of, system_of, trajectory_of
from systems.dataset.schema import to_dataset
from systems.dataset.times import counted_from, origin_of, to_times
from systems.flows import flow
from systems.integrators.abstract import AbstractIntegrator
from systems.integrators.named import integrator_of
from systems.integrators.registry import INTEGRATORS
from systems.numbers import ordered
from systems.phase_space import PhaseSpace
from systems.units import time_unit
from systems.vector_field import AbstractHamiltonian, AbstractVectorField

#: Numbers of states that are moved together.
VALUES = 2**22


def at(
    dataset: xr.Dataset,
    times: Any,
    *,
    field: AbstractVectorField | None = None,
    integrator: AbstractIntegrator | str | None = None,
) -> xr.Dataset:
    """The trajectories at other times, in any order, from the first to the last of a Dataset; NaN where one has ended.

    Args:
        dataset: computed trajectories.
        times: ``(time,)`` or ``(time, trajectory)``: numbers as the Dataset counts them, or dates where it has dates.
        field: what moved them; by default the known system that the Dataset names.
        integrator: what took the steps; by default what the Dataset says.

    Raises:
        ValueError: for times outside, and where the Dataset does not say what made it, or its states do not have the
            energy that it stores, as where a selection left out a body.

    Example:
        >>> import torch
        >>> from systems import HenonHeiles, simulate
        >>> system, state = HenonHeiles.sample(2, seed=0)
        >>> coarse, fine = (simulate(system, state, torch.linspace(0, 10, points)) for points in (3, 11))
        >>> bool(abs(at(coarse, fine.time).q - fine.q).max() < 1e-11)
        True
    """
    stored, trajectory = trajectory_of(dataset)
    if field is None:
        field = system_of(dataset)
        check_agreement(dataset, field)
    method = solver_of(dataset) if integrator is None else integrator_of(integrator)
    count = trajectory.q.shape[1]
    stored = stored.double().reshape(len(stored), -1).expand(-1, count)
    wanted, origin = _wanted(dataset, times)
    each = wanted.reshape(len(wanted), -1).expand(-1, count)
    row, exact = _before(stored, each)
    known = torch.stack([torch.isfinite(x).all(-1).all(-1) for x in trajectory]).all(0)
    following = known.gather(0, (row + ~exact).clamp(max=len(stored) - 1))
    good = known.gather(0, row) & following
    own = torch.arange(count).expand_as(row)
    found = [x[row, own] for x in trajectory]
    duration = (each - stored.gather(0, row)).to(trajectory.q)
    between = (good & ~exact).nonzero()
    size = max(1, VALUES // trajectory.q[0, 0].numel())
    with torch.no_grad():
        for some in (rows.unbind(1) for rows in between.split(size) if len(rows)):
            start = PhaseSpace(*(x[some] for x in found))
            some_method = None if method is None else method.select(some[1])
            since = stored[row[some], some[1]]
            moved = flow(field.select(some[1]), start, since, duration[some], some_method)
            for x, y in zip(found, moved, strict=True):
                x[some] = y
        states = PhaseSpace(*(torch.where(good[..., None, None], x, torch.nan) for x in found))
        energy = field.energy(states) if isinstance(field, AbstractHamiltonian) else None
    new = to_dataset(states, wanted, mask=mask_of(dataset), energy=energy, attrs=dataset.attrs)
    for name in ("q", "p", "energy"):
        if name in new and name in dataset:
            new[name].attrs = dict(dataset[name].attrs)
    kept = dataset.drop_dims([dim for dim in ("time", "event") if dim in dataset.dims])
    kept = kept.drop_vars("event_list", errors="ignore")
    new = new.assign({name: array for name, array in kept.data_vars.items() if name not in new})
    return counted_from(origin, new.assign_coords(kept.coords))


def solver_of(dataset: xr.Dataset) -> AbstractIntegrator | None:
    """The integrator that made a Dataset, with all of its options; None for the closed form.

    Raises:
        ValueError: if the Dataset does not say, or names one that is none of the library's.

    Example:
        >>> import torch
        >>> from systems import HenonHeiles, simulate
        >>> from systems.integrators import Leapfrog
        >>> dataset = simulate(*HenonHeiles.sample(2, seed=0), torch.linspace(0, 1, 3), Leapfrog(step=0.01))
        >>> solver_of(dataset)
        Leapfrog(step=0.01, compensated=False)
    """
    name = dataset.attrs.get("integrator")
    if name == "closed form":
        return None
    expected = f"one that the Dataset names, of {', '.join(INTEGRATORS)}, or one beside it"
    check("integrator", name, name in INTEGRATORS, expected)
    configuration = json.loads(dataset.attrs.get("configuration", "{}"))
    check("configuration", configuration, "integrator_options" in configuration, "the options of the integrator")
    options = {
        key: torch.tensor(value, dtype=getattr(torch, configuration["dtype"])) if isinstance(value, list) else value
        for key, value in configuration["integrator_options"].items()
    }
    return resolve_name(INTEGRATORS[str(name)])(**options)


def _wanted(dataset: xr.Dataset, times: Any) -> tuple[Tensor, str]:
    """Times as the Dataset counts them, and the date that it counts from."""
    clock, own = time_unit(dataset.attrs.get("unit_system", "")), origin_of(dataset)
    seconds, origin = to_times(ordered(times, "time", "trajectory"), unit=clock, into=clock)
    if origin:
        check("times", origin, bool(own), "numbers, since the times of the Dataset are no dates")
        seconds = (
            seconds + to_times(np.array([origin], "datetime64[ns]") - np.datetime64(own, "ns"), into=clock).seconds
        )
    wanted, count = torch.from_numpy(np.array(seconds, np.float64)), dataset.sizes["trajectory"]
    if wanted.ndim not in (1, 2) or wanted.shape[1:] not in {(), (count,)} or not len(wanted):
        raise ValueError(f"times: expected shape (time,) or (time, {count}), got {tuple(wanted.shape)}")
    return wanted, own


def _before(
    stored: Float[Tensor, "time trajectory"], wanted: Float[Tensor, "other trajectory"]
) -> tuple[Tensor, Tensor]:
    """The index of the last stored time that is not after each wanted one, and whether it is that time."""
    known = torch.isfinite(stored)
    end = stored.gather(0, known.sum(0, keepdim=True) - 1)
    sign = torch.where(end >= stored[0], 1, -1)
    inside = (sign * wanted >= sign * stored[0]) & (sign * wanted <= sign * end)
    if not inside.all():
        first, last = float(stored[0].min()), float(end.max())
        raise ValueError(f"times: expected times from {first:g} to {last:g}, got {float(wanted[~inside][0]):g}")
    later = torch.where(known, sign * stored, torch.inf).T.contiguous()
    row = torch.searchsorted(later, (sign * wanted).T.contiguous(), right=True).T - 1
    return row, stored.gather(0, row) == wanted
