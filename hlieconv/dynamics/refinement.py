"""refine_states(model, dataset): the trajectories of a law that pass noisy positions best, with error bars."""

import copy
from typing import NamedTuple

import torch
import xarray as xr
from jaxtyping import Float
from torch import Tensor

from hlieconv.dynamics.rollouts import default_integrator
from hlieconv.dynamics.trajectories import spacing_of
from hlieconv.models import AbstractModel
from systems import AbstractVectorField, PhaseSpace
from systems.checks import check
from systems.dataset.reading import mask_of, trajectory_of, variables_of
from systems.dataset.schema import CORE, data_array, validate
from systems.dataset.smoothing import noise_of
from systems.integrators.abstract import AbstractIntegrator
from systems.integrators.default import symplectic_for
from systems.integrators.named import integrator_of

#: Steps of Levenberg and Marquardt, and the damping of the first.
ITERATIONS, DAMPING = 8, 1e-3

#: A step that changes the sum of squares by a smaller part is the last.
CONVERGED = 1e-6

#: A neighbour that shows how states depend on the first is so many standard deviations away.
APART = 1e-2


def refine_states(
    model: AbstractModel | AbstractVectorField,
    dataset: xr.Dataset,
    *,
    integrator: AbstractIntegrator | str | None = None,
) -> xr.Dataset:
    """The most probable states behind noisy positions, given the law that moves them.

    Of each trajectory the first state is found whose motion passes the positions best (least squares by Levenberg and
    Marquardt), and q and p are those of this motion. Their standard errors come from the information matrix
    sum_t M_q(t)^T M_q(t) / sigma^2, M = dz(t) / dz(0), so that for the true law they are the bound of Cramer and Rao; a
    law that was learned has errors of its own, which they do not know. The whole of a trajectory decides on all of its
    states: where it is chaotic, cut it.

    Args:
        model: a fitted model, or a known system of the same bodies.
        dataset: with noisy positions, from `systems.from_arrays`; ``q_measured`` where it has it, else ``q``.
        integrator: what moves the states, or its name; by default that of a `rollout`.

    Returns:
        The Dataset with new ``q``, ``p``, ``q_error``, ``p_error``, and ``chi_square`` of each trajectory: the sum of
        squares that is left by degrees of freedom, 1 where the law holds.

    Raises:
        ValueError: for positions without noise, bodies that were never seen, and as `rollout`.

    Example:
        >>> from systems import Springs, from_arrays, simulate
        >>> system, state = Springs.sample(3, seed=0, bodies=3)
        >>> truth = simulate(system, state, torch.linspace(0, 2, 101, dtype=torch.float64))
        >>> noise = 0.01 * torch.randn(truth.q.shape, dtype=torch.float64, generator=torch.Generator().manual_seed(0))
        >>> noisy = from_arrays(truth.q.values + noise.numpy(), times=truth.time.values, mass=truth.mass.values)
        >>> off = [float(abs(x.p - truth.p).mean()) for x in (noisy, refine_states(system, noisy))]
        >>> off[1] < off[0] / 4
        True
    """
    validate(dataset)
    problem = _problem(model, dataset, integrator)
    found = problem.linearised(problem.start)
    damping = torch.full_like(found.cost, DAMPING)
    for _ in range(ITERATIONS):
        step = problem.step(found, damping)
        trial = problem.linearised(PhaseSpace(found.start.q + step.q, found.start.p + step.p))
        better = trial.cost < found.cost
        gained, damping = found.cost - trial.cost, torch.where(better, damping / 10, damping * 10)
        found = _chosen(better, trial, found)
        if bool((gained.abs() < CONVERGED * found.cost).all()):
            break
    return problem.dataset_of(found, dataset)


class _Linear(NamedTuple):
    """What follows from first states, and how that depends on them; in units in which all numbers are normal."""

    start: PhaseSpace
    path: Float[Tensor, "time trajectory z"]
    tangent: Float[Tensor, "time trajectory z z"]
    cost: Float[Tensor, " trajectory"]


def _chosen(better: Tensor, new: _Linear, old: _Linear) -> _Linear:
    start = PhaseSpace(*(torch.where(better.view(-1, 1, 1), a, b) for a, b in zip(new.start, old.start, strict=True)))
    path, tangent = (
        torch.where(better.view(1, -1, *[1] * (a.ndim - 2)), a, b)
        for a, b in ((new.path, old.path), (new.tangent, old.tangent))
    )
    return _Linear(start, path, tangent, torch.where(better, new.cost, old.cost))


