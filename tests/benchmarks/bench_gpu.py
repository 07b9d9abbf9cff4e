"""What a GPU does for training and simulation, in at most ten minutes; every case is written down as it ends.

- job: the README job of the paper's code (3,000 systems, batches of 200 rollouts of 5 points through RK4, T(2), 384
  channels, 4 blocks: 1,500 steps) beside an eager network in plain torch, both in float32 without TF32;
- steps: a step of the default recipe at three batch sizes: eager, recorded as a CUDA graph, compiled too;
- launches: how many kernels the loss and gradients of such a step are, and how long the GPU works on them;
- optimisers: a step of SOAP and one of Adam on the weights of the default network;
- accuracy: the whole default recipe on springs of 100 trajectories, and the error on 500 others;
- simulation: 1e5 trajectories of leapfrog and of the default integrator;
- images, molecules: steps of the presets paper and gpu on random data.

    python tests/benchmarks/bench_gpu.py [CASE ...], which writes results/gpu.json

DEVICE=cpu tries it without a GPU, at tiny sizes. It needs torch, numpy, scipy, xarray and pytest.
"""

import contextlib
import json
import os
import sys
import time
import warnings
from pathlib import Path

import pytest
import torch
from bench_hlieconv import BATCH, POINTS, SPACING, Plain, Products, problem, work
from bench_molecules import molecules as random_molecules

import hlieconv.training.loop as loop
from hlieconv.dynamics import fit, rollout
from hlieconv.images import ImageData, fit_images
from hlieconv.models import HLieConv
from hlieconv.molecules import fit_molecules
from hlieconv.study.evaluation import sample
from hlieconv.training.graphs import Gradients
from hlieconv.training.optimisers import OPTIMISERS
from systems import Gravity, Springs
from systems.integrators import AdaptiveGauss, Leapfrog
from systems.provenance import provenance, write_result

DEVICE = os.environ.get("DEVICE", "cuda")
GPU = DEVICE.startswith("cuda")
JOB, GOAL, OUTPUT = 1500, 10, Path("results/gpu.json")

pytestmark = pytest.mark.skipif(GPU and not torch.cuda.is_available(), reason="needs a GPU")


def wait():
    if GPU:
        torch.cuda.synchronize()


def seconds_of(function, repeats):
    """Of one call, once all that was asked of the device is done."""
    function()
    wait()
    start = time.perf_counter()
    for _ in range(repeats):
        function()
    wait()
    return (time.perf_counter() - start) / repeats


