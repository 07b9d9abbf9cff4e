"""A known system whose parameters are fitted."""

import copy
from typing import Any

import torch
from jaxtyping import Int
from torch import Tensor, nn

from hlieconv.dynamics.bodies import AbstractBodies
from hlieconv.dynamics.trajectories import TrajectoryParameters
from hlieconv.models.frame import Frame
from hlieconv.training.loading import describe
from systems import SYSTEMS, AbstractNewtonian, AbstractVectorField, Variable


class FreeParameters(AbstractBodies):
    """The trainable parameters of a known system: what is positive stays so, what is symmetric too.

    They are one column of independent numbers; where they are positive, logarithms of the factors by which they change:
    SOAP then learns how all of them depend on each other, which the parameters of a system do much more than the
    weights of a network.

    Args:
        system: with ``trainable`` parameters: one value for all trajectories, or one a trajectory.
        data: what is known of its trajectories.

    Raises:
        ValueError: if the system has values for another number of trajectories, or nothing is trainable.
    """

    normalised = False

    def __init__(self, system: AbstractVectorField, data: TrajectoryParameters) -> None:
        super().__init__()
        self.system = [system]  # in a list: its parameters are not trained, the column is
        count, trainable = data.count, dict(system.named_parameters())
        self.free = [variable for variable in system.variables if variable.name in trainable]
        if not self.free:
            raise ValueError(
                f"model: nothing to fit, give {type(system).__name__} the names of its trainable variables"
            )
        for variable in system.variables:
            value: Tensor | None = getattr(system, variable.name)
            batch = () if value is None else value.shape[: value.ndim - len(variable.dims)]
            if batch and batch[0] not in (1, count):
                raise ValueError(f"{variable.name}: expected values of 1 or {count} trajectories, got {batch[0]}")
        self.start = [trainable[variable.name].detach().clone() for variable in self.free]
        self.independent = [_independent(*pair) for pair in zip(self.free, self.start, strict=True)]
        pieces = [value[own] for value, own in zip(self.start, self.independent, strict=True)]
        pieces = [0 * x if variable.positive else x for variable, x in zip(self.free, pieces, strict=True)]
        self.column = nn.Parameter(torch.cat(pieces)[:, None])
        self.mass = None if any(variable.name == "mass" for variable in self.free) else data.mass
        self.mask = None if data.mask is None else data.mask.to(self.column.device)
        self.canonical = not isinstance(system.hamiltonian, AbstractNewtonian | None)
        self.frame = Frame()
        self.known = {f"system.{name}": value for name, value in system.state_dict().items()}

    def values(self) -> dict[str, Tensor]:
        """Their physical values."""
        found = {}
        pieces = self.column[:, 0].split([int(own.sum()) for own in self.independent])
        for variable, start, own, piece in zip(self.free, self.start, self.independent, pieces, strict=True):
            value = start.masked_scatter(own, start[own] * piece.exp() if variable.positive else piece)
            found[variable.name] = torch.where(own, value, value.mT) if "other_body" in variable.dims else value
        return found

    def forward(self, trajectory: Int[Tensor, " batch"]) -> AbstractVectorField:
        system = copy.copy(self.system[0])
        vars(system)["_parameters"] = vars(system)["_parameters"] | self.values()
        return system.select(trajectory)

    def describe(self) -> dict[str, Any]:
        system = self.system[0]
        return describe(system, {"trainable": [name for name, _ in system.named_parameters()]}, SYSTEMS)

    @torch.no_grad()
    def write_back(self) -> None:
        for name, value in self.values().items():
            getattr(self.system[0], name).copy_(value)


def _independent(variable: Variable, value: Tensor) -> Tensor:
    """True for the numbers that are free: of pairs, one triangle (or the one number that all pairs share)."""
    whole = torch.ones_like(value, dtype=torch.bool)
    return whole.triu(1) if "other_body" in variable.dims and value.shape[-1] > 1 else whole
