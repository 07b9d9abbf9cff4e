"""The tasks of Hamiltonian neural networks: the true energy along orbits that what was learned predicts."""

import time
import warnings
from collections.abc import Callable, Iterator
from typing import Any

import torch
import xarray as xr
from jaxtyping import Float
from torch import Tensor

from hlieconv.benchmarks.benchmark import Benchmark, TableRow
from hlieconv.benchmarks.hnn_data import TASKS, TRIALS, HNNTask, hnn_data, without_noise
from hlieconv.dynamics.fitting import fit
from hlieconv.models import FC, HNN, AbstractModel, PairExpansion
from hlieconv.study.stated import Figure
from systems import AbstractNewtonian
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

#: Seeds of the data and of first weights.
LAWS, NETWORKS = 5, 3


def energy_error(field: Any, task: HNNTask, integrator: AbstractIntegrator) -> float:
    """The mean square error of the true energy along orbits that a field predicts from exact first states."""
    true, start = task.system(TRIALS), task.begin(TRIALS, TEST_SEED)
    times = torch.linspace(0, task.trial_seconds, task.trial_points, dtype=torch.float64)
    with torch.no_grad():
        orbit = integrator.integrate(field, start, times)
    return float((true.energy(orbit) - true.energy(start)).square().mean())


def conditioned(model: AbstractModel, data: xr.Dataset, task: HNNTask) -> Any:
    """The field of a model, of bodies with the mass that the data have."""
    shape = task.begin(TRIALS, TEST_SEED).q.shape[:2]
    return model.condition({"mass": torch.full(shape, float(data["mass"].mean()), dtype=torch.float64)})


class Scaled(AbstractNewtonian):
    """The potential of a system, times a number, with another mass."""

    def __init__(self, system: AbstractNewtonian, scale: float, mass: float) -> None:
        super().__init__(mass=torch.full_like(system.mass, mass))
        self.system, self.scale = system, scale

    def potential(self, q: Float[Tensor, "*batch n d"]) -> Float[Tensor, "*batch"]:
        return self.scale * self.system.potential(q)


def floors(name: str, smoke: bool, seed: int) -> list[TableRow]:
    """What the exact law reaches; in noise what its form does with the mass and the strength that fit the data best."""
    task = TASKS[name]
    if not task.noise:
        return [
            {"task": name, "model": "the exact law", "mse": energy_error(task.system(TRIALS), task, AdaptiveGauss())}
        ]
    data = without_noise(hnn_data(task, seed=100 * seed))
    q, rate = (torch.from_numpy(data[x].transpose("time", "trajectory", ...).values) for x in ("q", "p_rate"))
    force = task.system(task.trajectories).force(q)
    scale, mass = float((force * rate).sum() / force.square().sum()), float(data["mass"].mean())
    mse = energy_error(Scaled(task.system(TRIALS), scale, mass), task, AdaptiveGauss())
    return [{"task": name, "model": "the exact law, its two numbers fitted to the same data", "mse": mse}]


def law(name: str, smoke: bool, seed: int = 0) -> list[TableRow]:
    """The law that is read from the states and their derivatives."""
    task, started = TASKS[name], time.process_time()
    data = hnn_data(task, FEW if smoke and not task.noise else None, seed=100 * seed)
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
    return [row | {"mse": energy_error(conditioned(model, data, task), task, AdaptiveGauss())}]


def rivals(name: str, smoke: bool, seed: int = 0) -> list[TableRow]:
    """Networks that are trained on the noisy states and their derivatives."""
    task, rows = TASKS[name], list[TableRow]()
    data = hnn_data(task, seed=100 * seed)
    data = data.assign(mass=without_noise(data)["mass"])
    steps, batch = FEW if smoke else UPDATES, task.trajectories * task.points
    for kind, network in RIVALS.items():
        started = time.process_time()
        torch.manual_seed(seed)
        model = network(**SIZE).double()
        fit(model, data, validation=0.0, batch=batch, steps=steps, seed=seed, progress=False, **DESCENT)
        mse = energy_error(conditioned(model, data, task), task, RK4(step=0.05))
        seconds = time.process_time() - started
        rows.append({"task": name, "model": kind, "mse": mse, "cpu_seconds": seconds})
    return rows


def figures(rows: list[TableRow]) -> Iterator[Figure]:
    """What is stated of the rows."""
    own = {row["task"]: row["mse"] for row in rows if row["model"] == "PairExpansion"}
    for name, task in TASKS.items():
        yield Figure(f"{name}, mean square error of the energy", own.get(name), task.published[1])


def _of(part: Callable[..., list[TableRow]], name: str, seed: int) -> Callable[[bool], list[TableRow]]:
    return lambda smoke: part(name, smoke, seed)


def _seed(seed: int) -> str:
    return f", seed {seed}" if seed else ""


BENCHMARK = Benchmark(
    title="Tasks of Hamiltonian neural networks: mean square error of the energy along predicted orbits",
    columns={
        "task": "task",
        "model": "model",
        "seeds": "seeds",
        "mse": "MSE of the energy",
        "cpu_seconds": "CPU s",
        "law": "law",
    },
    parts={
        f"{name}, floor{_seed(seed)}": _of(floors, name, seed)
        for name, task in TASKS.items()
        for seed in range(LAWS if task.noise else 1)
    }
    | {f"{name}{_seed(seed)}": _of(law, name, seed) for seed in range(LAWS) for name in TASKS}
    | {
        f"{name}, networks{_seed(seed)}": _of(rivals, name, seed)
        for seed in range(NETWORKS)
        for name, task in TASKS.items()
        if task.noise
    },
    figures=figures,
    published=[
        {"task": name, "model": f"{model}, published", "mse": mse}
        for name, task in TASKS.items()
        for model, mse in zip(("baseline network", "HNN"), task.published, strict=True)
    ],
    alike=("task", "model"),
)
