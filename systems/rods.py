"""Rigid rods between bodies."""

from __future__ import annotations

from typing import Any

import torch
from jaxtyping import Float
from torch import Tensor

from systems.constrained import AbstractConstraint
from systems.phase_space import PhaseSpace
from systems.sampling import Draws
from systems.uniform_field import UniformField
from systems.vector_field import Variable


class Rods(AbstractConstraint):
    """Massless rigid rods: |q_i - q_j| = l_ij for every pair with a length.

    With a ``fixed`` body a rod is a pendulum in Cartesian coordinates, with more bodies a chain of them:
    ``UniformField([0, -9.8], mass=[1, 1, 1], fixed=[True, False, False]) + Rods(lengths)``.

    Args:
        rod_length: ``(*batch, n, n)``, symmetric; 0 where there is no rod. All trajectories have the same rods.
        **options: mask, trainable and units, see `AbstractVectorField`.

    Raises:
        ValueError: as `AbstractVectorField`; for no rod at all, and rods that some trajectories lack.

    Example:
        >>> import torch
        >>> from systems import PhaseSpace, Rods, UniformField
        >>> swing = UniformField([0.0, -1.0], mass=[1.0, 1.0], fixed=[True, False]) + Rods([[0.0, 2.0], [2.0, 0.0]])
        >>> q, p = torch.tensor([[0.0, 0.0], [0.0, -2.0]]).double(), torch.tensor([[0.0, 0.0], [3.0, 0.0]]).double()
        >>> swing(torch.zeros(1, 1), PhaseSpace(q, p)).p[1]  # towards the support, by m v^2 / l
        tensor([0.0000, 4.5000], dtype=torch.float64)
    """

    name = "rods"
    variables = (
        Variable("rod_length", ("body", "other_body"), "1", "length of a rod", positive=True, may_be_zero=True, si="m"),
    )
    rod_length: Tensor

    def __init__(self, rod_length: Any, **options: Any) -> None:
        super().__init__(rod_length=rod_length, **options)
        length = self.rod_length.detach()
        some = (length > 0).flatten(0, -3).any(0) if length.ndim > 2 else length > 0
        if not bool(some.any()) or not bool(((length > 0) == some).all()):
            got = "none" if not bool(some.any()) else "rods that other trajectories lack"
            raise ValueError(f"rod_length: expected the same rods in all trajectories, at least one, got {got}")
        ends = some.triu(1).nonzero()
        self.first, self.second = ends[:, 0].tolist(), ends[:, 1].tolist()

    @property
    def conserved(self) -> tuple[str, ...]:
        return ("energy", "momentum", "angular_momentum")

    def constraints(self, q: Float[Tensor, "*batch n d"]) -> Float[Tensor, "*batch c"]:
        length = self._lengths
        return (self._along(q).square().sum(-1) - length.square()) / (2 * length)

    def jacobian(self, q: Float[Tensor, "*batch n d"]) -> Float[Tensor, "*batch c n d"]:
        sign = torch.zeros(len(self.first), q.shape[-2], dtype=q.dtype, device=q.device)
        rods = torch.arange(len(self.first))
        sign[rods, self.first], sign[rods, self.second] = 1.0, -1.0
        return sign[:, :, None] * (self._along(q) / self._lengths[..., None])[..., None, :]

    def curvature(
        self, q: Float[Tensor, "*batch n d"], velocity: Float[Tensor, "*batch n d"]
    ) -> Float[Tensor, "*batch c"]:
        return self._along(velocity).square().sum(-1) / self._lengths

    @property
    def _lengths(self) -> Tensor:
        return self.rod_length[..., self.first, self.second]

    def _along(self, q: Tensor) -> Tensor:
        return q[..., self.first, :] - q[..., self.second, :]

    @classmethod
    def sample(
        cls,
        count: int | range,
        *,
        seed: int,
        bodies: int = 2,
        gravity: float = 1.0,
        dtype: torch.dtype = torch.float64,
        device: torch.device | str = "cpu",
    ) -> tuple[Any, PhaseSpace]:
        """Chains of rods in the plane that hang on a fixed body: the pendulums of `Pendulum` in Cartesian coordinates.

        Args:
            count: number of trajectories, or their numbers: a range.
            seed: of all random numbers; the first trajectories do not depend on how many are drawn.
            bodies: number of bodies that swing.
            gravity: gravitational acceleration.

        Returns:
            A uniform field + rods, and the states ``(count, bodies + 1, 2)``.

        Example:
            >>> system, state = Rods.sample(3, seed=0)
            >>> system.name, bool(system.constraints(state.q).abs().max() < 1e-15)
            ('uniform_field + rods', True)
        """
        draws = Draws(count, seed, bodies=bodies)
        n = bodies + 1
        mass, lengths = draws.uniform(0.5, 1.5, n), draws.uniform(0.5, 1.5, bodies)
        angle, rate = draws.uniform(-torch.pi / 2, torch.pi / 2, bodies), 0.5 * draws.normal(bodies)
        along = lengths[..., None] * torch.stack([angle.sin(), -angle.cos()], -1)
        turning = (lengths * rate)[..., None] * torch.stack([angle.cos(), angle.sin()], -1)
        q, velocity = (torch.nn.functional.pad(x.cumsum(-2), (0, 0, 1, 0)) for x in (along, turning))
        pairs = torch.diag_embed(lengths, 1)
        field = UniformField(torch.tensor([0.0, -gravity], dtype=torch.float64), mass=mass, fixed=torch.arange(n) == 0)
        system = field + cls(pairs + pairs.mT)
        state = PhaseSpace(q, mass[..., None] * velocity)
        return system.to(device, dtype), PhaseSpace(*(x.to(device, dtype) for x in state))
