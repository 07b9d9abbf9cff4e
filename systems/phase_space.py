"""The state of a system of bodies."""

from typing import NamedTuple

from jaxtyping import Float
from torch import Tensor


class PhaseSpace(NamedTuple):
    """Positions and canonical momenta of n bodies in d dimensions.

    Momenta, never velocities. A trajectory has time as its first dimension, ``(time, *batch, n, d)``, so that
    parameters of shape ``(*batch, n)`` broadcast without reshaping.

    Example:
        >>> import torch
        >>> from systems import PhaseSpace
        >>> state = PhaseSpace(q=torch.zeros(10, 6, 2), p=torch.ones(10, 6, 2))
        >>> state.p.shape
        torch.Size([10, 6, 2])
    """

    q: Float[Tensor, "*batch n d"]
    p: Float[Tensor, "*batch n d"]
