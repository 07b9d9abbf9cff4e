"""The command ``hlieconv``.

A command is two functions and a line in `COMMANDS`: one adds its arguments, the other runs it. Options have the names
of the keywords that they become. Only what runs imports torch, so that every ``--help`` is instant.
"""

import argparse
import json
import math
import os
import sys
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any, NamedTuple, NoReturn

from hlieconv.cli.dynamics import fit_arguments, info_of_run, rollout_arguments, run_fit, run_rollout
from hlieconv.cli.images import (
    evaluate_images_arguments,
    fit_images_arguments,
    run_evaluate_images,
    run_fit_images,
)
from hlieconv.cli.molecules import (
    evaluate_molecules_arguments,
    fit_molecules_arguments,
    predict_molecules_arguments,
    run_evaluate_molecules,
    run_fit_molecules,
    run_predict_molecules,
)
from hlieconv.cli.options import add_option, device_of, integrator_of, summary_of
from hlieconv.cli.signature import options_of
from hlieconv.cli.study import reproduce_arguments, run_reproduce
from systems import SYSTEMS
from systems.integrators import INTEGRATORS


class Command(NamedTuple):
    """A command: what it does, its arguments, and the function that runs it."""

    help: str
    add_arguments: Callable[[argparse.ArgumentParser], None]
    run: Callable[[argparse.Namespace], int | None]
    """May return an exit code: 1 where the work was done but did not succeed."""


def main(argv: Sequence[str] | None = None) -> int:
    """Run a command. Wrong input is one line on stderr, which names the argument, and exit code 2."""
    try:
        arguments = _parser().parse_args(argv)
        code = arguments.run(arguments) or 0
        sys.stdout.flush()  # what waits until the interpreter ends could not be caught any more
        return code
    except BrokenPipeError:  # the reader of our output has seen enough
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return 0
    except KeyboardInterrupt:
        return _fail("interrupted: the same command resumes what it can", 130)
    except ValueError as error:
        return _fail(str(error), 2)
    except OSError as error:
        return _fail(f"path: {error.filename or 'a file'} cannot be used: {error.strerror or error}", 2)


def _fail(message: str, code: int) -> int:
    print("hlieconv: " + " ".join(message.split()), file=sys.stderr)
    return code


class _Parser(argparse.ArgumentParser):
    def error(self, message: str) -> NoReturn:
        raise ValueError(f"{message} (see {self.prog} --help)")


def _parser() -> argparse.ArgumentParser:
    parser = _Parser(prog="hlieconv", description="Hamiltonian dynamics with the symmetries you choose.")
    commands = parser.add_subparsers(title="commands", required=True, metavar="COMMAND")
    for name, command in COMMANDS.items():
        one = commands.add_parser(name, help=command.help, description=command.help, formatter_class=_Formatter)
        one.set_defaults(run=command.run)
        command.add_arguments(one)
    return parser


class _Formatter(argparse.ArgumentDefaultsHelpFormatter):
    """Help with those defaults that say something."""

    def __init__(self, prog: str) -> None:
        super().__init__(prog, max_help_position=32, width=100)

    def _get_help_string(self, action: argparse.Action) -> str | None:
        says_nothing = action.default is None or action.default is False
        return action.help if says_nothing else super()._get_help_string(action)


def _simulate_arguments(parser: argparse.ArgumentParser) -> None:
    named = parser.add_subparsers(title="systems", required=True, metavar="SYSTEM", dest="system")
    for name, target in SYSTEMS.items():
        text = f"trajectories of {name}"
        one = named.add_parser(name, help=text, description=text, formatter_class=_Formatter)
        one.add_argument(
            "-o", "--path", default=f"{name}.nc", help="file to write, .nc or .zarr; without a suffix, by size"
        )
        one.add_argument("--overwrite", action="store_true", help="replace a file that holds something else")
        one.add_argument("--count", type=int, default=100, help="number of trajectories")
        one.add_argument("--seed", type=int, default=0, help="of the random first states")
        one.add_argument("--state", metavar="F", help="take parameters and first states from this file, draw none")
        one.add_argument(
            "--time", type=float, default=5.0, help="seconds from first to last point, negative for backward"
        )
        one.add_argument("--points", type=int, default=500, help="number of points in time, both ends included")
        one.add_argument("--integrator", choices=[*INTEGRATORS], help="method; by default as exact as is known")
        one.add_argument("--step", type=float, help="longest step of the integrator, in seconds")
        one.add_argument("--dtype", choices=["float32", "float64"], default="float64", help="precision")
        one.add_argument("--device", default="cpu", help="where to compute: cpu, cuda, ...")
        one.add_argument("--workers", type=int, help="threads; by default one a core")
        one.add_argument("--part-size", type=int, help="trajectories kept at a time, which is what a kill costs")
        for option in options_of(target, "sample"):
            add_option(one, option)


