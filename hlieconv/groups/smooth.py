"""Functions whose closed form is 0/0 at one point, with values and derivatives that are exact there and nearby.

Each is even in x, hence a smooth function of s = x^2, given here by its power series where s is small. The series
reaches far out, because derivatives of the closed form lose digits as 1/s and 1/s^2.
"""

import math
from collections.abc import Callable
from fractions import Fraction

import torch
from jaxtyping import Float
from torch import Tensor


def norm(x: Float[Tensor, "*batch d"]) -> Float[Tensor, "*batch"]:
    """Euclidean length, with derivatives 0 at 0.

    What is shorter than 2e-13 in float32 (1e-102 in float64) counts as 0: derivatives, as 1/|x|^3, would overflow.
    """
    square = x.square().sum(-1)
    small = square <= torch.finfo(x.dtype).tiny ** (2 / 3)
    return torch.where(small, 0, torch.where(small, 1, square).sqrt())


def sinc(s: Float[Tensor, "*batch"]) -> Float[Tensor, "*batch"]:
    """sin(x) / x of s = x^2 >= 0."""
    return _switch(s, _SINC, lambda x: x.sin() / x)


def cosc(s: Float[Tensor, "*batch"]) -> Float[Tensor, "*batch"]:
    """(1 - cos(x)) / x^2 of s = x^2 >= 0."""
    return _switch(s, _COSC, lambda x: 2 * ((x / 2).sin() / x).square())


def half_cotangent(s: Float[Tensor, "*batch"]) -> Float[Tensor, "*batch"]:
    """(x / 2) cot(x / 2) of s = x^2 in [0, (2 pi)^2)."""
    return 1 - s * half_cotangent_rest(s)


def sinc_rest(s: Float[Tensor, "*batch"]) -> Float[Tensor, "*batch"]:
    """(x - sin(x)) / x^3 of s = x^2 >= 0."""
    return _switch(s, _SINC_REST, lambda x: (x - x.sin()) / x**3)


def half_cotangent_rest(s: Float[Tensor, "*batch"]) -> Float[Tensor, "*batch"]:
    """(1 - (x / 2) cot(x / 2)) / x^2 of s = x^2 in [0, (2 pi)^2)."""
    return _switch(s, _HALF_COTANGENT_REST, lambda x: (1 - (x / 2) * (x / 2).cos() / (x / 2).sin()) / x**2)


def arctangent(s: Float[Tensor, "*batch"]) -> Float[Tensor, "*batch"]:
    """atan(x) / x of s = x^2 >= 0."""
    return _switch(s, _ARCTANGENT, lambda x: x.atan() / x, limit=0.04)


def _switch(s: Tensor, coefficients: list[float], closed: Callable[[Tensor], Tensor], limit: float = 1.0) -> Tensor:
    if s.ndim == 0:  # forward-mode derivatives of a number times a Python number are float64
        return _switch(s[None], coefficients, closed, limit)[0]
    small = s < limit
    near = torch.where(small, s, 0)
    series = torch.full_like(s, coefficients[-1])
    for coefficient in reversed(coefficients[:-1]):
        series = series * near + coefficient
    return torch.where(small, series, closed(torch.where(small, 1, s).sqrt()))


def _bernoulli(count: int) -> list[Fraction]:
    numbers = [Fraction(1)]
    for m in range(1, count):
        numbers.append(-sum(math.comb(m + 1, k) * number for k, number in enumerate(numbers)) / Fraction(m + 1))
    return numbers


# The last terms are below 1e-17 at the limit of the series.
_SINC = [(-1) ** k / math.factorial(2 * k + 1) for k in range(10)]
_COSC = [(-1) ** k / math.factorial(2 * k + 2) for k in range(10)]
_SINC_REST = [(-1) ** k / math.factorial(2 * k + 3) for k in range(10)]
_B = _bernoulli(26)
_HALF_COTANGENT_REST = [float((-1) ** k * _B[2 * k + 2] / math.factorial(2 * k + 2)) for k in range(12)]
_ARCTANGENT = [(-1) ** k / (2 * k + 1) for k in range(12)]
