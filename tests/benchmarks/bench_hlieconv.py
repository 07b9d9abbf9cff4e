"""HLieConv beside a plain-torch network of the same function, on one thread: time and peak memory.

The plain one is written as such networks usually are (and as the paper's is): distances, nearest neighbours and gathers
in each layer, (dq/dt, dp/dt) by autograd through H with ``create_graph``, RK4. Ours takes dq/dt from the masses, does
once what does not depend on q, and compiles the force. The published size: T(2), 384 channels, 4 blocks, 6 bodies.

    make benchmarks, or python tests/benchmarks/bench_hlieconv.py, which writes results/hlieconv.json
"""

import json
import resource
import subprocess
import sys
import time

import pytest
import torch
from torch import nn
from torch.utils._python_dispatch import TorchDispatchMode
from torch.utils.flop_counter import flop_registry

from hlieconv.models import HLieConv
from systems import PhaseSpace, Springs
from systems.integrators import RK4, Leapfrog
from systems.provenance import write_result

BATCH, POINTS, SPACING = 200, 5, 0.01

#: Goals: the least ratio of CPU seconds, plain over ours, and the most of peak memory, ours over plain.
GOALS = {"rk4": (1.5, 0.75), "leapfrog": (4.5, 0.35), "force": (2.0, None), "one_force": (4.0, None)}


class PlainBlock(nn.Module):
    """A bottleneck block that finds and gathers its neighbours itself."""

    def __init__(self, block, neighbours):
        super().__init__()
        self.narrow, self.widen, self.kernel = block.narrow, block.widen, block.convolution.kernel
        weight = block.convolution.weight
        self.linear = nn.Linear(weight.shape[0] * weight.shape[1], weight.shape[2]).to(weight.dtype)
        self.linear.weight.data.copy_(weight.detach().flatten(0, 1).T)
        self.linear.bias.data.copy_(block.convolution.bias.detach())
        self.neighbours = neighbours

    def forward(self, pairs, values):
        index = pairs.norm(dim=-1).topk(self.neighbours, dim=-1, largest=False).indices
        entry = torch.arange(len(values), device=values.device)[:, None, None]
        pairs = pairs.gather(2, index[..., None].expand(*index.shape, pairs.shape[-1]))
        hidden = nn.functional.silu(self.narrow(nn.functional.silu(values)))[entry, index]
        kernel = self.kernel(pairs)
        hidden = self.linear((kernel.mT @ hidden).flatten(-2) / self.neighbours)
        return values + self.widen(nn.functional.silu(hidden))


class Plain(nn.Module):
    """H(q, p) of given bodies, with the weights of an `HLieConv`."""

    def __init__(self, model, features, n):
        super().__init__()
        self.embed, self.energy = model.embed, model.energy.linear
        self.blocks = nn.ModuleList(PlainBlock(block, n) for block in model.layers)
        self.mass = features["mass"]
        self.bodies = torch.stack([features["mass"], features["stiffness"]], -1)

    def potential(self, q):
        pairs = q[:, :, None] - q[:, None]
        values = self.embed(self.bodies)
        for block in self.blocks:
            values = block(pairs, values)
        return self.energy(nn.functional.silu(values))[..., 0].mean(-1)

    def slope(self, q, p):
        with torch.enable_grad():
            q, p = (x if x.requires_grad else x.requires_grad_() for x in (q, p))
            kinetic = (p.square().sum(-1) / self.mass).sum() / 2
            dq, dp = torch.autograd.grad(kinetic + self.potential(q).sum(), (q, p), create_graph=True)
        return dp, -dq

    def rk4(self, q, p, h, steps):
        path = [(q, p)]
        for _ in range(steps):
            a = self.slope(q, p)
            b = self.slope(q + h / 2 * a[0], p + h / 2 * a[1])
            c = self.slope(q + h / 2 * b[0], p + h / 2 * b[1])
            d = self.slope(q + h * c[0], p + h * c[1])
            q = q + h / 6 * (a[0] + 2 * b[0] + 2 * c[0] + d[0])
            p = p + h / 6 * (a[1] + 2 * b[1] + 2 * c[1] + d[1])
            path.append((q, p))
        return (torch.stack(x) for x in zip(*path, strict=True))


def problem(batch, dtype=torch.float32):
    torch.manual_seed(0)
    model = HLieConv("T2", **HLieConv.preset_options("paper")).to(dtype)
    system, state = Springs.sample(batch, seed=0, dtype=dtype)
    features = {"mass": system.mass, "stiffness": system.stiffness}
    times = SPACING * torch.arange(POINTS, dtype=dtype)
    return model, features, state, times, system.closed_form(state, times)


