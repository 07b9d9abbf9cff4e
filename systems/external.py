"""What acts on bodies from outside: potentials, and forces that have none."""

from abc import abstractmethod

import torch
from jaxtyping import Float
from torch import Tensor

from systems.phase_space import PhaseSpace
from systems.vector_field import AbstractNewtonian, AbstractVectorField, Variable

#: The mass of a body, which a part of a sum may leave to the other parts.
MASS = Variable("mass", ("body",), "1", "mass of a body", positive=True, optional=True, si="kg")


class AbstractExternal(AbstractNewtonian):
    """A potential that each body feels by itself, V(q) = sum_i V_i(q_i).

    With masses it is a system; without, it is a part of one: ``springs + trap`` (see `systems.sums`).
    """

    variables = (MASS,)
    borrowed = ("mass",)


class AbstractForce(AbstractVectorField):
    """A force that is not the gradient of a potential: dp/dt has ``force(t, q, velocity)`` more, dq/dt nothing.

    It moves nothing by itself and is added to a system (see `systems.sums`). A subclass that depends on the time gets
    it as ``(1, 1)`` or ``(*batch, 1, 1)``, which broadcasts with q, as in ``torch.cos(t) * q``.
    """

    coordinates = "any"

    @abstractmethod
    def force(
        self,
        t: Float[Tensor, "*times"],
        q: Float[Tensor, "*batch n d"],
        velocity: Float[Tensor, "*batch n d"],
    ) -> Float[Tensor, "*batch n d"]:
        """What is added to dp/dt; its power is force . velocity.

        Args:
            t: the time.
            q: positions, or generalised coordinates.
            velocity: dq/dt.
        """

    def forward(self, t: Float[Tensor, "*times"], state: PhaseSpace) -> PhaseSpace:
        raise ValueError(f"field: {type(self).__name__} is a force that moves nothing: expected a system + this force")

    def probed(self, times: Float[Tensor, " time *batch"], state: PhaseSpace) -> dict[str, Tensor]:
        """The force on the first states at some times: a function has no other fingerprint."""
        some = torch.linspace(0, len(times) - 1, min(9, len(times))).long()
        with torch.no_grad():
            found = [self.force(t[..., None, None].to(state.q), state.q, state.p) for t in times[some].nan_to_num(0)]
        return {f"force {k}": x for k, x in enumerate(found)}
