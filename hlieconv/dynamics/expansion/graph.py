"""interactions(dataset): which pairs of bodies act on each other."""

from collections.abc import Sequence
from dataclasses import dataclass

import torch
import xarray as xr
from jaxtyping import Float
from torch import Tensor

from hlieconv.dynamics.expansion.equations import Equations
from hlieconv.dynamics.expansion.search import ERRORS, GAIN
from hlieconv.dynamics.expansion.solving import forces_of, pieces_of
from hlieconv.dynamics.trajectories import trajectories_of
from hlieconv.models.expansion.terms import Pair, Term
from systems.checks import check

#: Of which powers of its distance the potential of a pair is made.
POWERS = (-1.0, 1.0, 2.0, 3.0, 4.0)

#: Pairs whose forces are a smaller part of the largest ones' than this are left out if nothing is lost by it.
PARTS = (1e-1, 1e-2, 1e-3, 1e-4, 1e-5, 1e-6)


@dataclass(frozen=True)
class Bond(Pair):
    """A power of the distance of one pair: the parameters are the exponent and the number of the pair."""


class BondEquations(Equations):
    """Equations whose unknowns are the coefficients of single pairs."""

    def columns(self, terms: Sequence[Term]) -> Float[Tensor, "row term"]:
        pairs, (first, second, *_) = self.configuration.pairs, self.configuration.sites
        tangents = {power: pairs.tangent("power", (power,)) for power in POWERS}
        found = self.y.new_zeros(len(terms), *self.targets.q.shape)
        for column, term in zip(found, terms, strict=True):
            power, site = term.parameters
            pull = tangents[power][:, site, None] * pairs.vector[:, :, site]
            column[:, first[site]], column[:, second[site]] = -pull, pull
        return found.flatten(1).mT


def interactions(dataset: xr.Dataset, *, seed: int = 0) -> xr.DataArray:
    """Which pairs of bodies act on each other, in trajectories of the same bodies.

    Each pair gets a potential of its own, a sum of powers of its distance; then the pairs are left out without which
    forces on trajectories that were left out are predicted as well.

    Args:
        dataset: trajectories; the bodies are the same in all of them.
        seed: of the states that are looked at.

    Returns:
        True and False, with the dims body and other_body.

    Raises:
        ValueError: if bodies differ from trajectory to trajectory or are missing, or there are too few data.

    Example:
        >>> from systems import PhaseSpace, Springs, simulate
        >>> chain = torch.diag(torch.ones(3), 1) + torch.diag(torch.ones(3), -1)
        >>> system = Springs(mass=torch.ones(4), spring_constant=chain, rest_length=1.0).double()
        >>> q = torch.arange(4.0)[:, None] * torch.tensor([1.0, 0.0])
        >>> q = (q + 0.2 * torch.randn(20, 4, 2, generator=torch.Generator().manual_seed(0))).double()
        >>> data = simulate(system, PhaseSpace(q, torch.zeros_like(q)), torch.linspace(0, 0.4, 21))
        >>> interactions(data).astype(int).values
        array([[0, 1, 0, 0],
               [1, 0, 1, 0],
               [0, 1, 0, 1],
               [0, 0, 1, 0]])
    """
    data = trajectories_of(dataset)
    complete = data.mask is None or bool(data.mask.all())
    check("dataset", "masked bodies", complete, "bodies that are there in all trajectories")
    for name, value in data.features.items():
        same = bool((value == value[:1]).all())
        check(name, "different values", same, "the same bodies in all trajectories")
    targets = forces_of(data, pieces_of(data, seed=seed), seed=seed)
    length = Equations(targets, data.features, None).length
    targets = targets._replace(q=targets.q / length, force=targets.force * length, error=targets.error * length)
    equations = BondEquations(targets, data.features, None, seed=seed)
    first, second, *_ = equations.configuration.sites
    bonds = [Bond("power", (power, site)) for site in range(len(first)) for power in POWERS]
    rows, needed = len(equations.y), 2 * len(bonds)
    check("dataset", f"{rows} of them", rows >= needed, f"{needed} numbers of forces for {len(first)} pairs")
    whole = equations.solve(bonds)
    root = whole.weights.sqrt()[:, None]
    parts = (equations.columns(bonds) * whole.coefficients * root).unflatten(1, (len(first), len(POWERS)))
    strength = parts.sum(-1).norm(dim=0)
    kept = torch.ones(len(first), dtype=torch.bool)
    for part in PARTS:
        kept = strength >= part * strength.max()
        fewer = equations.solve([bond for bond in bonds if kept[bond.parameters[1]]])
        loss, error = equations.better(fewer.score, whole.score)
        if loss < max(ERRORS * error, GAIN):
            break
    else:
        kept = torch.ones_like(kept)
    n = data.n
    found = torch.zeros(n, n, dtype=torch.bool)
    found[first[kept], second[kept]] = True
    attributes = {"units": "1", "long_name": "whether two bodies act on each other"}
    return xr.DataArray((found | found.T).numpy(), dims=("body", "other_body"), name="interactions", attrs=attributes)
