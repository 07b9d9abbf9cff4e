"""Charged five-body systems from end points alone: EGNN's n-body experiment."""

import functools
import time
import warnings
from collections.abc import Iterator
from typing import Any

import torch
from torch import Tensor

from hlieconv.benchmarks.benchmark import Benchmark, TableRow
from hlieconv.benchmarks.charged_data import LARGEST, STEP, charged, generator_steps
from hlieconv.benchmarks.egnn import EGNN, train_egnn
from hlieconv.dynamics.chunks import Places
from hlieconv.dynamics.expansion.ends import Ends, ends_of
from hlieconv.dynamics.expansion.polishing import polished
from hlieconv.dynamics.expansion.solving import bodies_in
from hlieconv.dynamics.fitting import fit
from hlieconv.dynamics.trajectories import trajectories_of
from hlieconv.models import HLieConv, PairExpansion
from hlieconv.study.stated import Figure
from systems import Clipped
from systems.integrators import AbstractIntegrator, Leapfrog, SymplecticEuler

#: Steps among which validation chooses, and largest components of a force (None: not clipped).
STEPS = (Leapfrog(step=0.005), Leapfrog(step=0.0025), Leapfrog(step=STEP), SymplecticEuler(step=STEP))
CLIPS = (None, 10.0, 30.0, 100.0, 300.0)

#: With which a law is read, and a network is trained.
COARSE = 0.01
FAR: dict[str, Any] = {"loss": "rollout", "chunk": 2, "integrator": "leapfrog", "progress": False}

#: Updates of the rivals' weights.
UPDATES = {"hlieconv": 3200, "egnn": 4000}

#: Of the data that a law is read from.
SEEDS = 3


def seen(part: str, smoke: bool, seed: int = 0) -> Ends:
    """The ends of a part of the data."""
    _, dataset = charged(part, 60 if smoke else None, seed=seed)
    data = trajectories_of(dataset, gaps=False)  # the last momenta are not among the data
    chunks = Places(data, 2, whole=1).read(torch.arange(data.count))
    return ends_of(chunks, bodies_in(PairExpansion.of(dataset), data))


def error(field: Any, ends: Ends, integrator: AbstractIntegrator, clip: float | None = None) -> float:
    """The mean square error of the last positions; what cannot be followed counts as if it had stayed."""
    moved = field if clip is None else Clipped(field, clip)
    times = torch.stack([torch.zeros_like(ends.duration), ends.duration])
    with torch.no_grad():
        end = integrator.attempt(moved, ends.start, times).trajectory.q[-1]
    end = torch.where(end.isfinite().flatten(1).all(1)[:, None, None], end, ends.start.q)
    return float((end - ends.end).square().mean())


def floors(smoke: bool) -> list[TableRow]:
    """What the exact law reaches with some steps, and what no law does."""
    system, _ = charged("test", 60 if smoke else None)
    ends = seen("test", smoke)
    straight = ends.start.q + ends.duration[:, None, None] * ends.start.p
    rows: list[TableRow] = [{"model": "free motion: no forces", "mse": float((straight - ends.end).square().mean())}]
    known = [("the generator's own steps", generator_steps(), LARGEST)]
    known += [
        (f"leapfrog, step {h:g}, clipped", Leapfrog(step=h, compile="auto"), LARGEST)
        for h in (0.001, 0.0025, 0.005, 0.01)
    ]
    known += [
        ("leapfrog, step 0.01", Leapfrog(step=0.01), None),
        ("leapfrog, step 0.0001", Leapfrog(step=1e-4, compile="auto"), None),
    ]
    for name, integrator, clip in known:
        rows.append({"model": f"the exact law by {name}", "mse": error(system, ends, integrator, clip)})
    return rows


