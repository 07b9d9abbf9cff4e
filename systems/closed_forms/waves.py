"""C = cos(w t) and S = sin(w t) / w as functions of w^2 of either sign, and their divided differences."""

import math

import torch
from torch import Tensor

#: Where a growing wave stops in the table, its square being finite in float64; what it moves is infinite from there on.
HUGE = 1e150


def waves(square: Tensor, t: Tensor | float) -> tuple[Tensor, Tensor]:
    """C = cos(w t) and S = sin(w t) / w for w^2 = ``square``, of either sign."""
    rate = square.abs().sqrt()
    phase = rate * t
    c, s = phase.cos(), phase.sin()
    grows = square < 0
    if grows.any():
        # Finite, so that 0 times it is 0: what grows beyond all numbers spoils no other part.
        c, s = (torch.where(grows, x.clamp(-HUGE, HUGE), y) for x, y in ((phase.cosh(), c), (phase.sinh(), s)))
    moves = rate > 0
    return c, torch.where(moves, s / torch.where(moves, rate, 1), t)


def divided_differences(x: Tensor, y: Tensor) -> tuple[Tensor, Tensor]:
    """(f(x) - f(y)) / (x - y) for f = cos(sqrt x) and f = sin(sqrt x) / sqrt x, exact to round-off for all x and y."""
    gap, size = x - y, torch.maximum(x.abs(), y.abs())
    far = gap.abs() > size / 2
    gap = torch.where(far, gap, 1)
    c, s = ((fx - fy) / gap for fx, fy in zip(waves(x, 1.0), waves(y, 1.0), strict=True))
    x, y = torch.broadcast_tensors(x, y)
    for choice, rule in ((~far & (size > 1), _close_differences), (size <= 1, _small_differences)):
        c[choice], s[choice] = rule(x[choice], y[choice])
    return c, s


def _close_differences(x: Tensor, y: Tensor) -> tuple[Tensor, Tensor]:
    """For x and y of one sign: the addition theorems, in u and v = ((sqrt x +- sqrt y) / 2)^2."""
    a, b = x.abs().sqrt(), y.abs().sqrt()
    (cu, su), (cv, sv) = (waves(x.sign() * (z / 2).square(), 1.0) for z in (a + b, a - b))
    return -su * sv / 2, (cu * sv - su * cv) / (2 * x.sign() * a * b)


def _small_differences(x: Tensor, y: Tensor) -> tuple[Tensor, Tensor]:
    """For x and y up to 1: the power series, in which x^j becomes x^(j-1) + x^(j-2) y + ... + y^(j-1)."""
    c, s, power, powers = torch.zeros_like(x), torch.zeros_like(x), torch.ones_like(y), torch.ones_like(x)
    for j in range(1, 10):  # 10 / 20! is below the round-off
        c, s = c + (-1) ** j / math.factorial(2 * j) * powers, s + (-1) ** j / math.factorial(2 * j + 1) * powers
        power = power * y
        powers = x * powers + power
    return c, s
