"""evidence(model, dataset): does a law hold for other trajectories, and what is left?"""

from dataclasses import dataclass, replace

import torch
import xarray as xr
from jaxtyping import Bool, Float
from torch import Tensor

from hlieconv.dynamics.expansion.equations import QUANTILE
from hlieconv.dynamics.expansion.leftover import kind_of
from hlieconv.dynamics.expansion.noise import Noise, noise_in, typical_noise
from hlieconv.dynamics.expansion.shooting import CHI_SQUARE, shoot
from hlieconv.dynamics.expansion.solving import bodies_in, forces_of, library_for, pieces_of
from hlieconv.dynamics.expansion.targets import Targets
from hlieconv.dynamics.trajectories import trajectories_of
from hlieconv.models.expansion.model import PairExpansion

#: Forces that are known no better than to this part of themselves speak for no law.
BLIND = 0.1

#: A force is seen that is larger than so many of its errors.
SEEN = 3.0

#: Said where forces are blind.
UNKNOWN = "the forces are unknown: p is no mass times velocity (a magnetic field?), or points are far apart, or noisy"


@dataclass(frozen=True)
class Evidence:
    """How well a law explains trajectories that it was not read from."""

    chi_square: float | None
    """Of the trajectories with unknown first states, a degree of freedom: 1 for a right law; None without noise."""
    unexplained: float
    """Nine of ten forces differ by no more than this, relative to the root mean square force, or where no force is seen
    to one that would change momenta by as much as they are within the time that was seen."""
    expected: float
    """What the errors of the force targets alone make of it: much less than `unexplained` where the law is wrong."""
    noise: Noise | None
    """Typical standard errors of q and p, infinite where p was not measured; None if there is no noise."""
    left: str = ""
    """Of a law that does not hold: what kind of force it lacks, as far as the forces tell."""

    @property
    def holds(self) -> bool:
        """Whether nothing speaks against the law, and 90 % of the force for it."""
        if self.chi_square is not None:
            return self.chi_square < CHI_SQUARE
        return self.unexplained < max(min(3 * self.expected, BLIND), 1e-8)

    def __str__(self) -> str:
        chi = "" if self.chi_square is None else f"chi^2 {self.chi_square:.3g}, "
        verdict = "the law holds" if self.holds else "the law does not hold"
        left = f"; {self.left}" if self.left else ""
        return f"{chi}{100 * self.unexplained:.2g} % of the force unexplained: {verdict}{left}"


def evidence(model: PairExpansion, dataset: xr.Dataset, *, seed: int = 0) -> Evidence:
    """The evidence for a law in trajectories that it was not read from.

    Args:
        model: a law.
        dataset: other trajectories.
        seed: of the choice of pieces and segments.

    Raises:
        ValueError: if the Dataset lacks a feature of the model, or is too small.

    Example:
        >>> from hlieconv.dynamics import fit
        >>> from systems import Springs, simulate
        >>> times = torch.linspace(0, 0.04, 5, dtype=torch.float64)
        >>> data = simulate(*Springs.sample(20, seed=0), times)
        >>> model = fit(PairExpansion.of(data), data).model
        >>> evidence(model, simulate(*Springs.sample(20, seed=1), times)).holds
        True
    """
    data = trajectories_of(dataset)
    bodies = bodies_in(model, data)
    targets = forces_of(data, pieces_of(data, seed=seed), seed=seed)
    own = bodies.take(targets.trajectory)
    field = model.condition(own.features, own.mask)
    real = torch.ones(targets.q.shape[:-1], dtype=torch.bool) if own.mask is None else own.mask
    left = targets._replace(force=targets.force - field.force(targets.q))
    residual = left.force.norm(dim=-1)[real]  # a law may be wrong of one axis, or of a few bodies
    size = _typical(targets, own.features["mass"][..., None] * targets.velocity, data.times, real)
    whole, chi = noise_in(data, seed=seed), None
    if whole is not None:
        own = bodies.take(whole.trajectory)
        chi = shoot(model.estimates, whole, own, known=model.known, polish=False, seed=seed).chi_square
    found = Evidence(
        chi,
        float(residual.quantile(QUANTILE) / size),
        float(targets.error[real].quantile(QUANTILE) / size),
        None if whole is None else typical_noise(whole),
    )
    if found.holds:
        return found
    if found.expected > BLIND:
        return replace(found, left=UNKNOWN)
    return replace(found, left=kind_of(left, bodies, library_for(model, bodies)))


def _typical(
    targets: Targets, p: Float[Tensor, "sample n d"], times: Tensor, real: Bool[Tensor, "sample n"]
) -> Float[Tensor, ""]:
    """The root mean square force, or where bodies are free one that they would have shown."""
    size = targets.force[real].square().mean().sqrt()
    seen = targets.force.norm(dim=-1) > SEEN * targets.error
    if float(seen[real].double().mean()) < 1 - QUANTILE:
        known = times[times.isfinite()]
        size = torch.maximum(size, p[real].square().mean().sqrt() / (known.max() - known.min()))
    return torch.where(size > 0, size, 1)