def per_step(history):
    """Seconds of a step, in the second half of a training."""
    first, last = history[(len(history) - 1) // 2], history[-1]
    return (last["seconds"] - first["seconds"]) / max(1, last["step"] - first["step"])


@contextlib.contextmanager
def eager_gradients():
    """Trainings within record nothing."""
    recorded, loop.RecordedGradients = loop.RecordedGradients, Gradients
    try:
        yield
    finally:
        loop.RecordedGradients = recorded


def plain_step():
    model, features, state, _, truth = problem(BATCH if GPU else 2)
    features = {name: value.to(DEVICE) for name, value in features.items()}
    plain = Plain(model.to(DEVICE), features, state.q.shape[-2]).to(DEVICE)
    q0, p0, true_q, true_p = (x.to(DEVICE) for x in (*state, *truth))
    optimiser = torch.optim.Adam(plain.parameters(), lr=1e-3)

    def step():
        optimiser.zero_grad()
        q, p = plain.rk4(q0.detach(), p0.detach(), SPACING, POINTS - 1)
        ((q - true_q).square().mean() + (p - true_p).square().mean()).backward()
        optimiser.step()

    return step


def peak():
    """Multiplications and additions a second, of a large product in float32."""
    n = 8192 if GPU else 256
    a, b = torch.randn(2, n, n, device=DEVICE)
    return 2 * n**3 / seconds_of(lambda: a @ b, 5)


def job():
    plain = seconds_of(plain_step(), 10 if GPU else 1)
    data = sample("springs", 3000 if GPU else 8, seed=0)
    options = {"preset": "paper", "device": DEVICE, "progress": False} | ({} if GPU else {"batch": 2})

    def ours(compile, steps):
        model = HLieConv.of(data, preset="paper", group="T2")
        return per_step(fit(model, data, compile=compile, steps=steps, **options).history)

    with eager_gradients():
        eager = ours("off", 30 if GPU else 2)
    step = ours("on", 150) if GPU else eager
    with Products() as counter:
        work("rk4", "flops")()
    rate = peak()
    return {
        "plain_step_seconds": plain,
        "eager_step_seconds": eager,
        "step_seconds": step,
        "ratio": plain / step,
        "goal": GOAL,
        "job_seconds": JOB * step,
        "gigaflops_of_products": counter.total / 1e9,
        "peak_gigaflops": rate / 1e9,
        "fraction_of_peak": counter.total / step / rate,
    }


def steps():
    data, rows = sample("springs", 3000 if GPU else 8, seed=0), []
    for batch in (64, 512, 4096) if GPU else (4,):
        row = {"batch": batch}
        ways = {"eager": ("off", True), "recorded": ("on", False)} if GPU else {"eager": ("off", True)}
        for name, (compile, eager) in ways.items():
            model = HLieConv.of(data, group="SE2")
            with eager_gradients() if eager else contextlib.nullcontext():
                options = {"steps": (100 if eager else 400) if GPU else 3, "device": DEVICE, "progress": False}
                row[name] = per_step(fit(model, data, batch=batch, compile=compile, **options).history)
        rows.append(row)
    return rows


class Counted(Gradients):
    """Of its fifth call, the kernels."""

    calls, found = 0, {}

    def __call__(self, batch):
        Counted.calls += 1
        if Counted.calls != 5 or not GPU:
            return super().__call__(batch)
        with torch.profiler.profile(activities=[torch.profiler.ProfilerActivity.CUDA]) as record:
            value = super().__call__(batch)
            wait()
        kernels = [x for x in record.events() if x.device_type == torch.autograd.DeviceType.CUDA]
        Counted.found = {"launches": len(kernels), "seconds": sum(x.device_time for x in kernels) / 1e6}
        return value


def launches():
    """Of a step's loss and gradients, eager and compiled."""
    data, rows = sample("springs", 100 if GPU else 8, seed=0), {}
    held, loop.RecordedGradients, loop.Gradients = (loop.RecordedGradients, loop.Gradients), Counted, Counted
    try:
        for name, compile in {"eager": "off", "compiled": "on"}.items() if GPU else [("eager", "off")]:
            Counted.calls = 0
            fit(HLieConv.of(data, group="SE2"), data, steps=10, device=DEVICE, compile=compile, progress=False)
            rows[name] = Counted.found
    finally:
        loop.RecordedGradients, loop.Gradients = held
    return rows


def optimisers():
    rows = {}
    for name in ("soap", "adam"):
        parameters = list(HLieConv("SE2").to(DEVICE).parameters())
        for parameter in parameters:
            parameter.grad = torch.randn_like(parameter)
        optimiser = OPTIMISERS[name](parameters, 1e-3)
        for _ in range(20 if GPU else 1):
            optimiser.step()
        rows[name] = seconds_of(optimiser.step, 100 if GPU else 2)
    return rows


def accuracy():
    data, test = sample("springs", 100 if GPU else 4, seed=0), sample("springs", 500 if GPU else 4, seed=1)
    torch.manual_seed(0)
    model, start = HLieConv.of(data, group="SE2"), time.perf_counter()
    fit(model, data, device=DEVICE, progress=False, **({} if GPU else {"steps": 5}))
    seconds = time.perf_counter() - start
    found = rollout(model, test.isel(time=slice(0, 5)), dtype=torch.float64, device=DEVICE)
    error = (found[["q", "p"]] - test[["q", "p"]].isel(time=slice(0, 5))).to_dataarray() ** 2
    return {"seconds": seconds, "mean_square_error_5_points": float(error.mean())}


def simulation():
    count, rows = 100_000 if GPU else 10, []
    times = torch.linspace(0, 0.5, 6, dtype=torch.float64)
    for kind, options in ((Springs, {"rest_length": 0.5}), (Gravity, {})):
        system, state = kind.sample(count, seed=0, device=DEVICE, **options)
        for integrator in (Leapfrog(step=0.01), AdaptiveGauss()):
            seconds = seconds_of(lambda: integrator.integrate(system, state, times.to(DEVICE)), 1)  # noqa: B023
            row = {"system": kind.__name__, "integrator": type(integrator).__name__, "trajectories": count}
            rows.append(row | {"seconds": seconds})
    return rows


def _compared(train, **options):
    """Seconds of a step, recorded and eager."""
    options |= {"device": DEVICE, "records": 2}  # each is validated
    recorded = per_step(train(**options).history)
    with eager_gradients():
        eager = per_step(train(**options).history)
    return {"step_seconds": recorded, "eager_step_seconds": eager}


def images():
    generator = torch.Generator().manual_seed(0)
    count = 2000 if GPU else 60
    pixels = torch.randint(0, 256, (count, 1, 28, 28), generator=generator, dtype=torch.uint8)
    labels = torch.randint(0, 10, (count,), generator=generator)
    data = ImageData("noise", pixels, labels, pixels[:10], labels[:10])
    sizes = {"paper": {"epochs": 1.0}, "gpu": {"epochs": 100.0}} if GPU else {"gpu": {"epochs": 0.1, "batch": 3}}
    return {name: _compared(lambda **o: fit_images(data, **o), preset=name, **own) for name, own in sizes.items()}


def molecules():
    count = 6000 if GPU else 40
    data = random_molecules(count)._replace(target=torch.randn(count, 12, dtype=torch.float64))
    sizes = {"paper": {"epochs": 1.0}, "gpu": {"epochs": 100.0}} if GPU else {"gpu": {"epochs": 1.0, "batch": 10}}
    split = count * 5 // 6
    return {
        name: _compared(lambda **o: fit_molecules(data, ["homo"], train=split, **o), preset=name, **own)
        for name, own in sizes.items()
    }


CASES = (job, steps, launches, optimisers, accuracy, simulation, molecules, images)


def measure(names=()):
    """The cases of these names, or all, written down one by one; a case that fails says so and the others go on."""
    torch.backends.cuda.matmul.allow_tf32 = False
    result = {"seed": 0, "batch_of_job": BATCH, "measured_with": {}}
    if names and OUTPUT.exists():
        result |= {name: value for name, value in json.loads(OUTPUT.read_text()).items() if name not in provenance()}
    for case in CASES:
        if names and case.__name__ not in names:
            continue
        start = time.perf_counter()
        try:
            with warnings.catch_warnings():
                warnings.filterwarnings("once", message="a step of this training is not recorded")
                result[case.__name__] = case()
        except Exception as error:
            result[case.__name__] = {"failed": f"{type(error).__name__}: {str(error)[:300]}"}
        result["measured_with"][case.__name__] = provenance()
        print(f"{case.__name__} ({time.perf_counter() - start:.0f} s): {json.dumps(result[case.__name__])}", flush=True)
        write_result(OUTPUT, result)
    return result


def test_faster_than_the_eager_baseline():
    assert job()["ratio"] > 1


if __name__ == "__main__":
    measure(sys.argv[1:])
