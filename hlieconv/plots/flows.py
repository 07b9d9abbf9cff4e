"""The motion that a charge generates, in the plane of a coordinate and its momentum."""

from collections.abc import Callable
from typing import Any

import xarray as xr
from matplotlib.axes import Axes
from torch import Tensor

from hlieconv.noether.flows import transformed
from hlieconv.plots.phase_portrait import check_indices, label_axes
from hlieconv.plots.style import COLOURS, axes_or_new
from systems.checks import Index
from systems.dataset.reading import state_of
from systems.phase_space import PhaseSpace


def plot_flow(
    charge: Callable[[PhaseSpace], Tensor],
    dataset: xr.Dataset,
    parameters: Any,
    body: int = 0,
    space: int = 0,
    trajectories: int = 12,
    *,
    time: Index = 0,
    ax: Axes | None = None,
    **line,
) -> Axes:
    """Where a conserved charge moves states, beyond turns and shifts of space too (see `hlieconv.noether.transformed`).

    A line for each trajectory, from its state at one time, a dot, on. If the Hamiltonian conserves the charge, all
    states of a line have one energy.

    Args:
        charge: a function of a state, such as one that `hlieconv.noether.discover` found.
        dataset: trajectories, of which states are taken.
        parameters: of the flow, from 0 on, increasing; as many points are drawn.
        body, space: which body, and which axis of space.
        trajectories: how many are drawn, the first ones.
        time: the index of the time of the states.
        ax: where to draw.
        **line: passed to ``Axes.plot``.

    Returns:
        The Axes.

    Raises:
        ValueError: if there is no such body, axis or time, or a body was not seen then.

    Example: the isotropic oscillator conserves x y + p_x p_y, which moves x and p_x along ellipses.
        >>> import torch
        >>> from systems import HarmonicTrap, PhaseSpace, simulate
        >>> start = PhaseSpace.of([[[1.0, 2.0]]], [[[0.0, 1.0]]])
        >>> dataset = simulate(HarmonicTrap(1.0, mass=1.0), start, [0.0, 1.0])
        >>> ax = plot_flow(lambda s: s.q.prod(-1).sum(-1) + s.p.prod(-1).sum(-1), dataset, [0.0, torch.pi / 2])
        >>> [x.round(6).tolist() for x in ax.lines[0].get_data()]
        [[1.0, 1.0], [0.0, -2.0]]
    """
    check_indices(dataset, body, space)
    ax = axes_or_new(ax)
    start = state_of(dataset.isel(trajectory=slice(trajectories)), time)
    q, p = (x[..., body, space].numpy() for x in transformed(charge, start, parameters))
    for number in range(q.shape[1]):
        style = {"color": COLOURS[number % len(COLOURS)], "linewidth": 0.9} | line
        [drawn] = ax.plot(q[:, number], p[:, number], **style)
        ax.plot(q[0, number], p[0, number], "o", color=drawn.get_color(), markersize=3)
    label_axes(ax, dataset, body, space)
    return ax
