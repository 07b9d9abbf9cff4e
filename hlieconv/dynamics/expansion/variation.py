"""How trajectories depend on their first states and on the law."""

import math
from collections.abc import Sequence

import torch
from jaxtyping import Float
from torch import Tensor

from hlieconv.dynamics.expansion.equations import normalised
from hlieconv.dynamics.expansion.forces import Forces, jacobian
from hlieconv.dynamics.expansion.steps import Substep

#: Singular values of the first states below this, squared and relative, are damped.
RIDGE = 1e-12


class Variation:
    """The derivatives of states in the first ones and in a law, along trajectories, by RK4.

    Args:
        q: the first positions.
        mass: of the bodies.
        law: whose force acts.
        polish: whether derivatives in the law are taken.
    """

    def __init__(self, q: Float[Tensor, "segment n d"], mass: Tensor, law: Forces, *, polish: bool) -> None:
        self.law, self.unknown = law, law.unknown if polish else 0
        count, size = len(q), q[0].numel()
        self.first = 2 * size
        start = torch.zeros(count, self.first, self.first + self.unknown, dtype=torch.float64)
        start[:, torch.arange(self.first), torch.arange(self.first)] = 1.0
        self.q, self.p = start.split(size, 1)
        self.mass = mass.expand_as(q).reshape(count, size, 1)
        self.here = self._at(q, torch.arange(count))

    def step(self, step: Substep) -> None:
        """Go on by one step of some segments."""
        some, h, m = step.segments, step.length, self.mass[step.segments]
        q, p, begin = self.q[some], self.p[some], tuple(x[some] for x in self.here)
        between, after = self._at(step.middle, some), self._at(step.end, some)
        a1, b1 = p / m, self._force(begin, q)
        a2, b2 = (p + h / 2 * b1) / m, self._force(between, q + h / 2 * a1)
        a3, b3 = (p + h / 2 * b2) / m, self._force(between, q + h / 2 * a2)
        a4, b4 = (p + h * b3) / m, self._force(after, q + h * a3)
        self.q[some], self.p[some] = q + h / 6 * (a1 + 2 * a2 + 2 * a3 + a4), p + h / 6 * (b1 + 2 * b2 + 2 * b3 + b4)
        for x, new in zip(self.here, after, strict=True):
            x[some] = new

    def _force(self, at: Sequence[Tensor], q: Tensor) -> Tensor:
        of_positions, of_law = at
        found = of_positions @ q
        if self.unknown:
            found[..., self.first :] += of_law
        return found

    def _at(self, q: Tensor, some: Tensor) -> tuple[Tensor, Tensor]:
        law = self.law.take(some)
        return jacobian(law.weighted, q), law.tangents(q) if self.unknown else q.new_zeros(len(q))


class Linear:
    """The equations a x + b w = residual of every segment: x its first state, w what is unknown of the law."""

    def __init__(self, tangents: Float[Tensor, "segment residual unknown"], unknown: int) -> None:
        finite = tangents.isfinite().all(-1).all(-1)[:, None, None]
        self.a, b = torch.where(finite, tangents, 0).split([tangents.shape[-1] - unknown, unknown], -1)
        size = self.a.norm(dim=1, keepdim=True)
        self.a, self.size = self.a / torch.where(size > 0, size, 1), torch.where(size > 0, size, 1)
        normal = self.a.mT @ self.a + RIDGE * torch.eye(self.a.shape[-1], dtype=self.a.dtype)
        self.factor = torch.linalg.cholesky(normal)
        self.b, self.finite = b, finite[:, 0]
        self.left = self.without_states(b)

    def _explained(self, x: Tensor) -> Tensor:
        return torch.cholesky_solve(self.a.mT @ x, self.factor)

    def without_states(self, x: Tensor) -> Tensor:
        """What no first state explains of residuals ``(segment, residual)`` or of columns of them."""
        if x.ndim == 2:
            return torch.where(self.finite, self.without_states(x[..., None])[..., 0], math.inf)
        return x - self.a @ self._explained(x)

    def law(self, left: Tensor, passing: Tensor, held: Tensor | None = None) -> tuple[Tensor, Tensor, float]:
        """The change of the law, the standard errors of its numbers, and by how much it lowers the sum of squares.

        Args:
            left: residuals that no first states explain.
            passing: the segments that count.
            held: the numbers that do not change, True.
        """
        if not self.b.shape[-1]:
            return left.new_zeros(0), left.new_zeros(0), 0.0
        columns = self.left[passing].flatten(0, 1)
        if held is not None:
            columns = torch.where(held, 0, columns)
        columns, scale = normalised(columns)
        inverse = torch.linalg.pinv(columns.mT @ columns, rtol=1e-13)
        along = columns.mT @ left[passing].flatten()
        step = inverse @ along
        errors = (inverse.diagonal().clamp(min=0)).sqrt()
        return step / scale, errors / scale, float(along @ step)

    def states(self, residual: Tensor, law: Tensor) -> Tensor:
        """The change of the first states, where the law changes by so much."""
        rest = torch.where(self.finite, residual - self.b @ law, 0)
        return self._explained(rest[..., None])[..., 0] / self.size[:, 0]
