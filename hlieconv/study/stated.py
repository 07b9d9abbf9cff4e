"""What is said of the results in numbers, and whether they reach it."""

import math
from collections.abc import Iterator
from statistics import median
from typing import NamedTuple

from hlieconv.study.catalogue import COST, RIVALS, SYSTEMS, best_of
from hlieconv.study.published import EARLIER_JOB, LIECONV_PAPER
from hlieconv.study.tables import Result, cpu_seconds, error, select, sizes

#: Test error of the SE(2) model by the number of training systems; the best published is 2.5e-5, 8.6e-6, 1.2e-6.
TARGETS = {100: 5e-10, 400: 3e-10, 3000: 3e-11}
#: The same with its last layer solved for: that of the data themselves.
SOLVED_TARGET = 1e-15
#: Mean square error of the SE(2) model at the end of 100 points; the best published is 7.4e-4.
ROLLOUT_TARGET = 1e-6
DRIFT_TARGET = 1e-12
#: A test error, the CPU seconds of another model that reaches it, and how many times sooner ours does.
REACH = {"HFC": (1.7e-3, 217.0, 50.0), "HLieConv-T2": (5.3e-6, EARLIER_JOB, 200.0)}


class Figure(NamedTuple):
    """A number that the results have to reach."""

    name: str
    value: float | None
    """None while there is no result."""
    bound: float

    @property
    def line(self) -> str:
        if self.value is None:
            return f"waits {self.name}: at most {self.bound:.1e}, no result yet"
        verdict = "pass " if self.value <= self.bound else "FAIL "
        return f"{verdict} {self.name}: at most {self.bound:.1e}, got {self.value:.1e}"


def check(results: list[Result]) -> Iterator[str]:
    """A line for each figure: pass, FAIL, or waits where there is no result."""
    for figure in figures_to_reach(results):
        yield figure.line


def figures_to_reach(results: list[Result]) -> Iterator[Figure]:
    """Everything that is said of the results in numbers."""
    for entry, bounds in {"SE2": TARGETS, "T2-published": LIECONV_PAPER}.items():
        for n in TARGETS:
            found = select(results, "springs", entry, n)
            seeds = "1 seed" if len(found) == 1 else f"{len(found)} seeds"
            yield Figure(f"test error of {entry} after {n} systems ({seeds})", error(found), bounds[n])
    for n in (100, 3000):
        solved = error(select(results, "springs", "SE2-solved", n))
        yield Figure(f"test error of SE2-solved after {n} systems", solved, SOLVED_TARGET)
    last = [_number(result["rollout"]["mse"][-1]) for result in select(results, "springs", "SE2", 3000)]
    yield Figure("mean square error of SE2 at step 99 of a rollout", median(last) if last else None, ROLLOUT_TARGET)
    for name, (reached, seconds, factor) in REACH.items():
        cost = cost_of(results, reached)
        yield Figure(f"CPU s to test error {reached:.1e}, 1/{factor:.0f} of {name}'s", cost, seconds / factor)
    for system in SYSTEMS:
        for entry in ("SE2", best_of(system)):
            if drifts := [*_drifts(results, system, entry)]:
                yield Figure(f"drift of P and L, {system}, {entry}", max(drifts), DRIFT_TARGET)
    for system in SYSTEMS:
        if system == "springs":
            continue
        best = error(select(results, system, best_of(system), 400))
        others = [x for entry in RIVALS if (x := error(select(results, system, entry, 400))) is not None]
        ratio = None if best is None or not others else best / min(others)
        yield Figure(f"test error over the best of {len(others)} (of 3) rivals, {system}, 400 systems", ratio, 0.1)


def cost_of(results: list[Result], reached: float) -> float | None:
    """CPU seconds of the cheapest training of the SE(2) model whose test error is below a value, medians of seeds."""
    costs = []
    for entry in COST:
        for n in sizes(results, "springs", entry):
            found = select(results, "springs", entry, n)
            seconds = [x for result in found if (x := cpu_seconds(result)) is not None]
            if seconds and (error(found) or math.inf) <= reached:
                costs.append(median(seconds))
    return min(costs, default=None)


def _drifts(results: list[Result], system: str, entry: str) -> Iterator[float]:
    """Of P and L, of all trainings, along rollouts and along ten times as long ones."""
    for result in results:
        if (result["trial"]["system"], result["trial"]["entry"]) == (system, entry):
            for part in (result["rollout"], result.get("long")):
                if part:
                    yield from (_number(part["drift"][name]) for name in ("momentum", "angular_momentum"))


def _number(value: float | None) -> float:
    """JSON has no infinity: it is None there."""
    return math.inf if value is None else value
