"""The tasks of Hamiltonian neural networks: the true energy along orbits that what was learned predicts."""

import time
import warnings
from collections.abc import Callable, Iterator
from typing import Any

import torch
import xarray as xr

from hlieconv.benchmarks.benchmark import Benchmark, TableRow
from hlieconv.benchmarks.hnn_data import TASKS, TRIALS, HNNTask, hnn_data, without_noise
from hlieconv.dynamics.fitting import fit
from hlieconv.models import FC, HNN, AbstractModel, PairExpansion
from hlieconv.study.stated import Figure
from systems.integrators import RK4, AbstractIntegrator, AdaptiveGauss

#: Networks that are trained on the same data, where there is one body: two hidden layers of the published width, and
#: as many updates by all points at once.
RIVALS: dict[str, type[AbstractModel]] = {"a network of dq/dt and dp/dt": FC, "a network of H": HNN}
SIZE = {"width": 200, "depth": 2, "bodies": 1, "dimension": 1, "body_features": ("mass",)}
DESCENT: dict[str, Any] = {"optimiser": "adam", "learning_rate": 1e-3, "weight_average": 0.0}
UPDATES = 2000

#: Of the first states of the orbits on which energies are compared.
TEST_SEED = 10

#: Trajectories to train on, and updates, of a smoke test.
FEW = 40


def energy_error(model: AbstractModel, data: xr.Dataset, task: HNNTask, integrator: AbstractIntegrator) -> float:
    """The mean square error of the true energy along orbits that a model predicts from exact first states."""
    true, start = task.system(TRIALS), task.begin(TRIALS, TEST_SEED)
    times = torch.linspace(0, task.trial_seconds, task.trial_points, dtype=torch.float64)
    mass = torch.full(start.q.shape[:2], float(data["mass"].mean()), dtype=torch.float64)
    with torch.no_grad():
        orbit = integrator.integrate(model.condition({"mass": mass}), start, times)
    return float((true.energy(orbit) - true.energy(start)).square().mean())


def law(name: str, smoke: bool) -> list[TableRow]:
    """The law that is read from the states and their derivatives."""
    task, started = TASKS[name], time.process_time()
    data = hnn_data(task, FEW if smoke and not task.noise else None)
    made = time.process_time()
    data = without_noise(data) if task.noise else data
    model = PairExpansion(task.group, dimension=data.sizes["space"], body_features=("mass",))
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", UserWarning)  # of masses that are the same, and of forces in noise
        fit(model, data, progress=False)
    row: TableRow = {
        "task": name,
        "model": "PairExpansion",
        "law": model.law(),
        "cpu_seconds": time.process_time() - made,
    }
    row["data_seconds"] = made - started
    return [row | {"mse": energy_error(model, data, task, AdaptiveGauss())}]


def rivals(name: str, smoke: bool) -> list[TableRow]:
    """Networks that are trained on the noisy states and their derivatives."""
    task, rows = TASKS[name], list[TableRow]()
    data = hnn_data(task)
    data = data.assign(mass=without_noise(data)["mass"])
    steps, batch = FEW if smoke else UPDATES, task.trajectories * task.points
    for kind, network in RIVALS.items():
        started = time.process_time()
        torch.manual_seed(0)
        model = network(**SIZE).double()
        fit(model, data, validation=0.0, batch=batch, steps=steps, progress=False, **DESCENT)
        mse, seconds = energy_error(model, data, task, RK4(step=0.05)), time.process_time() - started
        rows.append({"task": name, "model": kind, "mse": mse, "cpu_seconds": seconds})
    return rows


def figures(rows: list[TableRow]) -> Iterator[Figure]:
    """What is stated of the rows."""
    own = {row["task"]: row["mse"] for row in rows if row["model"] == "PairExpansion"}
    for name, task in TASKS.items():
        yield Figure(f"{name}, mean square error of the energy", own.get(name), task.published[1])


def _part(of: Callable[[str, bool], list[TableRow]], name: str) -> Callable[[bool], list[TableRow]]:
    return lambda smoke: of(name, smoke)


BENCHMARK = Benchmark(
    title="Tasks of Hamiltonian neural networks: mean square error of the energy along predicted orbits",
    columns={"task": "task", "model": "model", "mse": "MSE of the energy", "cpu_seconds": "CPU s", "law": "law"},
    parts={name: _part(law, name) for name in TASKS}
    | {f"{name}, networks": _part(rivals, name) for name, task in TASKS.items() if task.noise},
    figures=figures,
    published=[
        {"task": name, "model": f"{model}, published", "mse": mse}
        for name, task in TASKS.items()
        for model, mse in zip(("baseline network", "HNN"), task.published, strict=True)
    ],
)