def _simulate(arguments: argparse.Namespace) -> None:
    import torch

    import systems
    from systems.dataset.schema import state_of, system_of
    from systems.dataset.storage import found

    dtype = getattr(torch, arguments.dtype)
    where: dict[str, Any] = {"dtype": dtype, "device": device_of(arguments.device)}
    path = Path(arguments.path)
    done = found(path).exists() and not arguments.overwrite
    for name, least in {"points": 2, "count": 1}.items():
        if getattr(arguments, name) < least:
            raise ValueError(f"{name}: expected at least {least}, got {getattr(arguments, name)}")
    if not (math.isfinite(arguments.time) and arguments.time):
        raise ValueError(f"time: expected seconds, forward or backward, got {arguments.time}")
    times = torch.linspace(0, arguments.time, arguments.points, dtype=torch.float64)
    settings: dict[str, Any] = {}
    if arguments.state is None:
        settings = {
            option.name: getattr(arguments, option.name) for option in options_of(SYSTEMS[arguments.system], "sample")
        }
        kind = getattr(systems, SYSTEMS[arguments.system].partition(":")[2])
        field, state = kind.sample(arguments.count, seed=arguments.seed, **settings, **where)
    else:
        given = systems.open(arguments.state)
        field, state = system_of(given, name=arguments.system, **where), state_of(given, **where)
    result = systems.simulate(
        field,
        state,
        times,
        integrator_of(arguments),
        path=path,
        overwrite=arguments.overwrite,
        part_size=arguments.part_size,
        workers=arguments.workers,
        seed=arguments.seed if arguments.state is None else None,
        settings=settings,
    )
    print(f"{found(path)}: {'done already, ' if done else ''}{summary_of(result)}")


def _info_arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("path", metavar="F", help="a file of trajectories, or the folder of a run")
    parser.add_argument("--json", action="store_true", help="print JSON")


def _info(arguments: argparse.Namespace) -> None:
    import systems

    if Path(arguments.path).is_dir() and Path(arguments.path).suffix not in (".nc", ".zarr"):
        info_of_run(arguments)
        return
    dataset = systems.open(arguments.path)
    if arguments.json:
        variables = {
            name: {"dims": array.dims, "dtype": str(array.dtype), **array.attrs}
            for name, array in dataset.variables.items()
        }
        attributes = {name: _from_json(value) for name, value in dataset.attrs.items()}
        print(json.dumps({"sizes": dict(dataset.sizes), "variables": variables, "attributes": attributes}, indent=2))
        return
    print(f"{arguments.path}: {summary_of(dataset)}")
    for name, array in dataset.variables.items():
        units = "" if array.attrs["units"] == "1" else f" [{array.attrs['units']}]"
        estimated = f" (estimated {array.attrs['estimated']})" if "estimated" in array.attrs else ""
        dims = ", ".join(map(str, array.dims))
        print(f"  {name:17} {array.attrs['long_name']}{units}{estimated}: {array.dtype} of each {dims}")
    for name, value in dataset.attrs.items():
        print(f"  {name:17} {value}")


def _from_json(value: Any) -> Any:
    return json.loads(value) if isinstance(value, str) and value.startswith("{") else value


def _diagnose_arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("path", metavar="G", help="a file of trajectories: a rollout, a simulation or measured data")
    parser.add_argument("--reference", metavar="F", help="a file with what they should be, at the same times")
    parser.add_argument("--figure", metavar="PNG", help="draw a one-page figure into this file (.png, .pdf or .svg)")
    parser.add_argument("--overwrite", action="store_true", help="replace a figure that is there")
    parser.add_argument("--json", action="store_true", help="print JSON")


