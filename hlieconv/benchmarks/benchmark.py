"""What a benchmark is: parts that are run once each, a table of their rows, and figures that are to be reached."""

import json
import pkgutil
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from statistics import fmean, median
from typing import Any

import torch

from hlieconv.benchmarks.registry import BENCHMARKS
from hlieconv.study.stated import Figure
from systems.checks import check
from systems.files import check_regular, locked
from systems.provenance import provenance, write_result

#: A line of a table: values by the name of their column.
TableRow = dict[str, Any]


@dataclass(frozen=True)
class Benchmark:
    """A task on which others publish."""

    title: str
    """Of its table."""
    columns: Mapping[str, str]
    """The names of values and the headings of their columns."""
    parts: Mapping[str, Callable[[bool], list[TableRow]]]
    """What is run, by name: gives rows. The argument is whether a minute must be enough (smoke)."""
    figures: Callable[[list[TableRow]], Iterator[Figure]]
    """What the rows have to reach."""
    published: Sequence[TableRow] = ()
    """What others have published of the task."""
    alike: Sequence[str] = ()
    """Rows that agree in these values are of different seeds, and one line of the table (see `gathered`)."""

    def run(
        self,
        file: Path,
        name: str,
        *,
        smoke: bool = False,
        only: str = "",
        minutes: float | None = None,
        report: Callable[[str], None] = print,
    ) -> int:
        """Run the parts that the file does not have yet, and write it after each, with the commit of each part.

        Args:
            file: of the results.
            name: of the benchmark.
            smoke: whether to run small versions.
            only: run no parts but those whose names hold this text.
            minutes: begin no part after so many of them.
            report: receives a line for each part.

        Returns:
            How many parts are left, of those that were asked for.

        Raises:
            ValueError: if the file holds anything else, or results of a smoke test where these are none, or vice versa;
                if no part has such a name.
        """
        asked = {part: rows_of for part, rows_of in self.parts.items() if only in part}
        check("part", only, bool(asked), f"text that the name of a part holds, as {next(iter(self.parts))!r}")
        until = None if minutes is None else time.monotonic() + 60 * minutes
        file.parent.mkdir(parents=True, exist_ok=True)
        with locked(file):
            done = self.read(file) if file.exists() else {}
            before = json.loads(file.read_text()) if done else {}
            commits, small = before.get("commits", {}), before.get("smoke", smoke)
            kinds = {True: "those of a smoke test", False: "those of whole runs"}
            if small != smoke:
                raise ValueError(f"path: expected results like {kinds[smoke]}, got {kinds[small]} in {file}")
            for part, rows_of in asked.items():
                if part in done or (until is not None and time.monotonic() > until):
                    continue
                torch.manual_seed(0)
                started = time.process_time()
                done[part] = rows_of(smoke)
                seconds = round(time.process_time() - started, 1)
                commits[part] = provenance()["commit"]
                result = {"seed": 0, "benchmark": name, "smoke": smoke, "commits": commits, "parts": done}
                write_result(file, result, command=f"hlieconv reproduce {name}")
                report(f"{part}: {seconds} CPU s")
        return sum(part not in done for part in asked)

    def read(self, file: Path) -> dict[str, list[TableRow]]:
        """The rows of a file by the names of their parts.

        Raises:
            ValueError: if there is no such file, or it holds no results of this benchmark, or others too.
        """
        parts = _json(file, "results").get("parts")
        if not isinstance(parts, dict) or not all(isinstance(rows, list) for rows in parts.values()):
            raise ValueError(f"path: {file} holds no results of a benchmark")
        if unknown := [part for part in parts if part not in self.parts]:
            expected = f"results of the parts of this benchmark, as {next(iter(self.parts))!r}"
            raise ValueError(f"path: expected {expected}, got {unknown[0]!r} in {file}")
        return {part: [dict(row) for row in rows] for part, rows in parts.items()}

    def beside(self, file: Path) -> list[TableRow]:
        """Rows of other models, of a JSON file that holds a list of them: values by the names of columns.

        Raises:
            ValueError: if there is no such file, or it holds anything else.
        """
        rows = _json(file, "rows")
        if not (isinstance(rows, list) and rows):
            raise ValueError(f"rows: expected a list of rows in {file}, got {str(rows)[:60]}")
        needed = [*self.alike] or [next(iter(self.columns))]
        for row in rows:
            names = [*row] if isinstance(row, dict) else []
            if not set(needed) <= set(names) <= set(self.columns):
                expected = f"values of {', '.join(needed)}, and of any of {', '.join(self.columns)}"
                raise ValueError(f"rows: expected {expected}, got {str(row)[:200]} in {file}")
        return rows

    def rows(self, done: Mapping[str, list[TableRow]]) -> list[TableRow]:
        """All rows, in the order of the parts, those of different seeds as one, and behind them what is published."""
        rows = [row for part in self.parts for row in done.get(part, ())]
        return [*(gathered(rows, self.alike) if self.alike else rows), *self.published]

    def stated(self, rows: list[TableRow]) -> list[str]:
        """A line for each figure that the rows have to reach.

        Raises:
            ValueError: if a row lacks a number that a figure is made of.
        """
        try:
            return [figure.line for figure in self.figures(rows)]
        except (KeyError, TypeError) as error:
            raise ValueError(f"path: a row of the results lacks what a figure is made of ({error!r})") from error

    def table(self, rows: Sequence[TableRow]) -> list[list[str]]:
        """The headings, and a line of text for each row."""
        return [[*self.columns.values()], *([shown(row.get(name)) for name in self.columns] for row in rows)]


