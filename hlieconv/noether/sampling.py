"""Whether trajectories can tell what is conserved: many of them, different, smooth in time, without gaps."""

from typing import NamedTuple

import torch
import xarray as xr
from jaxtyping import Bool, Float
from torch import Tensor

from hlieconv.noether.constancy import noise_of
from systems.dataset.blocks import drawn
from systems.dataset.reading import mask_of, trajectory_of
from systems.dataset.schema import MOMENTA
from systems.phase_space import PhaseSpace

#: Fewer trajectories, or points on each, are refused.
LEAST, LEAST_POINTS = 20, 12

#: The part of the variance of motion that noise may be.
ROUGH = 0.3

#: Trajectories are the same if their mean square difference is below so many times that which noise makes.
SAME = 2.0

#: Data without noise are exact up to this part of their size.
EXACT = {torch.float64: 1e-6, torch.float32: 1e-4}


class Sampled(NamedTuple):
    """Trajectories in float64, zero where there is no body."""

    times: Float[Tensor, "time *#trajectory"]
    trajectory: PhaseSpace
    exists: Bool[Tensor, "time trajectory n 1"]
    noise: PhaseSpace
    """Standard deviations of the noise on each component, ``(n, d)``."""
    exact: float
    """What changes by less than this part of its size is constant."""
    eps: float
    """Of the numbers as they were given."""


def sampled(dataset: xr.Dataset, candidates: int = 1) -> Sampled:
    """The trajectories of a Dataset from which so many candidate charges can be judged.

    Of more than 8 million numbers of q as many trajectories are looked at as have these.

    Raises:
        ValueError: for too few different trajectories or points, gaps, uneven times, or bodies at rest.
    """
    dataset = drawn(dataset)
    times, trajectory = trajectory_of(dataset, dtype=torch.float64)
    points, count = trajectory.q.shape[:2]
    mask = mask_of(dataset)
    mask = torch.ones_like(trajectory.q[0, ..., 0], dtype=torch.bool) if mask is None else mask
    exists = mask.expand(points, *mask.shape)[..., None]
    if bool((trajectory.p.isnan() | ~exists).all()):
        raise ValueError(f"dataset: expected momenta p, got NaN everywhere: {MOMENTA}")
    if not all(bool((torch.isfinite(x) | ~exists).all()) for x in trajectory):
        raise ValueError("dataset: expected trajectories without gaps, got NaN")
    enough = max(LEAST, -(-20 * candidates // max(points - 1, 1)))
    needed = f"at least {LEAST} trajectories of {LEAST_POINTS} points"
    if candidates > 1:
        needed += f", and {enough} of {points} for {candidates} candidates"
    why = "what few of them conserve need not be conserved"
    if points < LEAST_POINTS or count < enough:
        raise ValueError(f"dataset: expected {needed}, got {count} of {points}: {why}")
    gaps = times.diff(dim=0)
    if bool((gaps - gaps.mean()).abs().max() > 1e-3 * gaps.mean().abs()):
        raise ValueError("dataset: expected evenly spaced times, got others")
    trajectory = PhaseSpace(*(torch.where(exists, x, 0) for x in trajectory))
    noise, given = noise_of(trajectory), torch.float32 if dataset["q"].dtype.itemsize == 4 else torch.float64
    exact = EXACT[given]
    for name, still in (("q", not (trajectory.q != trajectory.q[0]).any()), ("p", not trajectory.p.any())):
        if still:
            how = f": {MOMENTA}" if name == "p" else ""
            raise ValueError(f"dataset: expected bodies that move, got {name} at rest in all {count} trajectories{how}")
    if (different := _different(trajectory, noise, exact, enough)) < enough:
        raise ValueError(
            f"dataset: expected {needed} that differ by more than their noise, got {different} of {points}: {why}"
        )
    return Sampled(times, trajectory, exists, noise, exact, torch.finfo(given).eps)


def require_smooth(seen: Sampled) -> None:
    """A ValueError for points so far apart in time that motion looks like noise."""
    for name, x, s in zip("qp", seen.trajectory, seen.noise, strict=True):
        within, rough = float((x - x.mean(0)).square().mean()), float(s.square().mean())
        if rough > ROUGH * within + seen.exact**2 * float(x.square().mean()):
            raise ValueError(
                f"dataset: expected points so close in time that noise can be distinguished from motion, "
                f"a rough part of {name} below {ROUGH:g}, got {rough / within:.2g}"
            )


def _different(trajectory: PhaseSpace, noise: PhaseSpace, exact: float, enough: int) -> int:
    """How many trajectories differ from all those counted before, up to a number."""
    scaled = []
    for x, s in zip(trajectory, noise, strict=True):
        error = s.square() + exact**2 * x.square().mean((0, 1))
        scaled.append((x / torch.where(error > 0, 2 * error, 1).sqrt()).movedim(1, 0).flatten(1))
    rest, found = torch.cat(scaled, 1), 0
    while found < enough and len(rest):
        rest = rest[(rest - rest[0]).square().mean(1) > SAME]
        found += 1
    return found
