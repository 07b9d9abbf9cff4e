"""symmetry(dataset): which symmetry do trajectories support, and what would it cost to impose more?"""

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal

import torch
import xarray as xr
from jaxtyping import Float
from torch import Tensor

from hlieconv.diagnostics import Charge
from hlieconv.diagnostics.momentum_map import charges, require_cartesian
from hlieconv.groups import GROUPS
from hlieconv.groups.registry import group
from hlieconv.noether import constancy
from hlieconv.noether.brackets import table
from hlieconv.noether.constancy import MEDIAN, SURE, WORTH, slow_waves, slowest
from hlieconv.noether.library import named_charges
from hlieconv.noether.sampling import Sampled, sampled
from systems.checks import check

#: A charge is believed where changes of this part of its scale would have been seen.
SEEN = 0.02

#: What changes less than this is an approximate symmetry.
APPROXIMATE = 0.02

#: Of bodies that move in some direction by less than so many times the noise nothing is known of that direction.
MOVES = 3.0

#: Noise turns such a direction by less than this.
TILTED = 0.1

#: Rounding of a charge, in eps of its terms.
ROUNDING = 10


@dataclass(frozen=True)
class Support:
    """What the trajectories say of one generator."""

    name: str
    verdict: Literal["symmetry", "approximate", "broken", "hidden"]
    size: float
    """The change of the charge along trajectories beyond that of the noise: its standard deviation, relative to the
    charge's scale about the mean position c, sum_i |p_i| |A (q_i - c) + b|, wherever the origin lies. A model with the
    symmetry imposed goes wrong by as much, at least."""
    error: float
    """Standard error of the size."""
    evidence: float
    """The variance of the charge along trajectories over that which the noise explains; 1 for a symmetry."""
    limit: float
    """The evidence above which the symmetry is refuted, with an error of 0.1 %."""


@dataclass(frozen=True, repr=False)
class Symmetry:
    """One row a generator, and the largest group of which all are supported; its text is a table."""

    group: str
    rows: tuple[Support, ...]
    noise: tuple[float, float]
    """Root mean square of the noise on q and on p."""

    def __getitem__(self, name: str) -> Support:
        found = {row.name: row for row in self.rows}
        if name not in found:
            raise KeyError(f"name: expected one of {', '.join(found)}, got {name}")
        return found[name]

    def __repr__(self) -> str:
        header = ["generator", "verdict", "evidence", "limit", "size, or loss if imposed"]
        rows = [
            [row.name, row.verdict, f"{row.evidence:.3g}", f"{row.limit:.3g}", f"{row.size:.1e} +- {row.error:.0e}"]
            for row in self.rows
        ]
        q, p = self.noise
        return f"symmetry group of the data: {self.group} (noise {q:.1e} on q, {p:.1e} on p)\n{table(header, rows)}"


def symmetry(dataset: xr.Dataset, *, about: Float[Tensor, " d"] | Sequence[float] | None = None) -> Symmetry:
    """The largest group that trajectories support: which symmetry should a model have?

    By Noether's theorem a generator x -> A x + b is a symmetry of the motion if its charge J = sum_i p_i . (A q_i + b)
    is constant. Nothing is fitted: the charge of every generator of our groups is computed along the trajectories,
    which may have any parameters, one set each. What is slow in it (a fifth of the frequencies) has the variance that
    the noise on the states explains, sum_k s_k^2 (dJ/dz_k)^2, if it is a symmetry, and more if it is none. The error of
    the ratio is that of 20 groups of trajectories; above 1 + 3.6 errors, that of the noise among them, the symmetry is
    refuted: of true ones one in a thousand is. The verdicts are

    - symmetry: not refuted, and changes of 2 % of the charge's scale would have been seen;
    - approximate: refuted, by changes of less than 2 % of the scale;
    - broken: refuted;
    - hidden: not refuted, but the noise hides changes of 2 %, or it has to do with a direction in which nothing moves:
      planar motion in space says nothing of turns out of the plane.

    The group is the largest of ours whose generators are all supported; approximate ones are not imposed.

    Args:
        dataset: trajectories, evenly spaced in time and dense enough that the motion is smooth from point to point; of
            more than 8 million numbers of q as many trajectories are looked at as have these.
        about: the point that generators turn and stretch about, such as the centre of a trap; the origin by default.
            Our groups act about the origin: a model with the group that is found needs q - about.

    Raises:
        ValueError: for a point of another dimension, too few different trajectories or points, gaps, uneven times,
            bodies at rest, or generalised coordinates.

    Example:
        >>> from systems import Springs, UniformField, simulate
        >>> springs, states = Springs.sample(40, seed=0, bodies=3)
        >>> times = torch.linspace(0, 2, 50, dtype=torch.float64)
        >>> symmetry(simulate(springs, states, times)).group
        'SE2'
        >>> symmetry(simulate(springs + UniformField([0.0, -1.0]), states, times)).group
        'Tx'
    """
    seen = sampled(require_cartesian(dataset))
    unseen, dimension = _unseen(seen), seen.trajectory.q.shape[-1]
    generators = named_charges(dimension)
    if about is not None:
        point = torch.as_tensor(about, dtype=torch.float64)
        check("about", tuple(point.shape), point.shape == (dimension,), f"a point of shape {(dimension,)}")
        generators = [charge.about(point) for charge in generators]
    centre = seen.trajectory.q.sum((0, 1, 2)) / seen.exists.sum()
    scales = [charge.about(centre).scale(seen.trajectory) for charge in named_charges(len(centre))]
    rows = tuple(_support(*each, seen, unseen) for each in zip(generators, scales, strict=True))
    supported = {row.name for row in rows if row.verdict == "symmetry"}
    sizes = tuple(float(x.square().mean().sqrt()) for x in seen.noise)
    return Symmetry(_largest(dimension, supported), rows, (sizes[0], sizes[1]))


