"""Which methods have C, and what it is told of them."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any, NamedTuple

import torch
from torch import Tensor

from systems.integrators import adaptive_gauss, collocation
from systems.integrators.abstract import AbstractIntegrator
from systems.integrators.adaptive_gauss import AdaptiveGauss
from systems.integrators.gauss import SWEEPS, AbstractGauss
from systems.integrators.kick_drift import AbstractKickDrift
from systems.integrators.runge_kutta import RK4
from systems.integrators.stepping import AbstractFixedStep, substep_counts
from systems.vector_field import AbstractSeparable, AbstractVectorField


class Recipe(NamedTuple):
    """What makes a method out of the C in methods/."""

    files: tuple[str, ...]
    macros: Mapping[str, int | str]
    coefficients: tuple[float, ...]
    separable: bool
    """Whether it calls velocity and force, or the derivative of the whole state."""
    lanes: int | None = None
    """Stages that are computed at once; None where these are trajectories."""
    calls: int = 1
    """Of the field in a step, about."""
    way_back: tuple[str, ...] = ()
    """The files that differentiate it; without them torch does."""


def recipe_of(method: AbstractIntegrator, field: AbstractVectorField, dtype: torch.dtype) -> Recipe | None:
    """How a method is made, None if it has no C: then it takes steps of its own kind."""
    make = _RECIPES.get(getattr(type(method), "_step", None))
    return None if make is None else make(method, isinstance(field, AbstractSeparable), dtype)


def _kick_drift(method: AbstractKickDrift, separable: bool, dtype: torch.dtype) -> Recipe | None:
    if not separable:  # its drifts are flows of their own
        return None
    stages = len(method.drifts)
    macros = {"STAGES": stages, "COMPENSATED": int(method.compensated)}
    way_back = ("back", "lanes_back", "kick_drift_back")
    return Recipe(("lanes", "kick_drift"), macros, (*method.kicks, *method.drifts), True, None, stages, way_back)


def _runge_kutta(method: RK4, separable: bool, dtype: torch.dtype) -> Recipe:
    files, macros = ("lanes", "runge_kutta"), {"COMPENSATED": int(method.compensated)}
    return Recipe(files, macros, (), False, calls=4, way_back=("back", "lanes_back", "runge_kutta_back"))


def _gauss(method: AbstractGauss, separable: bool, dtype: torch.dtype) -> Recipe:
    recipe = _collocation("fixed_gauss", method, method.stages, SWEEPS, separable, dtype, method.kept)
    return recipe._replace(way_back=("back", "gauss_back"))


def _adaptive_gauss(method: AdaptiveGauss, separable: bool, dtype: torch.dtype) -> Recipe:
    limits = (method.relative_tolerance(dtype), adaptive_gauss.SHRINK, adaptive_gauss.GROW, adaptive_gauss.SAFETY)
    limits = (*limits, float(method.max_steps))
    recipe = _collocation("adaptive_gauss", method, adaptive_gauss.STAGES, adaptive_gauss.SWEEPS, separable, dtype)
    return recipe._replace(coefficients=(*recipe.coefficients, *limits))


def _collocation(
    file: str, method: Any, stages: int, sweeps: int, separable: bool, dtype: torch.dtype, kept: int | None = None
) -> Recipe:
    """With the coefficients of `collocation.tableau`, the matrix by columns."""
    nodes, weights, matrix, roughness, barycentric = collocation.tableau(stages, dtype, torch.device("cpu"), kept)
    parts = (nodes, weights, matrix.mT, roughness, barycentric)
    macros = {"STAGES": stages, "SWEEPS": sweeps, "COMPENSATED": int(method.compensated)} | {
        "FOLD(x, o)": _folded([f"x({j})" for j in range(stages)])
    }
    coefficients = tuple(torch.cat([x.flatten() for x in parts]).tolist())
    return Recipe(("gauss", file), macros, coefficients, separable, lanes=stages, calls=20)


def _folded(terms: list[str]) -> str:
    """As `collocation.folded` goes: by halves.

    Example:
        >>> _folded(["a", "b", "c"])
        '((a o b) o c)'
    """
    if len(terms) == 1:
        return terms[0]
    half = len(terms) // 2
    pairs = [f"({a} o {b})" for a, b in zip(terms[:half], terms[half : 2 * half], strict=True)]
    return _folded([*pairs, *terms[2 * half :]])


_RECIPES: dict[Any, Callable[..., Recipe | None]] = {
    AbstractKickDrift._step: _kick_drift,
    RK4._step: _runge_kutta,
    AbstractGauss._step: _gauss,
    AdaptiveGauss._step: _adaptive_gauss,
}


class Plan(NamedTuple):
    """Output times and substeps, each ``(time, columns)`` with one column for all trajectories or one for each."""

    times: Tensor
    counts: Tensor
    """Of substeps to the next output time."""
    lengths: Tensor
    """Of a substep; for a method that chooses its steps, the longest."""


def plan_of(method: Any, times: Tensor, batch: torch.Size) -> Plan:
    """The steps of a method from time to time, found once, before the first."""
    step = torch.inf if method.step is None else method.step
    shared = times.ndim == 1 and not (isinstance(step, Tensor) and step.ndim)
    if not shared:
        times = times.reshape(len(times), *(times.shape[1:] or (1,) * len(batch))).expand(len(times), *batch)
    spans = times.diff(dim=0)
    if isinstance(method, AbstractFixedStep):
        counts = torch.ones_like(spans) if method.step is None else substep_counts(times, method.step)
        lengths = spans / counts
    else:
        counts = torch.ones_like(spans)
        lengths = torch.as_tensor(step, dtype=times.dtype).expand(times.shape[1:]).expand_as(times)
    flat = [x.detach().reshape(len(x), 1 if shared else batch.numel()) for x in (times, counts, lengths)]
    return Plan(flat[0].contiguous(), flat[1].long().contiguous(), flat[2].contiguous())
