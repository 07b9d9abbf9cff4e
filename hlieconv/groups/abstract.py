"""The contract of a Lie group that acts on R^d.

A group is a stateless, hashable object that works on plain tensors of any batch shape, dtype and device:

    algebra vector   ``(*batch, a)``     translations first, then rotations, then log-scales
    element          ``(*batch, r, r)``  a matrix; r = d for linear actions, r = d + 1 (homogeneous) for affine ones
    orbit            ``(*batch, o)``     which orbit a point lies on; o = 0 where there is one orbit only
"""

import functools
from abc import ABC, abstractmethod
from collections.abc import Callable, Sequence
from typing import Any, NamedTuple

import torch
from jaxtyping import Bool, Float
from torch import Tensor

from hlieconv.groups.algebra import Entries, basis_of, dual_of
from hlieconv.groups.matrices import image, product
from systems.door import in_steps
from systems.tracing import readable


class Lift(NamedTuple):
    """Points of R^d as pairs of a group element and an orbit."""

    elements: Float[Tensor, "*batch n samples r r"]
    orbit: Float[Tensor, "*batch n samples o"]


class Generators(NamedTuple):
    """The vector fields x -> A x + b of a basis of the algebra."""

    linear: Float[Tensor, "a d d"]
    shift: Float[Tensor, "a d"]


def _of_elements(log: Callable[[Any, Tensor], Tensor]) -> Callable[[Any, Tensor], Tensor]:
    """The same logarithm, of elements only."""

    @functools.wraps(log)
    def checked(self: "AbstractGroup", g: Tensor) -> Tensor:
        a = log(self, g)
        with torch.no_grad():
            good = self._is_element(g, a)
        if not readable(good):
            return a.masked_fill(~good[..., None], torch.nan)
        if not good.all():
            wrong = g[~good][0].tolist()
            raise ValueError(f"g: expected elements of {self.name}, got a matrix that is none: {wrong}")
        return a

    return checked