def _unseen(seen: Sampled) -> Float[Tensor, "direction d"]:
    """Directions in which nothing is seen to move."""
    p = seen.trajectory.p
    sizes, directions = torch.linalg.eigh(torch.einsum("tjna,tjnb->ab", p, p) / p[..., 0].numel())
    of_noise = directions.mT.square() @ seen.noise.p.square().mean(0)
    return directions.mT[sizes < MOVES**2 * of_noise + seen.exact**2 * sizes[-1]]


def _support(charge: Charge, scale: Tensor, seen: Sampled, unseen: Float[Tensor, "direction d"]) -> Support:
    trajectory, noise = seen.trajectory, seen.noise
    points, count = trajectory.q.shape[:2]
    values = charge(trajectory)
    across = trajectory.p @ charge.matrix.to(trajectory.p)  # dJ/dq
    along = torch.where(seen.exists, charge.direction(trajectory.q), 0)  # dJ/dp
    spread = (noise.q * across).square().sum((-2, -1)) + (noise.p * along).square().sum((-2, -1))
    rounding = ROUNDING * seen.eps * charge.scale(trajectory)
    spread = spread + (seen.exact * scale).square() + rounding.square() + torch.finfo(torch.float64).tiny
    weights = spread.rsqrt()
    share = weights.square() / weights.square().sum(0)
    waves = slow_waves(weights)
    slow = torch.einsum("jtk,tj->jk", waves, weights * (values - (share * values).sum(0)))
    number = min(constancy.GROUPS, count)
    part = torch.arange(count) * number // count
    sums = torch.zeros(number, dtype=torch.float64).index_add(0, part, slow.square().sum(1))
    expected = torch.bincount(part, minlength=number).double() * slowest(points)
    evidence = float(sums.sum() / expected.sum())
    error = float((sums - evidence * expected).square().sum().mul(number / (number - 1)).sqrt() / expected.sum())
    of_noise = math.sqrt(2 / (MEDIAN * WORTH * points * count))
    limit = 1 + SURE * (of_noise + error / max(evidence, 1.0))
    # The mean variance that the noise explains, of all points; what is slow has a share of it.
    unit = float(spread.mean() / scale.square().mean()) * slowest(points) / points
    excess, least = max(evidence - 1, 0.0), (limit - 1) * unit
    size, error_of_square = math.sqrt(excess * unit), (error + of_noise) * unit
    of_size = error_of_square / max(2 * size, math.sqrt(error_of_square))
    if evidence < limit:
        parts = torch.cat([charge.matrix, charge.matrix.mT] if charge.matrix.any() else [charge.shift[None]]).to(unseen)
        told = bool((parts @ unseen.mT).norm() < TILTED * parts.norm()) and math.sqrt(least) < SEEN
        verdict = "symmetry" if told else "hidden"
    else:
        verdict = "approximate" if size < APPROXIMATE else "broken"
    return Support(charge.name, verdict, size, of_size, evidence, limit)


def _largest(dimension: int, supported: set[str]) -> str:
    """The name of the largest group of our own with these generators."""
    ours = [name for name in GROUPS if group(name).dimension == dimension]
    fit = {name: len(own) for name in ours if (own := {c.name for c in charges(name)}) <= supported}
    return max(fit, key=lambda name: fit[name])
