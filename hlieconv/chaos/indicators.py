"""Quick answers to: is it chaotic? MEGNO, SALI and GALI."""

from __future__ import annotations

import torch
import xarray as xr
from jaxtyping import Float
from torch import Tensor

from hlieconv.chaos.growth_of_deviations import grown, normalised
from systems.checks import check
from systems.integrators.abstract import AbstractIntegrator
from systems.phase_space import PhaseSpace
from systems.vector_field import AbstractVectorField


def megno(
    field: AbstractVectorField,
    state: PhaseSpace,
    times: Float[Tensor, " time"],
    *,
    integrator: AbstractIntegrator | None = None,
    seed: int = 0,
) -> xr.DataArray:
    """The mean exponential growth of nearby orbits, ``(trajectory, time)``: 2 for order, growing as l t / 2 for chaos.

    Y(t) = 2 / t times the integral of s d(ln |w|)/ds ds, and its mean over the time. Where the periods do not depend on
    the state (springs of zero rest length) neighbours stay together, and it goes to 0.

    Source: Cincotta & Simo (2000), Astronomy and Astrophysics Supplement 147, 205.

    Args:
        field, state, integrator, seed: as in `lyapunov_exponents`.
        times: ``(time,)``, of which there are several in a period: the integral is a sum over them.

    Raises:
        ValueError: for what does not fit.

    Warns:
        UserWarning: where a trajectory ends early.

    Example: two orbits of Henon and Heiles of one energy, 1/8.
        >>> from systems import HenonHeiles, PhaseSpace
        >>> from systems.integrators import Leapfrog
        >>> y = torch.tensor([0.0, -0.25]).double()
        >>> q = torch.stack([torch.zeros(2).double(), y], -1)[:, None]
        >>> p_x = (0.25 - y**2 + 2 * y**3 / 3).sqrt()
        >>> state = PhaseSpace(q, torch.stack([p_x, torch.zeros(2).double()], -1)[:, None])
        >>> times = torch.arange(0.0, 400.0, 2.0).double()
        >>> found = megno(HenonHeiles(mass=[1.0]), state, times, integrator=Leapfrog(step=0.25))
        >>> (found.isel(time=-1).values > 3).tolist()
        [False, True]
    """
    logs, _ = grown(field, state, times, 1, normalised, integrator, seed)
    since = (times - times[0]).abs()
    middle = (since[1:] + since[:-1]) / 2
    now = 2 / since[1:, None] * (middle[:, None] * logs[..., 0]).cumsum(0)
    steps = since.diff()[:, None]
    before = torch.cat([torch.zeros_like(now[:1]), now[:-1]])
    mean = ((now + before) / 2 * steps).cumsum(0) / since[1:, None]
    return _along(times, mean, "megno", "mean exponential growth of nearby orbits")


def gali(
    field: AbstractVectorField,
    state: PhaseSpace,
    times: Float[Tensor, " time"],
    order: int = 2,
    *,
    integrator: AbstractIntegrator | None = None,
    seed: int = 0,
) -> xr.DataArray:
    """The generalised alignment index, ``(trajectory, time)``: the volume that k deviations of length 1 span.

    For a regular trajectory on a torus of s dimensions it stays where it is if k <= s; where s is half of all
    dimensions and k is more, it falls as t^(-2 (k - s)). For a chaotic one it falls exponentially.

    Source: Skokos, Bountis & Antonopoulos (2007), Physica D 231, 30.

    Args:
        field, state, integrator, seed: as in `lyapunov_exponents`.
        times: ``(time,)``, at which deviations are made shorter.
        order: k, at least 2.

    Raises:
        ValueError: for what does not fit.

    Warns:
        UserWarning: where a trajectory ends early.

    Example:
        >>> from systems import HenonHeiles
        >>> found = gali(*HenonHeiles.sample(2, seed=0), torch.arange(0.0, 20.0, 2.0).double())
        >>> found.dims, bool((found <= 1).all())
        (('trajectory', 'time'), True)
    """
    check("order", order, order >= 2, "at least 2 deviations")
    _, vectors = grown(field, state, times, order, normalised, integrator, seed)
    volume = torch.linalg.svdvals(vectors.nan_to_num(0)).prod(-1)
    ended = torch.isnan(vectors).any(-1).any(-1)
    return _along(times, volume.masked_fill(ended, torch.nan), f"gali_{order}", f"alignment index of order {order}")


def sali(
    field: AbstractVectorField,
    state: PhaseSpace,
    times: Float[Tensor, " time"],
    *,
    integrator: AbstractIntegrator | None = None,
    seed: int = 0,
) -> xr.DataArray:
    """The smaller alignment index, ``(trajectory, time)``: min |w_1 -+ w_2| of two deviations of length 1.

    It goes to 0 exponentially for a chaotic trajectory, and stays away from 0 for a regular one.

    Source: Skokos (2001), Journal of Physics A 34, 10029.

    Args:
        field, state, times, integrator, seed: as in `gali`.

    Raises:
        ValueError: for what does not fit.

    Warns:
        UserWarning: where a trajectory ends early.

    Example:
        >>> from systems import HenonHeiles
        >>> found = sali(*HenonHeiles.sample(2, seed=0), torch.arange(0.0, 20.0, 2.0).double())
        >>> bool((found <= 2**0.5).all())
        True
    """
    _, vectors = grown(field, state, times, 2, normalised, integrator, seed)
    first, second = vectors.unbind(-1)
    least = torch.minimum((first + second).norm(dim=-1), (first - second).norm(dim=-1))
    return _along(times, least, "sali", "smaller alignment index")


def _along(times: Tensor, values: Float[Tensor, "interval trajectory"], name: str, long_name: str) -> xr.DataArray:
    return xr.DataArray(
        values.T.cpu().numpy(),
        dims=("trajectory", "time"),
        coords={"time": times[1:].cpu().numpy()},
        name=name,
        attrs={"units": "1", "long_name": long_name},
    )
