"""Any matrix Lie group, from its generators alone."""

import itertools
from collections.abc import Iterable, Sequence
from typing import Any

import torch
from jaxtyping import Float
from torch import Tensor

from hlieconv.groups.abstract import AbstractGroup
from hlieconv.groups.algebra import Entries, entries_of, generator_name, structure_constants
from hlieconv.groups.cross_section import (
    Origin,
    Section,
    Slice,
    check_section,
    closed_circle,
    stabiliser_of,
)
from hlieconv.groups.matrix_logarithm import principal_logarithm
from hlieconv.groups.so2 import equal_angles, random_angles
from systems.tracing import outside, readable


def from_generators(
    matrices: Iterable[Any],
    dim: int,
    *,
    name: str = "generated",
    names: Sequence[str] | None = None,
    base: Sequence[float] | None = None,
    section: Section | None = None,
    origin: Origin | None = None,
) -> "Generated":
    """The group of all products of exponentials of some matrices, acting on R^dim.

    exp is the matrix exponential. log is its inverse in coordinates of the algebra, found from the principal logarithm
    of the matrix and refined by Newton's method, in float64; it is differentiable any number of times, also at pi.
    Where all generators commute, angles that the matrix shows elsewhere are unwound (a helix, whose shift along the
    axis shows how often it turned).

    The lift needs a cross-section, one point of each orbit. Without one of your own it is the plane through ``base``
    across the orbit of ``base``, and each point is brought there by Newton's method. That is right where every orbit
    meets this plane once, as for translations (part of any larger group), screws, or unipotent groups; it is tested,
    and `lift` says so where it is not. Points with a stabiliser of one compact dimension are lifted along it; for a
    larger one, or one without a uniform measure (boosts, scalings), give `lift` the elements ``stabiliser=``.

    Args:
        matrices: the generators, ``(a, r, r)``: r = dim for a linear action, r = dim + 1 with a last row of zeros for
            an affine one x -> A x + b. Translations first.
        dim: d of the space R^d that the group acts on.
        name: what `repr` and errors call it.
        names: the names of the generators. Translations, rotations and the dilation are recognised, the rest is X0,
            X1, ...
        base: a point whose orbit is as large as any, 0 by default.
        section: points ``(*batch, d)`` to elements ``(*batch, r, r)`` and orbits ``(*batch, o)``.
        origin: orbits to points ``(*batch, d)``, such that the elements take them to the points of `section`.

    Raises:
        ValueError: if the generators are not of this form, depend on each other or do not close under commutators; if
            some product of exponentials (random ones are tested) has no logarithm in the algebra; or if `section` and
            `origin` do not fit each other or are not equivariant.

    Example: screws, which turn and move along the axis of the turn.
        >>> import torch
        >>> from hlieconv.groups import from_generators
        >>> screw = torch.zeros(4, 4)
        >>> screw[0, 1], screw[1, 0], screw[2, 3] = -1.0, 1.0, 0.5
        >>> helix = from_generators([screw], dim=3, name="helix", names=["screw"])
        >>> helix.log(helix.exp(torch.tensor([10.0]))).round()  # more than one turn
        tensor([10.])
        >>> helix.lift(torch.tensor([[2.0, 2.0, torch.pi]])).orbit.round()  # where the helix meets the plane z = 0
        tensor([[[2., 2.]]])
    """
    generators = [torch.as_tensor(matrix) for matrix in matrices]
    if any(matrix.is_complex() for matrix in generators):
        raise ValueError("matrices: expected real numbers, got complex ones: i A is no generator where A is one")
    generators = [matrix.detach().to(torch.float64) for matrix in generators]
    if not generators:
        raise ValueError("matrices: expected at least one generator, got none")
    basis = torch.stack(generators)
    affine = basis.shape[1:] == (dim + 1, dim + 1)
    if basis.shape[1:] != (dim, dim) and not affine:
        raise ValueError(f"matrices: expected (a, {dim}, {dim}) or (a, {dim + 1}, {dim + 1}), got {tuple(basis.shape)}")
    if not torch.isfinite(basis).all() or (affine and basis[:, -1].any()):
        raise ValueError("matrices: expected finite entries, and zeros in the last row of an affine generator")
    entries = [entries_of(matrix) for matrix in basis]
    names = names or [generator_name(entry, dim) or f"X{k}" for k, entry in enumerate(entries)]
    if len(set(names)) != len(basis):
        raise ValueError(f"names: expected {len(basis)} different ones, got {', '.join(names)}")
    if (section is None) != (origin is None):
        raise ValueError("section: expected together with origin, got one of the two")
    base = dim * (0.0,) if base is None else tuple(base)
    if len(base) != dim:
        raise ValueError(f"base: expected a point of R^{dim}, got {base}")
    with outside():  # its constants serve any later call
        return Generated(name, dim, dim + affine, tuple(zip(names, entries, strict=True)), base, section, origin)


