"""What README and docs/ tell people to type works: Python blocks run, and so do the commands that are cheap.

Sizes are made small by exchanging numbers, nothing else. Blocks that are marked in the page are skipped with the reason
that it states.
"""

import doctest
import inspect
import json
import re
import shlex
import subprocess
import sys
import tomllib
from pathlib import Path

import matplotlib.pyplot as plt
import pytest

from hlieconv.cli import main
from hlieconv.cli.entry import parser

ROOT = Path(__file__).parent.parent
sys.path[:0] = [str(ROOT / "docs"), str(ROOT / "tests/benchmarks")]
import discovery_table  # noqa: E402
import docstrings  # noqa: E402
import pages  # noqa: E402
from blocks import blocks  # noqa: E402

SOURCES = [
    ROOT / "README.md",
    ROOT / "CONTRIBUTING.md",
    ROOT / "notebooks/README.md",
    *sorted(ROOT.glob("docs/**/*.md")),
]
PAGES = {
    str(path.relative_to(ROOT)): found
    for path in SOURCES
    if not {"_build", "generated"} & set(path.parts)
    if (found := [block for block in blocks(path) if not block.language.startswith("{")])
}

#: Options where they are larger or left to their defaults.
SMALL_OPTIONS = {"simulate": {"--count": 8, "--time": 0.5, "--points": 50}, "fit": {"--steps": 3}}
MOST_STEPS, MOST_TRAJECTORIES = 4, 8

#: Commands whose lines are parsed only.
NOT_RUN = {
    "demo": "half a minute: test_demo.py runs a smaller one",
    "reproduce": "minutes to hours: tests/study runs its trials",
    "fit-images": "minutes: tests/images",
    "evaluate-images": "needs a trained run: tests/images",
    "fit-molecules": "needs QM9: tests/molecules",
    "evaluate-molecules": "needs QM9: tests/molecules",
    "predict-molecules": "needs a trained run: tests/molecules",
}


def command_lines(block):
    """The lines of a shell block, split into words; a block that is only indented may hold something else."""
    if block.language not in ("sh", ""):
        return
    for line in re.sub(r"\\\n", " ", block.text).splitlines():
        first, *words = (
            shlex.split(line, comments=True) if block.language or re.match(r"(hlieconv|make|pip) ", line) else [""]
        )
        if first == "torchrun":
            first, words = "hlieconv", words[words.index("hlieconv") + 1 :]
        if first:
            yield first, words


def small(words):
    """A command with small sizes."""
    words = list(words)
    for option, most in SMALL_OPTIONS.get(words[0], {}).items():
        if option not in words:
            words += [option, str(most)]
        place = words.index(option) + 1
        words[place] = str(min(type(most)(words[place]), most))
    return words


def small_code(code):
    """Few steps and trajectories, and a tenth of a long time with a tenth of its points."""

    def shorter(found):
        first, last, points = map(int, found.groups())
        return f"linspace({first}, {last / 10}, {points // 10}" if points >= 100 else found[0]

    code = re.sub(r"\bsteps=(\d+)", lambda found: f"steps={min(int(found[1]), MOST_STEPS)}", code)
    code = re.sub(
        r"(\bsimulate\(\*[\w.]+\.sample\(|\bsample\((?=\d{4}))(\d+)",
        lambda found: f"{found[1]}{min(int(found[2]), MOST_TRAJECTORIES)}",
        code,
    )
    return re.sub(r"\blinspace\((\d+), (\d+), (\d+)", shorter, code)


def run_python(block, name, names):
    exec(compile("\n" * block.line + small_code(block.text), name, "exec"), names)


def run_doctest(block, name, names):
    options = doctest.NORMALIZE_WHITESPACE | doctest.ELLIPSIS
    test = doctest.DocTestParser().get_doctest(block.text, names, name, name, block.line)
    assert doctest.DocTestRunner(optionflags=options).run(test, clear_globs=False).failed == 0
    names.update(test.globs)


