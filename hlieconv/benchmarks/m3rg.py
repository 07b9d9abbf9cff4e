"""Rings of springs and binary Lennard-Jones clusters: the law, and what it does to the energy and to trajectories."""

import time
import warnings
from collections.abc import Callable, Iterator
from typing import Any

import torch
import xarray as xr
from jaxtyping import Float
from torch import Tensor

from hlieconv.benchmarks.benchmark import Benchmark, TableRow
from hlieconv.benchmarks.m3rg_data import DEPTHS, SIZES, m3rg_data
from hlieconv.dynamics.fitting import fit
from hlieconv.dynamics.rollouts import rollout
from hlieconv.models import AbstractModel, HLieConv, PairExpansion
from hlieconv.study.stated import Figure
from systems import PhaseSpace
from systems.dataset.reading import trajectory_of
from systems.integrators import BlanesMoanSRKN6, Leapfrog

#: Trajectories to train on, bodies of these, and bodies of larger systems on which a law is tested besides.
COUNTS, BODIES = {"springs": 100, "binary Lennard-Jones": 10}, {"springs": (5, 20), "binary Lennard-Jones": (20, 75)}

#: What a law is told of bodies and pairs, and of which group it is.
TOLD: dict[str, dict[str, Any]] = {
    "springs": {"group": "SE2", "body_features": ("mass",), "pair_features": ("spring_constant",)},
    "binary Lennard-Jones": {"group": "SE3", "body_features": ("mass", "species")},
}

#: Of the trajectories that a model is tested on: their seed, and how many of each size.
TEST_SEED, TRIALS = 100, (20, 2)

#: Steps with which the exact law is followed, for what they leave of the accuracy.
FLOORS = {
    "steps of order 6 of 0.001": BlanesMoanSRKN6(step=0.001, compile="auto"),
    "leapfrog, step 0.001": Leapfrog(step=0.001, compile="auto"),
}

#: Updates of the weights of the network.
UPDATES = 1000


def errors(model: AbstractModel, task: str, bodies: int, trials: int, integrator: str | None) -> tuple[float, float]:
    """Of the energy and of the positions along predicted trajectories, in the published measure.

    The geometric means over frames and trajectories of |a - b| / (|a| + |b|), where norms are over bodies and axes.
    """
    system, true = m3rg_data(task, trials, TEST_SEED, bodies=bodies)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", UserWarning)
        found = rollout(model, true, integrator=integrator)
    (_, a), (_, b) = (trajectory_of(x, dtype=torch.float64) for x in (true, found))
    return _errors(system, a, b)


def _errors(system: Any, a: PhaseSpace, b: PhaseSpace) -> tuple[float, float]:
    with torch.no_grad():
        energies = [system.energy(x)[1:, :, None] for x in (a, b)]
    return _relative(*energies), _relative(a.q[1:].flatten(2), b.q[1:].flatten(2))


def floors(task: str, smoke: bool) -> list[TableRow]:
    """What the exact law reaches with other steps than those by which the test trajectories were made."""
    bodies, rows = BODIES[task][0], list[TableRow]()
    system, true = m3rg_data(task, 2 if smoke else TRIALS[0], TEST_SEED, bodies=bodies)
    times, path = trajectory_of(true, dtype=torch.float64)
    for words, integrator in FLOORS.items():
        found = integrator.integrate(system, PhaseSpace(path.q[0], path.p[0]), times)
        energy, positions = _errors(system, path, found)
        row: TableRow = {"task": task, "bodies": bodies, "model": f"the exact law by {words}"}
        rows.append(row | {"energy": energy, "positions": positions})
    return rows


def _relative(a: Float[Tensor, "time trajectory x"], b: Float[Tensor, "time trajectory x"]) -> float:
    found = (a - b).norm(dim=-1) / (a.norm(dim=-1) + b.norm(dim=-1))
    return float(found.clamp(min=torch.finfo(found.dtype).eps).log().mean().exp())


def train_data(task: str, smoke: bool) -> xr.Dataset:
    """The trajectories that a model is fitted to."""
    return m3rg_data(
        task, 6 if smoke else COUNTS[task], 0, bodies=8 if smoke and "Lennard" in task else BODIES[task][0]
    )[1]