class Generated(AbstractGroup):
    """What `from_generators` makes. Its logarithm and lift look at values, so they wait for a GPU."""

    def __init__(
        self,
        name: str,
        dimension: int,
        element_size: int,
        algebra: tuple[tuple[str, Entries], ...],
        base: tuple[float, ...],
        section: Section | None,
        origin: Origin | None,
    ) -> None:
        self._key = (name, dimension, element_size, algebra, base, section, origin)
        self.name, self.dimension, self.element_size = name, dimension, element_size
        self._algebra = dict(algebra)
        self._constants = structure_constants(self.basis(torch.float64), self.generator_names)
        self._commutative = not self._constants.any()
        shifts = [all(column == dimension for _, column, _ in entries) for _, entries in algebra]
        self.translation_dimension = len(list(itertools.takewhile(bool, shifts)))
        self._unwinding = self._characters() if self._commutative else None
        self._starts = torch.randn(4, len(algebra), generator=torch.Generator().manual_seed(1), dtype=torch.float64)
        generator = torch.Generator().manual_seed(0)
        self._check_logarithm(generator)
        self._prepare_lift(base, section, origin, generator)

    def __eq__(self, other: object) -> bool:
        return isinstance(other, Generated) and self._key == other._key

    def __hash__(self) -> int:
        return hash(self._key)

    @property
    def algebra(self) -> dict[str, Entries]:
        return self._algebra

    # --- exponential and logarithm ---

    def exp(self, a: Float[Tensor, "*batch a"]) -> Float[Tensor, "*batch r r"]:
        # In float64: in float32 torch's matrix exponential is wrong by up to 200 eps for norms near 0.5.
        return torch.linalg.matrix_exp(self.hat(a.double())).to(a.dtype)

    def log(self, g: Float[Tensor, "*batch r r"]) -> Float[Tensor, "*batch a"]:
        g64 = g.double()
        with torch.no_grad():
            a = self._search(g64.detach())
        # Two steps of Newton's method from a constant start: their result is the logarithm, and so are its first
        # three derivatives.
        return self._newton(self._newton(a, g64), g64).to(g.dtype)

    def relative(self, u: Float[Tensor, "*#batch r r"], v: Float[Tensor, "*#batch r r"]) -> Float[Tensor, "*batch a"]:
        # A quotient that is rounded to float32 may lie too far from the group for its logarithm to be found.
        return self._log(self.between(u.double(), v.double())).to(u.dtype)

    def _search(self, g: Tensor) -> Tensor:
        """The logarithm to some digits; wrong, maybe NaN, where there is none."""
        a = self._newton(self._guess(g), g)
        lost = ~self._solves(a, g)
        if not readable(lost, wait=True):
            return torch.where(lost[..., None], self._search_off_the_cut(a, g), a)
        if bool(lost.any()):
            a[lost] = self._search_off_the_cut(a[lost], g[lost])
        return a

    def _search_off_the_cut(self, best: Tensor, g: Tensor) -> Tensor:
        """Where g has eigenvalues on the negative axis, some g exp(-b) has not: start from the logarithm of that."""
        for b in self._starts:
            a = self._guess(g @ self.exp(-0.1 * b.to(g.device)))
            for _ in range(8):
                a = self._newton(a, g)
            longer = self._solves(best, g) & (a.norm(dim=-1) >= best.norm(dim=-1))
            best = torch.where((self._solves(a, g) & ~longer)[..., None], a, best)
        return best

    def _guess(self, g: Tensor) -> Tensor:
        if self._unwinding is None:
            return self.vee(principal_logarithm(g))
        unwound = self._characters_of(g) @ self._unwinding.to(g).mT
        return unwound + self.vee(principal_logarithm(self.exp(-unwound) @ g))

    def _newton(self, a: Tensor, g: Tensor) -> Tensor:
        """Solve exp(a) exp(J step) = g to second order in the step."""
        rest = self._residual(a, g)
        step = self.vee(rest - rest @ rest / 2)
        if self._commutative:
            return a + step
        return a + torch.linalg.solve_ex(self._jacobian(a), step[..., None]).result[..., 0]

    def _residual(self, a: Tensor, g: Tensor) -> Tensor:
        return self.exp(-a) @ g - self.identity(dtype=g.dtype, device=g.device)

    def _solves(self, a: Tensor, g: Tensor) -> Tensor:
        """exp(a) = g to 6 digits; False for NaN."""
        scale = (self.exp(-a).norm(dim=(-2, -1)) * g.norm(dim=(-2, -1))).clamp(min=1)
        return self._residual(a, g).norm(dim=(-2, -1)) < 1e-6 * scale

    def _jacobian(self, a: Tensor) -> Tensor:
        """J with exp(a + b) = exp(a) exp(J b + O(b^2)): the integral of exp(-s ad_a) over s in [0, 1]."""
        size = self.algebra_dimension
        adjoint = torch.einsum("...k,kij->...ij", a, self._constants.to(a))
        identity = torch.eye(size, dtype=a.dtype, device=a.device).expand_as(adjoint)
        top = torch.cat([-adjoint, identity], -1)
        return torch.linalg.matrix_exp(torch.cat([top, torch.zeros_like(top)], -2))[..., :size, size:]

    def _characters(self) -> Tensor | None:
        """Coordinates of the algebra from functions of g that add up under products, exactly and without a cut.

        They are log|det g|, and the shift along covectors w that every linear part leaves in place (w A = 0).
        """
        linear, shift = self.generators(torch.float64)
        rank = int(torch.linalg.matrix_rank(linear.flatten(0, 1)))
        self._covectors = torch.linalg.svd(linear.mT.flatten(0, 1)).Vh[rank:]
        rates = torch.cat([linear.diagonal(dim1=1, dim2=2).sum(-1, keepdim=True), shift @ self._covectors.mT], -1).mT
        return torch.linalg.pinv(rates) if rates.abs().max() > 1e-9 else None

    def _characters_of(self, g: Tensor) -> Tensor:
        d = self.dimension
        shift = g[..., :d, d] if self.element_size > d else g.new_zeros(*g.shape[:-2], d)
        volume = torch.linalg.slogdet(g).logabsdet[..., None]
        return torch.cat([volume, shift @ self._covectors.to(g).mT], -1)

    def _check_logarithm(self, generator: torch.Generator) -> None:
        size = torch.tensor([0.5, 1.0, 2.0], dtype=torch.float64).repeat_interleave(64)[:, None]
        shape = (3, len(size), self.algebra_dimension)
        factors = self.exp(size * torch.randn(shape, generator=generator, dtype=torch.float64))
        products = torch.cat([factors[0] @ factors[1], factors[0] @ factors[1] @ factors[2]])
        lost = ~self._solves(self._log(products), products)
        if not lost.any():
            return
        values = torch.linalg.eigvals(products[lost][0])
        negative = values.real[(values.imag.abs() < 1e-9 * values.abs()) & (values.real < 0)]
        reason = (
            f"one has the negative eigenvalue {negative[0]:.3g}, hence no real logarithm"
            if len(negative)
            else "the principal logarithm leaves the algebra"
        )
        raise ValueError(
            f"generators: the exponential map of {', '.join(self.generator_names)} is not surjective, or no logarithm "
            f"was found: {int(lost.sum())} of {len(products)} random products of exponentials have none; {reason}"
        )

    # --- lifting ---

    def section(
        self, points: Float[Tensor, "*batch d"]
    ) -> tuple[Float[Tensor, "*batch r r"], Float[Tensor, "*batch o"]]:
        if self._cannot_lift:
            raise ValueError(f"{self.name} cannot lift: {self._cannot_lift}: give from_generators section and origin")
        return self._section(points)

    def origin(self, orbit: Float[Tensor, "*batch o"]) -> Float[Tensor, "*batch d"]:
        return self._origin(orbit)

    def stabiliser_nodes(
        self, count: int, *, dtype: torch.dtype, device: torch.device | str | None = None
    ) -> Float[Tensor, "count r r"]:
        """Equally spaced along the stabiliser, if it is a circle."""
        return self._along_circle(equal_angles(count, dtype, device))

    def stabiliser_samples(
        self,
        batch: Sequence[int],
        *,
        generator: torch.Generator,
        dtype: torch.dtype,
        device: torch.device | str | None = None,
    ) -> Float[Tensor, "*batch r r"]:
        """Uniform along the stabiliser, if it is a circle."""
        return self._along_circle(random_angles(batch, generator, dtype, device))

    def _along_circle(self, angle: Tensor) -> Tensor:
        if not self.stabiliser_dimension:
            return self.identity(angle.shape, dtype=angle.dtype, device=angle.device)
        if self._circle is None:
            raise ValueError(
                f"stabiliser: that of {self.name} has dimension {self.stabiliser_dimension} and is not known to have "
                "a uniform measure: give lift its elements, stabiliser=(samples, r, r)"
            )
        return self.exp(angle[..., None] * self._circle.to(angle))

    def _prepare_lift(
        self, base: tuple[float, ...], section: Section | None, origin: Origin | None, generator: torch.Generator
    ) -> None:
        self._cannot_lift = ""
        try:
            if section is None or origin is None:
                plane = Slice(self, base)
                section, origin = plane.section, plane.origin
            check_section(self, section, origin, generator)
            stabiliser = stabiliser_of(self, section, origin, generator)
        except ValueError as error:
            if self._key[-1] is not None:
                raise
            self._cannot_lift = str(error)
            return
        self._section, self._origin = section, origin
        self.orbit_dimension = section(torch.ones(1, self.dimension, dtype=torch.float64))[1].shape[-1]
        self.stabiliser_dimension = len(stabiliser)
        self._circle = closed_circle(self, stabiliser)
