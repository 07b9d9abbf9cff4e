"""Which combinations of candidates do not change under the flow of a vector field."""

import math
from typing import NamedTuple

import torch
from jaxtyping import Float
from torch import Tensor

from hlieconv.noether.library import Library
from systems.phase_space import PhaseSpace
from systems.vector_field import AbstractVectorField

#: Combinations whose gradient (or variation) is so small relative to their terms are none: candidates depend on others.
TRIVIAL = 1e-10


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


def of_field(library: Library, field: AbstractVectorField, states: PhaseSpace, exact: float) -> Changes:
    """By dF/dt, which is {F, H} if the field is that of a Hamiltonian.

    The size of F is the root mean square of dF/dt / |f| over that of |grad F|. f is the flow and both are taken in
    coordinates scaled by the sizes of q and p, so that a size is the cosine of the angle between F's gradient and the
    flow: 0 for a charge, 1 for what follows the flow. Charges that
    depend on the time (boosts) are looked at at several times, of the order of that in which the states change.
    """
    with torch.no_grad():
        flow = field(states.q.new_zeros(()), states)
        units = [_unit(x) for x in states]
        age = min(float(unit / _unit(x)) for unit, x in zip(units, flow, strict=True))
        t = torch.linspace(-age, age, len(states.q), dtype=states.q.dtype, device=states.q.device)
        flow = field(t[:, None, None], states)
        rates = library.rates(t, states, flow).double().cpu()
        speed = torch.cat([(x.double().cpu() / u).flatten(-2) for x, u in zip(flow, units, strict=True)], -1).norm(
            dim=-1
        )
        few = max(1, min(len(speed), math.ceil(8 * len(library) / states.q[0].numel())))
        gradients = library.gradients(t[:few], PhaseSpace(states.q[:few], states.p[:few])).double().cpu()
    half = states.q[0].numel()
    gradients = torch.cat([gradients[:, :half] * units[0], gradients[:, half:] * units[1]], 1).flatten(0, 1)
    whitening, metric = whiten(gradients / math.sqrt(few))
    rates = rates / torch.where(speed > 0, speed, 1)[:, None]
    change = torch.linalg.qr(rates @ whitening / math.sqrt(len(rates))).R
    sizes, directions = by_size(change, torch.eye(change.shape[1], dtype=torch.float64))
    return Changes(whitening, metric, sizes, directions, change, int((sizes < exact).sum()))


def by_size(change: Tensor, space: Tensor) -> tuple[Tensor, Tensor]:
    """The singular directions of R within a space, the least first."""
    _, sizes, rows = torch.linalg.svd(change @ space, full_matrices=False)
    return sizes.flip(0), space @ rows.flip(0).mT


def whiten(rows: Tensor) -> tuple[Tensor, Tensor]:
    """Coordinates in which the rows have the identity as their second moments, without trivial combinations.

    Raises:
        ValueError: for rows that are not finite: a candidate is singular at a state.
    """
    if not bool(torch.isfinite(rows).all()):
        raise ValueError("library: expected candidates that are finite at all states, with derivatives, got others")
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
