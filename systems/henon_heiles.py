"""A star in a galaxy's plane: the classic of chaos in two dimensions."""

from __future__ import annotations

import torch
from jaxtyping import Float
from torch import Tensor

from systems.phase_space import PhaseSpace
from systems.sampling import Draws
from systems.vector_field import AbstractNewtonian


class HenonHeiles(AbstractNewtonian):
    """H = |p|^2 / 2 m + |q|^2 / 2 + x^2 y - y^3 / 3 of one body in two dimensions, q = (x, y).

    Below the energy 1/6 a body that starts in the triangle with the corners (0, 1) and (+-sqrt(3)/2, -1/2) stays in it;
    orbits become chaotic from about 1/12 on. Conserves the energy and, as far as anybody knows, nothing else: the
    potential has the symmetry of the triangle, which is discrete. Several bodies would not see each other.

    Source: Henon & Heiles (1964), Astronomical Journal 69, 73 (there m = 1).

    Args:
        mass: ``(*batch, n)``.
        mask, trainable: see `AbstractVectorField`.

    Raises:
        ValueError: as `AbstractVectorField`; where q is not two-dimensional.

    Example:
        >>> import torch
        >>> from systems import HenonHeiles
        >>> HenonHeiles(mass=1.0).potential(torch.tensor([[0.0, 1.0]]))
        tensor(0.1667)
    """

    name = "henon_heiles"

    def potential(self, q: Float[Tensor, "*batch n d"]) -> Float[Tensor, "*batch"]:
        x, y = self._plane(q)
        return (0.5 * (x.square() + y.square()) + x.square() * y - y**3 / 3).sum(-1)

    def force(self, q: Float[Tensor, "*batch n d"]) -> Float[Tensor, "*batch n d"]:
        x, y = self._plane(q)
        return torch.stack([-x - 2 * x * y, -y - x.square() + y.square()], -1)

    def _plane(self, q: Tensor) -> tuple[Tensor, Tensor]:
        if q.shape[-1] != 2:
            raise ValueError(
                f"q: HenonHeiles lives in 2 dimensions, expected shape (*batch, n, 2), got {tuple(q.shape)}"
            )
        x, y = self.existing(q).unbind(-1)
        return x, y

    @classmethod
    def sample(
        cls,
        count: int | range,
        *,
        seed: int,
        dtype: torch.dtype = torch.float64,
        device: torch.device | str = "cpu",
    ) -> tuple[HenonHeiles, PhaseSpace]:
        """Bound orbits: q uniform in the triangle, the energy uniform from V(q) to 1/6, p in any direction; m = 1.

        Args:
            count: number of trajectories, or their numbers: a range.
            seed: of all random numbers; the first trajectories do not depend on how many are drawn.

        Returns:
            The system, with mass ``(count, 1)``, and the states ``(count, 1, 2)``.

        Example:
            >>> system, state = HenonHeiles.sample(10, seed=0)
            >>> bool((system.energy(state) < 1 / 6).all())
            True
        """
        draws = Draws(count, seed)
        a, b, share = draws.uniform(0.0, 1.0, 1), draws.uniform(0.0, 1.0, 1), draws.uniform(0.0, 0.999, 1)
        angle = draws.uniform(0.0, 2 * torch.pi, 1)
        a, b = torch.where(a + b > 1, 1 - a, a), torch.where(a + b > 1, 1 - b, b)
        q = torch.stack([(b - a) * 3**0.5 / 2, 1 - 1.5 * (a + b)], -1)
        system = cls(mass=torch.ones(draws.count, 1, dtype=dtype, device=device))
        # The share stops at 0.999 to keep float32's round-off below the escape energy.
        room = share[:, 0] * (1 / 6 - cls(mass=torch.ones(1, dtype=torch.float64)).potential(q)).clamp(min=0)
        p = (2 * room).sqrt()[:, None, None] * torch.stack([angle.cos(), angle.sin()], -1)
        return system, PhaseSpace(q.to(device, dtype), p.to(device, dtype))
