"""Time and peak memory of one gradient of a LieResNet (64 channels, 4 blocks, T(2)), over the number of bodies.

"force" is -dV/dq. "training" is the gradient, by the weights, of a loss on the forces. Then what the list of
neighbours costs beside all distances. Run it with `make benchmarks`; one case by itself:

    python tests/benchmarks/bench_nn.py training neighbours 2000

and all of them, into results/nn.json, without arguments: python tests/benchmarks/bench_nn.py
"""

import resource
import subprocess
import sys
import time
from functools import partial

import pytest
import torch

from hlieconv.groups import T
from hlieconv.groups import group as group_of
from hlieconv.nn import BottleneckBlock, LieConv, LieResNet, Neighbourhood, lift
from systems.provenance import write_result

SIZES = (6, 20, 100, 500, 2000, 8000)
PAIRS = {
    "all": {},
    "tiles": {"tile": 64},
    "neighbours": {"neighbours": 32},
}
#: All pairs at once stop where memory does.
CASES = [
    (derivative, pairs, n)
    for derivative in ("force", "training")
    for pairs in PAIRS
    for n in SIZES
    if not (pairs == "all" and n > 500) and not (pairs == "tiles" and n not in (500, 2000))
]
#: A probe of the implementation before this one, on this class of machine: seconds and MB of a force.
BEFORE = {
    ("training", "all", 500): ("?", 3700),
    ("force", "neighbours", 2000): (0.163, 231),
    ("force", "neighbours", 8000): (0.627, "?"),
}


def measure(derivative, pairs, n):
    """CPU seconds and the MB that one gradient adds to the process."""
    torch.set_num_threads(1)
    torch.manual_seed(0)
    block = partial(BottleneckBlock, convolution=partial(LieConv, tile=PAIRS[pairs].get("tile")))
    neighbourhood = Neighbourhood(T(2), **PAIRS[pairs])
    network = LieResNet(T(2), 2, 1, channels=64, layers=4, neighbourhood=neighbourhood, block=block)

    def gradient(n):
        points, values = (n**0.5 * torch.rand(n, 2)).requires_grad_(), torch.randn(n, 2)
        energy = network(points, values).sum()
        (slope,) = torch.autograd.grad(energy, points, create_graph=derivative == "training")
        if derivative == "training":
            torch.autograd.grad(slope.square().sum(), network.parameters(), allow_unused=True)

    gradient(40)  # what is loaded and set up on first use
    before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    seconds = []
    for _ in range(1 if pairs == "tiles" else 3):
        start = time.process_time()
        gradient(n)
        seconds.append(time.process_time() - start)
    return min(seconds), (resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before) / 1024


def in_a_process_of_its_own(derivative, pairs, n):
    command = [sys.executable, __file__, derivative, pairs, str(n)]
    run = subprocess.run(command, capture_output=True, text=True, check=True)
    seconds, megabytes = map(float, run.stdout.split())
    probe = BEFORE.get((derivative, pairs, n))
    told = f"   before: {probe[0]} s, {probe[1]} MB" if probe else ""
    print(f"{derivative:9} {pairs:11} n = {n:5}   {seconds:8.3f} s   {megabytes:7.0f} MB{told}", flush=True)
    return {"derivative": derivative, "pairs": pairs, "n": n, "cpu_seconds": seconds, "megabytes": megabytes}


@pytest.mark.parametrize(("derivative", "pairs", "n"), CASES)
def test_one_gradient(derivative, pairs, n):
    row = in_a_process_of_its_own(derivative, pairs, n)
    if (derivative, pairs, n) == ("training", "tiles", 2000):
        assert row["megabytes"] < 2000


def cost_of_a_list(group, samples, n, by_all_distances):
    """CPU seconds to find the 16 nearest of n points, each as so many elements."""
    torch.set_num_threads(1)
    generator = torch.Generator().manual_seed(0)
    points = n ** (1 / group.dimension) * torch.randn(1, n, group.dimension, generator=generator)
    lifted = lift(group, points, samples, generator=generator)
    neighbourhood = Neighbourhood(group, neighbours=16)
    if by_all_distances:
        neighbourhood.placement = None
    seconds = []
    for _ in range(2):
        start = time.process_time()
        neighbourhood(lifted)
        seconds.append(time.process_time() - start)
    return min(seconds)


def lists_beside_all_distances(name, samples):
    group = group_of(name)
    rows = []
    for n in (1000, 2000, 4000):
        listed = cost_of_a_list(group, samples, n, False)
        known = cost_of_a_list(group, samples, n, True) if n <= 2000 else None
        rows.append({"group": name, "samples": samples, "n": n, "list": listed, "all_distances": known})
        print(f"{name:4} {samples} samples, n = {n}: list {listed:.3f} s, all distances {known or '-'} s", flush=True)
    return [{key: value for key, value in row.items() if value is not None} for row in rows]


@pytest.mark.parametrize("name", ["SO2", "SE2", "SE3"])
def test_list_of_neighbours(name):
    assert lists_beside_all_distances(name, 2)


if __name__ == "__main__":
    if len(sys.argv) == 4:
        print(*measure(sys.argv[1], sys.argv[2], int(sys.argv[3])))
    else:
        gradients = [in_a_process_of_its_own(*case) for case in CASES]
        lists = [row for name in ("SO2", "SE2", "SE3") for row in lists_beside_all_distances(name, 2)]
        write_result("results/nn.json", {"seed": 0, "gradient": gradients, "nearest_16": lists})