def work(case, which):
    """What is timed: a function without arguments."""
    model, features, state, times, truth = problem(1 if case == "one_force" else BATCH)
    plain = Plain(model, features, state.q.shape[-2])
    model.compiled = which == "ours"
    if case in ("force", "one_force"):
        field = model.condition(features)
        if which != "plain":
            return torch.no_grad()(lambda: field.force(state.q))
        return lambda: plain.slope(state.q.detach(), state.p.detach())[1].detach()

    def plain_step():
        plain.zero_grad()
        q, p = plain.rk4(state.q.detach(), state.p.detach(), SPACING, POINTS - 1)
        ((q - truth.q).square().mean() + (p - truth.p).square().mean()).backward()

    def step():
        model.zero_grad()
        solver = {"rk4": RK4(), "leapfrog": Leapfrog()}[case]
        path = solver.integrate(model.condition(features), PhaseSpace(*state), times)
        ((path.q - truth.q).square().mean() + (path.p - truth.p).square().mean()).backward()

    return plain_step if which == "plain" else step


def measure(case, which):
    """CPU seconds, best of a few; megabytes beyond what was there before; multiplications and additions."""
    torch.set_num_threads(1)
    run = work(case, which)
    if which == "flops":
        with Products() as counter:
            run()
        return {"flops": counter.total}
    if which == "ours":
        run()  # compiles, in processes whose memory is theirs
    before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    seconds = []
    for _ in range({"one_force": 100, "force": 10}.get(case, 2 if which == "plain" else 4)):
        start = time.process_time()
        run()
        seconds.append(time.process_time() - start)
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    return {"cpu_seconds": min(seconds), "before": before / 1024, "peak": peak / 1024, "sgemm": rate_of_products()}


class Products(TorchDispatchMode):
    """Counts the multiplications and additions of matrix products, those of torch.func too."""

    total = 0

    def __torch_dispatch__(self, func, types, args=(), kwargs=None):
        out = func(*args, **(kwargs or {}))
        if func._overloadpacket in flop_registry:
            self.total += flop_registry[func._overloadpacket](*args, **(kwargs or {}), out_val=out)
        return out


def rate_of_products(size=1024):
    """Multiplications and additions a second of a matrix product."""
    a, b = torch.randn(2, size, size)
    seconds = []
    for _ in range(10):
        start = time.process_time()
        a @ b
        seconds.append(time.process_time() - start)
    return 2 * size**3 / min(seconds)


def in_a_process_of_its_own(case, which):
    done = subprocess.run([sys.executable, __file__, case, which], capture_output=True, text=True, check=True)
    return json.loads(done.stdout.splitlines()[-1])


def compare(case):
    # The plain network has RK4 only: a training step through leapfrog is measured against that.
    plain = in_a_process_of_its_own("rk4" if case == "leapfrog" else case, "plain")
    ours, flops = in_a_process_of_its_own(case, "ours"), in_a_process_of_its_own(case, "flops")["flops"]
    row = {
        "plain_seconds": plain["cpu_seconds"],
        "seconds": ours["cpu_seconds"],
        "ratio": plain["cpu_seconds"] / ours["cpu_seconds"],
        "gigaflops_floor": flops / 1e9,
        "sgemm_gigaflops": ours["sgemm"] / 1e9,
        "fraction_of_sgemm": flops / ours["cpu_seconds"] / ours["sgemm"],
        "plain_megabytes": plain["peak"],
        "megabytes": ours["peak"],
        "memory_ratio": ours["peak"] / plain["peak"],
    }
    row |= dict(zip(("goal", "memory_goal"), GOALS[case], strict=True))
    print(f"{case:10}" + "".join(f"  {name} {value:.3g}" for name, value in row.items() if value), flush=True)
    return row


def test_the_same_function():
    model, features, state, times, _ = problem(4, torch.float64)
    plain, field = Plain(model, features, 6), model.condition(features)
    torch.testing.assert_close(plain.potential(state.q), field.potential(state.q), rtol=1e-12, atol=1e-14)
    q, p = plain.rk4(*state, SPACING, POINTS - 1)
    path = RK4().integrate(field, state, times)
    torch.testing.assert_close(PhaseSpace(q, p), path, rtol=1e-12, atol=1e-14)


@pytest.mark.parametrize("case", GOALS)
def test_beside_the_plain_network(case):
    assert compare(case)["ratio"] > 1


if __name__ == "__main__":
    if len(sys.argv) == 3:
        print(json.dumps(measure(*sys.argv[1:])))
    else:
        test_the_same_function()
        rows = {case: compare(case) for case in GOALS}
        write_result("results/hlieconv.json", {"seed": 0, "batch": BATCH, "threads": 1, "cases": rows})
