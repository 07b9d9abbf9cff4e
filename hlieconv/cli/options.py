"""Options that commands share: where files go, what computes and where, settings; and what they become."""

import argparse
import dataclasses
from collections.abc import Callable, Iterable, Mapping
from types import MappingProxyType
from typing import Any

from hlieconv.cli.signature import Option
from systems.integrators import INTEGRATORS

Container = argparse.ArgumentParser | argparse._ArgumentGroup


class Formatter(argparse.ArgumentDefaultsHelpFormatter):
    """Help with those defaults that say something."""

    def __init__(self, prog: str) -> None:
        super().__init__(prog, max_help_position=32, width=100)

    def _get_help_string(self, action: argparse.Action) -> str | None:
        if action.default in ("", None, []) or action.default is False:
            return action.help
        if isinstance(action.default, list):
            return f"{action.help} (default: {' '.join(map(str, action.default))})"
        return super()._get_help_string(action)


def described(text: str) -> dict[str, Any]:
    """How a subparser shows what it does: in its parent's list and as a sentence of its own.

    Example:
        >>> described("train a model")["description"]
        'Train a model.'
    """
    return {"help": text, "description": f"{text[0].upper()}{text[1:]}.", "formatter_class": Formatter}


def flag_of(name: str) -> str:
    """The option of a keyword.

    Example:
        >>> flag_of("part_size")
        '--part-size'
    """
    return "--" + name.replace("_", "-")


def add_option(parser: Container, option: Option) -> None:
    """An option of the command line for a keyword: a flag, a number, or a number or a range of them."""
    flag = flag_of(option.name)
    if option.annotation == "bool":
        action = "store_true" if option.default is False else argparse.BooleanOptionalAction
        parser.add_argument(flag, action=action, default=option.default, help=option.help)
        return
    one = int if option.annotation.startswith("int") else float if option.annotation.startswith("float") else str
    if "tuple" not in option.annotation:
        parser.add_argument(flag, type=one, default=option.default, help=option.help)
        return

    def number_or_range(text: str) -> Any:
        parts = [one(part) for part in text.split(",")]
        if len(parts) > 2:
            raise ValueError
        return parts[0] if len(parts) == 1 else tuple(parts)

    number_or_range.__name__ = f"{one.__name__} or range"  # argparse says "invalid int or range value"
    parser.add_argument(flag, type=number_or_range, default=option.default, metavar="N[,N]", help=option.help)


def add_output(parser: Container, path: str | None, text: str, *, replace: str = "replace the file") -> None:
    """Where a command writes, and whether it may replace what is there."""
    parser.add_argument("-o", "--path", default=path, help=text)
    add_overwrite(parser, f"{replace} if it exists")
    add_wait(parser)


def add_overwrite(parser: Container, text: str) -> None:
    parser.add_argument("--overwrite", action="store_true", help=text)


def add_wait(parser: Container) -> None:
    text = "wait until another process has written the same output, instead of ending with an error"
    parser.add_argument("--wait", action="store_true", help=text)


def add_scheduler(parser: Container) -> None:
    """Whose workers compute the parts of the output."""
    text = "address of a dask scheduler, such as tcp://10.0.0.1:8786, whose workers see the file's folder"
    parser.add_argument("--scheduler", metavar="ADDRESS", help=text)


def add_json(parser: Container) -> None:
    parser.add_argument("--json", action="store_true", help="print JSON in place of text")


def add_trained(parser: Container, command: str) -> None:
    """The run whose model is used."""
    parser.add_argument("model", metavar="RUN", help=f"folder of a finished run of hlieconv {command}")
    text = "import the model or group from outside the library that the run names; its code then runs"
    parser.add_argument("--trust-code", action="store_true", help=text)


def add_dtype(parser: Container, default: str, text: str) -> None:
    parser.add_argument("--dtype", choices=["float32", "float64"], default=default, help=text)


def add_device(parser: Container, default: str = "cpu") -> None:
    automatic = "; auto takes a GPU where there is one" if default == "auto" else ""
    parser.add_argument("--device", default=default, help=f"device that computes, such as cpu or cuda{automatic}")


def add_solver(parser: Container, by_default: str) -> None:
    """What solves the equations of motion, and where."""
    parser.add_argument("--integrator", choices=[*INTEGRATORS], help=f"integration method; {by_default}")
    parser.add_argument("--step", type=float, help="longest step of the integrator in seconds")
    text = (
        "steps in machine code, of networks forces through torch.compile; auto compiles where the counts of bodies, "
        "trajectories and steps are large"
    )
    parser.add_argument("--compile", choices=["auto", "on", "off"], default="auto", help=text)
    text = "fail if a trajectory ends early, instead of keeping its good part"
    parser.add_argument("--strict", action="store_true", help=text)
    add_dtype(parser, "float64", "precision of the computation")
    add_device(parser)
    parser.add_argument("--workers", type=int, help="number of threads; by default one per core")


def add_run(parser: Container, folder: str, seconds: float) -> None:
    """The options of every command that trains."""
    add_output(
        parser, folder, "folder of the run; the same command resumes it", replace="discard the run in the folder"
    )
    add_device(parser, "auto")
    text = "time between checkpoints in seconds"
    parser.add_argument("--checkpoint-seconds", type=float, default=seconds, help=text)
    text = "folder to which the records are written for TensorBoard too, with the package tensorboard"
    parser.add_argument("--tensorboard", metavar="DIR", help=text)


def add_settings(
    parser: argparse.ArgumentParser,
    settings: type,
    presets: Iterable[str],
    text: str,
    types: Mapping[str, Callable[[str], Any]] = MappingProxyType({}),
) -> None:
    """The presets, the first of which is the default, and an option for each field of a dataclass of settings.

    Args:
        parser: of the command.
        settings: the dataclass.
        presets: their names.
        text: the help text of the presets.
        types: how the text of an option is read, where it is not as the default's type says.
    """
    group, presets = parser.add_argument_group("settings of the training"), [*presets]
    group.add_argument("--preset", choices=presets, default=presets[0], help=text)
    for setting in dataclasses.fields(settings):
        group.add_argument(
            flag_of(setting.name),
            type=types.get(setting.name, type(setting.default)),
            choices=setting.metadata["choices"],
            help=f"{setting.metadata['help']} (preset {presets[0]}: {setting.default})",
        )


def settings_of(arguments: argparse.Namespace, settings: type) -> dict[str, Any]:
    """Those fields of the settings that the command line gives."""
    given = {setting.name: getattr(arguments, setting.name) for setting in dataclasses.fields(settings)}
    return {name: value for name, value in given.items() if value is not None}


def run_of(arguments: argparse.Namespace) -> dict[str, Any]:
    """The options of `add_run`, and the preset."""
    names = ("preset", "path", "overwrite", "device", "checkpoint_seconds")
    options = {name: getattr(arguments, name) for name in names}
    if arguments.tensorboard is not None:
        from hlieconv.training.logs import TensorBoard

        options["on_record"] = TensorBoard(arguments.tensorboard)
    return options


def integrator_of(arguments: argparse.Namespace) -> Any:
    """The integrator of `add_solver`, None if the command line names none.

    Raises:
        ValueError: for a step without an integrator, or one out of range.
    """
    from pkgutil import resolve_name

    if arguments.integrator is None:
        if arguments.step is not None:
            raise ValueError("step: expected an integrator beside it, got none")
        return None
    method = resolve_name(INTEGRATORS[arguments.integrator])
    return method() if arguments.step is None else method(step=arguments.step)
