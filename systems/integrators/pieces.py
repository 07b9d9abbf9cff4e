"""A solution in pieces, each with samples: what a function of the state does between output times is seen in them."""

from typing import NamedTuple

import torch
from jaxtyping import Float
from torch import Tensor

from systems.integrators.steps import substep_counts
from systems.phase_space import PhaseSpace


class Pieces(NamedTuple):
    """The pieces of trajectories, in the order of time."""

    start: Float[Tensor, "piece trajectory"]
    length: Float[Tensor, "piece trajectory"]
    """0 for a trajectory that does not move in it."""
    places: Float[Tensor, " place"]
    """Of the samples, as shares of the length: from 0 to 1."""
    path: PhaseSpace
    """The states at the places, ``(place, piece, trajectory, n, d)``; the first is exact, what lies inside a sketch."""


def between(times: Float[Tensor, " time *trajectory"], trajectory: PhaseSpace) -> Pieces:
    """From each time to the next, with both ends as samples; ``(time, trajectory, n, d)``."""
    count = trajectory.q.shape[1]
    starts = times[:-1].reshape(len(times) - 1, -1).expand(-1, count)
    lengths = times.diff(dim=0).reshape(len(times) - 1, -1).expand(-1, count)
    path = PhaseSpace(*(torch.stack([x[:-1], x[1:]]) for x in trajectory))
    return Pieces(starts, lengths, times.new_tensor([0.0, 1.0]), path)


def steps_between(
    times: Float[Tensor, " time *trajectory"], step: float | Tensor | None
) -> tuple[Float[Tensor, " fine *trajectory"], list[int]]:
    """The times at which equal steps no longer than ``step`` end, and the indices among them of those given.

    Where trajectories have times of their own, an interval has as many steps as the longest of them needs.

    Example:
        >>> steps_between(torch.tensor([0.0, 0.3, 0.35]), 0.15)
        (tensor([0.0000, 0.1500, 0.3000, 0.3500]), [0, 2, 3])
    """
    if step is None or len(times) == 1:
        return times, list(range(len(times)))
    counts = substep_counts(times, step).reshape(len(times) - 1, -1).amax(1).long().tolist()
    pieces, outputs = [times[:1]], [0]
    for k, count in enumerate(counts):
        shares = torch.arange(1, count, dtype=times.dtype, device=times.device) / count
        inner = times[k] + shares.reshape(-1, *(1,) * (times.ndim - 1)) * (times[k + 1] - times[k])
        pieces += [inner, times[k + 1 : k + 2]]
        outputs.append(outputs[-1] + count)
    return torch.cat(pieces), outputs
