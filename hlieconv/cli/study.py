"""The command reproduce: run the dynamics study, print its table, draw its figures, check its results."""

import argparse
import os
from pathlib import Path

from hlieconv.study.catalogue import BUDGETS, ENTRIES, SYSTEMS, Trial, budgets


def reproduce_arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("study", choices=["springs"], metavar="springs", help="the study: springs")
    parser.add_argument("--budget", choices=BUDGETS, default="cpu", help="a minute, two hours on two cores, or a GPU")
    parser.add_argument("-o", "--path", help="folder of the results (cpu and full: results/springs)")
    parser.add_argument("--models", type=_words, metavar="A,B", help=f"of {', '.join(ENTRIES)}")
    parser.add_argument("--systems", type=_words, metavar="A,B", help=f"of {', '.join(SYSTEMS)}")
    parser.add_argument("--n-train", type=_numbers, metavar="N,N", help="numbers of training systems")
    parser.add_argument("--seeds", type=_numbers, metavar="N,N", help="seeds of trainings")
    parser.add_argument("--workers", type=int, default=1, help="processes; any number of commands may run at once, too")
    parser.add_argument("--minutes", type=float, help="begin no trial after so many minutes; the same command goes on")
    parser.add_argument("--device", default="auto", help="cpu, cuda, ... or auto: a GPU where there is one")
    parser.add_argument("--no-run", action="store_true", help="only the table and the figures of what is there")
    parser.add_argument("--check", action="store_true", help="run nothing; exit 1 if a result misses its stated figure")
    parser.add_argument("--figures", metavar="FOLDER", help="draw figs. 6 to 8 of the paper into this folder")
    parser.add_argument("--document", metavar="MD", help="write the tables into this file, too")


def run_reproduce(arguments: argparse.Namespace) -> int:
    from hlieconv.study.stated import check
    from hlieconv.study.tables import document, lines, load_results

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
        if int(os.environ.get("RANK", 0)):  # one of many processes: the first one tells
            return 1 if failed else 0
    results = load_results(path)
    if not results:
        raise ValueError(f"path: no results in {path}")
    stated = list(check(results))
    if not arguments.check:
        print("\n".join([*lines(results), "Stated figures"]))
    print("\n".join(f"  {line}" for line in stated))
    if arguments.document:
        Path(arguments.document).write_text(document(results, stated))
    if arguments.figures:
        from hlieconv.study.figures import draw

        for file in draw(results, Path(arguments.figures)):
            print(f"figure: {file}")
    if left:
        print(f"{left} of {len(trials)} trials are left: the same command goes on with them")
    missed = arguments.check and any(line.startswith("FAIL") for line in stated)
    return 1 if failed or missed else 0


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


def _words(text: str) -> list[str]:
    return [word for word in text.split(",") if word]


def _numbers(text: str) -> list[int]:
    return [int(word) for word in text.split(",")]


_numbers.__name__ = "list of numbers"  # argparse says "invalid list of numbers value"
