"""Tables from result files."""

import json
from collections.abc import Iterable, Iterator
from pathlib import Path
from statistics import median
from typing import Any

from hlieconv.study.catalogue import ABLATION, COST, ENTRIES, SYSTEMS, Trial, budgets, elsewhere
from hlieconv.study.published import CURVES, EARLIER, ROLLOUTS
from systems.files import check_regular

Result = dict[str, Any]
STATISTICS = ("mean", "median", "p99")


def load_results(path: Path) -> list[Result]:
    """All results of a folder, in a fixed order.

    Raises:
        ValueError: for a file that is not a result.
    """
    results = []
    for file in sorted(path.glob("*.json")):
        check_regular(file)
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
        if entry in (*ABLATION, *COST, *elsewhere("springs")):
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
            last = _number(ROLLOUTS[name][99]) if n == 3000 and name in ROLLOUTS else ""
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
        for entry in (*elsewhere(system), "law"):
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
            start = [trial["system"], ENTRIES[trial["entry"]].text, str(trial["n_train"])]
            rows.append([*start, *errors, _number(long["state_error"][-1]), f"{long['valid_time']:.3g}", *drifts])
    header = ["system", "model", "systems", "4 bodies", "8 bodies", "20 bodies", "state error", "valid time (s)"]
    title = "Median test error with 4, 8 and 20 bodies after training on 6 (gravity: 4); and at the end of 10 s"
    return title, [*header, "drift of P", "of L", "of the learned energy"], rows


def _cost(results: list[Result]) -> tuple[str, list[str], list[list[str]]]:
    rows = []
    for entry in (*COST, "SE2"):
        if found := select(results, "springs", entry, 3000):
            steps, seconds = found[0]["cost"]["steps"], _seconds(found)
            training = f"SE2, {steps} steps of {found[0]['settings']['batch']}, {found[0]['dtype']}"
            rows.append([training, str(len(found)), seconds, _number(error(found))])
    for name, earlier in EARLIER.items():
        cells = [f"{earlier.cpu_seconds:.0f}", _number(earlier.test_error)]
        rows.append([f"{name}, existing implementation, {earlier.epochs} epochs", "1", *cells])
    title = "Cost of an accuracy: one chunk of each of 3,000 systems"
    return title, ["training", "seeds", "CPU s", "test error"], rows


def _budget(results: list[Result]) -> tuple[str, list[str], list[list[str]]]:
    trials = budgets()["cpu"].trials
    own = [result for result in results if Trial(**result["trial"]) in trials]
    training = sum(cpu_seconds(result) or 0 for result in own)
    measuring = sum(result["cost"].get("measuring_cpu_seconds") or 0 for result in own)
    hours = (seconds / 3600 for seconds in (training, measuring))
    header = ["trials", "with a result", "CPU hours of training", "of measuring, where it is known"]
    row = [str(len(trials)), str(len(own)), *(f"{value:.2f}" for value in hours)]
    return "What `--budget cpu` costs", header, [row] if own else []


def cpu_seconds(result: Result) -> float | None:
    """Of a training; None if that is not known, or it was one on a GPU."""
    cost = result["cost"]
    return cost["cpu_seconds"] if cost.get("device", "cpu") == "cpu" else None


def _seconds(results: list[Result]) -> str:
    """CPU seconds of a training; where all were on a GPU the seconds that it took."""
    known, unit = [x for result in results if (x := cpu_seconds(result)) is not None], ""
    if all(result["cost"].get("device", "cpu") != "cpu" for result in results):
        known, unit = [x for result in results if (x := result["cost"]["seconds"]) is not None], " s of a GPU"
    return f"{median(known):.{0 if median(known) >= 10 else 1}f}{unit}" if known else ""


def _number(value: float | None) -> str:
    return "" if value is None else f"{value:.1e}"


def document(results: list[Result], stated: Iterable[str]) -> str:
    """The tables in Markdown, and what is stated of them."""
    parts = ["<!-- written by: hlieconv reproduce springs --no-run --document docs/study_tables.md -->\n"]
    parts.append("# Tables of the dynamics study\n")
    for title, header, rows in tables(results):
        if rows:
            body = "\n".join(f"| {' | '.join(row)} |" for row in [header, ["---"] * len(header), *rows])
            parts.append(f"## {title}\n\n{body}\n")
    parts.append("## Stated figures\n\n" + "\n".join(f"- {line}" for line in stated) + "\n")
    return "\n".join(parts)
