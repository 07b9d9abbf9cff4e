"""First states that are unknown too: those from which a field passes noisy points best (total least squares)."""

from collections.abc import Callable, Sequence

import torch
from jaxtyping import Float
from torch import Tensor

from systems import AbstractVectorField, PhaseSpace

#: Neighbours that show how a field depends on the state are so far apart, in units of what is between points.
APART = 1e-2

#: What is added to the normal equations in float64, relative to their diagonal.
ROUNDING = 1e-12


def with_fitted_starts(
    left: Callable[[PhaseSpace], PhaseSpace],
    field: AbstractVectorField,
    start: PhaseSpace,
    times: Float[Tensor, "time *batch"],
    errors: PhaseSpace,
    units: Sequence[Tensor],
) -> PhaseSpace:
    """What is left of all points, the first ones included, by the motion that passes them best.

    A first state that is off by e is off by M(t) e at time t, with M(t) = exp(t A) and A the derivative of the field at
    the measured first state, as if it stayed so. The e of the least sum of squares, in units of the errors, is found by
    linear least squares, and the motion from there computed. What M could still explain of what is left is taken off,
    so that derivatives with respect to the field are those of the least sum (variable projection: Golub & Pereyra 1973,
    SIAM J. Numer. Anal. 10, 413).

    Args:
        left: predicted less measured points of the motion from a first state, ``(time, *batch, n, d)``.
        field: that moves it.
        start: first states as measured, ``(*batch, n, d)``.
        times: since the first states.
        errors: standard errors of all points; infinite where nothing was measured.
        units: of positions and momenta, about how much they change.

    Example:
        >>> from systems import HarmonicTrap
        >>> from systems.integrators import RK4
        >>> field, times = HarmonicTrap(trap_constant=1.0, mass=[[1.0]]), torch.linspace(0, 1, 11)
        >>> def motion(start):
        ...     return RK4(step=0.1).integrate(field, start, times)
        >>> start = PhaseSpace(torch.ones(1, 1, 1), torch.zeros(1, 1, 1))
        >>> truth, off = motion(start), PhaseSpace(start.q + 0.1, start.p - 0.2)
        >>> def left(start):
        ...     return PhaseSpace(*(x - y for x, y in zip(motion(start), truth)))
        >>> errors, unit = PhaseSpace(*(torch.full_like(x, 0.1) for x in truth)), torch.ones(())
        >>> found = with_fitted_starts(left, field, off, times[:, None], errors, (unit, unit))
        >>> bool(left(off).q.abs().max() > 0.09), bool(found.q.abs().max() < 1e-5)
        (True, True)
    """
    n, d = start.q.shape[-2:]
    unit = torch.cat([x.double().expand(n * d) for x in units])
    error = flat(errors).double()

    def explained(off: PhaseSpace) -> Tensor:
        """How far the first states are off that explain most of this."""
        residual = torch.where(error.isfinite(), flat(off) / error, 0)
        return -torch.einsum("...jk,t...ik,t...i->...j", inverse, tangent, residual)

    with torch.no_grad():
        tangent = (_tangent(field, start, times, unit) * (unit / error)[..., None]).nan_to_num(0.0, 0.0, 0.0)
        normal = torch.einsum("t...ij,t...ik->...jk", tangent, tangent)
        diagonal = normal.diagonal(dim1=-2, dim2=-1)
        scale = torch.where(diagonal > 0, diagonal, 1).rsqrt()
        normal = scale[..., None] * normal * scale[..., None, :]
        normal = normal + torch.diag_embed(torch.where(diagonal > 0, ROUNDING, 1.0))
        inverse = scale[..., None] * torch.linalg.inv_ex(normal).inverse * scale[..., None, :]
        move = (unit * explained(left(start))).to(start.q).unflatten(-1, (2, n, d))
    off = left(PhaseSpace(start.q + move[..., 0, :, :], start.p + move[..., 1, :, :]))
    more = torch.einsum("t...ij,...j->t...i", tangent, explained(off)).where(error.isfinite(), 0) * error
    q, p = more.to(start.q).unflatten(-1, (2, n, d)).unbind(-3)
    return PhaseSpace(off.q + q, off.p + p)


def flat(state: PhaseSpace) -> Float[Tensor, "*batch z"]:
    """Positions, and behind them momenta."""
    return torch.cat([x.flatten(-2) for x in state], -1)


def _tangent(
    field: AbstractVectorField, start: PhaseSpace, times: Float[Tensor, "time *batch"], unit: Float[Tensor, " z"]
) -> Float[Tensor, "time *batch z z"]:
    """exp(t A) of states in these units, in float64."""
    moves = torch.diag(APART * unit).to(start.q).view(len(unit), 2, *[1] * (start.q.ndim - 2), *start.q.shape[-2:])
    states = [torch.cat([x[None], x + moves[:, half]]) for half, x in enumerate(start)]
    rates = flat(field(torch.zeros((), dtype=times.dtype, device=times.device), PhaseSpace(*states))).double()
    a = ((rates[1:] - rates[:1]) / APART).movedim(0, -1) / unit[:, None]
    return torch.linalg.matrix_exp((times[..., None, None].double() * a).contiguous())
