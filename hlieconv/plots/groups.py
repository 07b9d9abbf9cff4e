"""What a planar group does to points: orbits, lifts and neighbourhoods (figs. 2 to 4 of Finzi et al. 2020)."""

import math
from collections.abc import Callable, Sequence

import matplotlib.pyplot as plt
import torch
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.patches import Polygon

from hlieconv.groups import GROUPS, AbstractGroup
from hlieconv.groups.registry import group
from hlieconv.nn import LiftedPoints
from hlieconv.nn.lifting import lift
from hlieconv.nn.metric import Distances, Metric
from hlieconv.plots.style import COLOURS, axes_or_new, style

#: An F, which no rotation or mirror image takes to itself: how an element acts is seen on it. Centred on 0, 1 high.
_LETTER = (
    (-0.3, -0.5),
    (-0.3, 0.5),
    (0.3, 0.5),
    (0.3, 0.3),
    (-0.1, 0.3),
    (-0.1, 0.1),
    (0.2, 0.1),
    (0.2, -0.1),
    (-0.1, -0.1),
    (-0.1, -0.5),
)

#: Points of the quadrant in which every group of the paper acts.
POINTS = ((1.0, 0.5), (0.6, 1.4), (1.6, 1.2))


def plot_orbits(
    group: AbstractGroup,
    points: Sequence[tuple[float, float]] = POINTS,
    *,
    limit: float = 2.5,
    ax: Axes | None = None,
) -> Axes:
    """Where the group can take each point (fig. 4): nowhere, along a curve, or all over the plane (grey).

    Lines are the flows of the generators.

    Args:
        group: acts on the plane.
        points: in its domain.
        limit: how far the plane is drawn.
        ax: where to draw.

    Returns:
        The Axes.

    Raises:
        ValueError: if the group does not act on the plane.
    """
    ax = _plane(group, ax, limit)
    reach = torch.linspace(-5, 5, 501, dtype=torch.float64)
    starts = torch.tensor(points, dtype=torch.float64)
    for start, colour in zip(starts, COLOURS, strict=False):
        for generator in torch.eye(group.algebra_dimension, dtype=torch.float64):
            curve = group.apply(group.exp(reach[:, None] * generator), start)
            ax.plot(*curve.T, color=colour, linewidth=1.2)
        ax.plot(*start, "o", color=colour, markersize=5)
    directions = _directions(group, starts[0])
    if directions == 2:
        low = 0 if _needs_positive(group) else -limit
        ax.fill([low, limit, limit, low], [low, low, limit, limit], color="0.9", zorder=0)
    ax.set_title(f"{group.name}: orbits are {('points', 'curves', 'open sets')[directions]}")
    return ax


