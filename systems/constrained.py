"""Motion on a manifold: bodies that constraints hold."""

from abc import abstractmethod
from typing import Any

import torch
from jaxtyping import Float
from torch import Tensor

from systems.phase_space import PhaseSpace
from systems.vector_field import AbstractHamiltonian, AbstractNewtonian, AbstractVectorField

#: Units in the last place by which a first state may be off the constraints.
OFF = 1e4
#: More are not needed where a step is short enough to be solved at all.
SWEEPS = 50


class AbstractConstraint(AbstractVectorField):
    """Functions g of the positions that stay 0. It is added to a Newtonian system: ``system + rods``."""

    @abstractmethod
    def constraints(self, q: Float[Tensor, "*batch n d"]) -> Float[Tensor, "*batch c"]:
        """g(q), in the unit of a length."""

    def jacobian(self, q: Float[Tensor, "*batch n d"]) -> Float[Tensor, "*batch c n d"]:
        """dg/dq."""
        found: Any = torch.func.vjp(self.constraints, q)
        values, pullback = found
        one = torch.eye(values.shape[-1], dtype=q.dtype, device=q.device)
        units = one.reshape(-1, *(1,) * (values.ndim - 1), values.shape[-1]).expand(-1, *values.shape)
        return torch.func.vmap(lambda unit: pullback(unit)[0])(units).movedim(0, -3)

    def curvature(
        self, q: Float[Tensor, "*batch n d"], velocity: Float[Tensor, "*batch n d"]
    ) -> Float[Tensor, "*batch c"]:
        """The second derivative of g along a straight line with this velocity."""

        def rate(x: Tensor) -> Tensor:
            return torch.func.jvp(self.constraints, (x,), (velocity,))[1]

        return torch.func.jvp(rate, (q,), (velocity,))[1]

    def forward(self, t: Float[Tensor, "*times"], state: PhaseSpace) -> PhaseSpace:
        raise ValueError(f"field: {type(self).__name__} is a constraint that moves nothing: expected a system + it")


