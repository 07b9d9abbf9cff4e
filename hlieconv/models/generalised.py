"""A Hamiltonian of generalised coordinates, such as the angles of a pendulum."""

from collections.abc import Mapping, Sequence
from typing import Any

import torch
from jaxtyping import Bool, Float
from torch import Tensor

from hlieconv.models.abstract import AbstractModel
from hlieconv.models.conditioned import Conditioned
from hlieconv.models.frame import Frame, power_of_two
from hlieconv.models.inputs import Features
from hlieconv.nn.convolution import perceptron
from systems import AbstractHamiltonian, PhaseSpace
from systems.checks import check
from systems.names_in_sums import declared_names
from systems.registry import system_class


class RateFrame(Frame):
    """Units of momentum and of time in which p and dq/dt are about 1; the coordinates stay as they are."""

    @torch.no_grad()
    def measure(
        self,
        times: Float[Tensor, "point sample"],
        q: Float[Tensor, "point sample n d"],
        p: Float[Tensor, "point sample n d"],
        features: Mapping[str, Tensor],
        mask: Bool[Tensor, "sample n"] | None,
    ) -> None:
        if self.units:
            self.momentum.fill_(power_of_two(p))
            self.time.fill_(1 / power_of_two(q.diff(dim=0) / times.diff(dim=0)[..., None, None]))
        self.measured.fill_(True)


class Generalised(AbstractModel):
    """H(q, p) = 1/2 p^T M(q)^-1 p + V(q): networks are V, and M unless it is given.

    Angles enter as their cosine and sine, so that a full turn changes nothing. M^-1 = L L^T with a triangular matrix L
    of functions of q is positive definite. Parameters of a trajectory, such as gravity, are features beside those of
    the coordinates. Coordinates are the bodies of a Dataset, each of one dimension of space (or more).

    Source: Lutter, Ritter & Peters (2019, arXiv:1907.04490); Zhong, Dey & Chakraborty (2020, arXiv:1909.12077).

    Args:
        bodies: number of bodies of the Dataset, such as the links of a pendulum.
        dimension: number of coordinates of each.
        body_features: names of the features of every coordinate.
        trajectory_features: names of the features of a trajectory.
        mass_matrix: "learned", or the name of a known system whose ``mass_matrix(q)`` is taken: "pendulum".
        angles: take the coordinates as angles, by their cosine and sine.
        width: number of channels of a hidden layer.
        depth: number of hidden layers.
        normalised: measure the units of momentum and time, and the scales of features, before training.

    Raises:
        ValueError: for a system without a mass matrix, another number of coordinates, or masked ones.

    Example:
        >>> import torch
        >>> model = Generalised(bodies=2, width=16)
        >>> link = {"mass": torch.ones(10, 2), "length": torch.ones(10, 2), "gravity": torch.ones(10)}
        >>> hamiltonian = model.condition(link)
        >>> q, p = torch.randn(2, 10, 2, 1)
        >>> turned = hamiltonian.energy(PhaseSpace(q + 2 * torch.pi, p))
        >>> bool((turned - hamiltonian.energy(PhaseSpace(q, p))).abs().max() < 1e-4)
        True
    """

    name = "generalised"
    takes_generalised = True

    def __init__(
        self,
        bodies: int = 2,
        *,
        dimension: int = 1,
        body_features: Sequence[str] = ("mass", "length"),
        trajectory_features: Sequence[str] = ("gravity",),
        mass_matrix: str = "learned",
        angles: bool = True,
        width: int = 64,
        depth: int = 2,
        normalised: bool = True,
    ) -> None:
        super().__init__()
        check("bodies", bodies, bodies >= 1, "at least 1")
        check("body_features", body_features, len(body_features) > 0, "at least one")
        self.bodies, self.dimension, self.mass_matrix, self.angles = bodies, dimension, mass_matrix, angles
        self.body_features, self.trajectory_features = tuple(body_features), tuple(trajectory_features)
        self.width, self.depth, self.normalised = width, depth, normalised
        if mass_matrix != "learned":
            known = hasattr(system_class(mass_matrix), "mass_matrix")
            check("mass_matrix", mass_matrix, known, "learned, or a system that has one: pendulum")
        count = bodies * dimension
        columns = count * (2 if angles else 1) + bodies * (len(self.body_features) + len(self.trajectory_features))
        layers = (columns, *[width] * depth)
        self.potential = perceptron((*layers, 1))
        triangle = count * (count + 1) // 2
        self.root = perceptron((*layers, triangle)) if mass_matrix == "learned" else None
        self.columns = Features((*self.body_features, *self.trajectory_features), (), normalised=normalised)
        self.frame = RateFrame(dimension, units=normalised)

    def checked(self, features: Mapping[str, Tensor], mask: Tensor | None = None) -> dict[str, Tensor]:
        found = super().checked(features, mask)
        n = found[self.body_features[0]].shape[-1]
        check("bodies", n, n == self.bodies, f"the {self.bodies} coordinates that it was made for")
        check("mask", "a mask", mask is None or bool(mask.all()), "all coordinates to exist")
        return found

    def condition(self, features: Mapping[str, Tensor], mask: Bool[Tensor, "*batch n"] | None = None) -> Any:
        return self.frame.outside(self.framed(features, mask), None)

    def framed(
        self, features: Mapping[str, Tensor], mask: Bool[Tensor, "*batch n"] | None = None
    ) -> "GeneralisedHamiltonian":
        return GeneralisedHamiltonian(self, self.checked(features, mask))

    def of_bodies(self, features: Mapping[str, Tensor]) -> dict[str, Tensor]:
        """All features as features of the coordinates."""
        own = {name: features[name] for name in self.body_features}
        return own | {
            name: features[name][..., None].expand(*features[name].shape, self.bodies)
            for name in self.trajectory_features
        }

    def calibrate(
        self,
        q: Float[Tensor, "*sample n d"],
        p: Float[Tensor, "*sample n d"],
        features: Mapping[str, Tensor],
        mask: Bool[Tensor, "*batch n"] | None = None,
    ) -> None:
        self.columns.calibrate(self.of_bodies(self.checked(features, mask)), None)


