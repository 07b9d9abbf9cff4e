"""How fast an error grows: not at all, as the square root of the time, as the time, as its square."""

from typing import Annotated, NamedTuple

import torch
from jaxtyping import Float
from torch import Tensor

from systems.checks import ANY, check

#: Exponents by the law's name. Round-off that is random walks as t^1/2 (Brouwer 1937); a bias adds up as t.
LAWS = {"bounded": 0.0, "t^1/2": 0.5, "t": 1.0, "t^2": 2.0}

#: The exponent is fitted from this part of the time span on: what happens before is how it starts.
START = 0.02
BINS = 12


class Growth(NamedTuple):
    """error = amplitude * t^exponent, by its nearest law."""

    law: str
    exponent: float
    """As fitted, before the nearest law is chosen."""
    amplitude: float
    """Of the law: the error at t = 1."""

    def __call__(self, times: Float[Tensor, " time"]) -> Float[Tensor, " time"]:
        """The law's error after so much time."""
        return self.amplitude * times.abs() ** LAWS[self.law]


def growth_law(times: Float[Tensor, " time"], errors: Annotated[Float[Tensor, "time *batch"], ANY]) -> Growth:
    """The law by which errors grow: a line through their root mean square on log axes, in bins of equal ratio.

    Args:
        times: since the errors were zero; times of zero are left out.
        errors: of any sign, ``(time, *batch)``; the more trajectories, the surer the exponent. NaN where one is not
            known.

    Raises:
        ValueError: for fewer than 4 times after zero at which an error is known, and for infinite errors.

    Example:
        >>> times = torch.linspace(0, 100, 400, dtype=torch.float64)
        >>> growth_law(times, 1e-9 * times**2).law, growth_law(times, 1e-9 * torch.sin(times)).law
        ('t^2', 'bounded')
    """
    times, errors = times.double(), errors.double().flatten(1) if errors.ndim > 1 else errors.double()[:, None]
    check("errors", "infinity", not errors.isinf().any(), "finite ones, or NaN: leave out what has ended")
    known = ~errors.isnan()
    after = (times.abs() > 0) & known.any(1)
    squares = torch.where(known, errors, 0).square().sum(1) / known.sum(1)
    times, squares = times[after].abs(), squares[after]
    if len(times) < 4:
        raise ValueError(f"times: expected at least 4 after zero at which errors are known, got {len(times)}")
    late = times >= START * times.max()
    times, squares = times[late].log(), squares[late]
    if not bool((squares > 0).any()):
        return Growth("bounded", 0.0, 0.0)
    share = (times - times.min()) / (times.max() - times.min()) * BINS
    number = share.long().clamp(max=BINS - 1)
    points = [(times[number == k].mean(), squares[number == k].mean()) for k in number.unique()]
    x, y = (torch.stack(values) for values in zip(*[(a, b.log() / 2) for a, b in points if b > 0], strict=True))
    exponent = float(((x - x.mean()) * (y - y.mean())).sum() / (x - x.mean()).square().sum()) if len(x) > 1 else 0.0
    law = min(LAWS, key=lambda name: abs(LAWS[name] - exponent))
    return Growth(law, exponent, float((y.mean() - LAWS[law] * x.mean()).exp()))