class _Problem(NamedTuple):
    field: AbstractVectorField
    integrator: AbstractIntegrator
    times: Tensor
    start: PhaseSpace
    measured: Float[Tensor, "time trajectory nd"]
    seen: Float[Tensor, "time trajectory nd"]
    noise: float
    unit: float
    """Of momenta, by which a state is off as much as by the noise of its positions."""

    def linearised(self, start: PhaseSpace) -> _Linear:
        """The motion from these first states, and from neighbours in every direction."""
        n, d = start.q.shape[-2:]
        move = torch.eye(2 * n * d, dtype=start.q.dtype, device=start.q.device).unflatten(-1, (2, 1, n, d)) * APART
        q = torch.cat([start.q[None], start.q + self.noise * move[:, 0]])
        p = torch.cat([start.p[None], start.p + self.unit * move[:, 1]])
        times = self.times if self.times.ndim == 1 else self.times[:, None].expand(-1, len(q), -1)
        with torch.no_grad():
            run = self.integrator.integrate(self.field, PhaseSpace(q, p), times)
        states = torch.cat([run.q.flatten(-2) / self.noise, run.p.flatten(-2) / self.unit], -1)
        path, tangent = states[:, 0], ((states[:, 1:] - states[:, :1]) / APART).movedim(1, -1)
        left = self.seen * (self.measured - path[..., : n * d])
        cost = left.square().sum((0, 2))
        return _Linear(start, path, tangent, torch.where(cost.isfinite(), cost, torch.inf))

    def normal(self, found: _Linear) -> tuple[Tensor, Tensor]:
        """The information on first states, and M_q of what was seen."""
        seen = found.tangent[..., : self.measured.shape[-1], :] * self.seen[..., None]
        return torch.einsum("tcij,tcik->cjk", seen, seen), seen

    def step(self, found: _Linear, damping: Tensor) -> PhaseSpace:
        """From the first states to better ones."""
        normal, seen = self.normal(found)
        left = self.seen * (self.measured - found.path[..., : self.measured.shape[-1]])
        diagonal = normal.diagonal(dim1=-2, dim2=-1)
        damped = normal + torch.diag_embed(damping[:, None] * diagonal + (diagonal == 0).to(diagonal))
        step = torch.linalg.solve(damped, torch.einsum("tcij,tci->cj", seen, left))
        q, p = step.unflatten(-1, (2, *found.start.q.shape[-2:])).unbind(1)
        return PhaseSpace(q * self.noise, p * self.unit)

    def dataset_of(self, found: _Linear, dataset: xr.Dataset) -> xr.Dataset:
        """The Dataset with the states of this motion and their errors; gaps stay gaps."""
        normal, _ = self.normal(found)
        n, d = found.start.q.shape[-2:]
        covariance = torch.linalg.pinv(normal, hermitian=True)
        error = torch.einsum("tcij,cjk,tcik->tci", found.tangent, covariance, found.tangent).clamp(min=0).sqrt()
        result = dataset.copy()
        for name, values in (("", found.path), ("_error", error)):
            halves = values.unflatten(-1, (2, n, d)).unbind(-3)
            for letter, half, unit in zip("qp", halves, (self.noise, self.unit), strict=True):
                array = data_array(CORE[letter + name], (half * unit).transpose(0, 1).to(torch.float64))
                array = array.astype(dataset["q"].dtype).where(dataset["q"].notnull())
                result[letter + name] = array.assign_attrs(dataset[letter].attrs | {"long_name": array.long_name})
        freedom = self.seen.sum((0, 2)) - (normal.diagonal(dim1=-2, dim2=-1) > 0).sum(-1)
        chi = xr.DataArray((found.cost / freedom).cpu().numpy(), dims="trajectory")
        result["chi_square"] = chi.assign_attrs(units="1", long_name="chi^2 by degrees of freedom")
        for letter in "qp":
            result[letter].attrs["estimated"] = f"from q, by {type(self.integrator).__name__} through all positions"
        return result


def _problem(
    model: AbstractModel | AbstractVectorField, dataset: xr.Dataset, integrator: AbstractIntegrator | str | None
) -> _Problem:
    times, trajectory = trajectory_of(dataset, dtype=torch.float64)
    source = "q_measured" if "q_measured" in dataset else "q"
    values = dataset[source].transpose("trajectory", "time", "body", "space").values
    noise = float(dataset["q"].attrs.get("noise", 0)) or noise_of(values, times.numpy().T)
    check("dataset", "none", noise > 0, "positions with noise, such as from_arrays measures")
    measured = torch.from_numpy(values.astype("float64")).transpose(0, 1).flatten(-2) / noise
    seen, start = measured.isfinite(), _first_seen(trajectory)
    spacing = spacing_of(times)
    if isinstance(model, AbstractModel):
        model = copy.deepcopy(model).double().eval().requires_grad_(False)
        mask = mask_of(dataset)
        features = model.checked(variables_of(dataset, model.features, dtype=torch.float64), mask)
        field = model.condition(features, mask)
        usual = default_integrator(model, field, spacing)
    else:
        field, usual = model, symplectic_for(model, spacing)
    steps = usual if integrator is None else integrator_of(integrator)
    known = times.isfinite()  # after its last time a trajectory goes on unseen
    moments = torch.where(known, times, -torch.inf).cummax(0).values + spacing * (~known).cumsum(0)
    size = [float(x.square().mean().sqrt()) for x in start]
    unit = noise * size[1] / size[0] if min(size) > 0 else noise
    return _Problem(field, steps, moments, start, measured.nan_to_num(), seen.double(), noise, unit)


def _first_seen(trajectory: PhaseSpace) -> PhaseSpace:
    """Where each body was seen first: near its first state."""
    finite = torch.isfinite(trajectory.q + trajectory.p).all(-1)
    check("dataset", "one that was not", bool(finite.any(0).all()), "bodies that were seen, with momenta")
    index = finite.int().argmax(0)[None, ..., None].expand(1, *trajectory.q.shape[1:])
    return PhaseSpace(*(x.gather(0, index)[0] for x in trajectory))
