"""Help: of every command, instant, in whole phrases; only the command line parses arguments."""

import ast
import re
import subprocess
import sys
from pathlib import Path

import pytest

import systems
from hlieconv import cli
from hlieconv.cli.entry import parser

ROOT = Path(__file__).parents[2]
COMMANDS = [[], *([name] for name in cli.COMMANDS), *(["simulate", name] for name in systems.SYSTEMS)]

#: How a phrase begins that only makes sense after the name of its option.
FRAGMENT = re.compile(r"(of|in|by|for|over|from|which|what|whether|how|only|the|it|them|so) ")
PRIVATE = re.compile(r"\b(told|tells?|keeps?|kept|kinds?|slopes?|yours|unknowns)\b")


def parser_of(words):
    one = parser()
    for word in words:
        one = next(action.choices[word] for action in one._actions if isinstance(action.choices, dict))
    return one


@pytest.mark.parametrize("words", COMMANDS, ids=" ".join)
def test_every_command_prints_its_help(words, capsys):
    with pytest.raises(SystemExit) as done:
        cli.main([*words, "--help"])
    assert done.value.code == 0
    out, err = capsys.readouterr()
    assert out.startswith(" ".join(["usage: hlieconv", *words]))
    assert err == ""
    assert "(default: )" not in out


def test_the_version(capsys):
    with pytest.raises(SystemExit) as done:
        cli.main(["--version"])
    assert done.value.code == 0
    assert re.fullmatch(r"hlieconv \d+\.\d+.*\ntorch \d+\.\d+.*\n", capsys.readouterr().out)


@pytest.mark.parametrize("words", COMMANDS, ids=" ".join)
def test_whatever_writes_can_wait(words):
    options = {flag for action in parser_of(words)._actions for flag in action.option_strings}
    assert ("--wait" in options) == bool(options & {"--path", "--overwrite", "--figure"})


@pytest.mark.parametrize("words", COMMANDS, ids=" ".join)
def test_every_text_is_a_whole_phrase(words):
    one = parser_of(words)
    texts = [action.help for action in one._actions if action.metavar not in ("COMMAND", "SYSTEM")]
    for text in [one.description, *texts]:
        assert text
        assert len(text.split()) >= 2, text
        assert not FRAGMENT.match(text), text
        assert not PRIVATE.search(text.lower()), text
        assert not text.endswith((",", ";", ":")), text


def test_the_laws_of_texts_can_fail():
    for text in ("of the blocks", "what the kernel sees", "which of them: nearest or random"):
        assert FRAGMENT.match(text)
    assert PRIVATE.search("features that the model is told")


@pytest.mark.parametrize("words", COMMANDS, ids=" ".join)
def test_an_unknown_option_is_one_line(words, capsys):
    assert cli.main([*words, "--no-such-option"]) == 2
    out, err = capsys.readouterr()
    assert out == ""
    assert err.count("\n") == 1
    assert err.startswith("hlieconv: ")
    assert f"(see {parser_of(words).prog} --help)" in err or "--no-such-option" in err


def test_help_imports_nothing_slow():
    """What takes seconds is left to what runs."""
    script = (
        "import sys, contextlib, io\n"
        "from hlieconv.cli import main\n"
        f"for words in {COMMANDS}:\n"
        "    with contextlib.suppress(SystemExit), contextlib.redirect_stdout(io.StringIO()):\n"
        "        main([*words, '--help'])\n"
        "print(sorted({'torch', 'numpy', 'xarray', 'pandas', 'matplotlib', 'scipy'} & set(sys.modules)))\n"
    )
    result = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, check=True)
    assert result.stdout.strip() == "[]"


def imported(path):
    """The first names of the modules that a file imports."""
    for node in ast.walk(ast.parse(path.read_text())):
        if isinstance(node, ast.Import):
            yield from (alias.name.partition(".")[0] for alias in node.names)
        elif isinstance(node, ast.ImportFrom) and node.module:
            yield node.module.partition(".")[0]


def test_only_the_command_line_imports_argparse():
    files = [path for package in ("systems", "hlieconv") for path in (ROOT / package).rglob("*.py")]
    parsing = {path.parent for path in files if {"argparse", "optparse", "getopt"} & {*imported(path)}}
    assert parsing == {ROOT / "hlieconv" / "cli"}
