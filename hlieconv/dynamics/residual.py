"""The law of which a network learns the residual."""

import warnings
from collections.abc import Sequence
from typing import TypeGuard

from hlieconv.dynamics.expansion.solving import solve
from hlieconv.dynamics.trajectories import Trajectories
from hlieconv.models import HLieConv
from hlieconv.models.expansion.law import Estimate

#: A residual of the forces is taken to be this part of them, at least.
LEAST = 1e-9


def learns_residual(model: object) -> TypeGuard[HLieConv]:
    """Whether a model is a network beside a law."""
    return isinstance(model, HLieConv) and model.known is not None


def give_law(model: HLieConv, law: Sequence[Estimate], left: float) -> None:
    """Give a network the law of which it learns the residual, and the part of the forces that it leaves."""
    assert model.known is not None  # see `learns_residual`
    model.known.estimates = list(law)
    model.left.fill_(max(left, LEAST))


def read_law(model: HLieConv, data: Trajectories, *, chunks: int, seed: int) -> None:
    """Read that law from trajectories, unless the network has one.

    Args:
        model: a network beside a law (see `learns_residual`).
        data, chunks, seed: see `solve`.

    Raises:
        ValueError: if there are too few trajectories, or nothing moves.
    """
    assert model.known is not None  # see `learns_residual`
    if not model.known.estimates:
        with warnings.catch_warnings():
            warnings.filterwarnings("ignore", "expansion: ", UserWarning)  # what is left is what the network is for
            found = solve(model.known, data, chunks=chunks, seed=seed)
        give_law(model, model.known.estimates, found.best.typical / found.equations.scale)
