"""The pages made from the project itself: notebooks, the API, the command line, what a Dataset holds, laws in noise."""

import argparse
import importlib
import inspect
import json
import pkgutil
import statistics
from collections.abc import Collection, Iterable, Iterator
from pathlib import Path
from types import ModuleType
from typing import Any

import hlieconv
import systems

NOTEBOOKS, RESULTS = (Path(__file__).parent.parent / name for name in ("notebooks", "results"))

#: Noise of q and of p, in parts of their spread, at which laws are read.
LEVELS = (0.0, 1e-3, 1e-2, 5e-2)

#: How laws were read: without noise, at 1 %, and at all levels.
LAW_FILES = tuple(RESULTS / name for name in ("laws.json", "noisy_laws.json", "benchmarks/laws.json"))


LAWS = """# Laws in noise

How often the form of a law was read right, of how many seeds, with the median error of the coefficients where it was,
and the median CPU s, at noise of so many per cent of the spread of q and of p. Without noise a law is read from 100
trajectories of 5 points, in noise from 50 of 100. An empty cell has no result yet; tanh is in no library.
(`results/laws.json`, `results/noisy_laws.json`; `python tests/benchmarks/bench_laws.py`, `bench_noisy_laws.py`; of
seeds that these do not have, `results/benchmarks/laws.json`; `hlieconv reproduce laws`)
"""


def write(folder: Path) -> None:
    """Write all of them; a page that has not changed keeps its date, so that Sphinx does not read it again."""
    pages = {f"tutorials/{path.name}": path.read_text() for path in NOTEBOOKS.glob("*.ipynb")}
    pages["tutorials/index.md"] = tutorials()
    pages |= {f"api/{package.__name__}.rst": text for package, text in api()}
    pages["command_line.md"] = command_line()
    pages["dataset.md"] = dataset()
    pages["laws_in_noise.md"] = laws_in_noise()
    for path in set(folder.rglob("*.*")) - {folder / name for name in pages}:
        path.unlink()
    for name, text in pages.items():
        path = folder / name
        path.parent.mkdir(parents=True, exist_ok=True)
        if not path.exists() or path.read_text() != text:
            path.write_text(text)


def tutorials() -> str:
    """The table of the notebooks, and the notebooks below it."""
    text = (NOTEBOOKS / "README.md").read_text().replace("# Notebooks", "# Tutorials", 1)
    names = sorted(path.stem for path in NOTEBOOKS.glob("*.ipynb"))
    return "\n".join([text, "```{toctree}", ":hidden:", *names, "```", ""])


def packages() -> Iterator[ModuleType]:
    """Both packages and the packages inside them that export names."""
    for root in (hlieconv, systems):
        inside = pkgutil.walk_packages(root.__path__, f"{root.__name__}.")
        for name in (root.__name__, *(module.name for module in inside if module.ispkg)):
            package = importlib.import_module(name)
            if public_names(package):
                yield package


def public_names(package: ModuleType) -> list[str]:
    """What a package exports: lazily by its stub, or by ``__all__``; `open`, which no ``import *`` takes, too."""
    own = vars(package)
    return sorted(own["__dir__"]() if "__dir__" in own else own.get("__all__", ()))


def api() -> Iterator[tuple[ModuleType, str]]:
    """A page for each package: its names in a table, then what each one is.

    An object that several packages export is described by the innermost; the others list it.
    """
    home: dict[int, str] = {}
    for package in sorted(packages(), key=lambda package: -package.__name__.count(".")):
        for name in public_names(package):
            value = getattr(package, name)
            if not inspect.ismodule(value):
                home.setdefault(id(value), f"{package.__name__}.{name}")
    for package in packages():
        names = [name for name in public_names(package) if not inspect.ismodule(getattr(package, name))]
        yield package, _api_page(package, {name: home[id(getattr(package, name))] for name in names})


def _api_page(package: ModuleType, home: dict[str, str]) -> str:
    title = package.__name__
    about = (inspect.getdoc(package) or "").split("\n\n")[0]
    lines = [title, "=" * len(title), "", about, "", ".. autosummary::", "   :nosignatures:", ""]
    lines += [f"   ~{path}" for path in home.values()]
    for name, path in home.items():
        if path == f"{title}.{name}":
            directive = _directive(getattr(package, name))
            lines += ["", f".. {directive}:: {path}", *(f"   {option}" for option in _OPTIONS[directive])]
    return "\n".join([*lines, ""])


_OPTIONS = {"autoclass": [":members:", ":show-inheritance:"], "autofunction": [], "autodata": [":no-value:"]}


