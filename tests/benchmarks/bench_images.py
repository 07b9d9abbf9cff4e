"""A training step of the RotMNIST configuration (batch 25, 128 channels, 6 blocks), beside plain torch.

The baseline is LieConv as one writes it down first, with the same modules and weights, so that the function is equal:
each image is lifted by itself, each call computes the logarithms of all pairs and samples farthest points again, and
each layer gathers the features and values of its pairs. Run it with `make benchmarks`; one case by itself, in a process
of its own, prints CPU seconds and MB:

    python tests/benchmarks/bench_images.py SE2 core

and all of them, into results/images_speed.json: python tests/benchmarks/bench_images.py
"""

import resource
import sys
import time

import pytest
import torch
import torch.nn.functional as F
from beside_plain import compare

from hlieconv.images import ImageClassifier
from systems.provenance import write_result

CASES = {"T2": 1, "SE2": 2}
#: The goal: so many times faster.
GOAL = {"T2": 3.0, "SE2": 6.0}
SEED = 0


def classifier(name):
    torch.manual_seed(SEED)
    return ImageClassifier(name, channels=128, layers=6, samples=CASES[name], crop=15 / 14, coordinates="log")


def plain_forward(model, images):
    """The scores of `model`, with everything done for each image and at each call."""
    network = model.network
    points, pixels = model.points(*images.shape[-2:])
    batch, values = len(images), images.flatten(-2)[..., pixels].mT
    lifted = network.lift(points.expand(batch, -1, -1))
    elements, orbit = lifted.elements, lifted.orbit
    values = network.embed(values.repeat_interleave(network.lifting.samples, 1))
    entry = torch.arange(batch)[:, None]
    for block, neighbourhood in zip(network.blocks, network.neighbourhoods, strict=True):
        n = elements.shape[1]
        # Logarithms and distances of all pairs.
        relation = network.group.relative(elements[:, :, None], elements[:, None])
        with torch.no_grad():
            gap = orbit[:, :, None] - orbit[:, None]
            distance = neighbourhood.metric.norm(relation, gap)
            if network.group.stabiliser_dimension:
                uneven = torch.arange(1, relation.shape[-1] + 1).to(relation).sqrt()
                distance = distance * (1 + 1e-4 * torch.tanh(relation @ uneven))
            # Farthest points.
            count = -(-int(network.fraction * n * 1e9) // 10**9)
            row, nearest = distance.sum(-1).argmax(-1, keepdim=True), torch.full((batch, n), torch.inf)
            rows = []
            for _ in range(count):
                rows.append(row)
                nearest = torch.minimum(nearest, distance[entry, row][:, 0]).scatter(-1, row, -1.0)
                row = nearest.argmax(-1, keepdim=True)
            queries = torch.cat(rows, -1)
            away = distance[entry, queries]
            best = away.masked_fill(away >= neighbourhood.radius, torch.inf).topk(
                neighbourhood.neighbours, -1, largest=False
            )
            there, neighbour = best.values.isfinite(), best.indices
        # Features and values of the pairs.
        some = relation[entry[..., None], queries[..., None], neighbour]
        features = torch.cat(
            [some, orbit[entry, queries][:, :, None].expand(*some.shape[:-1], -1), orbit[entry[..., None], neighbour]],
            -1,
        )
        hidden = block.narrow(F.silu(block.norms[0](values)))
        hidden = F.silu(block.norms[1](hidden))[entry[..., None], neighbour]
        kernel = block.convolution.kernel(features) * there[..., None]
        weight = block.convolution.weight
        summed = torch.einsum("bmkc,bmki->bmci", kernel, hidden).flatten(-2) @ weight.flatten(0, 1)
        hidden = summed / there.sum(-1, keepdim=True).clamp(min=1) + block.convolution.bias
        hidden = block.widen(F.silu(block.norms[2](hidden)))
        values = F.pad(values[entry, queries], (0, block.widening)) + hidden
        elements, orbit = elements[entry, queries], orbit[entry, queries]
    return network.readout(F.silu(network.norm(values))).mean(1)


def measure(name, way, batch=25, repeats=4):
    """CPU seconds of a step, and the MB that it adds to the process."""
    torch.set_num_threads(1)
    model, images = classifier(name), torch.rand(batch, 1, 28, 28)
    forward = model if way == "core" else lambda images: plain_forward(model, images)
    model(images[:1])  # the one geometry, and what is set up on first use
    before, seconds = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss, []
    for _ in range(repeats):
        start = time.process_time()
        forward(images).square().mean().backward()
        seconds.append(time.process_time() - start)
    return min(seconds), (resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before) / 1024


def beside_plain(name):
    return compare(f"images, {name}, a step of 25", __file__, name, goal=GOAL[name])


@pytest.mark.parametrize("name", CASES)
def test_equal_function(name):
    model = classifier(name).double()
    images = torch.rand(2, 1, 28, 28, dtype=torch.float64)
    error = (plain_forward(model, images) - model(images)).abs().max() / model(images).abs().max()
    print(f"images {name}: the two differ by {error:.1e} of the largest score")
    assert error < 1e-10


@pytest.mark.parametrize("name", CASES)
def test_a_step_is_faster(name):
    assert beside_plain(name)[1]["times_slower"] > 1


if __name__ == "__main__":
    if len(sys.argv) == 3:
        print(*measure(sys.argv[1], sys.argv[2]))
    else:
        write_result(
            "results/images_speed.json", {"seed": SEED, "rows": [row for name in CASES for row in beside_plain(name)]}
        )
