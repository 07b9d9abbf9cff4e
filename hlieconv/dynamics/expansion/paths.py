"""Equations for what forces along given paths do to positions at the end of these."""

from typing import Any

import torch
from jaxtyping import Float
from torch import Tensor

from hlieconv.dynamics.expansion.ends import Ends
from hlieconv.dynamics.expansion.equations import Equations
from hlieconv.dynamics.expansion.forces import force_of
from hlieconv.dynamics.expansion.targets import Targets
from hlieconv.models.expansion.configuration import Configuration
from hlieconv.models.expansion.model import PairExpansion

#: Points of a path, an odd number.
POINTS = 21


class PathEquations(Equations):
    """Equations for what forces along given paths do to positions until the end.

    From Newton's law, m (q(T) - q(0) - T v(0)) = int (T - t) F(q(t)) dt: linear in the coefficients of F, where the
    paths are known about.

    Args:
        paths: of all bodies, ``(point, sample, n, d)``, at equally spaced times from the start to the end.
        targets: the left side, divided by T^2 / 2, as forces.
        features, mask, seed: as of `Equations`.
    """

    def __init__(
        self, paths: Float[Tensor, "point sample n d"], targets: Targets, features: Any, mask: Any, *, seed: int = 0
    ) -> None:
        points = len(paths)
        simpson = torch.ones(points, dtype=paths.dtype)
        simpson[1::2], simpson[2:-1:2] = 4, 2
        self.paths = paths
        self.share = simpson * torch.linspace(1, 0, points, dtype=paths.dtype) * 2 / (3 * (points - 1))
        super().__init__(targets, features, mask, seed=seed)
        self.configuration = Configuration(paths)

    def flat(self, x: Tensor) -> Tensor:
        if x.ndim == self.paths.ndim:
            x = torch.einsum("t,t...->...", self.share.to(x), x)
        return super().flat(x)

    def few(self, rows: int) -> "PathEquations":
        return self  # there are few already


def parabolas(ends: Ends) -> Float[Tensor, "point sample n d"]:
    """The paths of constant forces that begin and end as was seen."""
    t = ends.duration[:, None, None]
    velocity = ends.start.p / ends.mass
    bend = ends.end - ends.start.q - t * velocity
    part = torch.linspace(0, 1, POINTS, dtype=t.dtype)[:, None, None, None]
    return (ends.start.q + part * t * velocity + part.square() * bend) * ends.real


def equations_of_paths(model: PairExpansion, ends: Ends, paths: Tensor, seed: int) -> tuple[PathEquations, float]:
    """The equations for the last positions, were these the paths, in units of a typical length; and this length."""
    t = ends.duration[:, None, None]
    force = 2 * (ends.mass * (ends.end - ends.start.q) / t - ends.start.p) / t
    number, bodies, still = torch.arange(len(force)), ends.bodies, torch.zeros_like(force)
    none = still[..., 0]
    seen = Targets(number, number, paths[0], force, none, still)
    same = PathEquations(paths, seen, bodies.features, bodies.mask)
    length = same.length
    if model.known:
        force = force - torch.einsum("t,t...->...", same.share, force_of(model.known, bodies)(paths))
    scaled = seen._replace(q=paths[0] / length, force=force * length)
    return PathEquations(paths / length, scaled, bodies.features, bodies.mask, seed=seed), length
