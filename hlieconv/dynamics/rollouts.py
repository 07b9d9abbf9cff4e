"""rollout(model, dataset, times): where a learned vector field takes the first states of a Dataset."""

import copy
import math
import os
import warnings
from collections.abc import Sequence
from typing import Any

import numpy as np
import torch
import xarray as xr
from jaxtyping import Float
from torch import Tensor

from hlieconv.dynamics.starts import Starts
from hlieconv.dynamics.trajectories import spacing_of
from hlieconv.models import AbstractModel
from hlieconv.models.abstract import units_of
from hlieconv.noether.projection import Projected
from systems import AbstractVectorField, PhaseSpace
from systems.checks import check
from systems.dataset.blocks import blocks_of, is_beyond_memory
from systems.dataset.reading import (
    mask_of,
    state_of,
    times_of,
    trajectory_of,
    variables_of,
)
from systems.dataset.schema import parameters_of, validate
from systems.dataset.storage import checksum
from systems.dataset.times import Times, origin_of, since, to_times
from systems.fingerprint import fingerprint
from systems.integrators import AbstractIntegrator
from systems.integrators.default import most_accurate, symplectic_for
from systems.integrators.named import integrator_of
from systems.simulation import simulate


def rollout(
    model: AbstractModel,
    dataset: xr.Dataset,
    times: Any = None,
    integrator: AbstractIntegrator | str | None = None,
    *,
    dtype: torch.dtype | None = None,
    device: torch.device | str | None = None,
    path: str | os.PathLike[str] | None = None,
    overwrite: bool = False,
    workers: int | None = None,
    strict: bool = False,
    compile: str = "auto",
    project: Sequence[str] = (),
    client: Any = None,
) -> xr.Dataset:
    """The trajectories that a model predicts, from the first states of a Dataset.

    The Dataset returned has the parameters of the given one and two energies: ``energy``, the learned one, and
    ``true_energy``, of the known system that the Dataset names. The model itself stays as it is.

    Args:
        model: a trained model.
        dataset: trajectories, of which the first points and the parameters are used.
        times: seconds, durations or dates, ``(time,)`` or ``(time, trajectory)``; by default those of the Dataset. Its
            first states are those of its own first times: where others are asked for, the model moves the states there
            first. Dates are counted from that of the Dataset; where it has none, the first of them is when it starts.
        integrator: an integrator or its name; by default one that preserves the charges of the model's symmetry to
            round-off, for a law with steps of its own choice (`default_integrator`).
        dtype: float32 or float64; by default the model's own, or float64 where float32 cannot hold the states.
            Conservation shows to 1e-12 in float64 only.
        device: where to compute; by default the model's own.
        path: of a file to write, and to resume after a kill (see `systems.simulate`).
        overwrite: whether to replace a file that holds something else.
        workers: threads, each on one core; by default as many as torch uses.
        strict: whether a trajectory that ends early is an error.
        compile: whether steps are taken in machine code, "on", "off" or "auto" (see `systems.simulate`); the forces of
            a network go through torch.compile, which takes about 20 s: with "auto" in long rollouts of many bodies.
        project: charges onto which the states are put back at every output time: energy (the learned one), momentum,
            angular_momentum. Projected states have the right charges, and need not be better otherwise (see
            `hlieconv.noether.project`).
        client: a ``distributed.Client``, whose workers compute the parts of the file (see `systems.simulate`).

    Raises:
        ValueError: if the Dataset lacks a feature of the model, or has other units than its training data, and for
            wrong times.

    Warns:
        UserWarning: if the model was trained through steps of another integrator of low order: it has learned the
            Hamiltonian that these steps conserve, not the true one.

    Example:
        >>> import hlieconv.diagnostics
        >>> from hlieconv.models import HLieConv
        >>> from systems import Springs, simulate
        >>> data = simulate(*Springs.sample(2, seed=0), torch.linspace(0, 1, 11, dtype=torch.float64))
        >>> predicted = rollout(HLieConv.of(data), data, dtype=torch.float64)
        >>> float(predicted.dynamics.drift("momentum").max()) < 1e-12
        True
    """
    validate(dataset)
    model.check_coordinates(dataset)
    _check_units(model, dataset)
    parameter = model.like
    where: dict[str, Any] = {
        "dtype": dtype or _dtype_for(parameter.dtype, dataset),
        "device": device or parameter.device,
    }
    model = copy.deepcopy(model).to(**where).eval().requires_grad_(False)
    settings: dict[str, Any] = {"features": _checked_features(model, dataset, **where), "model": model.config}
    starts, everything = Starts(model, dataset, where["dtype"]), range(dataset.sizes["trajectory"])
    field, _ = starts(everything[:1])
    start = times_of(dataset, dtype=torch.float64)
    asked, origin = Times(start.numpy()) if times is None else to_times(times), origin_of(dataset)
    undated = asked.origin and not origin  # then the first of the dates is when the data begin
    asked = since(origin, asked)
    seconds = torch.from_numpy(asked.seconds)
    spacing = spacing_of(seconds)
    usual = default_integrator(model, field, spacing)
    if integrator is None:
        integrator = usual
    else:
        integrator = integrator_of(integrator)
        _warn_of_another(model, integrator, spacing)
    if project:
        integrator = Projected(integrator, [*project])
    options: dict[str, Any] = {
        "path": path,
        "overwrite": overwrite,
        "workers": workers,
        "variables": parameters_of(dataset),
        "strict": strict,
        "compile": compile,
        "client": client,
    }
    elsewhere = not undated and bool((start[0] != seconds[0]).any())
    if is_beyond_memory(dataset) and not elsewhere:
        settings["states"] = checksum(dataset).hex()
        options |= {"settings": settings, "true": starts.true}
        return simulate(starts, everything, asked, integrator, **options)
    field, state = starts(everything)
    state = _moved(field, state, start[0], seconds, integrator) if elsewhere else state
    return simulate(field, state, asked, integrator, settings=settings, true=starts.true(everything), **options)


