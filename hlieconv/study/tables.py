"""Tables from result files, and whether the results reach what is said of them."""

import json
from collections.abc import Iterable, Iterator
from pathlib import Path
from statistics import median
from typing import Any, NamedTuple

from hlieconv.study.catalogue import ABLATION, COST, ENTRIES, RIVALS, SYSTEMS, Trial, best_of, budgets, elsewhere
from hlieconv.study.published import (
    CURVES,
    EARLIER,
    EARLIER_JOB,
    LIECONV,
    LIECONV_PAPER,
    LIETRANSFORMER,
    LIETRANSFORMER_ROLLOUT,
)

Result = dict[str, Any]
STATISTICS = ("mean", "median", "p99")


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


def load_results(path: Path) -> list[Result]:
    """All results of a folder, in a fixed order.

    Raises:
        ValueError: for a file that is not a result.
    """
    results = []
    for file in sorted(path.glob("*.json")):
        try:
            result = json.loads(file.read_text())
            known = {"trial", "test", "rollout", "cost", "parameters"} <= result.keys() and "mean" in result["test"][0]
        except (ValueError, AttributeError, TypeError, IndexError) as error:
            raise ValueError(f"path: {file} is not a result of the study ({error!r})") from error
        if not known:
            raise ValueError(f"path: {file} is not a result of the study (parts are missing)")
        results.append(result)
    return sorted(results, key=lambda result: [result["trial"][key] for key in ("system", "n_train", "seed", "entry")])


def select(results: Iterable[Result], system: str, entry: str, n_train: int) -> list[Result]:
    """The results of all seeds."""
    wanted = {"system": system, "entry": entry, "n_train": n_train}
    return [result for result in results if wanted.items() <= result["trial"].items()]


def error(results: list[Result], statistic: str = "mean") -> float | None:
    """The median over training seeds and test seeds of a statistic of the test error; None without any."""
    values = [test[statistic] for result in results for test in result["test"]]
    return median(float("inf") if value is None else value for value in values) if values else None


def sizes(results: Iterable[Result], system: str, entry: str) -> list[int]:
    """The numbers of training systems that there are results of."""
    trials = [result["trial"] for result in results]
    return sorted({trial["n_train"] for trial in trials if (trial["system"], trial["entry"]) == (system, entry)})


#: What the best SE(2) model has to reach, by the number of training systems; the best published is above each.
TARGETS = {100: 1e-8, 400: 5e-9, 3000: 1e-9}
ROLLOUT_TARGET = 1e-6
DRIFT_TARGET = 1e-11
REACH = {"HFC": (1.7e-3, 217.0, 50.0), "HLieConv-T2": (5.3e-6, EARLIER_JOB, 200.0)}


def figures_to_reach(results: list[Result]) -> Iterator[Figure]:
    """Everything that is said of the results in numbers."""
    for n, bound in TARGETS.items():
        found = select(results, "springs", "SE2", n)
        yield Figure(f"test error of SE2 after {n} systems ({len(found)} of 3 seeds)", error(found), bound)
        last = [result["rollout"]["mse"][-1] for result in found]
        if n == 3000:
            yield Figure(
                "its mean square error at step 99 of a rollout", median(last) if last else None, ROLLOUT_TARGET
            )
    for entry, curve in {"T2-published": LIECONV_PAPER, "T2-full": LIECONV}.items():
        for n in TARGETS:
            found = select(results, "springs", entry, n)
            yield Figure(f"test error of {entry} after {n} systems ({len(found)} seeds)", error(found), curve[n])
    for name, (reached, seconds, factor) in REACH.items():
        cost = cost_of(results, reached)
        yield Figure(f"CPU s to test error {reached:.1e}, 1/{factor:.0f} of {name}'s", cost, seconds / factor)
    for system in SYSTEMS:
        for entry in ("SE2", best_of(system)):
            found = [
                result for result in results if (result["trial"]["system"], result["trial"]["entry"]) == (system, entry)
            ]
            drifts = [
                part["drift"][quantity]
                for result in found
                for part in (result["rollout"], result.get("long"))
                if part
                for quantity in ("momentum", "angular_momentum")
            ]
            if drifts:
                yield Figure(f"drift of P and L, {system}, {entry}", max(drifts), DRIFT_TARGET)
    for system in SYSTEMS:
        if system == "springs":
            continue
        best = error(select(results, system, best_of(system), 400))
        others = [x for entry in RIVALS if (x := error(select(results, system, entry, 400))) is not None]
        ratio = None if best is None or not others else best / min(others)
        yield Figure(f"test error over the best of {len(others)} (of 3) rivals, {system}, 400 systems", ratio, 0.1)


