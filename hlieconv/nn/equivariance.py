"""Is a module equivariant? Measure it."""

from collections.abc import Callable
from typing import Any

import torch
from jaxtyping import Float
from torch import Tensor, nn

from hlieconv.groups import AbstractGroup
from hlieconv.nn.lifting import LiftedPoints


def equivariance_error(
    module: Callable[..., Any],
    group: AbstractGroup,
    points: Float[Tensor, "*batch n d"] | None = None,
    *inputs: Any,
    output: str | Callable[[Tensor, Tensor], Tensor] = "invariant",
    samples_along: bool | None = None,
    elements: int = 4,
    scale: float = 1.0,
    seed: int = 0,
) -> float:
    """The largest |module(g points) - g module(points)| over random g, as a fraction of the largest |module(points)|.

    Args:
        module: called as ``module(points, *inputs)``, in eval mode; a tensor, or a tuple whose last entry is compared.
        group: whose random elements move the points.
        points: in the group's domain; None draws 7, in the dtype of the module.
        *inputs: what else the module takes, the same for moved points (values, mask); without ``points``, a module with
            ``in_channels`` gets values drawn at random.
        output: "invariant", or "points" if the outputs are points that move too, or how an element g moves an output:
            ``output(g, y)``.
        samples_along: move the module's lifted points (``module.lift(points)``) instead of lifting the moved points:
            whatever the lift, the result must be exact. None: where the group has a stabiliser and the module a `lift`.
        elements: how many random elements to try.
        scale: standard deviation of their algebra vectors.
        seed: of everything drawn.

    Returns:
        A number of the order of the rounding for an equivariant module, of the order of 1 for others.

    Example:
        >>> from hlieconv.groups import SE2
        >>> def moment_of_inertia(points):
        ...     return (points - points.mean(-2, keepdim=True)).square().sum((-1, -2))
        >>> equivariance_error(moment_of_inertia, SE2(), torch.rand(5, 2, dtype=torch.float64)) < 1e-13
        True
    """
    return _worst(module, group, points, inputs, output, samples_along, elements, scale, seed)[0]


def assert_equivariant(
    module: Callable[..., Any],
    group: AbstractGroup,
    points: Float[Tensor, "*batch n d"] | None = None,
    *inputs: Any,
    tolerance: float | None = None,
    output: str | Callable[[Tensor, Tensor], Tensor] = "invariant",
    samples_along: bool | None = None,
    elements: int = 4,
    scale: float = 1.0,
    seed: int = 0,
) -> None:
    """An AssertionError unless `equivariance_error` is within ``tolerance`` (by default 1e4 roundings of the dtype).

    Example:
        >>> from hlieconv.groups import SE2, T
        >>> def moment(points):
        ...     return points.square().sum((-1, -2))
        >>> assert_equivariant(moment, SE2(), torch.ones(5, 2, dtype=torch.float64))
        Traceback (most recent call last):
        AssertionError: moment is not equivariant to SE2: error ... of the output's size 10 (tolerance 2.2e-12), ...
    """
    error, size, element, dtype = _worst(module, group, points, inputs, output, samples_along, elements, scale, seed)
    allowed = 1e4 * torch.finfo(dtype).eps if tolerance is None else tolerance
    if not error <= allowed:
        name = getattr(module, "__name__", type(module).__name__)
        vector = ", ".join(f"{x:.3g}" for x in group.log(element).tolist())
        raise AssertionError(
            f"{name} is not equivariant to {group.name}: error {error:.2g} of the output's size {size:.3g} "
            f"(tolerance {allowed:.2g}), worst at the element exp({vector})"
        )


@torch.no_grad()
def _worst(
    module: Callable[..., Any],
    group: AbstractGroup,
    points: Tensor | None,
    inputs: tuple[Any, ...],
    output: str | Callable[[Tensor, Tensor], Tensor],
    samples_along: bool | None,
    elements: int,
    scale: float,
    seed: int,
) -> tuple[float, float, Tensor, torch.dtype]:
    generator = torch.Generator().manual_seed(seed)
    if points is None:
        points, inputs = _drawn(module, group, inputs, generator)
    if samples_along is None:
        samples_along = group.stabiliser_dimension > 0 and hasattr(module, "lift")
    if isinstance(output, str) and output not in ("invariant", "points"):
        raise ValueError(f"output: expected invariant, points or a function, got {output!r}")
    move = {"invariant": lambda g, y: y, "points": group.apply}[output] if isinstance(output, str) else output
    training = isinstance(module, nn.Module) and module.training
    if isinstance(module, nn.Module):
        module.eval()
    try:
        start = module.lift(points, *inputs[1:2]) if samples_along else points  # type: ignore[attr-defined]
        y = _compared(module(start, *inputs))
        size = y.abs().max().item()
        worst, worst_element = -1.0, group.identity(dtype=points.dtype, device=points.device)
        for _ in range(elements):
            vector = scale * torch.randn(group.algebra_dimension, generator=generator, dtype=torch.float64)
            g = group.exp(vector).to(points)
            moved = start.moved(g) if isinstance(start, LiftedPoints) else group.apply(g, start)
            error = (_compared(module(moved, *inputs)) - move(g, y)).abs().max().item() / max(size, 1e-300)
            if not error <= worst:
                worst, worst_element = error, g
    finally:
        if isinstance(module, nn.Module):
            module.train(training)
    return worst, size, worst_element, points.dtype


def _drawn(
    module: Callable[..., Any], group: AbstractGroup, inputs: tuple[Any, ...], generator: torch.Generator
) -> tuple[Tensor, tuple[Any, ...]]:
    """Points with positive coordinates, which lie in the domain of every group of the paper; and values."""
    like = next(module.parameters(), torch.empty(0)) if isinstance(module, nn.Module) else torch.empty(0)
    points = (0.5 + torch.rand(7, group.dimension, generator=generator, dtype=torch.float64)).to(like)
    channels = getattr(module, "in_channels", None)
    if channels is not None and not inputs:
        inputs = (torch.randn(7, channels, generator=generator, dtype=torch.float64).to(like),)
    return points, inputs


def _compared(output: Any) -> Tensor:
    return output[-1] if isinstance(output, tuple) else output
