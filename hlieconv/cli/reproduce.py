"""The command reproduce: run the dynamics study or a benchmark, print its tables, check its results."""

import argparse
import os
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from hlieconv.benchmarks.registry import BENCHMARKS
from hlieconv.cli.command import AbstractCommand
from hlieconv.cli.options import add_device, add_wait
from hlieconv.cli.output import aligned
from hlieconv.study.catalogue import BUDGETS, ENTRIES, SYSTEMS, Trial, budgets
from systems.files import locked, write_atomically


class Reproduce(AbstractCommand):
    help = "run the dynamics study of the paper, or a benchmark on which others publish, and print its tables"

    def add_arguments(self, parser: argparse.ArgumentParser) -> None:
        text = f"name of the study, springs, or of a benchmark: {', '.join(BENCHMARKS)}"
        parser.add_argument("study", choices=["springs", *BENCHMARKS], metavar="NAME", help=text)
        text = "set of trials: smoke takes a minute, cpu two hours on two cores, full needs a GPU"
        parser.add_argument("--budget", choices=BUDGETS, default="cpu", help=text)
        text = "folder of the results; by default results/springs with cpu and full"
        text += "; of a benchmark the file, by default results/benchmarks/NAME.json"
        parser.add_argument("-o", "--path", help=text)
        text = f"models to train, out of {', '.join(ENTRIES)}; by default those of the budget"
        parser.add_argument("--models", type=_words, metavar="A,B", help=text)
        text = f"systems to train on, out of {', '.join(SYSTEMS)}; by default those of the budget"
        parser.add_argument("--systems", type=_words, metavar="A,B", help=text)
        parser.add_argument("--n-train", type=_numbers, metavar="N,N", help="numbers of training systems")
        parser.add_argument("--seeds", type=_numbers, metavar="N,N", help="random seeds of the trainings")
        text = "number of processes; several commands may also run at once"
        parser.add_argument("--workers", type=int, default=1, help=text)
        text = "run only the parts of a benchmark whose names hold this text, as 'seed 0'"
        parser.add_argument("--part", default="", metavar="TEXT", help=text)
        text = "minutes after which no further trial begins; the same command goes on later"
        parser.add_argument("--minutes", type=float, help=text)
        add_device(parser, "auto")
        text = "run no trial, and show the tables and figures of the results that exist"
        parser.add_argument("--no-run", action="store_true", help=text)
        text = "run no trial, and exit with 1 if a result misses its stated figure"
        parser.add_argument("--check", action="store_true", help=text)
        text = "folder into which figures 6 to 8 of the paper are drawn"
        parser.add_argument("--figures", metavar="FOLDER", help=text)
        text = "JSON file with a list of rows of other models, which the table of a benchmark shows too"
        parser.add_argument("--rows", metavar="JSON", help=text)
        parser.add_argument("--document", metavar="MD", help="Markdown file into which the tables are written, too")
        add_wait(parser)

    def run(self, arguments: argparse.Namespace) -> int:
        if arguments.study in BENCHMARKS:
            return run_benchmark(arguments)
        for name in ("rows", "part"):
            if getattr(arguments, name):
                raise ValueError(f"{name}: expected none for springs: it belongs to a benchmark")
        from hlieconv.study.stated import check
        from hlieconv.study.tables import document, load_results

        budget = budgets()[arguments.budget]
        path = Path(arguments.path or budget.path)
        if arguments.workers < 1:
            raise ValueError(f"workers: expected at least 1, got {arguments.workers}")
        trials = chosen(budget.trials, arguments)
        failed = left = 0
        if not (arguments.no_run or arguments.check):
            from hlieconv.study.workers import work

            options = {name: getattr(arguments, name) for name in ("workers", "minutes", "device")}
            left, failed = work(trials, budget.size, path, **options)
            if int(os.environ.get("RANK", 0)):  # one of many processes: the first one prints
                return 1 if failed else 0
        results = load_results(path)
        if not results:
            raise ValueError(f"path: no results in {path}")
        stated = list(check(results))
        if not arguments.check:
            print("\n".join([*_lines(results), "Stated figures"]))
        print("\n".join(f"  {line}" for line in stated))
        if arguments.document:
            with locked(Path(arguments.document)):
                write_atomically(Path(arguments.document), document(results, stated))
        if arguments.figures:
            from hlieconv.study.figures import draw

            for file in draw(results, Path(arguments.figures)):
                print(f"figure: {file}")
        if left:
            print(f"{left} of {len(trials)} trials are left: the same command goes on with them")
        missed = arguments.check and any(line.startswith("FAIL") for line in stated)
        return 1 if failed or missed else 0


