"""rollout(model, dataset, times): where a learned vector field takes the first states of a Dataset."""

import copy
import os
import warnings
from typing import Any

import torch
import xarray as xr

from hlieconv.dynamics.trajectories import spacing_of
from hlieconv.models import AbstractModel
from systems import (
    SYSTEMS,
    AbstractHamiltonian,
    AbstractVectorField,
    simulate,
)
from systems.dataset.schema import mask_of, parameters_of, state_of, system_of, times_of, validate, variables_of
from systems.dataset.times import to_times
from systems.fingerprint import fingerprint
from systems.integrators import AbstractIntegrator
from systems.integrators.default import symplectic_for


def rollout(
    model: AbstractModel,
    dataset: xr.Dataset,
    times: Any = None,
    integrator: AbstractIntegrator | None = None,
    *,
    dtype: torch.dtype | None = None,
    device: torch.device | str | None = None,
    path: str | os.PathLike[str] | None = None,
    overwrite: bool = False,
    workers: int | None = None,
    compile: str = "auto",
) -> xr.Dataset:
    """The trajectories that a model predicts, from the first states of a Dataset.

    The Dataset returned has the parameters of the given one and two energies: ``energy``, the learned one, and
    ``true_energy``, of the known system that the Dataset names. The model itself stays as it is.

    Args:
        model: a trained model.
        dataset: trajectories, of which the first points and the parameters are used.
        times: seconds, durations or dates, ``(time,)`` or ``(time, trajectory)``; by default those of the Dataset.
        integrator: by default one that keeps the charges of the model's symmetry to round-off (`default_integrator`).
        dtype: float32 or float64; by default the model's own. Conservation shows to 1e-12 in float64 only.
        device: where to compute; by default the model's own.
        path: of a file to write, and to resume after a kill (see `systems.simulate`).
        overwrite: whether to replace a file that holds something else.
        workers: threads, each on one core; by default as many as torch uses.
        compile: whether steps are taken in machine code, "on", "off" or "auto" (see `systems.simulate`); a network is
            followed by torch.

    Raises:
        ValueError: if the Dataset lacks a feature of the model, and for wrong times.

    Warns:
        UserWarning: if the model was trained through steps of another integrator of low order: it has learned the
            Hamiltonian that these steps conserve, not the true one.

    Example:
        >>> import hlieconv.diagnostics
        >>> from hlieconv.models import HLieConv
        >>> from systems import Springs, simulate
        >>> data = simulate(*Springs.sample(2, seed=0), torch.linspace(0, 1, 11, dtype=torch.float64))
        >>> predicted = rollout(HLieConv(group="SE2"), data, dtype=torch.float64)
        >>> float(predicted.dynamics.drift("momentum").max()) < 1e-12
        True
    """
    validate(dataset)
    parameter = model.like
    where: dict[str, Any] = {"dtype": dtype or parameter.dtype, "device": device or parameter.device}
    model = copy.deepcopy(model).to(**where).eval().requires_grad_(False)
    features = model.checked(variables_of(dataset, model.features, **where), mask_of(dataset, device=where["device"]))
    field = model.condition(features, mask_of(dataset, device=where["device"]))
    times = times_of(dataset, dtype=torch.float64) if times is None else times
    spacing = spacing_of(torch.from_numpy(to_times(times).seconds))
    usual = default_integrator(model, field, spacing)
    if integrator is None:
        integrator = usual
    else:
        _warn_of_another(model, integrator, spacing)
    return simulate(
        field,
        state_of(dataset, **where),
        times,
        integrator,
        path=path,
        overwrite=overwrite,
        workers=workers,
        settings={"features": fingerprint(features), "model": model.config},
        variables=parameters_of(dataset),
        true=_true_hamiltonian(dataset, where),
        compile=compile,
    )


def default_integrator(model: AbstractModel, field: AbstractVectorField, spacing: float) -> AbstractIntegrator:
    """What a rollout uses: the steps that a model was trained through, if their order is low; else accurate ones.

    These are symplectic where the field is a Hamiltonian, so that charges are kept to round-off, and as long as the
    spacing of the training data (or of the output, if that is not known).
    """
    if model.trained is not None:
        spacing = model.trained.spacing
        if model.trained.through is not None and model.trained.through.order < LOW_ORDER:
            return model.trained.through
    return symplectic_for(field, spacing)


#: Steps of at least this order on the grid of the data change what is learned by less than anything else does.
LOW_ORDER = 4


def _true_hamiltonian(dataset: xr.Dataset, where: dict[str, Any]) -> AbstractHamiltonian | None:
    """Of the known system that the Dataset names, if it has all of its parameters."""
    if dataset.attrs.get("system") not in SYSTEMS:
        return None
    try:
        system = system_of(dataset, **where)
    except ValueError:
        return None
    return system if isinstance(system, AbstractHamiltonian) else None


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
