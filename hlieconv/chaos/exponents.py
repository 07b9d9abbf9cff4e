"""Lyapunov exponents: how fast neighbours of a trajectory leave it."""

from __future__ import annotations

import xarray as xr
from jaxtyping import Float
from torch import Tensor

from hlieconv.chaos.growth_of_deviations import grown, orthonormal
from systems.integrators.abstract import AbstractIntegrator
from systems.phase_space import PhaseSpace
from systems.vector_field import AbstractVectorField


def lyapunov_exponents(
    field: AbstractVectorField,
    state: PhaseSpace,
    times: Float[Tensor, " time"],
    count: int | None = None,
    *,
    integrator: AbstractIntegrator | None = None,
    seed: int = 0,
) -> xr.DataArray:
    """The Lyapunov exponents of trajectories, from the largest on, as they converge: ``(trajectory, time, exponent)``.

    The volume that k neighbours span grows as exp((l_1 + ... + l_k) t). Deviations follow the variational equations and
    are made orthonormal at each of the times. What has been seen by the time t is known to about ln(t) / t: the
    exponents of a regular trajectory are 0, and come as close to that. The sum of all is the mean divergence of the
    field; with a symplectic method it is 0 to round-off, and in the limit they pair up, l and -l.

    Source: Benettin, Galgani, Giorgilli & Strelcyn (1980), Meccanica 15, 9 and 21.

    Args:
        field: any, known or learned.
        state: ``(trajectory, n, d)``.
        times: ``(time,)``, at which deviations are made orthonormal: so closely that they do not grow by more than
            1e6 in between.
        count: how many exponents, the largest; None for all 2 n d.
        integrator: what takes the steps; the most accurate one by default.
        seed: of the first deviations.

    Raises:
        ValueError: for what does not fit.

    Warns:
        UserWarning: where a trajectory ends early.

    Example: a saddle, V = -q^2 / 2, has the exponents 1 and -1.
        >>> import torch
        >>> from systems import AbstractNewtonian, PhaseSpace
        >>> class Saddle(AbstractNewtonian):
        ...     def potential(self, q):
        ...         return -0.5 * q.square().sum((-2, -1))
        >>> state = PhaseSpace(torch.zeros(1, 1, 1).double(), torch.zeros(1, 1, 1).double())
        >>> found = lyapunov_exponents(Saddle(mass=[1.0]), state, torch.arange(0.0, 101.0, 5.0).double())
        >>> found.isel(time=-1).values.round(1)
        array([[ 1., -1.]])
    """
    count = 2 * state.q.shape[-2] * state.q.shape[-1] if count is None else count
    logs, _ = grown(field, state, times, count, orthonormal, integrator, seed)
    rates = logs.cumsum(0) / (times[1:] - times[0]).abs()[:, None, None]
    return xr.DataArray(
        rates.transpose(0, 1).cpu().numpy(),
        dims=("trajectory", "time", "exponent"),
        coords={"time": times[1:].cpu().numpy()},
        name="lyapunov_exponent",
        attrs={"units": "1 / s", "long_name": "Lyapunov exponent"},
    )
