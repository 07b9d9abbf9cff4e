"""A periodic box."""

from __future__ import annotations

from typing import Any

import torch
import xarray as xr
from jaxtyping import Float
from torch import Tensor

from systems.external import MASS, AbstractExternal
from systems.vector_field import Variable


class PeriodicBox(AbstractExternal):
    """Bodies feel each other's nearest images: the box is repeated in all directions (minimum image convention).

    It is added to a system: ``system + PeriodicBox([5.0, 5.0])``, and acts on every force between pairs of bodies.
    Positions go on as if there were no walls, so that distances travelled are known (diffusion, trajectories without
    leaps); `wrapped` puts them back into the box. Total momentum is conserved, angular momentum is not. Potentials from
    outside (a trap, a uniform field) act at the positions as they are.

    A pair force that does not vanish at half a side jumps there. A part with a ``cutoff`` needs a box of twice that.

    Source: Frenkel & Smit, Understanding Molecular Simulation (2002), section 3.2.2.

    Args:
        box_length: ``(*batch, d)``, or one number for all sides.
        **options: units, see `AbstractVectorField`.

    Raises:
        ValueError: as `AbstractVectorField`; in a sum, for a side shorter than twice the ``cutoff`` of a part.

    Example:
        >>> import torch
        >>> from systems import Gravity, PeriodicBox
        >>> pair = Gravity(mass=[1.0, 1.0], gravitational_constant=1.0, softening=0.0) + PeriodicBox(10.0)
        >>> pair.force(torch.tensor([[1.0], [9.0]]).double())  # 2 apart, across the wall
        tensor([[-0.2500],
                [ 0.2500]], dtype=torch.float64)
    """

    name = "periodic_box"
    variables = (MASS, Variable("box_length", ("space",), "1", "side of the periodic box", positive=True, si="m"))
    box_length: Tensor

    def __init__(self, box_length: Any, **options: Any) -> None:
        super().__init__(box_length=box_length, **options)

    @property
    def conserved(self) -> tuple[str, ...]:
        return ("energy", "momentum")

    def potential(self, q: Float[Tensor, "*batch n d"]) -> Float[Tensor, "*batch"]:
        return torch.zeros_like(q[..., 0, 0])

    def force(self, q: Float[Tensor, "*batch n d"]) -> Float[Tensor, "*batch n d"]:
        return torch.zeros_like(q)


def wrapped(dataset: xr.Dataset) -> xr.Dataset:
    """The Dataset with the positions in the periodic box, from 0 to the length of its sides.

    Momenta and all else stay as they are.

    Raises:
        ValueError: if the Dataset has no ``box_length``.

    Example:
        >>> import torch
        >>> from systems import PeriodicBox, PhaseSpace, UniformField, simulate, wrapped
        >>> free = UniformField([0.0], mass=[1.0]) + PeriodicBox(1.0)
        >>> data = simulate(free, PhaseSpace.of([[[0.5]]], [[[1.0]]]), torch.tensor([0.0, 0.75, 1.75]).double())
        >>> data.q.values.ravel().round(6).tolist(), wrapped(data).q.values.ravel().round(6).tolist()
        ([0.5, 1.25, 2.25], [0.5, 0.25, 0.25])
    """
    if "box_length" not in dataset:
        raise ValueError("dataset: expected the variable box_length of a PeriodicBox, got none")
    q = dataset["q"]
    inside = (q % dataset["box_length"]).transpose(*q.dims).astype(q.dtype)
    return dataset.assign(q=inside.assign_attrs(q.attrs | {"long_name": "position in the periodic box"}))
