"""Matter made of close-packed bodies: their places, momenta of a temperature, and a system of them."""

import itertools
from collections.abc import Callable, Mapping
from typing import Any

import torch
from jaxtyping import Float
from torch import Tensor

from systems.checks import check, check_choice
from systems.periodic_box import PeriodicBox
from systems.phase_space import PhaseSpace
from systems.sampling import Draws


def crystal(bodies: int, dimension: int, density: float) -> tuple[Float[Tensor, "n 3"], float]:
    """The points of a face-centred cubic crystal in a cube, and the side of the cube.

    Raises:
        ValueError: unless bodies are four times a cube, in 3 dimensions.

    Example:
        >>> points, side = crystal(32, 3, density=0.5)
        >>> points.shape, round(side, 12)
        (torch.Size([32, 3]), 4.0)
    """
    check("dimension", dimension, dimension == 3, "3 of a crystal or a liquid")
    cells = round((bodies / 4) ** (1 / 3))
    check("bodies", bodies, 4 * cells**3 == bodies, "four times a cube of a crystal or a liquid: 4, 32, 108, 256, ...")
    corners = torch.tensor(list(itertools.product(range(cells), repeat=3)), dtype=torch.float64)
    within = torch.tensor([[0, 0, 0], [0, 0.5, 0.5], [0.5, 0, 0.5], [0.5, 0.5, 0]], dtype=torch.float64)
    side = (bodies / density) ** (1 / 3)
    return (corners[:, None] + within).reshape(-1, 3) * (side / cells), side


def cluster(bodies: int, dimension: int, spacing: float) -> Float[Tensor, "n d"]:
    """The points of a close-packed lattice (A_d: a chain, triangles, face-centred cubic, ...) nearest to its middle.

    Example:
        >>> round(torch.pdist(cluster(7, 2, spacing=1.5)).min().item(), 12)
        1.5
    """
    reach = 1 + round(bodies ** (1 / dimension))
    steps = torch.tensor(list(itertools.product(range(-reach, reach + 1), repeat=dimension)), dtype=torch.float64)
    angles = 0.5 * (1 + torch.eye(dimension, dtype=torch.float64))  # between neighbours 60 degrees
    points = spacing * steps @ torch.linalg.cholesky(angles)
    middle = points.new_tensor([0.1 / (k + 1) for k in range(dimension)])  # so that no two are equally near
    nearest = (points - spacing * middle).square().sum(-1).argsort(stable=True)[:bodies]
    return points[nearest] - points[nearest].mean(0)


def thermal(normal: Float[Tensor, "*batch n d"], temperature: float) -> Float[Tensor, "*batch n d"]:
    """Momenta of unit masses at a temperature, from normal numbers; at rest as a whole.

    Example:
        >>> thermal(torch.tensor([[1.0], [3.0]]), 0.25)
        tensor([[-0.5000],
                [ 0.5000]])
    """
    return temperature**0.5 * (normal - normal.mean(-2, keepdim=True))


def matter(
    law: Callable[..., Any],
    count: int | range,
    *,
    seed: int,
    bodies: int,
    dimension: int,
    phase: str,
    spacing: float,
    conditions: Mapping[str, tuple[float, float]],
    dtype: torch.dtype,
    device: torch.device | str,
) -> tuple[Any, PhaseSpace]:
    """Unit masses as a cluster in open space, without a cutoff, or as a crystal or a liquid in a periodic box.

    Places are off those of a close-packed lattice by 0.02 in each direction; all is at rest as a whole. In a box the
    cutoff is 2.5, or half of a box that is smaller.

    Args:
        law: makes the system of ``mass`` and ``cutoff``.
        count: number of trajectories, or their numbers: a range.
        seed: of all random numbers; the first trajectories do not depend on how many are drawn.
        bodies, dimension: see `cluster` and `crystal`.
        phase: cluster, crystal or liquid.
        spacing: of neighbours in a cluster, which has the temperature 0.1.
        conditions: density and temperature of a crystal and a liquid.

    Returns:
        The system, a sum with a `PeriodicBox` where there is one, and the states ``(count, bodies, dimension)``.

    Raises:
        ValueError: for numbers that are not possible, and another phase.
    """
    check_choice("phase", phase, ("cluster", *conditions))
    draws = Draws(count, seed, bodies=bodies, dimension=dimension)
    side = None
    if phase == "cluster":
        points, temperature = cluster(bodies, dimension, spacing), 0.1
    else:
        density, temperature = conditions[phase]
        points, side = crystal(bodies, dimension, density)
    q = points + 0.02 * draws.normal(bodies, dimension)
    p = thermal(draws.normal(bodies, dimension), temperature)
    mass = torch.ones(draws.count, bodies, dtype=dtype, device=device)
    system = law(mass=mass, cutoff=None if side is None else min(2.5, side / 2))
    if side is not None:
        system = system + PeriodicBox(torch.full((dimension,), side, dtype=dtype, device=device))
    return system, PhaseSpace(q.to(device, dtype), p.to(device, dtype))
