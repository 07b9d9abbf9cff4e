"""Where a function along a solution changes its sign: a first guess from samples, and the place itself by Newton."""

from collections.abc import Callable

import torch
from jaxtyping import Float
from torch import Tensor

#: Newton's method needs a handful; bisection, which it falls back to, as many as there are digits.
ITERATIONS = 80


def interpolated(
    start: Float[Tensor, "*m"], end: Float[Tensor, "*m"], first: Float[Tensor, "*m"], last: Float[Tensor, "*m"]
) -> Float[Tensor, "*m"]:
    """The place between start and end where a line through the values first and last, of two signs, is zero.

    Example:
        >>> interpolated(*torch.tensor([0.0, 2.0, 3.0, -1.0]))
        tensor(1.5000)
    """
    first, last = first.abs(), last.abs()
    return start + first / (first + last).clamp(min=torch.finfo(first.dtype).tiny) * (end - start)


def root_between(
    function: Callable[[Tensor], tuple[Tensor, Tensor]],
    start: Float[Tensor, " m"],
    end: Float[Tensor, " m"],
    first: Float[Tensor, " m"],
    guess: Float[Tensor, " m"],
) -> Float[Tensor, " m"]:
    """The zeros of m functions, each between its start and end, by Newton's method, with bisection where that leaves.

    Args:
        function: of places ``(m,)``: their values and derivatives, ``(m,)`` each.
        start, end: where the values have two signs.
        first: the value at the start; only its sign counts.
        guess: a first place.

    Example:
        >>> zero, two = torch.zeros(1), torch.full((1,), 2.0)
        >>> root_between(lambda x: (x**2 - 2, 2 * x), zero, two, -two, zero)
        tensor([1.4142])
    """
    eps = torch.finfo(start.dtype).eps
    scale, side = (end - start).abs(), first.sign()
    near, far = start, end
    best, least = guess, torch.full_like(start, torch.inf)
    x = guess
    for _ in range(ITERATIONS):
        value, rate = function(x)
        better = value.abs() < least
        best, least = torch.where(better, x, best), torch.where(better, value.abs(), least)
        before = value.sign() == side
        near, far = torch.where(before, x, near), torch.where(before, far, x)
        step = torch.where(rate != 0, value / rate, torch.inf)
        following = x - step
        inside = (following - near) * (following - far) < 0
        arrived = (value == 0) | (step.abs() <= eps * scale) | ((far - near).abs() <= 2 * eps * scale)
        if bool(arrived.all()):
            break
        x = torch.where(arrived, x, torch.where(inside, following, (near + far) / 2))
    return best
