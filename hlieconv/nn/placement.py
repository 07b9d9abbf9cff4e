"""Elements as points of a Euclidean space, where a list of neighbours can find them."""

from typing import NamedTuple

import torch
from jaxtyping import Float
from torch import Tensor

from hlieconv.groups import AbstractGroup
from hlieconv.nn.lifting import LiftedPoints
from hlieconv.nn.metric import TIE, Distances, Metric
from systems.tracing import outside

STEP = 1e-6


class Placement(NamedTuple):
    """Coordinates in which no two elements are farther apart than by a distance of the group.

    They are weighted entries of `embedding(u, 1)` and of the orbit. The entries of a rotation are a rotation's distance
    apart, sin and cos of an angle by its chord, so that the k nearest in the group's distance are among the first
    that a search in these coordinates finds.
    """

    group: AbstractGroup
    spatial: tuple[int, ...]
    """The entries that translations move; the others are `angular`."""
    angular: tuple[int, ...]
    weights: tuple[float, float, float]
    """Of the spatial entries, the orbit, and the angular entries."""
    exact: bool
    """Whether it is the distance itself."""

    @property
    def size(self) -> int:
        """How many coordinates there are."""
        return len(self.spatial) + self.group.orbit_dimension + (len(self.angular) if self.weights[2] else 0)

    def __call__(self, lifted: LiftedPoints) -> Float[Tensor, "*batch n e"]:
        """The coordinates, spatial ones first."""
        elements = lifted.elements
        seen = self.group.embedding(elements, self.group.identity(dtype=elements.dtype, device=elements.device))
        columns = [self.weights[0] * seen[..., k] for k in self.spatial]
        columns += [self.weights[1] * column for column in lifted.orbit.unbind(-1)]
        columns += [self.weights[2] * seen[..., k] for k in self.angular if self.weights[2]]
        return torch.stack(columns, -1)


@outside()
def placement_of(metric: Metric) -> Placement | None:
    """The coordinates for the distance of a metric; None if there are none: then all distances must be looked at.

    They exist where every element is a rotation with a translation, or the group is commutative: then the length of
    the embedding does not change when both elements are moved, from either side. Their weights come from the Jacobian
    of the embedding at the identity; whether they are right is tried on random pairs.
    """
    group = metric.group
    a, moved = group.algebra_dimension, group.translation_dimension
    identity = group.identity(dtype=torch.float64)

    # By differences: torch.func would take a second to load.
    jacobian = group.embedding(group.exp(STEP * torch.eye(a, dtype=torch.float64)), identity).mT / STEP
    shifts = (jacobian[:, :moved].abs() > 1e-3).any(-1)
    spatial, angular = shifts.nonzero()[:, 0], (~shifts).nonzero()[:, 0]
    without_angles = metric.coordinates == "bi_invariants" and group.stabiliser_dimension > 0
    weights = (1.0, 1.0, 0.0 if without_angles else 1.0)
    if not metric.is_root_of_square:
        both = a > moved and moved + group.orbit_dimension > 0
        parts = (1 - metric.alpha, 1 - metric.alpha, metric.alpha) if both else (1.0, 1.0, 1.0)
        steepest = _largest(jacobian[spatial][:, :moved]), _largest(jacobian[angular][:, moved:])
        weights = (parts[0] / steepest[0], parts[1], parts[2] / steepest[1])
    elif without_angles and not len(spatial):
        return None
    return _tried(Placement(group, tuple(spatial.tolist()), tuple(angular.tolist()), weights, False), metric)


def _largest(matrix: Tensor) -> float:
    return torch.linalg.matrix_norm(matrix, 2).item() if matrix.numel() else 1.0


def _tried(placement: Placement, metric: Metric) -> Placement | None:
    group, generator = placement.group, torch.Generator().manual_seed(0)
    size = torch.logspace(-2, 0.5, 64, dtype=torch.float64)[:, None]
    vectors = size * torch.randn(64, group.algebra_dimension, generator=generator, dtype=torch.float64)
    orbit = torch.randn(64, group.orbit_dimension, generator=generator, dtype=torch.float64)
    lifted = LiftedPoints(group.exp(vectors), orbit)
    distances = Distances(metric, lifted).rows(torch.arange(64))
    places = placement(lifted)
    apart = (places[:, None] - places).square().sum(-1).sqrt()
    if not (apart <= distances * (1 + TIE) + 1e-9).all():
        return None
    return placement._replace(exact=torch.allclose(apart, distances, rtol=1e-9))
