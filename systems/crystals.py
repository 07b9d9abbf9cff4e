"""Places of close-packed bodies, and momenta of a temperature."""

import itertools

import torch
from jaxtyping import Float
from torch import Tensor

from systems.checks import check


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