def law(smoke: bool, seed: int) -> list[TableRow]:
    """The law that is read from end points, followed by the steps that do best on the validation systems."""
    _, train = charged("train", 60 if smoke else None, seed=seed)
    started = time.process_time()
    model = PairExpansion.of(train)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", UserWarning)
        fit(model, train, step=COARSE, **FAR)
    test, validation, some = (seen(part, smoke, seed) for part in ("test", "validation", "train"))
    some = some.take(torch.arange(min(len(some.end), 2000)))
    row: TableRow = {"model": f"PairExpansion, leapfrog, step {COARSE:g}", "law": model.law()}
    row["mse"] = error(_field(model, test), test, Leapfrog(step=COARSE))
    rows = [row | {"cpu_seconds": time.process_time() - started}]
    found: list[tuple[float, AbstractIntegrator, float | None, list]] = []
    for integrator in STEPS[:1] if smoke else STEPS:
        model.estimates, _ = polished(model, model.estimates, some, integrator, steps=2)
        for clip in CLIPS:
            own = error(_field(model, validation), validation, integrator, clip)
            found.append((own, integrator, clip, model.estimates))
    own, integrator, clip, model.estimates = min(found, key=lambda trial: trial[0])
    step: Any = integrator
    how = f"{type(integrator).__name__}, step {step.step:g}, clipped at {clip or 'no force'}"
    row = {"model": f"PairExpansion, steps chosen by validation: {how}", "law": model.law(), "validation": own}
    row["mse"] = error(_field(model, test), test, integrator, clip)
    return [*rows, row | {"cpu_seconds": time.process_time() - started}]


def hlieconv(smoke: bool) -> list[TableRow]:
    """HLieConv-SE(3), trained on end points through leapfrog."""
    _, train = charged("train", 60 if smoke else None)
    steps, started = 2 if smoke else UPDATES["hlieconv"], time.process_time()
    model = HLieConv.of(train, blocks=0)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", UserWarning)
        fit(model, train, step=0.05, batch=50, steps=steps, validation=0.0, **FAR)
    seconds, ends = time.process_time() - started, seen("test", smoke)
    mse = error(_field(model.double(), ends), ends, Leapfrog(step=0.05))
    return [{"model": f"HLieConv-SE(3), {steps:,} steps of 50 systems", "mse": mse, "cpu_seconds": seconds}]


def egnn(smoke: bool) -> list[TableRow]:
    """A graph network like EGNN, trained on end points, with the weights that do best on the validation systems."""
    updates, started = 20 if smoke else UPDATES["egnn"], time.process_time()
    model = train_egnn(EGNN(), *(_inputs(seen(part, smoke)) for part in ("train", "validation")), updates=updates)
    seconds = time.process_time() - started
    *given, end = _inputs(seen("test", smoke))
    with torch.no_grad():
        mse = float((model(*given) - end).square().mean())
    return [{"model": f"EGNN-like graph network, {updates:,} steps of 100 systems", "mse": mse, "cpu_seconds": seconds}]


def _field(model: Any, ends: Ends) -> Any:
    return model.condition({**ends.bodies.features}, ends.bodies.mask)


def _inputs(ends: Ends) -> tuple[Tensor, Tensor, Tensor, Tensor]:
    """Positions, velocities (masses are 1), charges and last positions, in float32."""
    return ends.start.q.float(), ends.start.p.float(), ends.bodies.features["charge"].float(), ends.end.float()


def figures(rows: list[TableRow]) -> Iterator[Figure]:
    """What is stated of the rows."""
    best = max((row["mse"] for row in rows if "chosen by validation" in row["model"]), default=None)
    yield Figure("mean square error of the law, steps chosen by validation", best, 1e-3)
    yield Figure("the same, aim", best, 3e-4)
    own = next((row["mse"] for row in rows if "generator's own" in row["model"]), None)
    yield Figure("the exact law by the generator's own steps, from float32 numbers", own, 1e-4)


BENCHMARK = Benchmark(
    title="Charged five-body systems: mean square error of positions 1,000 steps later",
    columns={"model": "model", "seeds": "seeds", "mse": "MSE", "cpu_seconds": "CPU s", "law": "law"},
    parts={"floors": floors}
    | {f"law, seed {seed}": functools.partial(law, seed=seed) for seed in range(SEEDS)}
    | {"egnn": egnn, "hlieconv": hlieconv},
    figures=figures,
    published=[
        {"model": "EGNN, published", "mse": 0.0070},
        {"model": "SEGNN, published", "mse": 0.0043},
        {"model": "PONITA, published", "mse": 0.0043},
        {"model": "CGENN, published", "mse": 0.0039},
        {"model": "multivector neurons, published", "mse": 0.0035},
    ],
    alike=("model",),
)
