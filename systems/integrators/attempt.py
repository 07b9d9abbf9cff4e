"""What integrators say of trajectories that they cannot follow to the end."""

from typing import NamedTuple

import torch
from jaxtyping import Int8
from torch import Tensor

from systems.phase_space import PhaseSpace
from systems.status import Status


class Attempt(NamedTuple):
    """A trajectory as far as it could be followed, NaN from there on, and how each of the batch ended."""

    trajectory: PhaseSpace
    status: Int8[Tensor, "*batch"]


def status_of(trajectory: PhaseSpace, reason: Status) -> Int8[Tensor, "*batch"]:
    """The reason where a trajectory ``(time, *batch, n, d)`` leaves the finite numbers, else OK."""
    q, p = (torch.isfinite(x).all(-1).all(-1).all(0) for x in trajectory)
    return torch.where(q & p, 0, int(reason)).to(torch.int8)


def raise_unless_ok(status: Int8[Tensor, "*batch"]) -> None:
    """A ValueError that counts what could not be followed, if there is any."""
    if bool((status != 0).any()):
        raise ValueError(f"field: {told(status)}")


def told(status: Int8[Tensor, "*batch"]) -> str:
    """One line that counts how the trajectories ended that are not OK.

    Example:
        >>> told(torch.tensor([0, 1, 1, 2], dtype=torch.int8)).partition(":")[0]
        '2 of 4 trajectories ended early (diverged)'
    """
    codes, total = status.flatten().tolist(), status.numel()
    lines = [
        f"{codes.count(reason)} of {total} trajectories ended early ({reason.meaning}): each {reason.explanation}"
        for reason in Status
        if reason and reason in codes
    ]
    return "; ".join(lines)
