"""A smooth function of the distance of two bodies, where no known function will do."""

import functools
from dataclasses import dataclass

import numpy as np
import torch
from jaxtyping import Float
from scipy.interpolate import BSpline, PPoly
from torch import Tensor

from hlieconv.models.expansion.configuration import Configuration
from hlieconv.models.expansion.terms import Pair

#: Of the polynomials between knots.
DEGREE = 5


@dataclass(frozen=True)
class Spline(Pair):
    """sum over i < j of w_ij s(|q_i - q_j|), s a spline: the parameters are its inner knots, then its coefficients.

    Beyond the last knot, where there were no data, it goes on as a straight line.
    """

    @property
    def singular(self) -> bool:
        return False

    @property
    def degree(self) -> float:
        return 0.0

    @property
    def kinds(self) -> tuple[str, ...]:
        return ("length",) * self.inner + ("coefficient",) * (len(self.parameters) - self.inner)

    @property
    def inner(self) -> int:
        """How many knots there are from the first to the last distance: they come before the coefficients."""
        return (len(self.parameters) - DEGREE + 1) // 2

    def value(self, configuration: Configuration) -> Float[Tensor, "*batch pair"]:
        r, inside = self._inside(configuration)
        return self._at(inside, 0) + (r - inside) * self._at(inside, 1)

    def tangent(self, configuration: Configuration) -> Float[Tensor, "*batch pair"]:
        r, inside = self._inside(configuration)
        return self._at(inside, 1) / r

    def _inside(self, configuration: Configuration) -> tuple[Tensor, Tensor]:
        r = configuration.pairs.length
        return r, r.clamp(max=self.parameters[self.inner - 1])

    def _at(self, r: Tensor, derivative: int) -> Tensor:
        knots, table = _pieces(self.parameters, self.inner, derivative)
        breaks, rows = (torch.from_numpy(x).to(r) for x in (knots, table))
        piece = torch.searchsorted(breaks[1:-1].contiguous(), r.detach().contiguous(), right=True)
        u, found = r - breaks[piece], torch.zeros_like(r)
        for row in rows:
            found = found * u + row[piece]
        return found


@functools.lru_cache(maxsize=256)
def _pieces(parameters: tuple[float, ...], inner: int, derivative: int) -> tuple[np.ndarray, np.ndarray]:
    """The breaks and the coefficients, highest power first, of the polynomials that a spline consists of."""
    knots, coefficients = extended(parameters[:inner]), np.array(parameters[inner:])
    spline = BSpline(knots, coefficients, DEGREE)
    pieces = PPoly.from_spline(spline.derivative(derivative) if derivative else spline)
    edges = (pieces.x >= knots[DEGREE]) & (pieces.x <= knots[-DEGREE - 1])
    distinct = np.flatnonzero(edges[:-1] & edges[1:] & (np.diff(pieces.x) > 0))
    return np.append(pieces.x[distinct], pieces.x[distinct[-1] + 1]), pieces.c[:, distinct]


def extended(inner: tuple[float, ...] | np.ndarray) -> np.ndarray:
    """Inner knots with as many before and after as the degree asks for."""
    inner = np.asarray(inner)
    before, after = inner[1] - inner[0], inner[-1] - inner[-2]
    steps = np.arange(1, DEGREE + 1)
    return np.concatenate([inner[0] - before * steps[::-1], inner, inner[-1] + after * steps])


def knots(distances: Float[Tensor, " sample"], number: int) -> tuple[float, ...]:
    """Knots from 0 to almost the largest distance, uniform in r / (r + median): denser where bodies are near.

    Example:
        >>> [round(x, 3) for x in knots(torch.linspace(0.0, 2.0, 2001), 3)]
        [0.0, 0.5, 1.999]
    """
    middle, last = (
        float(distances.median()),
        float(torch.quantile(distances.flatten()[:: max(1, distances.numel() // 100_000)], 0.9995)),
    )
    u = np.linspace(0, last / (last + middle), number)
    return tuple((middle * u / (1 - u)).tolist())