def cost_of(results: list[Result], reached: float) -> float | None:
    """CPU seconds of the cheapest whole training of the SE(2) model whose test error is below a value."""
    costs = []
    for entry in COST:
        for n in sizes(results, "springs", entry):
            for result in select(results, "springs", entry, n):
                mean, cpu = result["test"][0]["mean"], result["cost"]["cpu_seconds"]
                if mean is not None and cpu is not None and mean <= reached:
                    costs.append(cpu)
    return min(costs, default=None)


def check(results: list[Result]) -> Iterator[str]:
    """A line for each figure: pass, FAIL, or waits where there is no result."""
    for figure in figures_to_reach(results):
        yield figure.line


def tables(results: list[Result]) -> Iterator[tuple[str, list[str], list[list[str]]]]:
    """Title, header and rows of each table."""
    yield _springs(results)
    yield _ablation(results)
    yield _elsewhere(results)
    yield _bodies(results)
    yield _cost(results)
    yield _budget(results)


def _springs(results: list[Result]) -> tuple[str, list[str], list[list[str]]]:
    header = ["model", "systems", "seeds", *STATISTICS, "MSE at step 99", "parameters", "CPU s"]
    rows = []
    for entry in ENTRIES:
        if entry in ABLATION or entry in COST:
            continue
        for n in sizes(results, "springs", entry):
            found = select(results, "springs", entry, n)
            rows.append(
                [
                    ENTRIES[entry].text,
                    str(n),
                    str(len(found)),
                    *(_number(error(found, statistic)) for statistic in STATISTICS),
                    _number(median(result["rollout"]["mse"][-1] or float("inf") for result in found)),
                    f"{found[0]['parameters']:,}",
                    _seconds(found),
                ]
            )
    for name, curve in CURVES.items():
        for n in (100, 400, 3000):
            last = _number(LIETRANSFORMER_ROLLOUT[99]) if n == 3000 and curve is LIETRANSFORMER else ""
            rows.append([name, str(n), "", _number(curve[n]), "", "", last, "", ""])
    return "Springs of the paper: test error", header, rows


def _ablation(results: list[Result]) -> tuple[str, list[str], list[list[str]]]:
    rows = []
    for entry in ABLATION:
        if found := select(results, "springs", entry, 400):
            numbers = [_number(error(found, statistic)) for statistic in STATISTICS]
            rows.append([ENTRIES[entry].text, *numbers, f"{found[0]['parameters']:,}", _seconds(found)])
    title = "Ablation: one change each, 400 systems, 400 steps"
    return title, ["change", *STATISTICS, "parameters", "CPU s"], rows


def _elsewhere(results: list[Result]) -> tuple[str, list[str], list[list[str]]]:
    rows = []
    for system in SYSTEMS:
        for entry in elsewhere(system):
            if found := select(results, system, entry, 400):
                numbers = [_number(error(found, statistic)) for statistic in STATISTICS]
                rows.append([system, ENTRIES[entry].text, *numbers, _seconds(found)])
        known = [result for result in results if result["trial"]["system"] == system and "free_motion" in result]
        if known:
            straight = (_number(known[0]["free_motion"][name]) for name in STATISTICS)
            rows.append([system, "free motion: no forces", *straight, ""])
    return "The same recipe everywhere: 400 systems, 400 steps", ["system", "model", *STATISTICS, "CPU s"], rows