class GeneralisedHamiltonian(Conditioned, AbstractHamiltonian):
    """What the networks say of given coordinates."""

    coordinates = "generalised"

    def __init__(self, model: Generalised, features: dict[str, Tensor], mask: None = None) -> None:
        super().__init__(model, features, mask)
        self.context = model.columns.bodies(model.of_bodies(features), None).flatten(-2)
        self.known: Any = None
        if model.root is None:
            kind = system_class(model.mass_matrix)
            self.known = kind(**{name: features[name] for name in declared_names(kind) if name in features})

    def energy(self, state: PhaseSpace) -> Float[Tensor, "*batch"]:
        self.check_state(state)
        q, p = state.q.flatten(-2), state.p.flatten(-2)
        seen = torch.cat([q.cos(), q.sin()], -1) if self.model.angles else q
        columns = torch.cat([seen, self.context.expand(*q.shape[:-1], -1)], -1)
        return self._kinetic(q, p, columns) + self.model.potential(columns)[..., 0]

    def _kinetic(self, q: Tensor, p: Tensor, columns: Tensor) -> Tensor:
        if self.model.root is None:
            frame = self.model.frame
            matrix = self.known.mass_matrix(q[..., None]) / (frame.momentum * frame.time).to(q)
            return 0.5 * (p * torch.linalg.solve(matrix, p[..., None])[..., 0]).sum(-1)
        n = q.shape[-1]
        root = _lower(self.model.root(columns), n) + torch.eye(n, dtype=q.dtype, device=q.device)
        return 0.5 * (root.mT @ p[..., None])[..., 0].square().sum(-1)


def _lower(values: Float[Tensor, "*batch t"], n: int) -> Float[Tensor, "*batch n n"]:
    """A lower triangular matrix of these entries."""
    rows = [
        torch.nn.functional.pad(values[..., k * (k + 1) // 2 : (k + 1) * (k + 2) // 2], (0, n - k - 1))
        for k in range(n)
    ]
    return torch.stack(rows, -2)