def _diagnose(arguments: argparse.Namespace) -> None:
    import systems
    from hlieconv.diagnostics import summary

    figure = None if arguments.figure is None else Path(arguments.figure)
    if figure is not None and figure.exists() and not arguments.overwrite:
        raise ValueError(f"figure: {figure} exists; --overwrite replaces it")
    dataset = systems.open(arguments.path)
    reference = None if arguments.reference is None else systems.open(arguments.reference)
    numbers = summary(dataset, reference)
    if arguments.json:
        print(json.dumps(numbers, indent=2))
    else:
        print(f"{arguments.path}: {summary_of(dataset)}")
        for name, value in numbers.items():
            print(
                f"  {name:12} {value:10.2e}  {_DIAGNOSED.get(name, 'largest drift in time, median over trajectories')}"
            )
    if figure is not None:
        from hlieconv.plots import plot_summary

        plot_summary(dataset, reference).savefig(figure)


_DIAGNOSED = {
    "largest_q": "largest coordinate of any body",
    "state_error": "relative error of the state, geometric mean over trajectories, mean over times",
    "valid_time": "seconds until that error exceeds 0.1, median over trajectories",
}


def _demo_arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("-o", "--path", default="demo", help="folder for data, models, table and figure")
    parser.add_argument("--smoke", action="store_true", help="a much smaller one, to see that everything works")


def _demo(arguments: argparse.Namespace) -> None:
    from hlieconv.demo import SMOKE, Size, demo

    if not demo(arguments.path, SMOKE if arguments.smoke else Size()):
        raise ValueError("demo: a charge was not kept, or not broken, as its symmetry demands")


def _import_arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument(
        "table",
        metavar="CSV",
        help="columns time, body, x, y[, z], and px, py[, pz] or mass (momenta are estimated then); "
        "trajectory if there are several; others are variables of the bodies",
    )
    parser.add_argument("-o", "--path", help="file to write, .nc or .zarr; by default CSV with the suffix .nc")
    parser.add_argument("--overwrite", action="store_true", help="replace the file if it exists")
    parser.add_argument(
        "--system", choices=[*SYSTEMS], default="", help="the known system that was measured, if it is one"
    )
    parser.add_argument("--window", type=int, default=7, help="points from which a momentum is estimated")
    parser.add_argument("--degree", type=int, default=4, help="of the polynomials through them")


def _import(arguments: argparse.Namespace) -> None:
    import pandas as pd

    import systems

    try:
        frame = pd.read_csv(arguments.table)
    except (ValueError, OSError) as error:
        raise ValueError(f"table: expected a CSV file with a header, got {arguments.table}: {error}") from error
    options = {name: getattr(arguments, name) for name in ("system", "window", "degree")}
    dataset = systems.from_dataframe(frame, **options)
    path = arguments.path or Path(arguments.table).with_suffix(".nc")
    systems.save(dataset, path, overwrite=arguments.overwrite)
    print(f"{path}: {summary_of(dataset)}")


COMMANDS: dict[str, Command] = {
    "simulate": Command("simulate a system and write its trajectories to a file", _simulate_arguments, _simulate),
    "import": Command("write measured trajectories, a table, to a file", _import_arguments, _import),
    "info": Command("what a file holds", _info_arguments, _info),
    "fit": Command("train a model on trajectories", fit_arguments, run_fit),
    "rollout": Command("the trajectories that a trained model predicts", rollout_arguments, run_rollout),
    "diagnose": Command(
        "energy, momenta and errors of trajectories, in numbers and a figure", _diagnose_arguments, _diagnose
    ),
    "fit-images": Command("train a classifier of images", fit_images_arguments, run_fit_images),
    "evaluate-images": Command(
        "errors, robustness and equivariance of a classifier of images", evaluate_images_arguments, run_evaluate_images
    ),
    "fit-molecules": Command("train a model of molecules", fit_molecules_arguments, run_fit_molecules),
    "evaluate-molecules": Command(
        "errors and equivariance of a model of molecules", evaluate_molecules_arguments, run_evaluate_molecules
    ),
    "predict-molecules": Command(
        "what a model says of your own molecules", predict_molecules_arguments, run_predict_molecules
    ),
    "demo": Command("fit four symmetries to springs and see what each one conserves", _demo_arguments, _demo),
    "reproduce": Command("the dynamics study: the paper's tables and figures", reproduce_arguments, run_reproduce),
}