@pytest.mark.parametrize("name", PAGES)
def test_its_code_runs(name, tmp_path, monkeypatch):
    """In order and in one folder, as a reader would; Python names stay from block to block."""
    monkeypatch.chdir(tmp_path)
    (tmp_path / "docs/figures/gallery").mkdir(parents=True)
    names = {"__name__": "page"}
    for block in PAGES[name]:
        if block.not_run:
            continue
        if block.language == "python":
            (run_doctest if ">>> " in block.text else run_python)(block, name, names)
            plt.close("all")
        for first, words in command_lines(block):
            if first == "hlieconv" and words[0] not in NOT_RUN:
                line = small(words)
                assert main(line) == 0, (block.line, line)


@pytest.mark.parametrize("name", PAGES)
def test_its_commands_exist(name):
    extras = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]["optional-dependencies"]
    for block in PAGES[name]:
        for first, words in command_lines(block):
            if first == "hlieconv":
                parser().parse_args(words)
            elif first == "make":
                subprocess.run(["make", "-n", *words], cwd=ROOT, check=True, capture_output=True)
            elif first == "python":
                assert (ROOT / words[0]).exists(), words
            elif first == "pip":
                assert set(re.findall(r"\w+", "".join(re.findall(r"\[(.*?)\]", " ".join(words))))) <= set(extras), words
            else:
                assert first in ("cd", "git", "export"), (block.line, first)


MARKED = [
    pytest.param(block.not_run, id=f"{name}:{block.line}") for name in PAGES for block in PAGES[name] if block.not_run
]
MARKED += [pytest.param(reason, id=f"hlieconv {command}") for command, reason in NOT_RUN.items()]


@pytest.mark.parametrize("reason", MARKED)
def test_what_is_not_run(reason):
    """``pytest -rs`` lists it."""
    pytest.skip(reason)


def test_pages_have_code():
    """The pattern finds blocks at all, and every fence of code is one of the languages known here."""
    languages = {block.language for page in PAGES.values() for block in page}
    assert {"python", "sh", ""} <= languages
    assert languages <= {"python", "sh", "text", ""}
    assert sum(block.language == "python" for page in PAGES.values() for block in page) > 20
    for name, page in PAGES.items():  # no block swallows another
        fences = (ROOT / name).read_text().count("\n```python\n")
        assert sum(block.language == "python" for block in page) == fences, name


def test_docstrings_become_markup():
    assert doctest.testmod(docstrings) == doctest.TestResults(failed=0, attempted=1)
    code = [">>> 3 * |q|", "9 * 1", "", "3 * 1"]
    assert [*docstrings.as_rst(code)] == [*code[:3], r"3 \* 1"]


@pytest.mark.parametrize("package", [*pages.packages()], ids=lambda package: package.__name__)
def test_every_public_name_has_a_docstring(package):
    values = {name: getattr(package, name) for name in pages.public_names(package)}
    described = {name: value for name, value in values.items() if callable(value)}
    assert [name for name, value in described.items() if not inspect.getdoc(value)] == []


def test_the_table_of_laws_in_noise_counts_rows(tmp_path):
    """Rows say their noise, or their file does; a law that is never read right has no error; a seed counts once."""
    row = {"law": "springs", "seconds": 2.0}
    rows = [row | {"seed": k, "right_form": k > 0, "coefficient_error": 1e-3 * k} for k in range(3)]
    (tmp_path / "a.json").write_text(json.dumps({"noise": 0.01, "rows": rows}))
    (tmp_path / "b.json").write_text(json.dumps({"rows": [rows[0], rows[2] | {"noise": 0.05}]}))
    again = [{"law": "springs", "noise": 0.01, "seed": k, "right_form": True, "cpu_seconds": 9.0} for k in (2, 3)]
    (tmp_path / "c.json").write_text(json.dumps({"parts": {"one": again[:1], "two": again[1:]}}))
    text = pages.laws_in_noise([tmp_path / f"{name}.json" for name in "abc"])
    assert "| law | 0 % | 0.1 % | 1 % | 5 % |" in text
    assert "| springs | 0 of 1, 2 s |  | 3 of 4, 0.002, 2 s | 1 of 1, 0.002, 2 s |" in text


def test_the_rates_of_discovery_are_those_that_were_counted():
    page, result = (ROOT / "docs/explanations/noether.md").read_text(), json.loads(discovery_table.RESULT.read_text())
    assert discovery_table.written(page, result) == page
    result["trials"]["toda,data,0,0"]["all"] = False
    assert discovery_table.written(page, result) != page
