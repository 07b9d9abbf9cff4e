"""Which combinations of candidates do not change: by the brackets of a Hamiltonian, or along measured trajectories."""

import math
from typing import NamedTuple

import torch
from jaxtyping import Float
from torch import Tensor

from hlieconv.noether.library import Library
from systems.phase_space import PhaseSpace
from systems.vector_field import AbstractHamiltonian

#: Combinations whose gradient (or variation) is so small relative to their terms are none: candidates depend on others.
TRIVIAL = 1e-10

#: Differences of this order of a smooth trajectory are noise.
ORDER = 3

#: Measured combinations whose variance in a trajectory is no larger than so many times that of its noise do not change.
NOISE_ONLY = 2.0

#: So much of the error of a fit is expected on trajectories that were not fitted to: few of them carry most of it.
FIT_ERROR = 4.0

#: Measured charges differ between trajectories: less than this part of their standard deviation lies within them.
DIFFERENT = 0.5


class Changes(NamedTuple):
    """How much combinations change, the least first. Coordinates are such that all combinations are of one size."""

    whitening: Float[Tensor, "candidate coordinate"]
    """Candidates' coefficients of each coordinate."""
    metric: Float[Tensor, "coordinate candidate"]
    """Coordinates of a combination of candidates."""
    sizes: Float[Tensor, " coordinate"]
    """Singular values, in ascending order: how much a combination changes, relative to how much it could."""
    directions: Float[Tensor, "coordinate direction"]
    """The combinations of these sizes."""
    change: Float[Tensor, "coordinate coordinate"]
    """A matrix R such that |R x| is the size of a combination x of length 1."""
    charges: int
    """How many of them do not change."""

    def size(self, x: Float[Tensor, " coordinate"]) -> float:
        return float((self.change @ x).norm() / x.norm())


def of_hamiltonian(library: Library, hamiltonian: AbstractHamiltonian, states: PhaseSpace, exact: float) -> Changes:
    """By the brackets {F, H}: the size of F is the root mean square of dF/dt / |f| over that of |grad F|.

    f is the flow and both are taken in coordinates scaled by the sizes of q and p, so that a size is the cosine of the
    angle between F's gradient and the flow: 0 for a charge, 1 for what follows the flow. Charges that
    depend on the time (boosts) are looked at at several times, of the order of that in which the states change.
    """
    with torch.no_grad():
        flow = hamiltonian(states.q.new_zeros(()), states)
        units = [_unit(x) for x in states]
        age = min(float(unit / _unit(x)) for unit, x in zip(units, flow, strict=True))
        t = torch.linspace(-age, age, len(states.q), dtype=states.q.dtype, device=states.q.device)
        rates = library.rates(t, states, flow).double().cpu()
        speed = torch.cat([(x.double().cpu() / u).flatten(-2) for x, u in zip(flow, units, strict=True)], -1).norm(
            dim=-1
        )
        few = max(1, min(len(speed), math.ceil(8 * len(library) / states.q[0].numel())))
        gradients = library.gradients(t[:few], PhaseSpace(states.q[:few], states.p[:few])).double().cpu()
    half = states.q[0].numel()
    gradients = torch.cat([gradients[:, :half] * units[0], gradients[:, half:] * units[1]], 1).flatten(0, 1)
    whitening, metric = _whiten(gradients / math.sqrt(few))
    rates = rates / torch.where(speed > 0, speed, 1)[:, None]
    change = torch.linalg.qr(rates @ whitening / math.sqrt(len(rates))).R
    sizes, directions = _by_size(change, torch.eye(change.shape[1], dtype=torch.float64))
    return Changes(whitening, metric, sizes, directions, change, int((sizes < exact).sum()))