def _bodies(results: list[Result]) -> tuple[str, list[str], list[list[str]]]:
    rows = []
    for result in results:
        if "long" in result:
            trial, long = result["trial"], result["long"]
            errors = [_number(value["median"]) for value in result.get("bodies", {}).values()] or ["", "", ""]
            drifts = [_number(long["drift"].get(name)) for name in ("momentum", "angular_momentum", "energy")]
            start = [ENTRIES[trial["entry"]].text, str(trial["n_train"])]
            rows.append([*start, *errors, _number(long["state_error"][-1]), f"{long['valid_time']:.3g}", *drifts])
    header = ["model", "systems", "4 bodies", "8 bodies", "20 bodies", "state error", "valid time (s)"]
    title = "Trained on springs of 6 bodies: median test error of other numbers; and at the end of 10 s"
    return title, [*header, "drift of P", "of L", "of the learned energy"], rows


def _cost(results: list[Result]) -> tuple[str, list[str], list[list[str]]]:
    rows = []
    for entry in (*COST, "SE2"):
        for result in select(results, "springs", entry, 400)[:1]:
            cost = result["cost"]
            step = "" if cost["cpu_seconds"] is None else f"{1000 * cost['cpu_seconds'] / cost['steps']:.1f}"
            rows.append(
                [
                    f"SE2, {cost['steps']} steps of {result['settings']['batch']} chunks, {result['dtype']}",
                    _seconds([result]),
                    _number(error([result])),
                    step,
                ]
            )
    for name, earlier in EARLIER.items():
        cells = [f"{earlier.cpu_seconds:.0f}", _number(earlier.test_error), ""]
        rows.append([f"{name}, existing implementation, {earlier.epochs} epochs of 3,000", *cells])
    return "Cost of an accuracy", ["training", "CPU s", "test error", "CPU ms a step"], rows


def _budget(results: list[Result]) -> tuple[str, list[str], list[list[str]]]:
    trials = budgets()["cpu"].trials
    costs = [result["cost"] for result in results if Trial(**result["trial"]) in trials]
    sums = (sum(cost.get(name) or 0 for cost in costs) for name in ("cpu_seconds", "measuring_cpu_seconds"))
    hours = [f"{seconds / 3600:.2f}" for seconds in sums]
    header = ["trials", "with a result", "CPU hours of training", "CPU hours of measuring"]
    return "What `--budget cpu` costs", header, [[str(len(trials)), str(len(costs)), *hours]] if costs else []


def _seconds(results: list[Result]) -> str:
    known = [result["cost"]["cpu_seconds"] for result in results if result["cost"]["cpu_seconds"] is not None]
    return f"{median(known):.0f}" if known else ""


def _number(value: float | None) -> str:
    return "" if value is None else f"{value:.1e}"


def lines(results: list[Result]) -> Iterator[str]:
    """The tables for a terminal, and what is reached."""
    for title, header, rows in tables(results):
        if rows:
            widths = [max(len(row[i]) for row in [header, *rows]) for i in range(len(header))]
            yield title
            for row in [header, *rows]:
                yield "  " + "  ".join(cell.ljust(width) for cell, width in zip(row, widths, strict=True)).rstrip()
            yield ""
    yield "Stated figures"
    yield from (f"  {line}" for line in check(results))


def document(results: list[Result]) -> str:
    """The tables in Markdown."""
    parts = ["<!-- written by: hlieconv reproduce springs --no-run --document docs/study_tables.md -->\n"]
    for title, header, rows in tables(results):
        if rows:
            body = "\n".join(f"| {' | '.join(row)} |" for row in [header, ["---"] * len(header), *rows])
            parts.append(f"## {title}\n\n{body}\n")
    parts.append("## Stated figures\n\n" + "\n".join(f"- {line}" for line in check(results)) + "\n")
    return "\n".join(parts)
