"""Seventeen laws, the systems that obey them, and what a reader of them should find."""

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
import xarray as xr
from jaxtyping import Float
from torch import Tensor

from hlieconv.models.expansion.law import Estimate
from systems import AbstractNewtonian, Charges, Gravity, PhaseSpace, Springs, Variable
from systems.integrators import AbstractIntegrator
from systems.simulation import simulate

#: Of the points of a trajectory, in seconds.
SPACING = 5 / 499

#: Of the polygon near the corners of which bodies begin.
SIDE = 1.3


class PairLaw(AbstractNewtonian):
    """A potential of the distances r of bodies with a feature k: sum over i < j of k_i k_j phi(r), plus what is own."""

    variables = (*AbstractNewtonian.variables, Variable("stiffness", ("body",), "1", "stiffness"))
    stiffness: Tensor
    phi: Callable[[Tensor], Tensor]

    def potential(self, q: Float[Tensor, "*batch n d"]) -> Float[Tensor, "*batch"]:
        apart = torch.eye(q.shape[-2], dtype=q.dtype)
        r = sum((x.square() for x in self.differences(q)), apart).sqrt()
        product = self.stiffness[..., :, None] * self.stiffness[..., None, :]
        return (product * type(self).phi(r)).triu(1).sum((-2, -1)) + self.rest(q)

    def rest(self, q: Float[Tensor, "*batch n d"]) -> Tensor:
        """What is no function of distances."""
        return torch.zeros(())


def law_of(
    function: Callable[[Tensor], Tensor], rest: Callable[[Any, Tensor], Tensor] | None = None
) -> type[AbstractNewtonian]:
    """A class of systems with this function of the distance."""
    own: dict[str, Any] = {"phi": staticmethod(function)} | ({"rest": rest} if rest is not None else {})
    return type("Law", (PairLaw,), own)


def trap(self: Any, q: Tensor) -> Tensor:
    """m_i q_i^2 + k_i q_i^4 / 5, about the origin."""
    square = q.square().sum(-1)
    return (self.mass * square + 0.2 * self.stiffness * square.square()).sum(-1)


def field(self: Any, q: Tensor) -> Tensor:
    """2 m_i y_i + k_i y_i^2 / 2."""
    y = q[..., 1]
    return (2 * self.mass * y + 0.5 * self.stiffness * y.square()).sum(-1)


def angles(self: Any, q: Tensor) -> Tensor:
    """k_i cos^2 of the angle at i between j and k, softened."""
    x = q[..., :, None, :] - q[..., None, :, :]
    square, upper = x.square().sum(-1) + 0.3, torch.ones(q.shape[-2], q.shape[-2], dtype=q.dtype).triu(1)
    cosine = (x @ x.mT).square() / (square[..., :, None] * square[..., None, :])
    return 0.5 * (self.stiffness[..., None, None] * cosine * upper).sum((-3, -2, -1))


def triangles(self: Any, q: Tensor) -> Tensor:
    """Softened dipoles of three bodies (Axilrod and Teller 1943): no product of functions of two arms."""
    i, j, k = torch.combinations(torch.arange(q.shape[-2]), 3).T
    a, b, c = ((q[..., x, :] - q[..., y, :]).square().sum(-1) for x, y in ((i, j), (j, k), (i, k)))
    soft = (a + 0.5) * (b + 0.5) * (c + 0.5)
    angles = 1 + 3 / 8 * (a + c - b) * (a + b - c) * (b + c - a) / soft
    strength = self.stiffness[..., i] * self.stiffness[..., j] * self.stiffness[..., k]
    return 0.2 * (strength * angles / soft.pow(1.5)).sum(-1)


def areas(self: Any, q: Tensor) -> Tensor:
    """k_i k_j k_k tanh of the squared area of the triangle."""
    i, j, k = torch.combinations(torch.arange(q.shape[-2]), 3).T
    a, b, c = ((q[..., x, :] - q[..., y, :]).square().sum(-1) for x, y in ((i, j), (j, k), (i, k)))
    square = (2 * (a * b + b * c + c * a) - a.square() - b.square() - c.square()) / 16  # Heron
    strength = self.stiffness[..., i] * self.stiffness[..., j] * self.stiffness[..., k]
    return 0.3 * (strength * torch.tanh(square)).sum(-1)


