"""Noise of trajectories: what was measured, with a standard error of every number."""

from typing import NamedTuple

import numpy as np
import torch
from torch import Tensor

from hlieconv.dynamics.chunks import Chunks
from hlieconv.dynamics.shooting import at_least
from hlieconv.dynamics.trajectories import Trajectories, as_measured
from systems import PhaseSpace
from systems.dataset import smoothing
from systems.dataset.blocks import blocks_of

#: Trajectories that are looked at, at most.
MOST = 500

#: Points from which noise can be told from motion.
FEWEST = 17

#: Relative noise below this is none.
NOISELESS = 1e-9


class Noise(NamedTuple):
    """Standard deviations of white noise; infinite where nothing was measured."""

    q: float
    p: float


def noise_of(pieces: Chunks) -> Noise | None:
    """The noise of trajectories; None if there is none, or they are too short to tell.

    It is measured by divided differences (see `systems.dataset.smoothing.noise_of`), whatever the times.

    Args:
        pieces: whole trajectories.

    Example:
        >>> t = torch.linspace(0, 1, 1001, dtype=torch.float64)[:, None, None, None]
        >>> noise = 0.01 * torch.randn(2, *t.shape, dtype=t.dtype, generator=torch.Generator().manual_seed(0))
        >>> pieces = Chunks(torch.tensor([0]), t[..., 0, 0], t.sin() + noise[0], t.cos() + noise[1])
        >>> [round(x, 3) for x in noise_of(pieces)]
        [0.01, 0.01]
    """
    if len(pieces.times) < FEWEST:
        return None
    found = [smoothing.noise_of(x.transpose(0, 1).numpy(), pieces.times.mT.numpy()) for x in (pieces.q, pieces.p)]
    sizes = [NOISELESS * float(x.abs().nanmedian()) for x in (pieces.q, pieces.p)]
    return Noise(*found) if all(noise > size for noise, size in zip(found, sizes, strict=True)) else None


def typical_noise(pieces: Chunks) -> Noise:
    """The medians of the standard errors of what was measured."""
    assert pieces.errors is not None  # pieces of `noise_in`
    seen = [x[x.isfinite()] for x in pieces.errors]
    return Noise(*(float(x.median()) if len(x) else np.inf for x in seen))


def noise_in(data: Trajectories, *, seed: int = 0) -> Chunks | None:
    """Whole trajectories as they were measured, as many as a block holds, with standard errors; None without noise.

    Errors are those of the data, else those of the noise that states show. What was not measured has an infinite one:
    momenta that were estimated from noisy positions, and what lies in gaps, which are filled from both sides.

    States with derivatives that are data are taken as exact: points may be so far apart that motion looks like noise.

    Args:
        data: trajectories.
        seed: of the draw.

    Example:
        >>> import numpy as np
        >>> from hlieconv.dynamics.trajectories import trajectories_of
        >>> from systems import from_arrays
        >>> t = np.linspace(0, 1, 101)
        >>> q = np.cos(t)[:, None, None] + 0.01 * np.random.default_rng(0).standard_normal((101, 1, 1))
        >>> tracks = from_arrays(q, times=t, mass=1.0)
        >>> pieces = noise_in(trajectories_of(tracks))
        >>> bool((pieces.q[:, 0].numpy() == q).all()), [round(x, 3) for x in typical_noise(pieces)]
        (True, [0.01, inf])
    """
    order = torch.randperm(data.count, generator=torch.Generator().manual_seed(seed))
    order = order[: min(MOST, blocks_of(data.dataset)[0].stop)]
    times, (q, p), companions = as_measured(data).pieces(order, torch.zeros_like(order), len(data.times))
    whole = Chunks(order, times, q, p)
    errors = at_least(companions.get("errors"))
    if "rates" in companions:
        return None
    if errors is None:
        if (noise := noise_of(whole)) is None:
            return None
        errors = PhaseSpace(*(torch.full_like(x, size) for x, size in zip((q, p), noise, strict=True)))
    known = [(x.isfinite().any(0) | ~_existing(data, order)).flatten(1).all(1) for x in (q, p)]
    seen = (known[0] & known[1]).nonzero().flatten()
    return _filled(whole._replace(errors=errors).take(seen)) if len(seen) else None


def _existing(data: Trajectories, order: Tensor) -> Tensor:
    """Which bodies there are, ``(trajectory, n, 1)``."""
    mask = torch.ones(len(order), data.n, dtype=torch.bool) if data.mask is None else data.mask[order]
    return mask[..., None]


def _filled(pieces: Chunks) -> Chunks:
    """Without gaps: what was not seen lies between its neighbours in time, and has an infinite error."""
    assert pieces.errors is not None  # the caller has them
    times = pieces.times
    if not times.isfinite().all():  # of a trajectory that ends before others: time goes on
        spacing, known = times.diff(dim=0).nanmedian(0).values, times.isfinite()
        times = torch.where(known, times, -torch.inf).cummax(0).values + spacing * (~known).cumsum(0)
    filled, errors = [], []
    for x, error in zip((pieces.q, pieces.p), pieces.errors, strict=True):
        seen = x.isfinite()
        values = x.clone().numpy()
        for k, *place in (~seen.all(0)).nonzero().tolist():
            t, own, there = times[:, k].numpy(), values[:, k, *place], seen[:, k, *place].numpy()
            own[:] = np.interp(t, t[there], own[there]) if there.any() else 0.0
        filled.append(torch.from_numpy(values))
        errors.append(torch.where(seen, error, torch.inf))
    return pieces._replace(times=times, q=filled[0], p=filled[1], errors=PhaseSpace(*errors))