class AbstractConstrained(AbstractVectorField):
    """H = sum_i |p_i|^2 / 2 m_i + V(q) where g(q) = 0: dp/dt = -dV/dq - (dg/dq)^T lambda.

    The multipliers lambda are such that g stays 0. As a vector field this leaves the manifold slowly, by the error of
    the steps; `systems.integrators.Rattle` stays on it. The flow on the manifold is symplectic and keeps the energy.

    Source: Hairer, Lubich & Wanner, Geometric Numerical Integration (2006), section VII.1.
    """

    @property
    @abstractmethod
    def free(self) -> AbstractNewtonian:
        """The system without its constraints."""

    @property
    @abstractmethod
    def held(self) -> list[AbstractConstraint]:
        """What holds it."""

    @property
    def hamiltonian(self) -> AbstractHamiltonian:
        return self.free

    def force(self, q: Float[Tensor, "*batch n d"]) -> Float[Tensor, "*batch n d"]:
        """-dV/dq, without the forces of the constraints."""
        return self.free.force(q)

    def velocity(self, p: Float[Tensor, "*batch n d"]) -> Float[Tensor, "*batch n d"]:
        """p / m."""
        return self.free.velocity(p)

    def constraints(self, q: Float[Tensor, "*batch n d"]) -> Float[Tensor, "*batch c"]:
        """g(q) of all constraints."""
        return torch.cat([part.constraints(q) for part in self.held], -1)

    def jacobian(self, q: Float[Tensor, "*batch n d"]) -> Float[Tensor, "*batch c n d"]:
        """dg/dq of all constraints."""
        return torch.cat([part.jacobian(q) for part in self.held], -3)

    def forward(self, t: Float[Tensor, "*times"], state: PhaseSpace) -> PhaseSpace:
        return self.forced(state, torch.zeros_like(state.q))

    def forced(self, state: PhaseSpace, force: Float[Tensor, "*batch n d"]) -> PhaseSpace:
        """The rates of a state on which another force acts too."""
        velocity, total, jacobian = self.velocity(state.p), self.force(state.q) + force, self.jacobian(state.q)
        bent = torch.cat([part.curvature(state.q, velocity) for part in self.held], -1)
        due = self._applied(jacobian, self.velocity(total)) + bent
        return PhaseSpace(velocity, total - self.pull(jacobian, self.solved(jacobian, jacobian, due)))

    def pull(self, jacobian: Float[Tensor, "*batch c n d"], size: Float[Tensor, "*batch c"]) -> Tensor:
        """(dg/dq)^T times a number for each constraint."""
        return (size[..., None, None] * jacobian).sum(-3)

    def solved(
        self, left: Float[Tensor, "*batch c n d"], right: Float[Tensor, "*batch c n d"], due: Float[Tensor, "*batch c"]
    ) -> Float[Tensor, "*batch c"]:
        """x of (left M^-1 right^T) x = due; not finite where constraints say the same twice."""
        light = torch.stack([self.velocity(x) for x in right.unbind(-3)], -3)
        matrix = (left.flatten(-2)[..., :, None, :] * light.flatten(-2)[..., None, :, :]).sum(-1)
        return torch.linalg.solve_ex(matrix, due[..., None]).result[..., 0]

    def _applied(self, jacobian: Tensor, velocity: Tensor) -> Tensor:
        """How fast a velocity moves off the constraints."""
        return (jacobian * velocity[..., None, :, :]).sum((-2, -1))

    def tangent(self, q: Float[Tensor, "*batch n d"], p: Float[Tensor, "*batch n d"]) -> Float[Tensor, "*batch n d"]:
        """The momenta next to p along which the constraints stay as they are."""
        jacobian = self.jacobian(q)
        return p - self.pull(jacobian, self.solved(jacobian, jacobian, self._applied(jacobian, self.velocity(p))))

    def placed(
        self, q: Float[Tensor, "*batch n d"], along: Float[Tensor, "*batch c n d"]
    ) -> tuple[Float[Tensor, "*batch n d"], Float[Tensor, "*batch c"], Tensor]:
        """Positions on the constraints, q - M^-1 along^T x, the numbers x, and where they were found.

        By Newton's method, for each trajectory until nothing changes any more.
        """
        size, found = q.new_zeros(along.shape[:-2]), q
        small = 4 * torch.finfo(q.dtype).eps * q.abs().amax((-2, -1))
        done = torch.zeros(q.shape[:-2], dtype=torch.bool, device=q.device)
        for _ in range(SWEEPS):
            change = self.solved(self.jacobian(found), along, self.constraints(found))
            size = torch.where(done[..., None], size, size + change)
            moved = q - self.velocity(self.pull(along, size))
            done = done | ((moved - found).abs().amax((-2, -1)) <= small)
            found = moved
            if bool(done.all()):
                break
        return found, size, done

    def project(self, state: PhaseSpace) -> PhaseSpace:
        """The state next to this one that fulfils the constraints, in positions and in velocities."""
        q, _, _ = self.placed(state.q, self.jacobian(state.q))
        return PhaseSpace(q, self.tangent(q, state.p))

    def check_state(self, state: PhaseSpace) -> None:
        eps = torch.finfo(state.q.dtype).eps
        off, size = self.constraints(state.q).detach().abs(), state.q.detach().abs().max()
        velocity = self.velocity(state.p).detach()
        fast = self._applied(self.jacobian(state.q), velocity).detach().abs()
        for name, value, unit in (("q", off, size), ("p", fast, velocity.abs().max())):
            if bool((value > OFF * eps * unit).any()):
                what = "positions that fulfil" if name == "q" else "momenta that move along"
                raise ValueError(
                    f"state: expected {what} the constraints of {self.name}, got {name} that violates them by "
                    f"{float(value.max()):.2g}: system.project(state) is the nearest state that does"
                )