@dataclass(frozen=True)
class Case:
    """A law, and what its terms are: shape, what is summed over, exponents, coefficient; None: it is in no library."""

    kind: Any
    expected: tuple[tuple[str, str, float], ...] | None
    group: str = "SE2"
    spacing: float = SPACING
    options: tuple[tuple[str, Any], ...] = ()
    arranged: bool = False
    """Whether bodies begin near the corners of a regular polygon, as singular repulsion asks for."""

    def sample(self, count: int, seed: int, bodies: int = 6) -> tuple[AbstractNewtonian, PhaseSpace]:
        """So many systems of this law (planets are fewer by two), and their first states."""
        options = dict(self.options)
        if not issubclass(self.kind, PairLaw):
            return self.kind.sample(
                count, seed=seed, bodies=4 if self.kind is Gravity and bodies == 6 else bodies, **options
            )
        springs, state = Springs.sample(count, seed=seed, bodies=bodies)
        q = state.q
        if self.arranged:
            angle = 2 * torch.pi * torch.arange(bodies, dtype=q.dtype) / bodies
            radius = SIDE / (2 * math.sin(math.pi / bodies))
            q = radius * torch.stack([angle.cos(), angle.sin()], -1) + 0.2 * q
        return self.kind(mass=springs.mass, stiffness=springs.stiffness), PhaseSpace(q, state.p)

    def trajectories(
        self,
        count: int,
        seed: int,
        bodies: int = 6,
        points: int = 50,
        noise: float = 0.0,
        integrator: AbstractIntegrator | None = None,
    ) -> xr.Dataset:
        """The first half second of each system, or more points; with noise of a part of the spread of q and of p."""
        system, state = self.sample(count, seed, bodies)
        times = torch.arange(points, dtype=torch.float64) * self.spacing
        dataset, generator = simulate(system, state, times, integrator), np.random.default_rng(seed)
        for name in ("q", "p") if noise else ():
            value = dataset[name]
            noisy = value + noise * float(value.std()) * generator.standard_normal(value.shape)
            dataset = dataset.assign({name: noisy.assign_attrs(value.attrs)})
        return dataset

    def coefficient_error(self, found: Sequence[Estimate]) -> float | None:
        """The largest relative error of the coefficients; None if the form is another, or in no library."""
        terms = sorted((_words(x), x.term.over, x.coefficient) for x in found)
        wanted = sorted(self.expected or ())
        if not wanted or [x[:2] for x in terms] != [x[:2] for x in wanted]:
            return None
        return max(abs(a[2] / b[2] - 1) for a, b in zip(terms, wanted, strict=True))


def _words(estimate: Estimate) -> str:
    """The shape of a term with its exponents."""
    term = estimate.term
    pairs = zip(term.parameters, term.kinds, strict=True)
    return " ".join([term.shape, *(f"{x:g}" for x, kind in pairs if kind == "exponent" and term.shape != "spline")])


E12, E24 = (float(torch.tensor(x, dtype=torch.float64).exp()) for x in (1.2, 2.4))

LAWS = {
    "springs": Case(Springs, (("power 2", "i < j", 1.0),)),
    "springs with rest lengths": Case(
        Springs, (("power 2", "i < j", 1.0), ("power 1", "i < j", -2.0)), options=(("rest_length", (0.2, 1.0)),)
    ),
    "gravity": Case(Gravity, (("softened -1", "i < j", -1.0),), spacing=0.05, options=(("softening", 0.1),)),
    "charges": Case(Charges, (("softened -1", "i < j", 1.0),), options=(("softening", 0.2),)),
    "Morse": Case(
        law_of(lambda r: 0.3 * (1 - torch.exp(-1.5 * (r - 0.8))).square()),
        (("exponential", "i < j", -0.6 * E12), ("exponential", "i < j", 0.3 * E24)),
    ),
    "r^(3/2)": Case(law_of(lambda r: r**1.5), (("power 1.5", "i < j", 1.0),)),
    "cos^2 of angles": Case(
        law_of(lambda r: 0.5 * r**2, angles), (("power 2", "i < j", 0.5), ("cosine 2", "i, j < k", 0.5))
    ),
    "trap": Case(
        law_of(lambda r: 0.3 * r**2, trap),
        (("power 2", "i < j", 0.3), ("power 2", "i", 1.0), ("power 4", "i", 0.2)),
        "SO2",
    ),
    "field": Case(
        law_of(lambda r: 0.3 * r**2, field),
        (("power 2", "i < j", 0.3), ("monomial 0 1", "i", 2.0), ("monomial 0 2", "i", 0.5)),
        "Tx",
    ),
    "tanh": Case(law_of(lambda r: torch.tanh(r) / (1 + 0.3 * r**3)), None),
    # The search was not tuned on these.
    "Lennard-Jones": Case(
        law_of(lambda r: 0.1 * (r**-12 - r**-6)),
        (("power -12", "i < j", 0.1), ("power -6", "i < j", -0.1)),
        arranged=True,
    ),
    "Yukawa": Case(law_of(lambda r: 0.5 * torch.exp(-r / 0.7) / r), (("yukawa", "i < j", 0.5),), arranged=True),
    "Gaussian well": Case(law_of(lambda r: -torch.exp(-((r / 0.9) ** 2))), (("gaussian", "i < j", -1.0),)),
    "logarithm": Case(law_of(lambda r: 0.2 * torch.log(r)), (("logarithm", "i < j", 0.2),), arranged=True),
    "hardening springs": Case(
        law_of(lambda r: 0.5 * r**2 + 0.25 * r**4), (("power 2", "i < j", 0.5), ("power 4", "i < j", 0.25))
    ),
}
#: The fifteen of them on which others are compared; below are laws of three bodies that are in no library.
NAMES = tuple(LAWS)
LAWS["Axilrod-Teller"] = Case(law_of(lambda r: 0.5 * r**2, triangles), None)
LAWS["areas"] = Case(law_of(lambda r: 0.5 * r**2, areas), None)
UNTUNED = ("Lennard-Jones", "Yukawa", "Gaussian well", "logarithm", "hardening springs")
