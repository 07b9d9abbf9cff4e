"""Ragged molecules in padded batches, each of molecules of nearly equal size."""

from typing import NamedTuple

import torch
from jaxtyping import Bool, Float, Int
from torch import Tensor

from hlieconv.molecules.data import Molecules
from hlieconv.training.loop import Shuffle

#: Batches whose molecules are sorted by size together: more means less padding and less of a mixture.
POOL = 16


class Batch(NamedTuple):
    """Molecules padded to the largest of them."""

    charge: Int[Tensor, "batch n"]
    position: Float[Tensor, "batch n 3"]
    mask: Bool[Tensor, "batch n"]


class Buckets:
    """Batches of indices, in a new random order every epoch, of molecules of nearly equal size.

    Like `Shuffle`, the batch of a step is a function of the seed and the step alone.

    Example:
        >>> buckets = Buckets(torch.tensor([3, 9, 3, 9]), batch=2, seed=0)
        >>> sorted(sorted(buckets(step).tolist()) for step in range(2))
        [[0, 2], [1, 3]]
    """

    def __init__(self, n_atoms: Int[Tensor, " molecules"], batch: int, *, seed: int, pool: int = POOL) -> None:
        batch = min(batch, len(n_atoms))
        self.batch, self.n_atoms = batch, n_atoms
        self.steps_per_epoch = len(n_atoms) // batch
        self._pools = Shuffle(len(n_atoms), min(pool, self.steps_per_epoch) * batch, seed=seed)
        self._rest = self.steps_per_epoch // (self._pools.batch // batch)
        self._pool, self._order = -1, torch.empty(0)
        self.seed = seed

    def __call__(self, step: int) -> Int[Tensor, " batch"]:
        """The indices of a step."""
        pool, position = divmod(step, self._pools.batch // self.batch)
        if pool != self._pool:
            index = self._pools(pool)
            index = index[self.n_atoms[index].argsort(stable=True)]
            mixed = torch.randperm(len(index) // self.batch, generator=torch.Generator().manual_seed(self.seed + pool))
            self._pool, self._order = pool, index.reshape(-1, self.batch)[mixed]
        return self._order[position]


def padded(molecules: Molecules, index: Int[Tensor, " batch"], largest: int | None = None) -> Batch:
    """Some molecules, on the device that they are on; it need not wait where the size of the largest is known."""
    sizes = molecules.n_atoms[index]
    place = torch.arange(int(sizes.max()) if largest is None else largest, device=sizes.device)
    mask = place < sizes[:, None]
    atoms = torch.where(mask, molecules.first_atom[index][:, None] + place, 0)
    return Batch(molecules.charge[atoms], molecules.position[atoms], mask)