def run_benchmark(arguments: argparse.Namespace) -> int:
    """Run what is left of a benchmark, and print its table and figures.

    Raises:
        ValueError: for options of the study.
    """
    from hlieconv.benchmarks.benchmark import benchmark, in_document

    for name in ("models", "systems", "n_train", "seeds", "figures"):
        if getattr(arguments, name):
            option = name.replace("_", "-")
            raise ValueError(f"{option}: expected none for the benchmark {arguments.study}: it belongs to springs")
    if arguments.budget == "smoke" and not arguments.path:
        raise ValueError("path: expected a file for the results of a smoke test, got none")
    if arguments.budget == "full":
        raise ValueError("budget: expected smoke or cpu for a benchmark, got full")
    task, name = benchmark(arguments.study), arguments.study
    file, left = Path(arguments.path or f"results/benchmarks/{name}.json"), 0
    if not (arguments.no_run or arguments.check):
        options = {"only": arguments.part, "minutes": arguments.minutes}
        left = task.run(file, name, smoke=arguments.budget == "smoke", **options)
    alone = arguments.rows and arguments.no_run and not (arguments.path or file.exists())
    rows = task.rows({} if alone else task.read(file))
    stated = task.stated(rows)
    table = task.table([*rows, *(task.beside(Path(arguments.rows)) if arguments.rows else ())])
    if alone:
        print(f"no results at {file}: beside these rows stands what is published")
    if not arguments.check:
        print("\n".join([task.title, *(f"  {line}" for line in aligned(table)), "", "Stated figures"]))
    print("\n".join(f"  {line}" for line in stated))
    if arguments.document:
        with locked(Path(arguments.document)):
            page = Path(arguments.document)
            write_atomically(page, in_document(page.read_text(), name, table, stated))
    if left:
        print(f"{left} parts are left: the same command goes on with them")
    return 1 if arguments.check and any(line.startswith("FAIL") for line in stated) else 0


def chosen(trials: list[Trial], arguments: argparse.Namespace) -> list[Trial]:
    """The trials of a budget that were asked for; of models that it does not hold so, all that were asked for.

    Raises:
        ValueError: for an unknown model or system, or if there is nothing to do.
    """
    for name, known in (("models", ENTRIES), ("systems", SYSTEMS)):
        if unknown := [word for word in getattr(arguments, name) or () if word not in known]:
            raise ValueError(f"{name}: expected some of {', '.join(known)}, got {', '.join(unknown)}")
    asked = {
        "system": arguments.systems,
        "entry": arguments.models,
        "n_train": arguments.n_train,
        "seed": arguments.seeds,
    }
    if arguments.models and (arguments.n_train or not any(trial.entry in arguments.models for trial in trials)):
        return [
            Trial(system, entry, n, seed)
            for n in arguments.n_train or (400,)
            for seed in arguments.seeds or (0,)
            for system in arguments.systems or ("springs",)
            for entry in arguments.models
        ]
    found = [
        trial for trial in trials if all(not values or getattr(trial, name) in values for name, values in asked.items())
    ]
    if not found:
        raise ValueError(f"budget: {arguments.budget} holds no such trial; name --models and --n-train for any other")
    return found


def _lines(results: list[Any]) -> Iterator[str]:
    """The tables of the study."""
    from hlieconv.study.tables import tables

    for title, header, rows in tables(results):
        if rows:
            yield title
            yield from (f"  {line}" for line in aligned([header, *rows]))
            yield ""


def _words(text: str) -> list[str]:
    return [word for word in text.split(",") if word]


def _numbers(text: str) -> list[int]:
    return [int(word) for word in text.split(",")]


_numbers.__name__ = "list of numbers"  # argparse says "invalid list of numbers value"