def law(task: str, smoke: bool) -> list[TableRow]:
    """The law that is read from the trajectories, on systems as large and larger."""
    data = train_data(task, smoke)
    started = time.process_time()
    model = PairExpansion(**TOLD[task])
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", UserWarning)  # of masses that are the same
        fit(model, data, progress=False)
    seconds, rows = time.process_time() - started, list[TableRow]()
    for bodies, trials in zip((data.sizes["body"],) if smoke else BODIES[task], TRIALS, strict=False):
        energy, positions = errors(model, task, bodies, 2 if smoke else trials, "adaptive_gauss")
        row: TableRow = {"task": task, "bodies": bodies, "model": "PairExpansion", "energy": energy}
        rows.append(row | {"positions": positions})
    rows[0] |= {"cpu_seconds": seconds, "law": model.law()}
    if task != "springs":
        rows[0]["parameters"] = parameters_off(model)
    return rows


def parameters_off(model: PairExpansion) -> float:
    """The largest relative error of the depths and sizes of the three kinds of pairs."""
    found = [0.0]
    for kinds, depth, size in zip(((0, 0), (0, 1), (1, 1)), DEPTHS, SIZES, strict=True):
        features = {"mass": torch.ones(2).double(), "species": torch.tensor(kinds).double()}
        field = model.condition(features)
        at = torch.tensor([[[0.0] * 3, [x, 0.0, 0.0]] for x in (1.0, 2.0)], dtype=torch.float64)
        near, far = field.potential(at).tolist()  # c12 - c6, c12 / 2^12 - c6 / 2^6
        twelfth = (near - 64 * far) / (1 - 2.0**-6)
        sixth = twelfth - near
        found += [abs(sixth**2 / (4 * twelfth) / depth - 1), abs((twelfth / sixth) ** (1 / 6) / size - 1)]
    return max(found)


def network(task: str, smoke: bool) -> list[TableRow]:
    """HLieConv, trained on the same trajectories."""
    data = train_data(task, smoke)
    started, steps = time.process_time(), 20 if smoke else UPDATES
    torch.manual_seed(0)
    model = HLieConv(TOLD[task]["group"], blocks=0, **{k: v for k, v in TOLD[task].items() if k != "group"})
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", UserWarning)
        fit(model, data, steps=steps, validation=0.0, progress=False)
    seconds = time.process_time() - started
    bodies = data.sizes["body"]
    energy, positions = errors(model, task, bodies, 2 if smoke else TRIALS[0], None)
    row: TableRow = {"task": task, "bodies": bodies, "model": f"HLieConv-{TOLD[task]['group']}, {steps:,} steps"}
    return [row | {"energy": energy, "positions": positions, "cpu_seconds": seconds}]


def figures(rows: list[TableRow]) -> Iterator[Figure]:
    """What is stated of the rows."""
    for task in COUNTS:
        for bodies in BODIES[task]:
            own = [row for row in rows if (row["task"], row["bodies"], row["model"]) == (task, bodies, "PairExpansion")]
            value = own[0]["energy"] if own else None
            yield Figure(f"{task}, {bodies} bodies, relative error of the energy", value, 1e-8)
    off = next((row["parameters"] for row in rows if "parameters" in row), None)
    yield Figure("binary Lennard-Jones, relative error of depths and sizes", off, 1e-6)


def _part(of: Callable[[str, bool], list[TableRow]], task: str) -> Callable[[bool], list[TableRow]]:
    return lambda smoke: of(task, smoke)


BENCHMARK = Benchmark(
    title="Rings of springs and binary Lennard-Jones clusters: relative errors along predicted trajectories",
    columns={
        "task": "task",
        "bodies": "bodies",
        "model": "model",
        "energy": "energy",
        "positions": "positions",
        "cpu_seconds": "CPU s",
        "law": "law",
    },
    parts={f"{task}, floors": _part(floors, task) for task in COUNTS}
    | {task: _part(law, task) for task in COUNTS}
    | {"springs, network": _part(network, "springs")},
    figures=figures,
)