def _directive(value: Any) -> str:
    return "autoclass" if inspect.isclass(value) else "autofunction" if inspect.isroutine(value) else "autodata"


def command_line() -> str:
    """Every command and its options, from the parser itself."""
    from hlieconv.cli.entry import parser

    return "\n".join(["# The command line", "", *_command(parser(), 1)])


def _command(parser: argparse.ArgumentParser, level: int, known: Collection[str] = ()) -> Iterator[str]:
    if level > 1:
        yield from (f"{'#' * level} {parser.prog}", "")
    yield from (f"{(parser.description or '').rstrip('.').capitalize()}.", "")
    inner = [action.choices for action in parser._actions if isinstance(action, argparse._SubParsersAction)]
    for choices in inner:
        shared: set[str] = set()
        if level > 1:
            shared = set.intersection(*(set(_options(command)) for command in choices.values()))
            yield from (f"Options of every `{parser.prog} NAME`, with NAME one of {_list(choices)}:", "")
            yield from _described([*choices.values()], shared)
        for command in choices.values():
            yield from _command(command, level + 1, shared)
    if not inner:
        if not known:
            yield from ("```text", parser.format_usage().removeprefix("usage: ").rstrip(), "```", "")
        yield from _described([parser], _options(parser).keys() - set(known))


def _options(parser: argparse.ArgumentParser) -> dict[str, argparse.Action]:
    return {action.dest: action for action in parser._actions if action.dest != "help"}


def _described(parsers: list[argparse.ArgumentParser], names: Collection[str]) -> Iterator[str]:
    """A definition list of options; a default is shown where all of the parsers agree."""
    for name, action in _options(parsers[0]).items():
        if name not in names:
            continue
        value = "" if action.nargs == 0 else str(action.metavar or action.dest.upper())
        heads = [f"`{flag} {value}`".replace(" `", "`") for flag in action.option_strings] or [f"`{value}`"]
        text = (action.help or "").replace("%%", "%")
        if action.choices:
            text += f"; one of {_list(action.choices)}"
        if action.default not in (None, False) and len({str(_options(each)[name].default) for each in parsers}) == 1:
            text += f" (default: `{action.default}`)"
        yield from (", ".join(heads), f": {text}", "")


def _list(names: Iterable[Any]) -> str:
    return ", ".join(f"`{name}`" for name in names)


def dataset() -> str:
    """What a Dataset holds, as the module that makes them says it, and the variables of each system."""
    module = inspect.getmodule(systems.to_dataset)
    lines = ["# What a Dataset holds", "", inspect.getdoc(module) or "", "", "## Variables of each system", ""]
    lines += ["| system | variable | dims | units | meaning |", "|---|---|---|---|---|"]
    for name, target in systems.SYSTEMS.items():
        for variable in pkgutil.resolve_name(target).variables:
            dims = ", ".join(variable.dims)
            lines.append(f"| `{name}` | `{variable.name}` | {dims} | {variable.units} | {variable.long_name} |")
    return "\n".join([*lines, ""])


def laws_in_noise(files: Iterable[Path] = LAW_FILES) -> str:
    """How often each law was read right at each level of noise, by one row of each seed."""
    found: dict[str, dict[float, dict[int, dict[str, Any]]]] = {}
    for file in files:
        result = json.loads(file.read_text())
        for row in result["rows"] if "rows" in result else [row for part in result["parts"].values() for row in part]:
            level = float(row.get("noise", result.get("noise", 0.0)))
            found.setdefault(row["law"], {}).setdefault(level, {}).setdefault(row["seed"], row)
    heads = [f"{100 * level:g} %" for level in LEVELS]
    lines = [
        LAWS,
        "| law | " + " | ".join(heads) + " |",
        "|---" * (1 + len(heads)) + "|",
    ]
    lines += [
        f"| {law} | " + " | ".join(_read_right([*levels.get(level, {}).values()]) for level in LEVELS) + " |"
        for law, levels in found.items()
    ]
    return "\n".join([*lines, ""])


def _read_right(rows: list[dict[str, Any]]) -> str:
    """A cell: "19 of 20, 3e-11, 0.2 s"."""
    if not rows:
        return ""
    right = [row for row in rows if row["right_form"]]
    errors = [row["coefficient_error"] for row in right if row.get("coefficient_error") is not None]
    off = [f"{statistics.median(errors):.1g}"] if errors else []
    seconds = statistics.median(row["seconds"] if "seconds" in row else row["cpu_seconds"] for row in rows)
    return ", ".join([f"{len(right)} of {len(rows)}", *off, f"{seconds:.2g} s"])