def _json(file: Path, what: str) -> Any:
    """What is in a JSON file.

    Raises:
        ValueError: if there is no such file, or it is none.
    """
    if not file.exists():
        raise ValueError(f"path: expected a file with {what}, got none at {file}")
    check_regular(file)
    try:
        return json.loads(file.read_text())
    except ValueError as error:
        raise ValueError(f"path: {file} holds no {what} of a benchmark ({error!r})") from error


def benchmark(name: str) -> Benchmark:
    """The benchmark of this name."""
    return pkgutil.resolve_name(BENCHMARKS[name])


def gathered(rows: Sequence[TableRow], alike: Sequence[str]) -> list[TableRow]:
    """One row for all that agree in some values: the number of ``seeds``, and of every other value its median.

    Of what is true or false it is the fraction that is true, of texts the first. What is None does not count.

    Example:
        >>> gathered([{"law": "A", "error": 1.0}, {"law": "B"}, {"law": "A", "error": 3.0}], ["law"])
        [{'law': 'A', 'error': 2.0, 'seeds': 2}, {'law': 'B', 'seeds': 1}]
    """
    kinds: dict[tuple[Any, ...], list[TableRow]] = {}
    for row in rows:
        kinds.setdefault(tuple(row.get(name) for name in alike), []).append(row)
    return [_one_of(own, alike) | {"seeds": len(own)} for own in kinds.values()]


def _one_of(rows: Sequence[TableRow], alike: Sequence[str]) -> TableRow:
    names = dict.fromkeys(name for row in rows for name in row)
    found = {name: [row[name] for row in rows if row.get(name) is not None] for name in names}
    return {name: values[0] if name in alike else _middle(values) for name, values in found.items() if values}


def _middle(values: Sequence[Any]) -> Any:
    if isinstance(values[0], bool):
        return fmean(values)
    return median(values) if isinstance(values[0], int | float) else values[0]


def shown(value: Any) -> str:
    """A value as a table has it.

    Example:
        >>> [shown(x) for x in (1.234e-8, 0.5, 3000, None, "charged")]
        ['1.2e-08', '0.5', '3,000', '', 'charged']
    """
    if value is None or isinstance(value, str):
        return value or ""
    if isinstance(value, int):
        return f"{value:,}"
    return f"{value:.3g}" if value == 0 or 0.01 <= abs(value) < 1e4 else f"{value:.1e}"


def in_document(text: str, name: str, table: Sequence[Sequence[str]], figures: Sequence[str]) -> str:
    """A page of Markdown with the table and the figures of a benchmark between its marks.

    Args:
        text: of the page, with the lines ``<!-- begin NAME -->`` and ``<!-- end NAME -->``.
        name: of the benchmark.
        table: its headings and lines.
        figures: a line for each figure that is stated.

    Raises:
        ValueError: if the page has no such marks.
    """
    begin, end = f"<!-- begin {name} -->", f"<!-- end {name} -->"
    check("document", "none", begin in text and end in text, f"a page with the lines {begin} and {end}")
    header, *lines = table
    rows = ["| " + " | ".join(row) + " |" for row in (header, ["---"] * len(header), *lines)]
    own = "\n".join([begin, "", *rows, "", *(f"- {figure}" for figure in figures), "", end])
    return text[: text.index(begin)] + own + text[text.index(end) + len(end) :]