def _checked_features(model: AbstractModel, dataset: xr.Dataset, **where: Any) -> str:
    """The fingerprint of what a model is conditioned on, read and checked block by block."""
    found = []
    for rows in blocks_of(dataset):
        some = dataset.isel(trajectory=rows)
        values = variables_of(some, model.features, **where)
        found.append(fingerprint(model.checked(values, mask_of(some, device=where["device"]))))
    return found[0] if len(found) == 1 else fingerprint({"blocks": np.array(found, dtype="S")})


def _check_units(model: AbstractModel, dataset: xr.Dataset) -> None:
    """A ValueError if a Dataset is in other units than what the model was trained on, where both are known."""
    known = model.trained.units if model.trained else {}
    for name, got in units_of(dataset, known).items():
        unit = known.get(name, got)
        check("dataset", f"{name} in {got}", got == unit, f"{name} in {unit}, as the model was trained")


def _dtype_for(own: torch.dtype, dataset: xr.Dataset) -> torch.dtype:
    """The dtype of a model, or float64 where float32 rounds positions or overflows."""
    if own != torch.float32 or dataset["q"].dtype.itemsize == 4:
        return own
    blocks = []
    for rows in blocks_of(dataset):
        q, p = (x[torch.isfinite(x)] for x in state_of(dataset.isel(trajectory=rows), dtype=torch.float64))
        if len(q) and len(p):
            blocks.append((len(q), q.mean(), q.var(correction=0), q.abs().max(), p.square().max()))
    if not blocks:  # nothing is seen at first, which `Starts` refuses
        return own
    count, mean, variance, farthest, fastest = torch.tensor(blocks, dtype=torch.float64).T
    share = count / count.sum()
    spread = (share * (variance + (mean - share @ mean).square())).sum().sqrt()
    rounded = torch.finfo(own).eps * farthest.max() > 1e-3 * spread > 0
    largest = float(fastest.max())
    held = not largest or torch.finfo(own).tiny < largest < torch.finfo(own).max
    return own if held and not rounded else torch.float64


def _moved(
    field: AbstractVectorField,
    state: PhaseSpace,
    start: Float[Tensor, "*own"],
    times: Float[Tensor, "time *batch"],
    integrator: AbstractIntegrator,
) -> PhaseSpace:
    """The states at the first of the times, of trajectories that start at others.

    Raises:
        ValueError: if one does not get there.
    """
    start, first = (x.expand(len(state.q)).to(state.q.device) for x in (start, times[0]))
    spacing, q, p = spacing_of(times), state.q.clone(), state.p.clone()
    for later in (True, False):
        rows = (first > start if later else first < start).nonzero().flatten()
        if not len(rows):
            continue
        steps = math.ceil(float((first - start)[rows].abs().max()) / spacing)
        share = torch.linspace(0, 1, max(1, min(steps, MOST_STEPS)) + 1, dtype=torch.float64, device=first.device)
        way = start[rows] + share[:, None] * (first - start)[rows]
        moved = simulate(field.select(rows), PhaseSpace(q[rows], p[rows]), way, integrator, strict=True)
        _, end = trajectory_of(moved.isel(time=[-1]), dtype=q.dtype, device=q.device)
        q[rows], p[rows] = end.q[0], end.p[0]
    return PhaseSpace(q, p)


#: Points on the way from a Dataset's first time to the first one asked for, at most.
MOST_STEPS = 1000


def default_integrator(model: AbstractModel, field: AbstractVectorField, spacing: float) -> AbstractIntegrator:
    """What a rollout uses: the steps that a model was trained through, if their order is low; else accurate ones.

    A law that can be read is followed to round-off, through close passages too. For a network this would be lost
    labour: the steps are as long as the spacing of the training data (or of the output, if that is not known), and
    symplectic where the field is a Hamiltonian. Both keep charges to round-off.
    """
    if model.law():
        return most_accurate()
    if model.trained is not None:
        spacing = model.trained.spacing
        if model.trained.through is not None and model.trained.through.order < LOW_ORDER:
            return model.trained.through
    return symplectic_for(field, spacing)


#: Steps of at least this order on the grid of the data change what is learned by less than anything else does.
LOW_ORDER = 4


def _warn_of_another(model: AbstractModel, integrator: AbstractIntegrator, spacing: float) -> None:
    trained = model.trained
    if trained is None or trained.through is None or trained.through.order >= LOW_ORDER:
        return
    step, learned = getattr(integrator, "step", None) or spacing, getattr(trained.through, "step", None)
    same = isinstance(step, float) and isinstance(learned, float) and abs(step - learned) < 0.01 * learned
    if type(integrator) is not type(trained.through) or not same:
        warnings.warn(
            f"integrator: the model was trained through {type(trained.through).__name__}(step={learned:g}) and has "
            f"learned the Hamiltonian that these steps conserve; {type(integrator).__name__}(step={step:g}) will not "
            "follow the data as closely",
            UserWarning,
            stacklevel=3,
        )
