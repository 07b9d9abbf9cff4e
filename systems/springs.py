"""Bodies joined by springs: the paper's data, and any chain, lattice or graph."""

from __future__ import annotations

import copy
import math
from collections.abc import Iterable
from typing import Any

import torch
from jaxtyping import Bool, Float
from torch import Tensor

from systems.checks import check
from systems.closed_forms.chebyshev import chebyshev_flow
from systems.closed_forms.compiled_modes import machine_code
from systems.closed_forms.normal_modes import normal_mode_flow
from systems.edges import matrix_of
from systems.pairs import AbstractPairs
from systems.phase_space import PhaseSpace
from systems.sampling import Draws
from systems.vector_field import AbstractNewtonian, Variable

#: Bodies whose normal modes cost no more than series do.
FEW = 500


class Springs(AbstractPairs):
    """V(q) = 1/2 sum over i<j of k_ij (|q_i - q_j| - l_ij)^2, for any number of bodies in any dimension.

    The constants k_ij are given as a matrix (``spring_constant``), as one number an edge (``edges`` and
    ``spring_constant``: any graph, chain or lattice, see `systems.lattice` and `systems.from_graph`) or by one number a
    body (``stiffness`` c_i, with k_ij = 2 c_i c_j: every pair is joined, as in Finzi et al. 2020, where
    V = sum over i<j of c_i c_j |q_i - q_j|^2). Constants may be negative.

    Springs of zero rest length are linear: `closed_form` solves them exactly by normal modes.

    Args:
        mass: ``(*batch, n)``, positive.
        stiffness: ``(*batch, n)``; this or ``spring_constant``.
        spring_constant: ``(*batch, n, n)``, symmetric; the diagonal has no meaning.
        rest_length: ``(*batch, n, n)``, symmetric; zero if it is not given.
        mask: ``(*batch, n)``, True where a body exists.
        fixed: ``(*batch, n)``, True where a body does not move; then there is no closed form.
        edges: (i, j), each ``(edges,)``: the pairs that have springs. ``spring_constant`` and ``rest_length`` are then
            ``(*batch, edges)``; memory and time are linear in the edges.
        trainable: names of the variables to register as parameters.
        units: see `AbstractVectorField`.

    Raises:
        ValueError: for both or neither of ``stiffness`` and ``spring_constant``, wrong shapes, and values that are
            not finite, not positive (mass) or not symmetric.

    Example:
        >>> import torch
        >>> from systems import PhaseSpace, Springs
        >>> pair = Springs(mass=torch.tensor([1.0, 1.0]), edges=([0], [1]), spring_constant=1.0, rest_length=1.0)
        >>> q = torch.tensor([[0.0, 0.0], [4.0, 0.0]])
        >>> pair.potential(q)
        tensor(4.5000)
        >>> pair.force(q)
        tensor([[ 3.,  0.],
                [-3.,  0.]])
    """

    name = "springs"
    variables = (
        *AbstractNewtonian.variables,
        Variable("stiffness", ("body",), "1", "stiffness of a body", optional=True, si="kg^0.5 / s"),
        Variable(
            "spring_constant", ("body", "other_body"), "1", "spring constant of a pair", optional=True, si="kg / s^2"
        ),
        Variable("rest_length", ("body", "other_body"), "1", "rest length of a spring", optional=True, si="m"),
    )
    stiffness: Tensor | None
    spring_constant: Tensor | None
    rest_length: Tensor | None
    regular = True
    sides: Tensor | None = None
    """The signs of x_i - x_j ``(*batch, c)`` of all pairs, or all edges, that a force on a line is continued from."""

    def __init__(
        self,
        *,
        mass: Any,
        stiffness: Any = None,
        spring_constant: Any = None,
        rest_length: Any = None,
        mask: Bool[Tensor, "*batch n"] | Any = None,
        fixed: Bool[Tensor, "*batch n"] | Any = None,
        edges: Any = None,
        trainable: Iterable[str] = (),
        units: str = "",
    ) -> None:
        if (stiffness is None) == (spring_constant is None):
            given = "neither" if stiffness is None else "both"
            raise ValueError(f"expected either stiffness or spring_constant, got {given}")
        super().__init__(
            mask=mask,
            fixed=fixed,
            edges=edges,
            trainable=trainable,
            units=units,
            mass=mass,
            stiffness=stiffness,
            spring_constant=spring_constant,
            rest_length=rest_length,
        )

    @classmethod
    def sample(
        cls,
        count: int | range,
        *,
        seed: int,
        bodies: int | tuple[int, int] = 6,
        dimension: int = 2,
        rest_length: float | tuple[float, float] = 0.0,
        centre_of_mass: bool = False,
        dtype: torch.dtype = torch.float64,
        device: torch.device | str = "cpu",
    ) -> tuple[Springs, PhaseSpace]:
        """Systems and first states as in Finzi et al. 2020.

        m ~ U(0.1, 3.1), c ~ U(0, 5), q ~ 0.4 N(0, 1), p ~ 0.6 N(0, 1), all independent. The first
        trajectories do not depend on how many are drawn.

        Args:
            count: number of trajectories, or their numbers: a range.
            seed: of all random numbers.
            bodies: number of bodies, or a range (least, most) from which each system draws its number.
            dimension: number of dimensions of space.
            rest_length: rest length of all springs, or a range (least, most) in which each is drawn.
            centre_of_mass: put the centre of mass at rest at the origin.

        Raises:
            ValueError: for numbers of trajectories, bodies or dimensions below 1, an empty range, negative lengths.

        Example:
            >>> from systems import Springs
            >>> system, state = Springs.sample(10, seed=0, bodies=(3, 6))
            >>> state.q.shape, system.mask.shape
            (torch.Size([10, 6, 2]), torch.Size([10, 6]))
        """
        least, most = (bodies, bodies) if isinstance(bodies, int) else bodies
        shortest, longest = rest_length if isinstance(rest_length, tuple) else (rest_length, rest_length)
        check("bodies", bodies, 1 <= least <= most, "a number or a range (least, most) of at least 1")
        check("rest_length", rest_length, 0 <= shortest <= longest < math.inf, "a number or a range of at least 0")
        draws = Draws(count, seed, dimension=dimension)
        mass = draws.uniform(0.1, 3.1, most)
        stiffness = draws.uniform(0.0, 5.0, most)
        q, p = 0.4 * draws.normal(most, dimension), 0.6 * draws.normal(most, dimension)
        mask = None
        if least < most:
            number = draws.uniform(float(least), most + 1.0).floor()
            mask = (torch.arange(most) < number[:, None]).to(device)
        length = shortest or None
        if shortest < longest:
            upper = draws.uniform(shortest, longest, most, most).triu(1)
            length = (upper + upper.mT).to(device, dtype)
        mass, stiffness, q, p = (x.to(device, dtype) for x in (mass, stiffness, q, p))
        system = cls(mass=mass, stiffness=stiffness, rest_length=length, mask=mask)
        q, p = system.existing(q), system.existing(p)
        if centre_of_mass:
            share = system.existing(mass[..., None])
            share = share / share.sum(-2, keepdim=True)
            q = system.existing(q - (share * q).sum(-2, keepdim=True))
            p = p - share * p.sum(-2, keepdim=True)
        return system, PhaseSpace(q, p)

    def pair_potential(self, square: Float[Tensor, "*pairs"], pair: Any) -> Float[Tensor, "*pairs"]:
        if self.rest_length is None:
            return 0.5 * self._constant_of(pair) * square
        distance, length = _distance(square), pair.rest_length
        # Both are (r - l)^2. The first is smooth at r = 0 if l = 0; the second keeps its digits where r is near l.
        stretch = torch.where(
            (2 * length <= distance) | (distance == 0),
            square - length * (2 * distance - length),
            (distance - length).square(),
        )
        return 0.5 * (self._constant_of(pair) * stretch)

    def pair_force(self, square: Float[Tensor, "*pairs"], pair: Any) -> Float[Tensor, "*pairs"]:
        if self.rest_length is None:
            return torch.broadcast_tensors(-self._constant_of(pair), square)[0]
        inverse = square.masked_fill(square <= _nearest(square.dtype), torch.inf).rsqrt()
        return self._constant_of(pair) * (pair.rest_length * inverse - 1)

    def _constant_of(self, pair: Any) -> Tensor:
        """k of pairs."""
        return pair.once(_from_stiffness) if self.spring_constant is None else pair.spring_constant

    def _mirrored(self, weight: Tensor) -> Tensor:
        return weight  # the same for (i, j) and (j, i) to the last bit

    def potential(self, q: Float[Tensor, "*batch n d"]) -> Float[Tensor, "*batch"]:
        if self.rest_length is None and self.edges is None and self.box is None:
            return -0.5 * torch.stack([(x * self._linear_force(x)).sum(-1) for x in self._centred(q)]).sum(0)
        return super().potential(q)

    @property
    def is_sum(self) -> bool:
        by_matrix = self.rest_length is None and self.edges is None
        return type(self).force is Springs.force and not by_matrix and self.sides is None

    def jumps(
        self, state: PhaseSpace
    ) -> tuple[Float[Tensor, "*batch c"], Float[Tensor, "*batch c"], Float[Tensor, "*batch c"]] | None:
        """On a line, x_i - x_j of all pairs with a rest length: the spring pulls the other way beyond 0."""
        if self._is_linear or state.q.shape[-1] != 1 or self.box is not None:
            return None
        i, j = self._ends(state.q)
        joined = self._joined(self.pair_values())
        if self.edges is None:
            n = state.q.shape[-2]
            joined = joined.expand(*state.q.shape[:-2], n, n)[..., i, j]
        x, v = self.existing(state.q)[..., 0], self.velocity(state.p)[..., 0]
        value, rate, scale = x[..., i] - x[..., j], v[..., i] - v[..., j], x[..., i].abs() + x[..., j].abs()
        return torch.where(joined, value, 1), torch.where(joined, rate, 0), torch.where(joined, scale, 0)

    def continued(self, sides: Float[Tensor, "*batch c"]) -> Springs:
        field = copy.copy(self)
        field.sides = sides
        return field

    def singular(self, q: Float[Tensor, "*batch n d"]) -> Bool[Tensor, "*batch"] | None:
        """Where two bodies with a rest length between them are at one point: the spring has no direction."""
        if self._is_linear:
            return None
        _, square, pair = self._of_pairs(q)
        return self._any_pair(self._joined(pair) & (_distance(square) == 0))

    def _joined(self, pair: Any) -> Tensor:
        """Whether a pair has a spring with a rest length."""
        return self._existing_pairs(self._constant_of(pair) * pair.rest_length) != 0

    def _ends(self, q: Tensor) -> Tensor:
        """The bodies i and j of the edges, or of all pairs ``(2, c)``."""
        n = q.shape[-2]
        return torch.triu_indices(n, n, 1, device=q.device) if self.edges is None else self.edges

    def force(self, q: Float[Tensor, "*batch n d"]) -> Float[Tensor, "*batch n d"]:
        """-dV/dq. With rest lengths from pair forces, antisymmetric to the last bit; without, as a matrix product."""
        if self.rest_length is None and self.edges is None and self.box is None:
            return torch.stack([self._linear_force(x) for x in self._centred(q)], -1)
        return super().force(q) if self.sides is None else self._continued_force(q, self.sides)

    def _continued_force(self, q: Tensor, sides: Tensor) -> Tensor:
        """On a line, with these signs of x_i - x_j."""
        (apart,), _, pair = self._of_pairs(q)
        if self.edges is None:
            i, j = self._ends(q)
            signs = sides.new_zeros(*sides.shape[:-1], *apart.shape[-2:])
            signs[..., i, j], signs[..., j, i] = sides, -sides
            sides = signs
        pull = self._existing_pairs(self._constant_of(pair) * (pair.rest_length * sides - apart))
        total = pull.sum(-1) if self.edges is None else self._along_edges(pull, pull, q.shape[-2])
        return total[..., None]

    def _centred(self, q: Tensor) -> list[Tensor]:
        """Positions about the mean of the bodies, ``(*batch, n)`` for each dimension.

        Forces and energy are the same, with all their digits far from the origin too.
        """
        number = q.shape[-2] if self.mask is None else self.mask.sum(-1, keepdim=True)
        centred = [x - x.sum(-1, keepdim=True) / number for x in self.existing(q).unbind(-1)]
        return centred if self.mask is None else [torch.where(self.mask, x, 0) for x in centred]

    def _linear_force(self, x: Tensor) -> Tensor:
        """sum over j of k_ij (x_j - x_i), in one dimension: with one constant a body, a matter of n products."""
        if self.stiffness is None:
            constant, n = self.matrix, x.shape[-1]
            constant = constant.expand(*constant.shape[:-2], n, n)
            return (constant @ x[..., None]).squeeze(-1) - constant.sum(-1) * x
        c = self.existing(self.stiffness[..., None]).squeeze(-1)
        return 2 * c * ((c * x).sum(-1, keepdim=True) - c.sum(-1, keepdim=True) * x)

    @property
    def matrix(self) -> Float[Tensor, "*batch n n"]:
        """The spring constants k_ij of all pairs, however they were given; 0 where there is no spring."""
        if self.edges is not None:
            return matrix_of(self.edges, self._existing_pairs(self._constant_of(self.pair_values())), self.bodies)
        if self.spring_constant is not None:
            return self._of_every_pair(("body", "other_body"), self.spring_constant)
        assert self.stiffness is not None  # the constructor wants one of the two
        c = self.existing(self.stiffness[..., None])
        return 2 * c * c.mT

    @property
    def has_closed_form(self) -> bool:
        """True without rest lengths and fixed bodies; on a large graph, also without negative constants."""
        if self.fixed is not None or not self._is_linear:
            return False
        if self.edges is None or self.bodies <= FEW:
            return True
        return bool((self._constant_of(self.pair_values()) >= 0).all())

    @property
    def closed_form_backend(self) -> str:
        by_series = self.edges is not None and self.bodies > FEW
        return "eager" if by_series or machine_code(self.mass) is None else "native"

    @property
    def _is_linear(self) -> bool:
        return self.rest_length is None or not (self.rest_length.requires_grad or bool(self.rest_length.any()))

    def closed_form(self, state: PhaseSpace, times: Float[Tensor, " time *batch"]) -> PhaseSpace:
        """The exact solution for springs of zero rest length.

        By normal modes, each connected part by itself (see `closed_forms.normal_modes`); along the edges of more than
        `FEW` bodies by Chebyshev series without a matrix (see `closed_forms.chebyshev`).

        Args:
            state: ``(*batch, n, d)`` at ``times[0]``.
            times: ``(time,)`` or ``(time, *batch)``, in any order.

        Raises:
            ValueError: if there are rest lengths, or shapes do not fit.
        """
        if not self.has_closed_form:
            return super().closed_form(state, times)
        n, mass = state.q.shape[-2], self.mass
        bodies = self.bodies
        if state.p.shape != state.q.shape or bodies not in (1, n):
            expected = f"q and p (*batch, {bodies}, d)"
            raise ValueError(f"state: expected {expected}, got {tuple(state.q.shape)} and {tuple(state.p.shape)}")
        state = PhaseSpace(self.existing(state.q), self.existing(state.p))
        mass = mass.expand(*mass.shape[:-1], n)
        if self.edges is not None and n > FEW:
            constant = self._existing_pairs(self._constant_of(self.pair_values()))
            return chebyshev_flow(mass, self.edges, constant, state, times)
        constant = self.matrix
        constant = constant.expand(*constant.shape[:-2], n, n)
        return normal_mode_flow(mass, constant, state, times, self.mask)


def _from_stiffness(pair: Any) -> Tensor:
    """k_ij = 2 c_i c_j."""
    return 2 * pair.i.stiffness * pair.j.stiffness


def _distance(square: Tensor) -> Tensor:
    """|q_i - q_j|; 0 for bodies at one point."""
    distinct = square > _nearest(square.dtype)
    return torch.where(distinct, torch.where(distinct, square, 1).sqrt(), 0)


def _nearest(dtype: torch.dtype) -> float:
    """The square of the distance up to which bodies are at one point: second derivatives of it overflow there."""
    return torch.finfo(dtype).tiny ** (2 / 3)
