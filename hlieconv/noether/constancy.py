"""Which combinations of candidates stay constant along measured trajectories, up to the noise on the states."""

import math
from typing import NamedTuple

import torch
from jaxtyping import Float
from torch import Tensor

from hlieconv.noether.library import Library
from hlieconv.noether.null_space import Changes, by_size, whiten
from systems.phase_space import PhaseSpace

#: Differences of a smooth trajectory of these orders are noise; the order that sees the least sees no motion.
ORDERS = (4, 6, 8, 10)

#: Independent points that as many differences of order k are worth: C(2k, k)^2 / C(4k, 2k), of the highest.
WORTH = math.comb(2 * ORDERS[-1], ORDERS[-1]) ** 2 / math.comb(4 * ORDERS[-1], 2 * ORDERS[-1])

#: A median of many values is worth 2 / pi of as many values in a mean.
MEDIAN = 2 / math.pi

#: Motion is sought in this part of the frequencies, the slowest; noise is in all of them.
SLOW = 0.2

#: Trajectories are left out in so many groups, one after the other, to judge what was found on the others.
GROUPS = 20

#: One-sided quantile of Student's t of GROUPS - 1 degrees of freedom: of true charges 0.1 % are missed.
SURE = 3.6

#: Of many true charges one may exceed its limit: up to so many times the error, if a gap separates it from the rest.
WIDE, GAP = 3 * SURE, 10.0

#: Trajectories that M coefficients were not fitted to see an excess of M / N, for N points and normal errors.
FIT_ERROR = 2.0

#: A charge is believed whose standard deviation along trajectories is, surely, below this part of that between them.
RESOLVED = 0.15

#: Points with much less noise than most are not trusted much more.
HEAVIEST = 3.0


class Covariances(NamedTuple):
    """Of weighted candidates, where the covariance of all points is 1: one a group of trajectories."""

    slow: Float[Tensor, "group coordinate coordinate"]
    """Along trajectories, of what is slow, with the noise."""
    slow_noise: Float[Tensor, "group coordinate coordinate"]
    """What the noise on the states adds to it."""
    within: Float[Tensor, "group coordinate coordinate"]
    """Along trajectories, of all frequencies."""
    noise: Float[Tensor, "group coordinate coordinate"]
    between: Float[Tensor, "group coordinate coordinate"]
    """Of the means of trajectories."""


def noise_of(trajectory: PhaseSpace) -> PhaseSpace:
    """Standard deviations of the noise on each component, ``(n, d)``, by differences of high order in time.

    The median over trajectories, so that a few with encounters do not count, of mean squares that have the chi^2
    distribution, whose median is (1 - 2 / (9 nu))^3 of its mean (Wilson and Hilferty 1931).
    """

    def one(x: Tensor) -> Tensor:
        squares = [torch.diff(x, n=k, dim=0).square().mean(0) / math.comb(2 * k, k) for k in ORDERS]
        return torch.stack([square.median(0).values for square in squares]).amin(0).sqrt() * correction

    correction = (1 - 2 / (9 * WORTH * len(trajectory.q))) ** -1.5
    return PhaseSpace(*(one(x) for x in trajectory))