def plot_lift(
    group: AbstractGroup,
    points: Sequence[tuple[float, float]] = POINTS,
    *,
    samples: int = 4,
    limit: float = 2.5,
    ax: Axes | None = None,
) -> Axes:
    """The elements of each point (fig. 2): each takes the orbit's origin (a cross), and a letter there, to the point.

    Args:
        group: acts on the plane.
        points: in its domain.
        samples: elements a point, where the group has a stabiliser.
        limit: how far the plane is drawn.
        ax: where to draw.

    Returns:
        The Axes.

    Raises:
        ValueError: if the group does not act on the plane.
    """
    ax = _plane(group, ax, limit)
    samples = samples if group.stabiliser_dimension else 1
    lifted = lift(group, torch.tensor(points, dtype=torch.float64), samples)
    origins = group.origin(lifted.orbit)
    for index, (element, origin) in enumerate(zip(lifted.elements, origins, strict=True)):
        colour = COLOURS[index // samples % len(COLOURS)]
        letter = origin + 0.4 * torch.tensor(_LETTER, dtype=torch.float64)
        moved = group.apply(element, letter)
        point = group.apply(element, origin)
        ax.add_patch(Polygon(letter.numpy(), facecolor="none", edgecolor=colour, linestyle=":", linewidth=0.8))
        ax.add_patch(Polygon(moved.numpy(), facecolor=colour, edgecolor=colour, alpha=0.4, linewidth=0.8))
        ax.plot(*origin, "x", color=colour, markersize=5)
        ax.plot(*point, "o", color=colour, markersize=4)
        if not torch.equal(point, origin):
            arrow = {"arrowstyle": "->", "color": colour, "alpha": 0.5, "shrinkA": 3, "shrinkB": 3}
            ax.annotate("", tuple(point.tolist()), tuple(origin.tolist()), arrowprops=arrow)
    several = f", {samples} elements a point" if samples > 1 else ""
    ax.set_title(f"{group.name}: lift{several}")
    return ax


def plot_neighbourhood(
    group: AbstractGroup,
    points: Sequence[tuple[float, float]] = POINTS[:2],
    *,
    radius: float | None = None,
    limit: float = 2.5,
    ax: Axes | None = None,
) -> Axes:
    """The ball about each point in the group's own distance (fig. 3): what the convolution there sees.

    The balls of points that the group takes to each other are images of each other. Where points have several elements,
    the ball is that of the first element of the point, and another point is in it if any of its elements is.

    Args:
        group: acts on the plane.
        points: in its domain.
        radius: of the balls, by `Metric.distance`; None: the first one fills a tenth of the picture.
        limit: how far the plane is drawn.
        ax: where to draw.

    Returns:
        The Axes.

    Raises:
        ValueError: if the group does not act on the plane.
    """
    ax = _plane(group, ax, limit)
    side = torch.linspace(1e-3 if _needs_positive(group) else -limit, limit, 160, dtype=torch.float64)
    grid = torch.cartesian_prod(side, side)
    samples = 8 if group.stabiliser_dimension else 1
    for point, colour in zip(torch.tensor(points, dtype=torch.float64), COLOURS, strict=False):
        lifted = lift(group, torch.cat([point[None], grid]), samples)
        distances = Distances(Metric(group), LiftedPoints(lifted.elements, lifted.orbit))
        distance = distances.rows(torch.tensor([0]))[0].unflatten(0, (-1, samples)).amin(-1)[1:]
        radius = radius or distance.quantile(0.1 * (4 * limit**2) / (side[-1] - side[0]).square()).item()
        field = distance.reshape(len(side), len(side)).T.numpy()
        ax.contourf(side, side, field, levels=[-math.inf, radius], colors=[colour], alpha=0.35)
        ax.contour(side, side, field, levels=[radius], colors=[colour], linewidths=1)
        ax.plot(*point, "o", color=colour, markersize=5)
    ax.set_title(f"{group.name}: balls of radius {radius:.2g}")
    return ax


def plot_planar_groups(plot: Callable[..., Axes]) -> Figure:
    """One picture of each planar group: ``plot`` is `plot_orbits`, `plot_lift` or `plot_neighbourhood`."""
    groups = [made for made in map(group, GROUPS) if made.dimension == 2]
    with style():
        figure, panels = plt.subplots(2, -(-len(groups) // 2), figsize=(11, 5), squeeze=False)
        for ax in panels.flat[len(groups) :]:
            ax.set_axis_off()
        for ax, made in zip(panels.flat, groups, strict=False):
            plot(made, ax=ax).set(xlabel="", ylabel="")
    return figure


def _needs_positive(group: AbstractGroup) -> bool:
    """Whether the group acts on the positive quadrant only."""
    try:
        group.lift(torch.tensor([[-1.0, -1.0]]))
    except ValueError:
        return True
    return False


def _plane(group: AbstractGroup, ax: Axes | None, limit: float) -> Axes:
    if group.dimension != 2:
        raise ValueError(f"group: expected one that acts on the plane, got {group.name} on R^{group.dimension}")
    ax = axes_or_new(ax)
    ax.set(xlim=(-limit, limit), ylim=(-limit, limit), xlabel="x", ylabel="y", aspect="equal")
    return ax


def _directions(group: AbstractGroup, point: torch.Tensor) -> int:
    """In how many independent directions the group moves a point."""
    linear, shift = group.generators(torch.float64)
    return int(torch.linalg.matrix_rank(linear @ point + shift)) if len(shift) else 0
