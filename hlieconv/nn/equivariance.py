"""Is a module equivariant? Measure it."""

import copy
import math
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import replace
from typing import Any, NamedTuple

import torch
from jaxtyping import Float
from torch import Tensor, nn

from hlieconv.groups import AbstractGroup
from hlieconv.nn.lifting import LiftedPoints
from hlieconv.nn.resnet import LieResNet


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
        module: called as ``module(points, *inputs)``; returns a tensor, or a tuple whose last entry is compared. Of an
            ``nn.Module`` a copy is evaluated, in eval mode and float64, where rounding cannot pass for symmetry.
        group: whose random elements move the points.
        points: points in the group's domain; None draws 7 with coordinates in (0.5, 1.5).
        *inputs: what else the module takes, the same for moved points (values, mask); without ``points``, a module with
            ``in_channels`` gets values drawn at random.
        output: "invariant", or "points" if the outputs are points that move too, or how an element g moves an output:
            ``output(g, y)``.
        samples_along: move the module's lifted points (``module.lift(points)``) instead of lifting the moved points:
            whatever the lift, the result must be exact. None: where the group has a stabiliser and the module a `lift`.
        elements: how many random elements to try.
        scale: standard deviation of their algebra vectors.
        seed: the seed of everything that is drawn.

    Returns:
        About 1e-15 for an equivariant module; for others as large as the output's dependence on the points.

    Raises:
        ValueError: for an unknown ``output``, or ``samples_along`` of a module that cannot lift.

    Example:
        >>> from hlieconv.groups import SE2
        >>> def moment_of_inertia(points):
        ...     return (points - points.mean(-2, keepdim=True)).square().sum((-1, -2))
        >>> equivariance_error(moment_of_inertia, SE2(), torch.rand(5, 2, dtype=torch.float64)) < 1e-13
        True
    """
    return _measured(module, group, points, inputs, output, samples_along, elements, scale, seed).error


def lifted_with(network: LieResNet, samples: Iterable[int]) -> Iterator[int]:
    """Lift each point to so many elements in turn, and let it see as many more neighbours.

    Args:
        network: changed in place; as it was, afterwards.
        samples: numbers of elements; a group without a stabiliser has one.

    Yields:
        The number that the network lifts with now.
    """
    parts: list[Any] = [*network.neighbourhoods]
    lifting, seen = network.lifting, [part.neighbours for part in parts]
    for count in samples if network.group.stabiliser_dimension else (1,):
        network.lifting = replace(lifting, samples=count)
        for part, neighbours in zip(parts, seen, strict=True):
            part.neighbours = neighbours and max(1, round(neighbours * count / lifting.samples))
        yield count
    network.lifting = lifting
    for part, neighbours in zip(parts, seen, strict=True):
        part.neighbours = neighbours


def assert_equivariant(
    module: Callable[..., Any],
    group: AbstractGroup,
    points: Float[Tensor, "*batch n d"] | None = None,
    *inputs: Any,
    tolerance: float = 1e-10,
    output: str | Callable[[Tensor, Tensor], Tensor] = "invariant",
    samples_along: bool | None = None,
    elements: int = 4,
    scale: float = 1.0,
    seed: int = 0,
) -> None:
    """An AssertionError, with sizes, unless the `equivariance_error` is within ``tolerance``.

    The other arguments are those of `equivariance_error`.

    Raises:
        AssertionError: if it is not; also for NaN.

    Example:
        >>> from hlieconv.groups import SE2, T
        >>> def moment(points):
        ...     return points.square().sum((-1, -2))
        >>> assert_equivariant(moment, SE2(), torch.ones(5, 2, dtype=torch.float64))
        Traceback (most recent call last):
        AssertionError: moment is not equivariant to SE2: error ... of the output's size 10 (tolerance 1e-10), ...
    """
    found = _measured(module, group, points, inputs, output, samples_along, elements, scale, seed)
    if not found.error <= tolerance:
        name = getattr(module, "__name__", type(module).__name__)
        vector = ", ".join(f"{x:.3g}" for x in group.log(found.element).tolist())
        raise AssertionError(
            f"{name} is not equivariant to {group.name}: error {found.error:.2g} of the output's size {found.size:.3g} "
            f"(tolerance {tolerance:.2g}), worst of {elements} at the element exp({vector})"
        )


class _Measured(NamedTuple):
    error: float
    size: float
    element: Tensor


@torch.no_grad()
def _measured(
    module: Callable[..., Any],
    group: AbstractGroup,
    points: Tensor | None,
    inputs: Sequence[Any],
    output: str | Callable[[Tensor, Tensor], Tensor],
    samples_along: bool | None,
    elements: int,
    scale: float,
    seed: int,
) -> _Measured:
    if isinstance(output, str) and output not in ("invariant", "points"):
        raise ValueError(f"output: expected invariant, points or a function, got {output!r}")
    move = {"invariant": lambda g, y: y, "points": group.apply}[output] if isinstance(output, str) else output
    generator = torch.Generator().manual_seed(seed)
    if isinstance(module, nn.Module):
        module = copy.deepcopy(module).double().eval()
    here, *inputs = (
        x.double() if isinstance(x, Tensor) and x.is_floating_point() else x
        for x in (_drawn(module, group, inputs, generator) if points is None else (points, *inputs))
    )
    lift = getattr(module, "lift", None)
    if samples_along is None:
        samples_along = group.stabiliser_dimension > 0 and lift is not None
    if samples_along and lift is None:
        raise ValueError(f"samples_along: expected a module with a lift, got {type(module).__name__}")
    start = lift(here, *inputs[1:2]) if lift is not None and samples_along else here
    y = _compared(module(start, *inputs))
    size = y.abs().max().item()
    worst = _Measured(-1.0, size, group.identity(dtype=here.dtype, device=here.device))
    for _ in range(elements):
        vector = scale * torch.randn(group.algebra_dimension, generator=generator, dtype=torch.float64)
        g = group.exp(vector.to(here.device))
        moved = start.moved(g) if isinstance(start, LiftedPoints) else group.apply(g, start)
        gap = (_compared(module(moved, *inputs)) - move(g, y)).abs().max().item()
        error = gap / size if size > 0 else gap
        if not error <= worst.error:
            worst = _Measured(error, size, g)
        if math.isnan(error):
            break
    return worst


def _drawn(
    module: Callable[..., Any], group: AbstractGroup, inputs: Sequence[Any], generator: torch.Generator
) -> tuple[Any, ...]:
    """Points with positive coordinates, which lie in the domain of every group of the paper; and the other inputs."""
    device = next((p.device for p in module.parameters()), "cpu") if isinstance(module, nn.Module) else "cpu"
    points = 0.5 + torch.rand(7, group.dimension, generator=generator, dtype=torch.float64)
    channels = getattr(module, "in_channels", None)
    if channels is not None and not inputs:
        inputs = (torch.randn(7, channels, generator=generator, dtype=torch.float64).to(device),)
    return points.to(device), *inputs


def _compared(output: Any) -> Tensor:
    return output[-1] if isinstance(output, tuple) else output