def of_trajectories(
    library: Library, times: Float[Tensor, " time"], trajectory: PhaseSpace, noise: PhaseSpace, tolerance: float
) -> Changes:
    """By their variance along trajectories, against that which the noise on the states produces.

    A charge F of true states is constant along each trajectory, of measured ones F is that constant plus noise, so its
    variance along trajectories W is the noise's N. Of anything else it is larger by what F changes. Three steps keep
    errors in the states from making or breaking charges:

    - Noise. Its variance on each component of a state follows from differences of high order in time (see `noise_of`),
      which remove what is smooth. By propagation F has the noise N = sum_k s_k^2 (dF/dz_k)^2.
    - Bias. The mean of F over the noise is F + 1/2 sum_k s_k^2 d^2F/dz_k^2, as squares of noise are not zero. That is
      taken off, exactly for polynomials of degree 3, and of degree 4 but for a constant.
    - Weights. Points at which candidates are noisy (an encounter, in 1/r) count less, by the inverse of their noise.

    The combinations x wanted have x'W x = x'N x, the least eigenvalues (1) of a generalised eigenproblem. That the
    least of many ratios is small proves nothing, so trajectories are left out in 20 groups, one after the other, and
    combinations judged on the group that they were not found on. For a charge the ratio there is 1, with the standard
    error e that the 20 groups show, and what the fit of M coefficients to N points costs on others, M / N. It must stay
    below 1 + 2 M / N + 3.6 e: of true charges 0.1 % fail. As there are many, one that fails by no more than 10.8 e is
    kept where what follows is farther from 1 by a factor of ten. And the combination must be resolved: its change along
    trajectories, by its upper bound of the same 0.1 %, is below 15 % of its differences between trajectories. What
    noise hides is so neither found nor refuted.
    """
    covariances, whitening, metric, change = _covariances(library, times, trajectory, noise)
    floor = tolerance**2 * torch.eye(whitening.shape[1], dtype=torch.float64) / len(covariances.noise)
    covariances = covariances._replace(noise=covariances.noise + floor, slow_noise=covariances.slow_noise + floor)
    steps, count = trajectory.q.shape[:2]
    slow = count * slowest(steps)
    noise_error = SURE * math.sqrt(2 / (MEDIAN * WORTH * steps * count))
    spread = _spread(covariances, slow)
    ratios, errors, worth = _held_out(covariances, spread)
    own = 1 + FIT_ERROR * worth / slow + noise_error
    number = _number(ratios, own, errors)
    total = Covariances(*(x.sum(0) for x in covariances))
    space = (spread @ _least(spread.mT @ total.slow @ spread, spread.mT @ total.slow_noise @ spread))[:, :number]
    if number:
        bound = float((torch.maximum(own + SURE * errors, ratios)[0, :number] - 1).max())
        space = _resolved(space, total, bound, slow / (steps * count))
    space = torch.linalg.qr(space).Q
    sizes, space = by_size(change, space)
    rest = torch.linalg.qr(torch.cat([space, torch.eye(len(space), dtype=torch.float64)], 1)).Q[:, space.shape[1] :]
    others, rest = by_size(change, rest)
    return Changes(whitening, metric, torch.cat([sizes, others]), torch.cat([space, rest], 1), change, space.shape[1])


