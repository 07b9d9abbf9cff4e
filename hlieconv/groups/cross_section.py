"""Where the points of R^d lift to in a group known by its generators: cross-sections of orbits, and stabilisers.

A cross-section has one point o(q) of each orbit q; a point x lifts to the elements u with u o(q) = x.
"""

import math
from collections.abc import Callable

import torch
from jaxtyping import Float
from torch import Tensor

from hlieconv.groups.abstract import AbstractGroup
from hlieconv.groups.matrices import image
from systems.tracing import readable

Section = Callable[[Tensor], tuple[Tensor, Tensor]]
Origin = Callable[[Tensor], Tensor]


class Slice:
    """The plane through a base point, across its orbit, as the cross-section.

    Raises:
        ValueError: if the orbit of the base point has a lower dimension than others.
    """

    def __init__(self, group: AbstractGroup, base: tuple[float, ...]) -> None:
        self.group, self.base = group, torch.tensor(base, dtype=torch.float64)
        others = torch.randn(8, len(base), generator=torch.Generator().manual_seed(2), dtype=torch.float64)
        tangent = velocities(group, self.base)
        rank, rank_elsewhere = _rank(tangent), max(_rank(velocities(group, point)) for point in others)
        if rank < rank_elsewhere:
            raise ValueError(f"the orbit of its base {base} has dimension {rank}, others have {rank_elsewhere}")
        left, _, right = torch.linalg.svd(tangent)
        self.moving = right[:rank]  # combinations of generators that move the base point
        self.across = _orthonormal(torch.eye(len(base), dtype=torch.float64) - left[:, :rank] @ left[:, :rank].mT, rank)

    def section(self, points: Float[Tensor, "*batch d"]) -> tuple[Tensor, Tensor]:
        """Newton's method for u and q with u (base + q across) = x; two steps with derivatives, exact to the third."""
        x = points.double()
        u = self.group.identity(x.shape[:-1], dtype=x.dtype, device=x.device)
        with torch.no_grad():
            q = (x.detach() - self.base.to(x)) @ self.across.to(x).mT
            for _ in range(12):
                if readable(x, wait=True) and self._reaches(u, q, x):
                    break
                u, q = self._step(u, q, x.detach())
        for _ in range(2):
            u, q = self._step(u, q, x)
        if readable(x, wait=True) and not self._reaches(u, q, x):
            raise ValueError(f"points: some do not lie on an orbit through the cross-section of {self.group.name}")
        return u.to(points.dtype), q.to(points.dtype)

    def origin(self, orbit: Float[Tensor, "*batch o"]) -> Float[Tensor, "*batch d"]:
        return self.base.to(orbit) + image(self.across.to(orbit).mT, orbit)

    def _reaches(self, u: Tensor, q: Tensor, x: Tensor) -> bool:
        return bool(((self.group.apply(u, self.origin(q)) - x).norm(dim=-1) <= 1e-8 * (1 + x.norm(dim=-1))).all())

    def _step(self, u: Tensor, q: Tensor, x: Tensor) -> tuple[Tensor, Tensor]:
        point = self.origin(q)
        off = self.group.apply(self.group.inverse(u), x) - point
        moving, across = self.moving.to(x), self.across.to(x)
        moves = velocities(self.group, point) @ moving.mT
        directions = torch.cat([moves, across.mT.expand(*moves.shape[:-1], len(across))], -1)
        step = torch.linalg.solve_ex(directions, off[..., None]).result[..., 0]
        return u @ self.group.exp(step[..., : len(moving)] @ moving), q + step[..., len(moving) :]


def velocities(group: AbstractGroup, points: Float[Tensor, "*batch d"]) -> Float[Tensor, "*batch d a"]:
    """How each generator moves the points: A x + b."""
    linear, shift = group.generators(points.dtype, points.device)
    return torch.einsum("kij,...j->...ik", linear, points) + shift.mT


def check_section(group: AbstractGroup, section: Section, origin: Origin, generator: torch.Generator) -> None:
    """A ValueError if elements do not take origins to their points, or the orbit changes along an orbit."""
    points = 1.5 * torch.randn(64, group.dimension, generator=generator, dtype=torch.float64)
    a = 0.7 * torch.randn(64, group.algebra_dimension, generator=generator, dtype=torch.float64)
    elements, orbit = section(points)
    _, orbit_of_moved = section(group.apply(group.exp(a), points))
    if not torch.allclose(group.apply(elements, origin(orbit)), points, rtol=1e-6, atol=1e-6):
        raise ValueError("the elements of its section do not take the origins to the points")
    if not torch.allclose(orbit, orbit_of_moved, rtol=1e-6, atol=1e-6):
        raise ValueError("some orbit meets its cross-section more than once")


def stabiliser_of(
    group: AbstractGroup, section: Section, origin: Origin, generator: torch.Generator
) -> Float[Tensor, "h a"]:
    """The algebra of the elements that leave every origin in place.

    Raises:
        ValueError: if it is not the same for all origins.
    """
    points = torch.randn(16, group.dimension, generator=generator, dtype=torch.float64)
    motions = velocities(group, origin(section(points)[1]))
    shared = _rank(motions.flatten(0, 1))
    if shared > max(_rank(motion) for motion in motions):
        raise ValueError("the stabiliser is another one on each orbit")
    return torch.linalg.svd(motions.flatten(0, 1)).Vh[shared:]


def closed_circle(group: AbstractGroup, stabiliser: Float[Tensor, "h a"]) -> Float[Tensor, " a"] | None:
    """The generator X of a stabiliser that is a circle, with exp(2 pi X) = 1 for the first time; None for others."""
    if len(stabiliser) != 1:
        return None
    frequencies = torch.linalg.eigvals(group.hat(stabiliser[0])).imag
    turning = frequencies[frequencies > 1e-9]
    if not len(turning):
        return None
    generator = stabiliser[0] / turning.min()
    turn = group.exp(2 * math.pi * generator)
    closes = torch.allclose(turn, torch.eye(len(turn), dtype=turn.dtype), atol=1e-9)
    return generator if closes else None


def _rank(matrix: Tensor) -> int:
    return int(torch.linalg.matrix_rank(matrix, rtol=1e-9))


def _orthonormal(projector: Tensor, rank: int) -> Tensor:
    """Orthonormal rows that span the image of a projector, along the axes where possible."""
    rows = []
    for _ in range(len(projector) - rank):
        row = projector[projector.diagonal().argmax()]
        rows.append(row / row.norm())
        projector = projector - torch.outer(rows[-1], rows[-1])
    return torch.stack(rows) if rows else projector[:0]
