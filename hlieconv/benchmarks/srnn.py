"""Noisy trajectories: what is predicted from a few noisy points, by what was learned from as few and as noisy ones."""

import time
import warnings
from collections.abc import Callable, Iterator
from typing import Any

import torch
from torch import Tensor

from hlieconv.benchmarks.benchmark import Benchmark, TableRow
from hlieconv.benchmarks.srnn_data import ASKED, BETWEEN, NOISE, SEEN, bound, srnn_data
from hlieconv.dynamics.fitting import fit
from hlieconv.models import HFC, PairExpansion
from hlieconv.study.stated import Figure
from systems import PhaseSpace
from systems.integrators import AbstractIntegrator, AdaptiveGauss, BlanesMoanSRKN6

#: Trajectories to train on and to test on, and seeds of both.
TRAIN, TRIALS, TRAIN_SEED, TEST_SEED = {"chain": 100, "three-body": 1000}, 15, 0, 50

#: Steps in which first states are found, and their number.
SHORT, ROUNDS = BlanesMoanSRKN6(step=BETWEEN / 2), 40

#: The fit of the chain, and the network: steps of leapfrog from point to point, two hidden layers.
CHAIN: dict[str, Any] = {"optimiser": "lbfgs", "learning_rate": 0.5, "weight_average": 0.0, "integrator": "leapfrog"}
NETWORK: dict[str, Any] = {"loss": "rollout", "chunk": SEEN, "integrator": "leapfrog", "validation": 0.0}
WIDTH, UPDATES = 512, 500


def predicted(field: Any, task: str, bodies: int, integrator: AbstractIntegrator) -> float:
    """The mean square error of q and p, against what has no noise, of trajectories that noisy points begin.

    First states are those from which the field passes the noisy points best, by least squares.
    """
    _, data, exact = srnn_data(task, TRIALS, ASKED, seed=TEST_SEED, bodies=bodies)
    times = BETWEEN * torch.arange(ASKED, dtype=torch.float64)
    noisy = PhaseSpace(*(torch.from_numpy(data[x].values[:, :SEEN]).transpose(0, 1) for x in "qp"))
    start = fitted(field, noisy, times[:SEEN])
    with torch.no_grad():
        path = integrator.integrate(field, start, times)
    moves = exact.q.std(0).mean((0, 2)) > 0  # the walls do not count
    return float(torch.stack([(a - b)[:, :, moves].square().mean() for a, b in zip(path, exact, strict=True)]).mean())


def fitted(field: Any, noisy: PhaseSpace, times: Tensor) -> PhaseSpace:
    """The first states from which a field passes points best."""
    start = [x[0].clone().requires_grad_() for x in noisy]
    descent = torch.optim.LBFGS(start, max_iter=ROUNDS, line_search_fn="strong_wolfe")

    def loss() -> Tensor:
        descent.zero_grad()
        path = SHORT.integrate(field, PhaseSpace(*start), times)
        total = torch.stack([(a - b).square().sum() for a, b in zip(path, noisy, strict=True)]).sum()
        total.backward()
        return total

    descent.step(loss)
    return PhaseSpace(*(x.detach() for x in start))


def floor(task: str, smoke: bool) -> list[TableRow]:
    """What the exact law predicts."""
    bodies = 4 if smoke else 20
    system, *_ = srnn_data(task, 1, SEEN, seed=0, bodies=bodies)
    mse = predicted(system, task, bodies, AdaptiveGauss())
    return [{"task": task, "model": "the exact law", "mse": mse}]


def springs(smoke: bool) -> list[TableRow]:
    """All masses and spring constants of the chain, of every two bodies, from guesses: 1 and, of neighbours, 5."""
    bodies, count = (4, 20) if smoke else (20, TRAIN["chain"])
    true, data, _ = srnn_data("chain", count, SEEN, seed=TRAIN_SEED, bodies=bodies)
    started = time.process_time()
    one = torch.ones(bodies + 2, dtype=torch.float64)
    guess = bound(one, 5 * one[1:], trainable=["mass", "spring_constant"])
    options = CHAIN | {"loss": "rollout", "chunk": SEEN, "step": BETWEEN / 2, "steps": 5 if smoke else 15}
    fit(guess, data, batch=count, validation=0.0, progress=False, **options)
    seconds = time.process_time() - started
    guess.requires_grad_(False)
    next_ones = [x.matrix.diagonal(offset=1) for x in (guess, true)]
    off = [float((a / b - 1).abs().max()) for a, b in (next_ones, (guess.mass[1:-1], true.mass[1:-1]))]
    row: TableRow = {"task": "chain", "model": "Springs, masses and constants fitted", "cpu_seconds": seconds}
    law = f"constants off by at most {100 * off[0]:.1f} %, masses by {100 * off[1]:.1f} %"
    return [row | {"mse": predicted(guess, "chain", bodies, AdaptiveGauss()), "law": law}]


def law(smoke: bool) -> list[TableRow]:
    """The law of three bodies, read from noisy points."""
    _, data, _ = srnn_data("three-body", TRAIN["three-body"], SEEN, seed=TRAIN_SEED)
    started = time.process_time()
    model = PairExpansion("SE2", body_features=("mass",))
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", UserWarning)  # of masses that are the same
        fit(model, data, progress=False)
    seconds = time.process_time() - started
    mse = predicted(model.condition({"mass": torch.ones(3).double()}), "three-body", 3, AdaptiveGauss())
    row: TableRow = {"task": "three-body", "model": "PairExpansion", "mse": mse, "cpu_seconds": seconds}
    return [row | {"law": model.law()}]


def network(smoke: bool) -> list[TableRow]:
    """A network for the potential, trained through leapfrog with first states that are fitted too, as theirs is."""
    _, data, _ = srnn_data("three-body", TRAIN["three-body"], SEEN, seed=TRAIN_SEED)
    started, steps = time.process_time(), 5 if smoke else UPDATES
    torch.manual_seed(0)
    model = HFC(3, width=WIDTH, depth=2, body_features=("mass",)).double()
    fit(model, data, steps=steps, first_states="fitted", progress=False, **NETWORK)
    seconds = time.process_time() - started
    model.requires_grad_(False)
    mse = predicted(model.condition({"mass": torch.ones(3).double()}), "three-body", 3, BlanesMoanSRKN6(step=BETWEEN))
    row: TableRow = {"task": "three-body", "model": f"a network of V through leapfrog, {steps:,} steps", "mse": mse}
    return [row | {"cpu_seconds": seconds}]


def figures(rows: list[TableRow]) -> Iterator[Figure]:
    """What is stated of the rows."""
    of = {(row["task"], row["model"]): row["mse"] for row in rows}
    least, mse = (of.get(("three-body", name)) for name in ("the exact law", "PairExpansion"))
    ratio = None if least is None or mse is None else mse / least
    yield Figure("three-body, mean square error, as a multiple of that of the exact law", ratio, 1.2)
    mse = of.get(("chain", "Springs, masses and constants fitted"))
    yield Figure("chain, mean square error, below that of the noise", mse, NOISE["chain"] ** 2)


def _floor(task: str) -> Callable[[bool], list[TableRow]]:
    return lambda smoke: floor(task, smoke)


BENCHMARK = Benchmark(
    title="Noisy trajectories of 10 points: mean square error of 50 points that they begin",
    columns={"task": "task", "model": "model", "mse": "MSE", "cpu_seconds": "CPU s", "law": "law"},
    parts={
        "chain, floor": _floor("chain"),
        "three-body, floor": _floor("three-body"),
        "three-body": law,
        "three-body, network": network,
        "chain": springs,
    },
    figures=figures,
)