def of_trajectories(
    library: Library, times: Float[Tensor, " time"], trajectory: PhaseSpace, tolerance: float
) -> Changes:
    """By their variance within trajectories, against that of the noise on the states.

    A charge F of true states is constant along each trajectory, of measured ones F is that constant plus noise, so its
    variance within trajectories W is the noise's N. Of anything else it is larger by what F changes. N follows from
    differences of third order, which remove what is smooth in time and leave 20 N of white noise. So the combinations
    x wanted have x'W x = x'N x, the least eigenvalues (1) of a generalised eigenproblem; errors in the states do not
    bias them.

    That the least of many ratios is small proves nothing. So combinations are found on one half of the trajectories
    and judged on the other: for a charge the ratio there is 1, with an error of about 2 / sqrt(nu_2), plus that of the
    fit of M coefficients to nu_1 points, M / nu_1 for normal errors and more for the products of large states. It must
    stay below 2 + 4 M / nu_1. So what passes changes by no more than the noise on it (and by half of what it differs
    from trajectory to trajectory); other functions change by many times the noise, or cannot be distinguished
    from charges. The halves also change places, and the larger number of charges counts.
    """
    steps, count = trajectory.q.shape[:2]
    t = times.reshape(len(times), -1).expand(-1, count) - times[0]
    values = library.values(t, trajectory).double().cpu()
    values = values - values.mean((0, 1))
    whitening, metric = _whiten(values.flatten(0, 1) / math.sqrt(steps * count))
    values = values @ whitening
    within = values - values.mean(0)
    noise = torch.diff(values, n=ORDER, dim=0)
    floor = tolerance**2 * torch.eye(whitening.shape[1], dtype=torch.float64)

    def covariances(part: slice) -> tuple[Tensor, Tensor]:
        w, e = within[:, part].flatten(0, 1), noise[:, part].flatten(0, 1)
        freedom = w.shape[0] * (steps - 1) / steps
        return w.mT @ w / freedom, e.mT @ e / (len(e) * math.comb(2 * ORDER, ORDER)) + floor

    half = count // 2
    one, other, everything = (covariances(part) for part in (slice(half), slice(half, None), slice(None)))
    limit = NOISE_ONLY + FIT_ERROR * len(library) / (half * (steps - 1))
    number = max(_constant(*one, *other, limit), _constant(*other, *one, limit))
    change = torch.linalg.qr(within.flatten(0, 1)).R / math.sqrt(count * (steps - 1))
    space = torch.linalg.qr(_least(*everything)[:, :number]).Q
    sizes, space = _by_size(change, space)
    constant = sizes < DIFFERENT
    space = space[:, constant]
    rest = torch.linalg.qr(torch.cat([space, torch.eye(len(space), dtype=torch.float64)], 1)).Q[:, space.shape[1] :]
    others, rest = _by_size(change, rest)
    return Changes(
        whitening, metric, torch.cat([sizes[constant], others]), torch.cat([space, rest], 1), change, space.shape[1]
    )


def _constant(within: Tensor, noise: Tensor, within_unseen: Tensor, noise_unseen: Tensor, limit: float) -> int:
    """How many of the combinations found on some trajectories do not change on others either."""
    found = _least(within, noise)
    ratios = (found * (within_unseen @ found)).sum(0) / (found * (noise_unseen @ found)).sum(0)
    return int((ratios < limit).long().cumprod(0).sum())


def _by_size(change: Tensor, space: Tensor) -> tuple[Tensor, Tensor]:
    """The singular directions of R within a space, the least first."""
    _, sizes, rows = torch.linalg.svd(change @ space, full_matrices=False)
    return sizes.flip(0), space @ rows.flip(0).mT


def _least(within: Tensor, noise: Tensor) -> Tensor:
    """Generalised eigenvectors of W x = lambda N x, the least first."""
    values, vectors = torch.linalg.eigh(noise)
    root = vectors / values.clamp(min=values.max() * 1e-15).sqrt()
    return root @ torch.linalg.eigh(root.mT @ within @ root).eigenvectors


def _whiten(rows: Tensor) -> tuple[Tensor, Tensor]:
    """Coordinates in which the rows have the identity as their second moments, without trivial combinations."""
    lengths = rows.norm(dim=0)
    lengths = torch.where(lengths > 0, lengths, 1)
    triangle = torch.linalg.qr(rows / lengths).R
    _, sizes, vectors = torch.linalg.svd(triangle, full_matrices=False)
    nontrivial = sizes > TRIVIAL * sizes[0]
    sizes, vectors = sizes[nontrivial], vectors[nontrivial]
    return vectors.mT / sizes / lengths[:, None], sizes[:, None] * vectors * lengths


def _unit(x: Tensor) -> Tensor:
    size = x.double().square().mean().sqrt().cpu()
    return torch.where(size > 0, size, 1)