@in_steps
class AbstractGroup(ABC):
    """A Lie group acting on R^d by linear or affine maps.

    A subclass gives `algebra`, `exp`, `log` and, where the action is not transitive, the cross-section of its orbits
    (`section` and `origin`); the rest follows from these, and may be replaced by something faster.
    """

    name: str
    """The name on the command line."""
    dimension: int
    """d of the space R^d that the group acts on."""
    element_size: int
    """r of the matrices (r, r): d, or d + 1 for homogeneous coordinates."""
    orbit_dimension: int = 0
    translation_dimension: int = 0
    """How many of the generators, the first ones, are translations."""
    stabiliser_dimension: int = 0
    """Dimension of the subgroup that leaves an origin in place; 0 where a point has exactly one element."""

    @property
    @abstractmethod
    def algebra(self) -> dict[str, Entries]:
        """The basis of the Lie algebra: the matrix of each generator by its name (P_x, L_z, dilation, ...)."""

    @property
    def algebra_dimension(self) -> int:
        return len(self.algebra)

    @property
    def generator_names(self) -> tuple[str, ...]:
        return tuple(self.algebra)

    def __eq__(self, other: object) -> bool:
        return type(self) is type(other) and vars(self) == vars(other)

    def __hash__(self) -> int:
        return hash((type(self), *vars(self).items()))

    def __repr__(self) -> str:
        return f"<group {self.name}>"

    # --- elements and algebra vectors ---

    @abstractmethod
    def exp(self, a: Float[Tensor, "*batch a"]) -> Float[Tensor, "*batch r r"]:
        """The element of an algebra vector: the exponential of the matrix `hat(a)`."""

    @abstractmethod
    def log(self, g: Float[Tensor, "*batch r r"]) -> Float[Tensor, "*batch a"]:
        """The principal logarithm: exp(log(g)) = g for every element; angles lie in (-pi, pi].

        What a subclass returns is compared with g: a matrix that is no element has no logarithm. Where values cannot
        be looked at (compiled, under vmap, on a GPU) it is NaN.

        Raises:
            ValueError: if some matrix is no element of the group, by more than rounding.
        """

    def __init_subclass__(cls, **options: Any) -> None:
        super().__init_subclass__(**options)
        if (log := vars(cls).get("log")) is not None:
            cls._log = log
            setattr(cls, "log", _of_elements(log))  # noqa: B010

    def _log(self, g: Tensor) -> Tensor:
        """The `log` of what is an element for certain."""
        raise NotImplementedError

    def _is_element(self, g: Tensor, a: Tensor) -> Tensor:
        """Whether exp(a) = g but for rounding; elements made in float32 are elements in float64 too."""
        d, off, size = self.dimension, (self.exp(a) - g).abs(), g.abs()
        tolerance = torch.finfo(g.dtype).eps ** 0.4
        good = (off <= tolerance * size.amax((-2, -1), keepdim=True)).flatten(-2).all(-1)
        linear = off[..., :d, :d] <= tolerance * size[..., :d, :d].amax((-2, -1), keepdim=True)
        return good & linear.flatten(-2).all(-1) & a.isfinite().all(-1)

    def hat(self, a: Float[Tensor, "*batch a"]) -> Float[Tensor, "*batch r r"]:
        """The matrix sum_k a_k E_k of an algebra vector."""
        basis = self.basis(a.dtype, a.device)
        return image(basis.flatten(1).mT, a).unflatten(-1, basis.shape[1:])

    def vee(self, matrix: Float[Tensor, "*batch r r"]) -> Float[Tensor, "*batch a"]:
        """The algebra vector of a matrix: the inverse of `hat` (least squares outside its image)."""
        dual = dual_of(tuple(self.algebra.values()), self.element_size, matrix.dtype, matrix.device)
        return image(dual.mT, matrix.flatten(-2))

    def basis(self, dtype: torch.dtype, device: torch.device | str | None = None) -> Float[Tensor, "a r r"]:
        """The matrices of the generators."""
        return basis_of(tuple(self.algebra.values()), self.element_size, dtype, device)

    def generators(self, dtype: torch.dtype, device: torch.device | str | None = None) -> Generators:
        """The generators as vector fields x -> A x + b on R^d: matrices A ``(a, d, d)`` and shifts b ``(a, d)``."""
        basis, d = self.basis(dtype, device), self.dimension
        shift = basis[:, :d, d] if self.element_size > d else basis.new_zeros(len(basis), d)
        return Generators(basis[:, :d, :d], shift)

    def identity(
        self, batch: Sequence[int] = (), *, dtype: torch.dtype, device: torch.device | str | None = None
    ) -> Float[Tensor, "*batch r r"]:
        r = self.element_size
        return torch.eye(r, dtype=dtype, device=device).expand(*batch, r, r)

    def inverse(self, g: Float[Tensor, "*batch r r"]) -> Float[Tensor, "*batch r r"]:
        return torch.linalg.inv_ex(g).inverse

    def relative(self, u: Float[Tensor, "*#batch r r"], v: Float[Tensor, "*#batch r r"]) -> Float[Tensor, "*batch a"]:
        """log(v^-1 u), which does not change when both are moved by the same element."""
        return self._log(self.between(u, v))

    def between(self, u: Float[Tensor, "*#batch r r"], v: Float[Tensor, "*#batch r r"]) -> Float[Tensor, "*batch r r"]:
        """v^-1 u. Of affine maps the shifts are subtracted first, so that it is as exact far from the origin."""
        d = self.dimension
        if self.element_size == d:
            return product(self.inverse(v), u)
        back = torch.linalg.inv_ex(v[..., :d, :d]).inverse
        turn, shift = product(back, u[..., :d, :d]), product(back, u[..., :d, d:] - v[..., :d, d:])
        bottom = self.identity(turn.shape[:-2], dtype=u.dtype, device=u.device)[..., d:, :]
        return torch.cat([torch.cat([turn, shift], -1), bottom], -2)

    def adjoint(self, g: Float[Tensor, "*batch r r"]) -> Float[Tensor, "*batch a a"]:
        """The matrix Ad_g: g exp(a) g^-1 = exp(Ad_g a)."""
        basis = self.basis(g.dtype, g.device)
        return self.vee(product(product(g[..., None, :, :], basis), self.inverse(g)[..., None, :, :])).mT

    # --- pairs of elements, for kernels and neighbourhoods ---

    def embedding(self, u: Float[Tensor, "*#batch r r"], v: Float[Tensor, "*#batch r r"]) -> Float[Tensor, "*batch e"]:
        """Coordinates of v^-1 u that are smooth everywhere and 0 where u = v.

        `relative` jumps at the cut (an angle from pi to -pi), so that a kernel of it is discontinuous, and the
        energy of a Hamiltonian made of it is not conserved; here angles enter by sine and cosine.
        """
        entries = self.between(u, v) - self.identity(dtype=u.dtype, device=u.device)
        return entries[..., : self.dimension, :].flatten(-2)

    def bi_invariants(
        self, u: Float[Tensor, "*#batch r r"], v: Float[Tensor, "*#batch r r"]
    ) -> Float[Tensor, "*batch b"]:
        """Smooth functions of v^-1 u that do not depend on the stabiliser parts of u and v.

        A kernel of these needs no samples of the stabiliser and is exactly equivariant with any one lift, but cannot
        tell directions apart: on SE(2) only the distance of two points is left. They are not negative, and their sum
        serves as a squared distance. Without a stabiliser they are the `embedding`, of either sign.
        """
        if self.stabiliser_dimension:
            raise ValueError(f"{self.name} does not say what is left of its pairs without the stabiliser")
        return self.embedding(u, v)

    # --- the action on points ---

    def apply(self, g: Float[Tensor, "*#batch r r"], points: Float[Tensor, "*#batch d"]) -> Float[Tensor, "*batch d"]:
        """The points moved by the elements."""
        self._check_dimension(points)
        d = self.dimension
        moved = image(g[..., :d, :d], points)
        return moved + g[..., :d, d] if self.element_size > d else moved

    @abstractmethod
    def section(
        self, points: Float[Tensor, "*batch d"]
    ) -> tuple[Float[Tensor, "*batch r r"], Float[Tensor, "*batch o"]]:
        """One element u and the orbit q of each point x, such that u applied to `origin(q)` is x."""

    @abstractmethod
    def origin(self, orbit: Float[Tensor, "*batch o"]) -> Float[Tensor, "*batch d"]:
        """The point of each orbit that its elements are counted from."""

    def stabiliser_nodes(
        self, count: int, *, dtype: torch.dtype, device: torch.device | str | None = None
    ) -> Float[Tensor, "count r r"]:
        """Equally weighted quadrature nodes on the stabiliser, the identity first.

        Raises:
            ValueError: if there is no such rule of this size.
        """
        return self.identity((count,), dtype=dtype, device=device)

    def stabiliser_samples(
        self,
        batch: Sequence[int],
        *,
        generator: torch.Generator,
        dtype: torch.dtype,
        device: torch.device | str | None = None,
    ) -> Float[Tensor, "*batch r r"]:
        """Independent samples of the stabiliser, uniform by its Haar measure."""
        return self.identity(batch, dtype=dtype, device=device)

    def lift(
        self,
        points: Float[Tensor, "*batch n d"],
        samples: int = 1,
        *,
        generator: torch.Generator | None = None,
        stabiliser: Float[Tensor, "..."] | None = None,
        mask: Bool[Tensor, "*batch n"] | None = None,
    ) -> Lift:
        """Every element (of `samples`) that takes the origin of a point's orbit to the point, and that orbit.

        Args:
            points: points in R^d.
            samples: how many elements a point has. They differ by elements of the stabiliser (and are repeated where
                that is trivial).
            generator: the source of uniform stabiliser elements, drawn anew for each point. Without it they are the
                fixed nodes of a quadrature: then the lift is deterministic and smooth, as a Hamiltonian must be.
            stabiliser: the stabiliser elements to use instead, ``(samples, r, r)`` or ``(*batch, n, samples, r, r)``.
            mask: True where a body exists. What is masked may be anything, also NaN, and lifts as (1, ..., 1).

        Raises:
            ValueError: for the wrong dimension, no bodies, or points outside the domain of the action.

        Example:
            >>> import torch
            >>> from hlieconv.groups import SE2
            >>> lifted = SE2().lift(torch.rand(10, 6, 2), samples=4, generator=torch.Generator().manual_seed(0))
            >>> lifted.elements.shape, lifted.orbit.shape
            (torch.Size([10, 6, 4, 3, 3]), torch.Size([10, 6, 4, 0]))
        """
        self._check_dimension(points)
        if points.ndim < 2 or points.shape[-2] == 0:
            raise ValueError(f"points: expected shape (*batch, n, d) with n > 0 bodies, got {tuple(points.shape)}")
        if samples < 1:
            raise ValueError(f"samples: expected at least 1, got {samples}")
        if mask is not None:
            points = torch.where(mask[..., None], points, 1)
        like: Any = {"dtype": points.dtype, "device": points.device}
        elements, orbit = self.section(points)
        if stabiliser is None and generator is not None:
            stabiliser = self.stabiliser_samples((*points.shape[:-1], samples), generator=generator, **like)
        elif stabiliser is None:
            stabiliser = self.stabiliser_nodes(samples, **like)
        samples, elements = stabiliser.shape[-3], elements[..., None, :, :]
        if self.stabiliser_dimension:
            lifted = product(elements, stabiliser)
        else:
            lifted = elements.expand(*points.shape[:-1], samples, *elements.shape[-2:])
        return Lift(lifted, orbit[..., None, :].expand(*orbit.shape[:-1], samples, orbit.shape[-1]))

    def _check_dimension(self, points: Tensor) -> None:
        if points.shape[-1:] != (self.dimension,):
            raise ValueError(
                f"points: {self.name} acts on R^{self.dimension}, expected shape (..., {self.dimension}), "
                f"got {tuple(points.shape)}"
            )
