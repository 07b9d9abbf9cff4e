"""What is wrong with trajectories to be learned from, in words that are true."""

import warnings

import numpy as np
import torch
from jaxtyping import Float
from torch import Tensor

from hlieconv.dynamics.chunks import Chunks
from hlieconv.dynamics.interpolant import extrema, hermite, lagrange, nodes
from systems.checks import check
from systems.dataset.schema import MOMENTA

#: How far q may be from the integral of p / mass, as a part of the path.
MISMATCH = 0.3
#: A relative error of the forces that makes them useless, and one that limits what is learned.
USELESS, POOR = 0.3, 0.03
#: Chunks by which the forces of a typical one are judged.
TYPICAL = 2**12
#: Losses that need no derivatives of the data.
OTHERS = "use rollout, one_step or multiple_shooting"


def check_motion(chunks: Chunks) -> None:
    """A ValueError if nothing moves, or has momenta."""
    if not ((chunks.q != chunks.q[0]).any() or chunks.p.any()):
        raise ValueError("dataset: expected bodies that move, got all at rest: there is no motion to learn from")
    if not chunks.p.any():
        raise ValueError(f"p: expected momenta of bodies that move, got 0 everywhere: {MOMENTA}")


def check_derivatives(chunks: Chunks, mass: Float[Tensor, "chunk n 1"]) -> None:
    """Whether the points of the chunks say what the forces are.

    Raises:
        ValueError: if p is not mass dq/dt, or the points are so far apart that the forces in between are not known.

    Warns:
        UserWarning: if they are known to a few per cent only.
    """
    velocity, times = chunks.p / mass, chunks.times[..., None, None]
    spacing = float((chunks.times[-1] - chunks.times[0]).abs().median()) / (len(times) - 1)
    path = torch.trapezoid(velocity, times, dim=0)
    if (path - (chunks.q[-1] - chunks.q[0])).norm() > MISMATCH * path.norm():
        few = _some(len(times), max(2, (len(times) + 1) // 2))
        change = (torch.trapezoid(velocity[few], times[few], dim=0) - path).norm()
        if len(times) > 2 and change < MISMATCH / 3 * path.norm():  # p is smooth, and so its integral known
            raise ValueError(f"loss: force_matching needs p = mass dq/dt, which the data do not obey; {OTHERS}")
        raise ValueError(
            f"loss: force_matching needs points so close that q and p are smooth from one to the next, and p = mass "
            f"dq/dt; the spacing of {spacing:.3g} s is too coarse to tell: take a quarter of it or less; or {OTHERS}, "
            "with a step of the integrator that is short enough"
        )
    error = force_error(chunks, velocity)
    if error > POOR:
        order = 2 * len(times) - 2
        text = (
            f"the forces between points {spacing:.3g} s apart are known to {100 * min(error, 1):.2g} % only: the "
            f"spacing is too coarse (about {spacing * (0.1 * POOR / error) ** (1 / order):.2g} s would do) or the data "
            "are noisy; a loss that needs no forces is multiple_shooting, with a short step"
        )
        if error > USELESS:
            raise ValueError(f"loss: force_matching: {text}")
        warnings.warn(f"loss: force_matching: {text}", UserWarning, stacklevel=5)


def check_given(chunks: Chunks, mass: Float[Tensor, "chunk n 1"]) -> None:
    """A ValueError if the dq/dt that are data are not p / mass, up to noise."""
    assert chunks.rates is not None  # the caller has looked
    velocity = chunks.p / mass
    if (velocity - chunks.rates.q).norm() > MISMATCH * velocity.norm():
        raise ValueError(f"loss: force_matching needs q_rate = p / mass, which the data do not obey; {OTHERS}")


def check_rates(chunks: Chunks) -> None:
    """Whether the points of the chunks say how q and p change, each by itself.

    Raises:
        ValueError: if the points are so far apart that it is not known.

    Warns:
        UserWarning: if it is known to a few per cent only.
    """
    points = len(chunks.times)
    check("chunk", points, points > 2, "at least 3 points, from which derivatives are taken")
    at, worst = extrema(points), 0.0
    for x in (chunks.q, chunks.p):
        best = lagrange(chunks.times, x, at)[1]
        index = _some(points, points - 1)
        rough = lagrange(chunks.times[index], x[index], at)[1]
        size = best.square().mean().sqrt()
        # The nodes are those where the error of all points vanishes to leading order: it is that much smaller.
        error = float((rough - best).square().mean().sqrt() / torch.where(size > 0, size, 1))
        worst = max(worst, error**2)
    if worst > POOR:
        text = f"the points are too far apart to tell dq/dt and dp/dt, known to {100 * min(worst, 1):.2g} % only"
        if worst > USELESS:
            raise ValueError(f"loss: force_matching: {text}; {OTHERS}")
        warnings.warn(f"loss: force_matching: {text}; {OTHERS}", UserWarning, stacklevel=5)


def force_error(chunks: Chunks, velocity: Float[Tensor, "point chunk n d"]) -> float:
    """The relative error of the accelerations of a typical chunk's Hermite interpolant, estimated.

    Interpolants through k of the L points of a chunk converge geometrically: with e_k the difference of those through
    k and L, the error is about e_(L-1)^2 / e_(L-2). Two points have nothing to be compared with: 0.
    """
    points = len(chunks.times)
    if points < 3:
        return 0.0
    at = nodes(points)

    times, q, velocity = (x[:, :TYPICAL] for x in (chunks.times, chunks.q, velocity))

    def acceleration(count: int) -> Tensor:
        index = _some(points, count)
        return hermite(times[index], q[index], velocity[index], at)[2]

    best = acceleration(points)
    last = (acceleration(points - 1) - best).square().mean((0, 2, 3)).sqrt()
    if points > 3:
        before = (acceleration(points - 2) - best).square().mean((0, 2, 3)).sqrt()
        last = torch.minimum(last, last.square() / torch.where(before > 0, before, 1))
    size = best.square().mean().sqrt()
    return float(last.median() / torch.where(size > 0, size, 1))


def check_range(columns: dict[str, Tensor], dtype: torch.dtype) -> None:
    """A ValueError that names a column whose squares a dtype cannot hold."""
    limits = torch.finfo(dtype)
    for name, values in columns.items():
        pieces = values.split(2**14) if values.numel() else ()  # what abs makes on its way is no copy of all
        largest = max((float(x.abs().nan_to_num(nan=0.0, posinf=torch.inf).max()) for x in pieces), default=0.0)
        vanishes = name in ("q", "p") and 0 < largest**2 < limits.tiny  # forces may, where there are none
        if vanishes or largest**2 > limits.max:
            raise ValueError(
                f"{name}: values of about {largest:.1g} and their squares are out of the range of {dtype}: make the "
                "model with normalised=True, which measures the units of the data; or use float64, or other units"
            )


def warn_of_rounding(
    q: Float[Tensor, "*batch n d"], mask: Tensor | None, dtype: torch.dtype, length: Float[Tensor, ""]
) -> None:
    """A warning if positions, in units of length, lie so far from the origin that a dtype rounds them away."""
    real = length * (q if mask is None else q[..., mask, :])
    spread = (real - real.mean(tuple(range(real.ndim - 1)))).square().mean().sqrt()
    lost = torch.finfo(dtype).eps * real.abs().max()
    if lost > 1e-3 * spread > 0:
        warnings.warn(
            f"q: positions lie {float(real.abs().max()):.2g} from the origin, and {dtype} rounds them to "
            f"{float(lost):.1g}, which is not small beside their spread of {float(spread):.1g}. The origin means "
            "something to this model, so that it is not moved: use a model in float64, or one whose group holds the "
            "translations",
            UserWarning,
            stacklevel=4,
        )


def _some(points: int, count: int) -> Tensor:
    """The indices of so many points, from the first to the last."""
    return torch.from_numpy(np.linspace(0, points - 1, count).round().astype(int))
