"""A training step of the QM9 configuration (1,536 channels, 6 blocks, batch 75, T(3)), beside plain torch.

The baseline has the same modules and weights, so that the function is equal, and is LieConv as one writes it down
first: every molecule padded to the largest of all, differences of all pairs computed in each block, and the values of
all pairs gathered. The core pads to the largest of a batch of nearly equal molecules, knows the pairs once, and never
copies a value for a pair. Run it with `make benchmarks`; one case, in a process of its own, prints CPU seconds and MB:

    python tests/benchmarks/bench_molecules.py core

and both, into results/molecules_speed.json: python tests/benchmarks/bench_molecules.py
"""

import resource
import sys
import time

import torch
import torch.nn.functional as F
from beside_plain import compare

from hlieconv.molecules import MoleculeRegressor
from hlieconv.molecules.batches import POOL, Batch, Buckets, padded
from hlieconv.molecules.data import Molecules
from hlieconv.molecules.model import LENGTH
from systems.provenance import write_result

SEED, LARGEST, BATCH = 0, 29, 75
#: The goal: so many times faster.
GOAL = 2.0


def molecules(count=1200):
    """As many atoms as in QM9 (18 +- 3), drawn at random."""
    generator = torch.Generator().manual_seed(SEED)
    sizes = (18 + 3 * torch.randn(count, generator=generator)).round().long().clamp(3, LARGEST)
    atoms = int(sizes.sum())
    charge = torch.tensor([1, 6, 7, 8, 9])[torch.randint(0, 5, (atoms,), generator=generator)]
    position = 2 * torch.randn(atoms, 3, generator=generator)
    return Molecules(sizes, charge, position, torch.zeros(count, 0, dtype=torch.float64), torch.arange(count))


def regressor(channels=1536, layers=6):
    torch.manual_seed(SEED)
    return MoleculeRegressor("T3", channels=channels, layers=layers, normalise=True)


def plain_norm(norm, values, mask):
    """`MaskedBatchNorm` in training, from its formula."""
    here = mask[..., None].to(values)
    mean = (values * here).sum((0, 1)) / here.sum()
    variance = ((values - mean).square() * here).sum((0, 1)) / here.sum()
    return (values - mean) / (variance + norm.epsilon).sqrt() * norm.weight + norm.bias


def plain_forward(model, batch):
    """The outputs of `model`, with everything done in each block."""
    network, (charge, position, mask) = model.network, batch
    points = position.to(model.median) / LENGTH
    values = network.embed(torch.where(mask[..., None], model.values(charge), 0))
    n = points.shape[1]
    everyone = torch.arange(n).expand(len(points), n, n)
    entry = torch.arange(len(points))[:, None, None]
    for block in network.blocks:
        features = points[:, :, None] - points[:, None]
        there = mask[:, None].expand(-1, n, -1)
        hidden = block.narrow(F.silu(plain_norm(block.norms[0], values, mask)))
        hidden = F.silu(plain_norm(block.norms[1], hidden, mask))[entry, everyone]
        kernel = block.convolution.kernel(features) * there[..., None]
        summed = torch.einsum("bmkc,bmki->bmci", kernel, hidden).flatten(-2) @ block.convolution.weight.flatten(0, 1)
        hidden = summed / there.sum(-1, keepdim=True) + block.convolution.bias
        values = values + block.widen(F.silu(plain_norm(block.norms[2], hidden, mask)))
    values = network.readout(F.silu(plain_norm(network.norm, values, mask)))
    return torch.where(mask[..., None], values, 0).sum(1) / mask.sum(1, keepdim=True)


def to_largest(batch):
    """Padded to the largest of all molecules."""
    more = LARGEST - batch.mask.shape[1]
    return Batch(
        torch.nn.functional.pad(batch.charge, (0, more)),
        torch.nn.functional.pad(batch.position, (0, 0, 0, more)),
        torch.nn.functional.pad(batch.mask, (0, more)),
    )


def measure(way, steps=POOL):
    """CPU seconds of a step, mean over batches of all sizes, and the MB that they add to the process."""
    torch.set_num_threads(1)
    some, model = molecules(), regressor()
    buckets = Buckets(some.n_atoms, BATCH, seed=SEED)
    batches = [padded(some, buckets(step)) for step in range(steps)]
    before, start = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss, time.process_time()
    for batch in batches:
        output = model.standardised(*batch) if way == "core" else plain_forward(model, to_largest(batch))
        output.abs().mean().backward()
    seconds = (time.process_time() - start) / steps
    return seconds, (resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before) / 1024


def beside_plain():
    return compare(f"molecules, a step of {BATCH}", __file__, goal=GOAL)


def test_equal_function():
    some, model = molecules(200), regressor(channels=64, layers=2).double()
    batch = padded(some, Buckets(some.n_atoms, 20, seed=SEED)(0))
    batch = batch._replace(position=batch.position.double())
    core = model.standardised(*batch)
    error = (plain_forward(model, to_largest(batch)) - core).abs().max() / core.abs().max()
    print(f"molecules: the two differ by {error:.1e} of the largest output")
    assert error < 1e-10


def test_a_step_is_faster():
    assert beside_plain()[1]["times_slower"] > 1


if __name__ == "__main__":
    if len(sys.argv) == 2:
        print(*measure(sys.argv[1]))
    else:
        write_result("results/molecules_speed.json", {"seed": SEED, "rows": beside_plain()})
