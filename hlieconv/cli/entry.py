"""The command ``hlieconv``. A command is one file and one line in `COMMANDS`."""

import argparse
import os
import sys
from collections.abc import Iterator, Sequence
from contextlib import contextmanager, redirect_stdout
from typing import NoReturn

from hlieconv.cli.chaos import Chaos
from hlieconv.cli.command import AbstractCommand
from hlieconv.cli.demo import Demo
from hlieconv.cli.diagnose import Diagnose
from hlieconv.cli.fit import FitDynamics
from hlieconv.cli.images import ImageTask
from hlieconv.cli.info import Info
from hlieconv.cli.molecules import MoleculeTask, PredictMolecules
from hlieconv.cli.options import Formatter, described
from hlieconv.cli.output import one_line_warnings
from hlieconv.cli.reproduce import Reproduce
from hlieconv.cli.rollout import Rollout
from hlieconv.cli.simulate import Simulate
from hlieconv.cli.table import ImportTable
from hlieconv.cli.task import EvaluateTask, FitTask
from hlieconv.training.interruption import interruptible
from systems.checks import ArgumentTypeError
from systems.files import at_home, waiting

#: Every command by its name.
COMMANDS: dict[str, AbstractCommand] = {
    "simulate": Simulate(),
    "import": ImportTable(),
    "info": Info(),
    "fit": FitDynamics(),
    "rollout": Rollout(),
    "diagnose": Diagnose(),
    "chaos": Chaos(),
    "fit-images": FitTask(ImageTask()),
    "evaluate-images": EvaluateTask(ImageTask()),
    "fit-molecules": FitTask(MoleculeTask()),
    "evaluate-molecules": EvaluateTask(MoleculeTask()),
    "predict-molecules": PredictMolecules(),
    "demo": Demo(),
    "reproduce": Reproduce(),
}


def main(argv: Sequence[str] | None = None) -> int:
    """Run a command. Wrong input is one line on stderr, which names the argument, and exit code 2.

    SIGTERM and SIGHUP end it as Ctrl-C does: what can be resumed is kept.
    """
    try:
        arguments = argparse.Namespace(**{x: at_home(given) for x, given in vars(parser().parse_args(argv)).items()})
        waits = waiting(getattr(arguments, "wait", False))
        with interruptible(), one_line_warnings(), waits, _the_first_one_prints():
            code = arguments.run(arguments) or 0
        sys.stdout.flush()  # what waits until the interpreter ends could not be caught any more
        return code
    except BrokenPipeError:  # the reader of our output has seen enough
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return 0
    except KeyboardInterrupt:
        return _fail("interrupted: the same command resumes what it can", 130)
    except (ValueError, ArgumentTypeError) as error:
        return _fail(str(error), 2)
    except OSError as error:
        return _fail(f"path: {error.filename or 'a file'} cannot be used: {error.strerror or error}", 2)


def parser() -> argparse.ArgumentParser:
    """The parser of the whole command line."""
    whole = _Parser(
        prog="hlieconv", description="Hamiltonian dynamics with the symmetries you choose.", formatter_class=Formatter
    )
    whole.add_argument("--version", action=_Version, nargs=0, help="print the versions of hlieconv and torch, and end")
    commands = whole.add_subparsers(title="commands", required=True, metavar="COMMAND")
    for name, command in COMMANDS.items():
        one = commands.add_parser(name, **described(command.help))
        one.set_defaults(run=command.run)
        command.add_arguments(one)
    return whole


class _Version(argparse.Action):
    def __call__(self, parser: argparse.ArgumentParser, *_: object) -> NoReturn:
        from systems.provenance import versions

        print(*(f"{package} {version}" for package, version in versions(("hlieconv", "torch")).items()), sep="\n")
        parser.exit()


class _Parser(argparse.ArgumentParser):
    def error(self, message: str) -> NoReturn:
        raise ValueError(f"{message} (see {self.prog} --help)")


@contextmanager
def _the_first_one_prints() -> Iterator[None]:
    """Of the processes that a launcher has started; errors are said by all."""
    if os.environ.get("RANK", "0") == "0" or os.environ.get("WORLD_SIZE", "1") == "1":
        yield
        return
    with open(os.devnull, "w") as nobody, redirect_stdout(nobody):
        yield


def _fail(message: str, code: int) -> int:
    print("hlieconv: " + " ".join(message.split()), file=sys.stderr)
    return code
