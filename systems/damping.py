"""Damping: forces against the motion, which take energy away."""

from __future__ import annotations

from typing import Any

import torch
from jaxtyping import Float
from torch import Tensor

from systems.external import AbstractForce
from systems.vector_field import Variable


class LinearDamping(AbstractForce):
    """The force -b_i v_i, as in a viscous fluid (Stokes): the power is -sum b_i |v_i|^2.

    Args:
        damping: b, ``(*batch, n)``, at least 0.
        **options: mask, trainable and units, see `AbstractVectorField`.

    Raises:
        ValueError: as `AbstractVectorField`.

    Example:
        >>> from systems import HarmonicTrap, LinearDamping
        >>> oscillator = HarmonicTrap(1.0, mass=[1.0]) + LinearDamping(0.1)
        >>> oscillator.conserved
        ()
    """

    name = "linear_damping"
    variables = (
        Variable("damping", ("body",), "1", "linear damping of a body", positive=True, may_be_zero=True, si="kg / s"),
    )
    damping: Tensor

    def __init__(self, damping: Any, **options: Any) -> None:
        super().__init__(damping=damping, **options)

    def force(
        self, t: Float[Tensor, "*times"], q: Float[Tensor, "*batch n d"], velocity: Float[Tensor, "*batch n d"]
    ) -> Float[Tensor, "*batch n d"]:
        return -self.damping[..., None] * velocity


class QuadraticDamping(AbstractForce):
    """The force -b_i |v_i| v_i, as in air at speed (Newton's drag): the power is -sum b_i |v_i|^3.

    Args:
        quadratic_damping: b, ``(*batch, n)``, at least 0.
        **options: mask, trainable and units, see `AbstractVectorField`.

    Raises:
        ValueError: as `AbstractVectorField`.

    Example:
        >>> import torch
        >>> from systems import QuadraticDamping
        >>> QuadraticDamping(2.0).force(torch.zeros(1, 1), torch.zeros(1, 1), torch.tensor([[-3.0]]).double())
        tensor([[18.]], dtype=torch.float64)
    """

    name = "quadratic_damping"
    variables = (
        Variable(
            "quadratic_damping",
            ("body",),
            "1",
            "quadratic damping of a body",
            positive=True,
            may_be_zero=True,
            si="kg / m",
        ),
    )
    quadratic_damping: Tensor

    def __init__(self, quadratic_damping: Any, **options: Any) -> None:
        super().__init__(quadratic_damping=quadratic_damping, **options)

    def force(
        self, t: Float[Tensor, "*times"], q: Float[Tensor, "*batch n d"], velocity: Float[Tensor, "*batch n d"]
    ) -> Float[Tensor, "*batch n d"]:
        square = velocity.square().sum(-1, keepdim=True)
        moving = square > 0
        speed = torch.where(moving, torch.where(moving, square, 1).sqrt(), 0)
        return -self.quadratic_damping[..., None] * speed * velocity


class Dashpots(AbstractForce):
    """Dampers between all pairs of bodies, along the line that joins them: total P and L stay as they are.

    The force on i is -b sum over j of ((v_i - v_j) . e_ij) e_ij, with e_ij from j to i.

    Args:
        dashpot: b, ``(*batch)``, at least 0.
        **options: mask, trainable and units, see `AbstractVectorField`.

    Raises:
        ValueError: as `AbstractVectorField`.

    Example:
        >>> from systems import Dashpots, Springs
        >>> (Springs(mass=[1.0, 1.0], stiffness=1.0) + Dashpots(0.3)).conserved
        ('momentum', 'angular_momentum')
    """

    name = "dashpots"
    coordinates = "cartesian"
    variables = (
        Variable("dashpot", (), "1", "damping between two bodies", positive=True, may_be_zero=True, si="kg / s"),
    )
    dashpot: Tensor

    def __init__(self, dashpot: Any, **options: Any) -> None:
        super().__init__(dashpot=dashpot, **options)

    @property
    def conserved(self) -> tuple[str, ...]:
        return ("momentum", "angular_momentum")

    def force(
        self, t: Float[Tensor, "*times"], q: Float[Tensor, "*batch n d"], velocity: Float[Tensor, "*batch n d"]
    ) -> Float[Tensor, "*batch n d"]:
        apart = self.differences(q)
        faster = [x[..., :, None] - x[..., None, :] for x in self.existing(velocity).unbind(-1)]
        square = sum((x.square() for x in apart[1:]), apart[0].square())
        along = sum((x * v for x, v in zip(apart[1:], faster[1:], strict=True)), apart[0] * faster[0])
        distinct = square > 0
        pull = torch.where(distinct, along / torch.where(distinct, square, 1), 0)
        pull = self.existing_pairs(-self.dashpot[..., None, None] * pull)
        return torch.stack([(pull * x).sum(-1) for x in apart], -1)
