"""Frames far apart: states at one time and positions at another, between which nothing was seen."""

from typing import NamedTuple

import torch
from jaxtyping import Float
from torch import Tensor

from hlieconv.dynamics.chunks import Chunks
from hlieconv.models.expansion.terms import Bodies
from systems import PhaseSpace
from systems.checks import check


class Ends(NamedTuple):
    """States of systems, and where their bodies were seen later."""

    start: PhaseSpace
    end: Float[Tensor, "sample n d"]
    duration: Float[Tensor, " sample"]
    bodies: Bodies

    def take(self, index: Tensor) -> "Ends":
        """Some of the systems."""
        start = PhaseSpace(self.start.q[index], self.start.p[index])
        return Ends(start, self.end[index], self.duration[index], self.bodies.take(index))

    @property
    def mass(self) -> Float[Tensor, "sample n 1"]:
        """Of the bodies, 1 where there is none."""
        mass = self.bodies.features["mass"][..., None]
        return torch.where(mass > 0, mass, 1)

    @property
    def real(self) -> Float[Tensor, "sample n 1"]:
        """1 where a body exists, else 0."""
        one = torch.ones_like(self.mass)
        return one if self.bodies.mask is None else self.bodies.mask[..., None].to(one)


def ends_of(chunks: Chunks, bodies: Bodies) -> Ends:
    """The first states and last positions of pieces; those are left out of which a last position was not seen.

    Args:
        chunks: pieces of trajectories.
        bodies: of all trajectories.

    Raises:
        ValueError: if there are fewer than ten.
    """
    own = bodies.take(chunks.trajectory)
    real = torch.ones_like(chunks.q[-1], dtype=torch.bool)
    real = real if own.mask is None else own.mask[..., None].expand_as(real)
    whole = (chunks.q[-1].isfinite() | ~real).flatten(1).all(1).nonzero().flatten()
    check("dataset", f"{len(whole)} systems", len(whole) >= 10, "at least 10 systems with all positions at both times")
    start = PhaseSpace(chunks.q[0], chunks.p[0])
    return Ends(start, chunks.q[-1], chunks.times[-1] - chunks.times[0], own).take(whole)
