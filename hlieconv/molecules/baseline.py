"""What a linear model knows of a molecule's energy: the part that a network need not learn.

An energy is, to a tenth of an electronvolt, a sum over the atoms and over the pairs of elements at a distance: a ridge
regression on how many there are of each. It is smooth in no second derivative, and invariant to every motion.
"""

import math

import torch
from jaxtyping import Bool, Float, Int
from torch import Tensor

from hlieconv.groups.smooth import norm
from hlieconv.molecules.batches import padded
from hlieconv.molecules.data import ELEMENTS, Molecules

#: Distances in angstrom at which the first and the last hat of the histogram are centred, and how many there are: their
#: spacing grows with the distance, as bonds are short and precise.
NEAREST, FARTHEST, HATS = 0.9, 10.0, 64

#: What is added to the diagonal of the normal equations, a molecule: weights of hats that are never seen stay 0.
RIDGE = 1e-5

BLOCK = 500

KINDS = len(ELEMENTS)
FEATURES = KINDS + KINDS * (KINDS + 1) // 2 * HATS


def histogram(
    charge: Int[Tensor, "batch n"], position: Float[Tensor, "batch n 3"], mask: Bool[Tensor, "batch n"]
) -> Float[Tensor, "batch features"]:
    """How many atoms there are of each element, and how many pairs of two elements at a distance.

    A pair counts for the two hats next to its distance, in parts that sum to 1, so that the counts are continuous.

    Args:
        charge: charges of the nuclei.
        position: angstrom.
        mask: which atoms exist.

    Example:
        >>> water = torch.tensor([[[0.0, 0, 0], [0.96, 0, 0], [-0.24, 0.93, 0]]])
        >>> counts = histogram(torch.tensor([[8, 1, 1]]), water, torch.ones(1, 3, dtype=torch.bool))
        >>> counts[0, :5].tolist(), round(counts[0, 5:].sum().item(), 5)  # atoms and pairs
        ([2.0, 0.0, 0.0, 1.0, 0.0], 3.0)
    """
    known = charge[..., None].eq(torch.tensor([*ELEMENTS.values()], device=charge.device)) & mask[..., None]
    element = known.long().argmax(-1)
    first, second = torch.triu_indices(charge.shape[-1], charge.shape[-1], 1, device=charge.device)
    low = torch.minimum(element[:, first], element[:, second])
    high = torch.maximum(element[:, first], element[:, second])
    pair = high * (high + 1) // 2 + low
    distance = norm(position[:, first] - position[:, second])
    place = (distance / NEAREST).clamp(min=1).log() * ((HATS - 1) / math.log(FARTHEST / NEAREST))
    place = place.clamp(max=HATS - 1)
    hat = place.floor().clamp(max=HATS - 2).long()
    right = place - hat
    exists = (mask[:, first] & mask[:, second]).to(position.dtype)
    counts = position.new_zeros(len(charge), FEATURES - KINDS)
    counts = counts.scatter_add(1, pair * HATS + hat, (1 - right) * exists)
    counts = counts.scatter_add(1, pair * HATS + hat + 1, right * exists)
    return torch.cat([known.sum(-2).to(position.dtype), counts], -1)


def fitted(
    molecules: Molecules, index: Int[Tensor, " train"], wanted: Float[Tensor, "train targets"]
) -> Float[Tensor, "features targets"]:
    """The weights of a ridge regression of the targets on the `histogram` of these molecules, in float64.

    Args:
        molecules: where they are.
        index: which of them.
        wanted: their targets.

    Source: Hoerl and Kennard 1970 (ridge regression); Hansen et al. 2015 (bags of bonds).
    """
    gram = torch.zeros(FEATURES, FEATURES, dtype=torch.float64)
    moments = torch.zeros(FEATURES, wanted.shape[-1], dtype=torch.float64)
    for part in molecules.n_atoms[index].argsort(stable=True).split(BLOCK):
        counts = histogram(*padded(molecules, index[part])).double()
        gram += counts.mT @ counts
        moments += counts.mT @ wanted[part].double()
    gram.diagonal().add_(RIDGE * len(index))
    return torch.linalg.solve(gram, moments)


def of_all(molecules: Molecules, weights: Float[Tensor, "features targets"]) -> Float[Tensor, "molecules targets"]:
    """What these weights say of all molecules."""
    found = torch.zeros(len(molecules.n_atoms), weights.shape[-1], dtype=weights.dtype)
    for part in molecules.n_atoms.argsort(stable=True).split(BLOCK):
        found[part] = histogram(*padded(molecules, part)).to(weights) @ weights
    return found
