"""What commands share: options, where to compute, with what, and one line that says what a file holds."""

import argparse
import dataclasses
from collections.abc import Iterable
from typing import Any

from hlieconv.cli.signature import Option
from systems.integrators import INTEGRATORS


def flag_of(name: str) -> str:
    """The option of a keyword."""
    return "--" + name.replace("_", "-")


def add_option(parser: argparse.ArgumentParser, option: Option) -> None:
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


def add_run(parser: argparse.ArgumentParser, folder: str, seconds: float) -> None:
    """The options of every command that trains."""
    parser.add_argument("-o", "--path", default=folder, help="folder of the run; the same command resumes it")
    parser.add_argument("--overwrite", action="store_true", help="throw away the run that is in the folder")
    parser.add_argument("--device", default="auto", help="cpu, cuda, ... or auto: a GPU where there is one")
    parser.add_argument("--checkpoint-seconds", type=float, default=seconds, help="time between checkpoints")


def add_settings(parser: argparse.ArgumentParser, kind: type, presets: Iterable[str], text: str) -> None:
    """The presets, the first of which is the default, and an option for each field of a dataclass of settings."""
    presets = [*presets]
    parser.add_argument("--preset", choices=presets, default=presets[0], help=text)
    for setting in dataclasses.fields(kind):
        told = f"{setting.metadata['help']} ({presets[0]}: {setting.default})"
        parser.add_argument(
            flag_of(setting.name), type=type(setting.default), choices=setting.metadata["choices"], help=told
        )


def settings_of(arguments: argparse.Namespace, kind: type) -> dict[str, Any]:
    """Those fields of the settings that the command line gives."""
    given = {setting.name: getattr(arguments, setting.name) for setting in dataclasses.fields(kind)}
    return {name: value for name, value in given.items() if value is not None}


def run_of(arguments: argparse.Namespace) -> dict[str, Any]:
    """The options of `add_run`, and the preset."""
    device = arguments.device if arguments.device == "auto" else str(device_of(arguments.device))
    return {name: getattr(arguments, name) for name in ("preset", "path", "overwrite", "checkpoint_seconds")} | {
        "device": device
    }


def last_record(path: str, history: list[dict[str, Any]]) -> str:
    """One line that says how a training ended."""
    last = history[-1] if history else {"step": 0}
    return f"{path}: {', '.join(f'{name} {value:.6g}' for name, value in last.items())}"


def device_of(name: str) -> Any:
    import torch

    try:
        return torch.empty(0, device=name).device
    except (RuntimeError, AssertionError) as error:
        raise ValueError(f"device: expected one that torch can use here, got {name}") from error


def integrator_of(arguments: argparse.Namespace) -> Any:
    from pkgutil import resolve_name

    if arguments.integrator is None:
        if arguments.step is not None:
            raise ValueError("step: expected an integrator beside it, got none")
        return None
    kind = resolve_name(INTEGRATORS[arguments.integrator])
    return kind() if arguments.step is None else kind(step=arguments.step)


def summary_of(dataset: Any) -> str:
    from systems.dataset.schema import times_of

    times = times_of(dataset)
    first, last = (f"{float(x):g}" for x in (times[0].min(), times[times == times].max()))
    if times[-1].ravel()[0] < times[0].ravel()[0]:
        first, last = f"{float(times[0].max()):g}", f"{float(times[times == times].min()):g}"
    return (
        f"{_number(dataset, 'trajectory', 'trajectories')} of {dataset.attrs.get('system', 'an unknown system')}, "
        f"{_number(dataset, 'body', 'bodies')} in {_number(dataset, 'space', 'dimensions', 'dimension')}, "
        f"{_number(dataset, 'time', 'points', 'point')} from {first} to {last} s, "
        f"by {dataset.attrs.get('integrator', 'measurement')}"
    )


def _number(dataset: Any, dim: str, plural: str, singular: str = "") -> str:
    size = dataset.sizes[dim]
    return f"{size} {(singular or dim) if size == 1 else plural}"