def _covariances(
    library: Library, times: Float[Tensor, " time"], trajectory: PhaseSpace, noise: PhaseSpace
) -> tuple[Covariances, Tensor, Tensor, Tensor]:
    steps, count = trajectory.q.shape[:2]
    t = times.reshape(len(times), -1).expand(-1, count) - times[0]
    values = library.values(t, trajectory).double()
    scale = values.std((0, 1))
    scale = torch.where(scale > 0, scale, 1)
    unbiased, spread = values.clone(), torch.zeros_like(t)
    for up, down in _moved(library, t, trajectory, noise):
        unbiased -= (up + down) / 2 - values
        spread += (((up - down) / 2 / scale).square()).mean(-1)
    weights = torch.where(spread > 0, spread, 1).rsqrt()
    weights = (weights / weights.median()).clamp(max=HEAVIEST)[..., None]
    share = weights.square() / weights.square().sum(0)
    mean = (share * unbiased).sum(0)
    middle = (weights.square() * unbiased).sum((0, 1)) / weights.square().sum((0, 1))
    rows = (weights * (unbiased - middle)).flatten(0, 1) / math.sqrt(steps * count)
    whitening, metric = whiten(rows)
    within = (weights * (unbiased - mean)) @ whitening
    between = (weights.square().sum(0).sqrt() * (mean - middle)) @ whitening
    waves = slow_waves(weights[..., 0])
    slow = torch.einsum("jtk,tjm->kjm", waves, within)
    left = [waves.square().sum(-1).mT, 1 - share[..., 0]]
    left = [(weights[..., 0].square() * x).sqrt()[..., None] for x in left]
    freedoms = [count * waves.shape[-1], count * (steps - 1)]
    number = min(GROUPS, count)
    parts = [torch.arange(count) * number // count == k for k in range(number)]
    noises = torch.zeros(2, number, whitening.shape[1], whitening.shape[1], dtype=torch.float64)
    for up, down in _moved(library, t, trajectory, noise):
        moved = ((up - down) / 2) @ whitening
        for i in range(2):
            noises[i] += _squares(left[i] * moved, parts) / freedoms[i]
    change = torch.linalg.qr(within.flatten(0, 1)).R / math.sqrt(freedoms[1])
    found = Covariances(
        _squares(slow, parts) / freedoms[0],
        noises[0],
        _squares(within, parts) / freedoms[1],
        noises[1],
        _squares(between[None], parts) / freedoms[1],
    )
    return found, whitening, metric, change


def slowest(steps: int) -> int:
    """How many waves along a trajectory are slow."""
    return max(4, int(SLOW * steps))


def slow_waves(weights: Float[Tensor, "time trajectory"]) -> Float[Tensor, "trajectory time wave"]:
    """Cosines along each trajectory that weighted constants have no part in, orthonormal."""
    steps = len(weights)
    place = (torch.arange(steps, dtype=torch.float64) + 0.5) * math.pi / steps
    cosines = (place[:, None] * torch.arange(1, slowest(steps) + 1)).cos()
    columns = torch.cat([weights.mT[..., None], weights.mT[..., None] * cosines], -1)
    return torch.linalg.qr(columns).Q[..., 1:]


def _squares(x: Float[Tensor, "time trajectory m"], parts: list[Tensor]) -> Float[Tensor, "group m m"]:
    return torch.stack([rows.mT @ rows for rows in (x[:, part].flatten(0, 1) for part in parts)])


def _moved(library: Library, t: Tensor, trajectory: PhaseSpace, noise: PhaseSpace):
    """The candidates with each component of the states moved up and down by its noise."""
    for z in "qp":
        sigma, x = getattr(noise, z), getattr(trajectory, z)
        for unit in torch.eye(sigma.numel(), dtype=sigma.dtype).unflatten(-1, sigma.shape):
            yield tuple(
                library.values(t, trajectory._replace(**{z: x + sign * sigma * unit})).double() for sign in (1, -1)
            )


def _spread(groups: Covariances, slow: int) -> Tensor:
    """A basis of the combinations that differ from noise at all."""
    total, noise = (groups.within + groups.between).sum(0), groups.noise.sum(0)
    basis = _least(total, noise)
    ratio = (basis * (total @ basis)).sum(0) / (basis * (noise @ basis)).sum(0)
    return basis[:, ratio > 1.1 + FIT_ERROR * len(basis) / slow]


def _held_out(groups: Covariances, basis: Tensor) -> tuple[Tensor, Tensor, float]:
    """W / N of the combinations found on all other groups, the least first, and the part of it that is its error.

    Two rows each: of what is slow, by which they are found, and of all frequencies. The last number is that of the
    coefficients that are fitted, more where a group moves as others do not: tr(W_others^-1 W_group).
    """
    slow, slow_noise, within, noise = (basis.mT @ x @ basis for x in groups[:4])
    sums: list[list[Tensor]] = []
    worth = 0.0
    for k in range(len(slow)):
        others = slow.sum(0) - slow[k]
        found = _least(others, slow_noise.sum(0) - slow_noise[k])
        moved = (found * (others @ found)).sum(0).clamp(min=1)  # charges at least by their noise, which is 1 here
        worth += float(((found * (slow[k] @ found)).sum(0) / moved).sum())
        sums.append([(found * (x[k] @ found)).sum(0) for x in (slow, within, slow_noise, noise)])
    a, b = torch.stack([torch.stack(x) for x in sums], 1).unflatten(0, (2, 2))
    ratio = a.sum(1) / b.sum(1)
    error = ((a - ratio[:, None] * b).square().sum(1) * a.shape[1] / (a.shape[1] - 1)).sqrt() / b.sum(1)
    return ratio, error / ratio.clamp(min=1), worth


def _number(ratios: Tensor, own: float, errors: Tensor) -> int:
    """How many combinations pass, the least first."""
    strict, wide = (int((ratios < own + k * errors).all(0).long().cumprod(0).sum()) for k in (SURE, WIDE))
    apart = wide and (ratios[0, wide:] - 1 > GAP * (ratios[0, :wide].max() - 1)).all()
    return wide if apart else strict


def _resolved(space: Tensor, total: Covariances, bound: float, share: float) -> Tensor:
    """The part of a space in which differences between trajectories are sure to be larger than changes along them."""
    slow, slow_noise, _, _, between = (space.mT @ x @ space for x in total)
    directions = _least(between, slow_noise).flip(-1)
    w, n, b = ((directions * (x @ directions)).sum(0) for x in (slow, slow_noise, between))
    change = ((w - n).clamp(min=0) + bound * n) * share
    return space @ directions[:, change < RESOLVED**2 * b]


def _least(a: Tensor, b: Tensor) -> Tensor:
    """Generalised eigenvectors of a x = lambda b x, the least first, with x'b x = 1."""
    values, vectors = torch.linalg.eigh(b)
    root = vectors / values.clamp(min=values.max() * 1e-15).sqrt()
    return root @ torch.linalg.eigh(root.mT @ a @ root).eigenvectors
